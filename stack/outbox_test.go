package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// Without peers a message waits, is tried again after pauses that double up to
// a minute, also over a restart, always with the same bytes; with a peer it is
// sent, and with an acknowledgement delivered.
//
// Proves: SP-58.
func TestOutboxRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(30)
		bobby := n.person(t, "Bobby", 1)
		alice := n.person(t, "Alice", 0)
		pass(time.Minute)
		alice.link.set(func(l *link) { l.alone, l.attempts = true, nil })
		begin := time.Now()
		sent, err := alice.SendText(bobby.key.Public(), "in a while", "")
		if err != nil {
			t.Fatal(err)
		}
		if sent.State != chat.Pending {
			t.Errorf("state %s", sent.State)
		}
		// The first attempts fall before the first retransmission, which adds
		// an envelope of its own.
		pass(20 * time.Second)
		raw := records(t, alice.Stack)
		if len(raw) != 1 {
			t.Fatalf("%d records", len(raw))
		}
		m, err := wakumessage.Unmarshal(raw[0].WakuMessage)
		if err != nil {
			t.Fatal(err)
		}
		hash := wakumessage.HashOf(raw[0].PubsubTopic, m)
		tries := func() (after []time.Duration) {
			alice.link.set(func(l *link) {
				for _, at := range l.attempts[hash] {
					after = append(after, at.Sub(begin))
				}
			})
			return after
		}
		pass(4 * time.Minute)
		want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}
		for i := range want {
			want[i] *= time.Second
		}
		if got := tries(); !slices.Equal(got, want) {
			t.Errorf("tried after %v, not %v", got, want)
		}
		if got, err := alice.Message(sent.ID); err != nil || got.State != chat.Pending {
			t.Errorf("%+v, %v", got, err)
		}
		pending, err := alice.Pending()
		if err != nil || pending == 0 {
			t.Errorf("%d pending, %v", pending, err)
		}

		alice.crash()
		alice.link.set(func(l *link) { l.alone = true })
		pass(2 * time.Minute)
		if len(tries()) == 0 {
			t.Fatal("not tried after the restart")
		}
		alice.link.set(func(l *link) { l.alone = false })
		pass(61 * time.Second)
		for _, p := range n.publications(alice.link) {
			if p.Hash != hash {
				continue
			}
			if again, err := wakumessage.Marshal(p.Message); err != nil || string(again) != string(raw[0].WakuMessage) {
				t.Error("published with other bytes")
			}
			hash = wakumessage.Hash{}
		}
		if hash != (wakumessage.Hash{}) {
			t.Error("the record was not published as it was sealed at first")
		}
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })
		if got, want := states(t, alice.Stack, sent.ID), []string{"pending", "sent(1)", "delivered(0)"}; !slices.Equal(got, want) {
			t.Errorf("states %v, not %v", got, want)
		}
		var change view.StateChange
		changes := eventsOf(t, alice.Stack, EventMessageState)
		if err := json.Unmarshal(changes[len(changes)-1].Data, &change); err != nil || change.By != bobby.key.Public() {
			t.Errorf("delivered by %v, %v", change.By, err)
		}
		if got := bobby.heard(alice); !slices.Equal(got, []string{"in a while"}) {
			t.Errorf("%v arrived", got)
		}
		if left := records(t, alice.Stack); len(left) != 0 {
			t.Errorf("%d records are left", len(left))
		}
	})
}

// What is ephemeral is tried once, and never sent again.
//
// Proves: SP-22, SP-24.
func TestEphemeralIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(31)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(time.Minute)
		say := func(typ apppb.StatusUpdate_StatusType) {
			alice.say(apppb.ApplicationMetadataMessage_STATUS_UPDATE, message.NoChat, &apppb.StatusUpdate{Clock: uint64(time.Now().Unix()), StatusType: typ}, nil)
		}
		// Hanging, so that the attempt is not over before the record is read.
		alice.link.set(func(l *link) { l.hang, l.attempts = true, nil })
		say(apppb.StatusUpdate_AUTOMATIC)
		if records := records(t, alice.Stack); len(records) != 1 || !records[0].Once {
			t.Fatalf("outbox %v", records)
		}
		if waiting := refs(t, alice); len(waiting) != 0 {
			t.Error("the reliability layer has it")
		}
		pass(5 * time.Minute)
		alice.link.set(func(l *link) {
			total := 0
			for _, at := range l.attempts {
				total += len(at)
			}
			if total != 1 {
				t.Errorf("%d attempts", total)
			}
		})
		if left := records(t, alice.Stack); len(left) != 0 {
			t.Errorf("%d records are left", len(left))
		}
		// What is not ephemeral waits.
		alice.link.set(func(l *link) { l.hang, l.alone = false, true })
		say(apppb.StatusUpdate_ALWAYS_ONLINE)
		pass(time.Second)
		if left := records(t, alice.Stack); len(left) != 1 || left[0].Once {
			t.Errorf("outbox %v", left)
		}
	})
}

