package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
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
		Long: `Check the data directory, the accounts, the daemon and its connections, and tell
what is wrong and what to do about it. Fails when something is bad; with the exit
code of a daemon that cannot be reached when that is what is bad.`,
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
	add(s.Pending == 0 || peers > 0, stateWarning, "outbox", count(s.Pending, "envelope waits", "envelopes wait"),
		"they are sent when a peer is connected")
	return findings
}
