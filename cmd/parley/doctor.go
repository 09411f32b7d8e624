package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/internal/fault"
)

// finding is the result of one check.
type finding struct {
	Check string `json:"check"`
	// State is ok, warning or bad.
	State  string `json:"state"`
	Detail string `json:"detail"`
	// Hint is what to do; empty when there is nothing to do.
	Hint string `json:"hint,omitempty"`
}

const (
	stateOK      = "ok"
	stateWarning = "warning"
	stateBad     = "bad"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Tell what is wrong and what to do",
		Long: `Check the data directory, the accounts, the daemon, its connections and the
sessions with devices of others, and tell what is wrong and what to do about it.
Fails when something is bad; with the exit code of a daemon that cannot be reached
when that is what is bad.`,
		Example: "  parley doctor",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.doctor(cmd.Context())
		},
	}
}

func (a *app) doctor(ctx context.Context) error {
	findings := a.checkFiles()
	s, err := a.client().Status(ctx)
	if err != nil {
		findings = append(findings, finding{"daemon", stateBad, err.Error(), fault.HintOf(err)})
	} else {
		findings = append(findings, finding{"daemon", stateOK, "runs the account " + shownName(s.Name, s.Account), ""})
		findings = append(findings, checkStatus(s)...)
	}
	bad := 0
	var rows [][]string
	for _, f := range findings {
		if f.State == stateBad {
			bad++
		}
		if a.json {
			if err := a.printJSON(f); err != nil {
				return err
			}
		}
		rows = append(rows, []string{f.State, f.Check, f.Detail})
		if f.Hint != "" {
			rows = append(rows, []string{"", "", "→ " + f.Hint})
		}
	}
	if !a.json {
		if err := table(a.out, rows...); err != nil {
			return err
		}
	}
	if bad > 0 {
		kind := fault.Internal
		if err != nil {
			kind = fault.KindOf(err)
		}
		return fault.New(kind, "%s", count(bad, "check has failed", "checks have failed"))
	}
	return nil
}

// checkFiles looks at the data directory.
func (a *app) checkFiles() []finding {
	info, err := os.Stat(a.dataDir)
	if err != nil {
		return []finding{{"data directory", stateBad, err.Error(), "make an account with `parley account create`, or give another --data-dir"}}
	}
	dir := finding{"data directory", stateOK, a.dataDir, ""}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		dir.State, dir.Hint = stateWarning, fmt.Sprintf("others can look into it: chmod 700 %s", a.dataDir)
	}
	accounts := finding{Check: "accounts", State: stateOK}
	var usable, broken int
	if store, err := account.OpenStore(a.dataDir, account.StoreConfig{}); err != nil {
		broken++
	} else if all, err := store.List(); err != nil {
		broken++
	} else {
		for _, i := range all {
			if i.Err != nil {
				broken++
			} else {
				usable++
			}
		}
	}
	accounts.Detail = count(usable, "account", "accounts")
	switch {
	case broken > 0:
		accounts.State, accounts.Hint = stateWarning, fmt.Sprintf("%s cannot be read: see `parley account list`", count(broken, "file", "files"))
	case usable == 0:
		accounts.State, accounts.Hint = stateWarning, "make one with `parley account create`"
	}
	return []finding{dir, accounts}
}