// A shutdown in the middle of publishing is no attempt: the record stays as it
// was.
func TestShutdownWhilePublishing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(32)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		pass(time.Minute)
		alice.link.set(func(l *link) { l.hang = true })
		alice.send(bobby, "kept")
		synctest.Wait()
		before := records(t, alice.Stack)
		alice.halt()
		after := records(t, alice.Stack)
		if len(before) != 1 || len(after) != 1 || before[0].String() != after[0].String() || after[0].Attempts != 0 {
			t.Fatalf("before %v, after %v", before, after)
		}
		alice.start()
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })

		// An attempt that takes too long is one.
		alice.link.set(func(l *link) { l.hang = true })
		alice.send(bobby, "slow")
		pass(publishTimeout + 500*time.Millisecond)
		if r := records(t, alice.Stack); len(r) == 0 || r[0].Attempts != 1 {
			t.Errorf("outbox %v", r)
		}
		alice.link.set(func(l *link) { l.hang = false })
		eventually(t, 2*time.Minute, "delivered", func() bool { return delivered(alice) })
	})
}

// A message that nobody acknowledges for a month fails, and says why; a late
// acknowledgement still delivers it.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	sent, err := s.SendText(f.key.Public(), "nobody there", "")
	if err != nil {
		t.Fatal(err)
	}
	begin, published := clock.at, 0
	for clock.at.Sub(begin) < mvds.Expiry+awayGap+time.Hour {
		if got, err := s.Message(sent.ID); err != nil || got.State == chat.Failed && clock.at.Sub(begin) <= mvds.Expiry {
			t.Fatalf("after %v: %+v, %v", clock.at.Sub(begin), got, err)
		}
		next, err := s.tick()
		if err != nil {
			t.Fatal(err)
		}
		if next.After(clock.at.Add(tickInterval)) || !next.After(clock.at) {
			t.Fatalf("at %v, the next look is at %v", clock.at, next)
		}
		published += len(drain(t, s))
		clock.advance(29 * time.Minute)
	}
	got, err := s.Message(sent.ID)
	if err != nil || got.State != chat.Failed {
		t.Fatalf("%+v, %v, after %d envelopes", got, err, published)
	}
	if published < mvds.MinSends {
		t.Errorf("given up after %d envelopes", published)
	}
	changes := eventsOf(t, s, EventMessageState)
	var last view.StateChange
	if err := json.Unmarshal(changes[len(changes)-1].Data, &last); err != nil {
		t.Fatal(err)
	}
	if last.ID != sent.ID || last.State != chat.Failed || !strings.Contains(last.Why, "not acknowledged since 2026-01-02T03:04:05Z") {
		t.Errorf("%+v", last)
	}
	if n := len(content(t, s.db)) - len(content(t, s.db, "ref/")); n != 0 {
		t.Errorf("%d references are left", n)
	}
	if u, ok := kept(t, s, sent.ID); !ok || message.NewID(s.Self(), u.Raw) != sent.ID || len(u.To) != 1 || u.To[0] != f.key.Public() {
		t.Errorf("kept %+v, %t", u, ok)
	}
}

// Records that wait for their next attempt hold up no others, and all go out when
// it comes.
func TestOutboxOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(33)
		alice := n.person(t, "Alice", 0)
		pass(time.Minute)
		alice.link.set(func(l *link) { l.alone = true })
		for i := range byte(3 * publishBatch) {
			if _, err := alice.SendText(identity(t, 1+i).Public(), fmt.Sprint(i), ""); err != nil {
				t.Fatal(err)
			}
		}
		pass(10 * time.Second)
		before := len(n.publications(alice.link))
		waiting := records(t, alice.Stack)
		if len(waiting) < 3*publishBatch {
			t.Fatalf("%d records", len(waiting))
		}
		alice.link.set(func(l *link) { l.alone = false })
		if _, err := alice.SendText(identity(t, 100).Public(), "last", ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := len(n.publications(alice.link)) - before; got != 1 {
			t.Errorf("%d published at once, others wait", got)
		}
		pass(time.Minute)
		if left := records(t, alice.Stack); len(left) != 0 {
			t.Errorf("%d records are left", len(left))
		}
	})
}

// A commit of the outbox's outcome that fails ends the run with the database's
// error and nothing is lost.
func TestClosedDatabaseEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(34)
		alice := n.person(t, "Alice", 0)
		pass(time.Minute)
		alice.stop = nil // it ends by itself
		if err := alice.db.Close(); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		if err := alice.ended(); !errors.Is(err, storage.ErrIO) {
			t.Errorf("Run ended with %v", err)
		}
	})
}
