package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack"
)

// A session that is broken is a warning, with its cause, since when, and what to
// do; one that has healed is told of and is well. Those that are broken come
// first, and a flood of them is cut.
func TestCheckSessions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 15, 0, 0, 0, time.Local)
	at := func(ago time.Duration) int64 { return now.Add(-ago).UnixMilli() }
	sessions := []parley.BrokenSession{
		{Device: "healed", Cause: string(session.BehindUs), Since: at(time.Hour), Healed: at(59 * time.Minute), Messages: 3, Attempts: 1},
		{Device: "earlier", Cause: string(session.BegunAnew), Since: at(3 * time.Hour)},
		{Device: "later", Cause: string(session.NoPreKey), Since: at(2 * time.Hour), Messages: 4, Attempts: 2},
	}
	got := checkSessions(sessions, now)
	want := []string{
		"warning device later: broken since 13:00:00, they use a key of ours that is not here, 4 messages not decrypted, 2 attempts to heal it",
		"warning device earlier: broken since 12:00:00, they have lost it",
		"ok device healed: broken since 14:00:00, they have gone back to an earlier state, 3 messages not decrypted, healed 14:01:00",
	}
	for i, f := range got {
		_, detail, _ := strings.Cut(f.Detail, ", ")
		if line := f.State + " " + detail; line != want[i] || (f.Hint == "") != (f.State == stateOK) || f.Check != "session" {
			t.Errorf("%d: %q, want %q, in %+v", i, line, want[i], f)
		}
	}
	for range 100 {
		sessions = append(sessions, sessions[0])
	}
	if got := checkSessions(sessions, now); len(got) != sessionsShown || got[0].State != stateWarning || got[1].State != stateWarning {
		t.Errorf("%d findings", len(got))
	}
	for _, cause := range []session.Cause{
		session.NoSession, session.NoPreKey, session.BehindUs, session.AheadOfUs, session.OtherKeys, session.Damaged, session.BegunAnew,
	} {
		if text := sessionCause(string(cause)); text == string(cause) {
			t.Errorf("%s has no words", cause)
		}
	}
	if len(checkSessions(nil, now)) != 0 {
		t.Error("findings about nothing")
	}
}

// What synchronisation took, and broken sessions, are in the status.
func TestStatusOfSync(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var out bytes.Buffer
	s := parley.Status{
		Sessions: []parley.BrokenSession{
			{Device: "gone", Cause: string(session.NoSession), Since: now.UnixMilli()},
			{Device: "well", Cause: string(session.NoSession), Since: now.UnixMilli(), Healed: now.UnixMilli()},
		},
		Synced: parley.Synced{Sent: mvds.Usage{Payloads: mvds.Count{Count: 2, Bytes: 2500}, Messages: mvds.Count{Count: 2}, Retries: mvds.Count{Count: 1}, Acks: mvds.Count{Count: 1}}},
	}
	s.Synced.Communities = []parley.CommunitySynced{{
		Community: "0x02ab", Acknowledged: 4,
		Sent:     stack.ChannelTraffic{Messages: mvds.Count{Count: 5}, Again: mvds.Count{Count: 2}},
		Received: stack.ChannelTraffic{Messages: mvds.Count{Count: 6}, PassedOn: mvds.Count{Count: 1}},
		Repairs:  stack.ChannelOutcomes{Fetched: 3, Lost: 1},
	}}
	if err := writeStatus(&out, s, now); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sent 2.5 kB in 2 payloads, 2 messages, 1 of them again, 1 acknowledgement\n", "received 0 B in 0 payloads\n", "device gone",
		"0x02ab  5 messages sent, 4 acknowledged, 7 messages received, 2 sent again, 3 fetched from store nodes, 1 lost\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, &out)
		}
	}
	if strings.Contains(out.String(), "device well") {
		t.Error("a session that is well is shown")
	}
}