// checkStatus judges the state of a running daemon.
func checkStatus(s parley.Status) (findings []finding) {
	add := func(good bool, otherwise, check, detail, hint string) {
		f := finding{Check: check, State: stateOK, Detail: detail}
		if !good {
			f.State, f.Hint = otherwise, hint
		}
		findings = append(findings, f)
	}
	peers := len(s.Node.Peers)
	add(peers > 0, stateBad, "peers", count(peers, "peer", "peers")+" connected",
		"check the network connection, or name a node with `parley run --peer`")
	if f := s.Node.Filter; f != nil {
		active := 0
		for _, p := range f.Peers {
			if p.State == "active" {
				active++
			}
		}
		otherwise := stateWarning
		if active == 0 {
			otherwise = stateBad
		}
		add(active > 1, otherwise, "filter", count(active, "peer pushes", "peers push")+" messages to us",
			"two are wanted, so that one may fail: name more nodes with `parley run --peer`")
	} else {
		alone := 0
		for _, t := range s.Node.Relay {
			if t.Peers == 0 {
				alone++
			}
		}
		add(alone == 0 || alone < len(s.Node.Relay), stateBad, "relay",
			fmt.Sprintf("%d of %s with peers", len(s.Node.Relay)-alone, count(len(s.Node.Relay), "topic", "topics")),
			"no peer relays what we need: is it the right --network?")
	}
	stores := len(s.Node.StorePeers)
	add(stores > 0, stateWarning, "store", count(stores, "node", "nodes")+" to fetch missed messages from",
		"name one with `parley run --store`; until then what is sent while you are away is lost to you")
	add(s.History.Active || s.History.Error == "" || s.History.Topics >= s.History.Of, stateWarning, "history",
		shownName(s.History.Error, count(s.History.Envelopes, "envelope", "envelopes")+" fetched"), "it is tried again; see `parley status`")
	bad := 0
	for _, h := range s.Reconciliation.Stores {
		if h.Withheld > 0 || h.Wrong > 0 {
			bad++
		}
	}
	add(bad == 0, stateWarning, "store nodes",
		fmt.Sprintf("%s compared, %s repaired", count(len(s.Reconciliation.Stores), "node", "nodes"), count(s.Reconciliation.Repaired, "loss", "losses")),
		fmt.Sprintf("%s messages that others do not confirm, and are left alone for a while: see `parley status`", count(bad, "node lists or gives", "nodes list or give")))
	findings = append(findings, checkSessions(s.Sessions, time.Now())...)
	add(s.Pending == 0 || peers > 0, stateWarning, "outbox", count(s.Pending, "envelope waits", "envelopes wait"),
		"they are sent when a peer is connected")
	return findings
}

// sessionsShown is how many sessions doctor tells of.
const sessionsShown = 20

// checkSessions judges the sessions that are broken or were: first those that
// still are.
func checkSessions(sessions []parley.BrokenSession, now time.Time) (findings []finding) {
	sessions = slices.Clone(sessions)
	slices.SortStableFunc(sessions, func(a, b parley.BrokenSession) int {
		return cmp.Or(cmp.Compare(min(a.Healed, 1), min(b.Healed, 1)), cmp.Compare(b.Since, a.Since))
	})
	for _, b := range sessions[:min(len(sessions), sessionsShown)] {
		f := finding{Check: "session", State: stateOK, Detail: sessionText(b, now)}
		if b.Healed == 0 {
			f.State = stateWarning
			f.Hint = "a new one begins when they are there, and what was lost comes again; ask them to open their client"
		}
		findings = append(findings, f)
	}
	return findings
}

// sessionText tells in words what became of a session.
func sessionText(b parley.BrokenSession, now time.Time) string {
	text := fmt.Sprintf("with %s, device %s: broken since %s, %s", b.Key, b.Device, localTime(time.UnixMilli(b.Since), now), sessionCause(b.Cause))
	if b.Messages > 0 {
		text += ", " + count(b.Messages, "message", "messages") + " not decrypted"
	}
	if b.Healed != 0 {
		return text + ", healed " + localTime(time.UnixMilli(b.Healed), now)
	}
	if b.Attempts > 0 {
		text += ", " + count(b.Attempts, "attempt", "attempts") + " to heal it"
	}
	return text
}

// sessionCause is a cause in words.
func sessionCause(cause string) string {
	switch session.Cause(cause) {
	case session.NoSession:
		return "they write in a session that is not here"
	case session.NoPreKey:
		return "they use a key of ours that is not here"
	case session.BehindUs:
		return "they have gone back to an earlier state"
	case session.AheadOfUs:
		return "too many of their messages are missing"
	case session.OtherKeys:
		return "one side has gone back to an earlier state"
	case session.Damaged:
		return "its record is damaged"
	case session.BegunAnew:
		return "they have lost it"
	}
	return cause
}
