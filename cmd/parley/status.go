package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/reliability/mvds"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the state of the daemon and its node",
		Long: `Show the state of the running daemon: account, network, peers, relayed topics or
filter peers, store nodes, messages that wait, and what was dropped and why.
"parley doctor" tells what is wrong and what to do.`,
		Example: "  parley status\n  parley status --json | jq .node.peers",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) error { return writeStatus(w, s, time.Now()) })
		},
	}
}

// writeStatus writes a client's state in words.
func writeStatus(w io.Writer, s parley.Status, now time.Time) error {
	rows := [][]string{
		{"Account", shownName(s.Name, "(no name)"), s.Account},
		{"Network", s.Network, fmt.Sprintf("cluster %d, %s client", s.Node.Cluster, s.Mode)},
		{"Node", s.Node.PeerID},
	}
	label := "Peers"
	for _, p := range s.Node.Peers {
		rows = append(rows, []string{label, p.ID, p.Agent, p.Addr, "since " + localTime(p.ConnectedSince, now)})
		label = ""
	}
	if len(s.Node.Peers) == 0 {
		rows = append(rows, []string{label, "none"})
	}
	label = "Relay"
	for _, topic := range slices.Sorted(maps.Keys(s.Node.Relay)) {
		t := s.Node.Relay[topic]
		rows = append(rows, []string{label, topic, fmt.Sprintf("%s, %d in the mesh", count(t.Peers, "peer", "peers"), t.Mesh)})
		label = ""
	}
	if f := s.Node.Filter; f != nil {
		label = "Filter"
		for _, p := range f.Peers {
			rows = append(rows, []string{label, p.ID, p.State, p.Cause})
			label = ""
		}
		if len(f.Peers) == 0 {
			rows = append(rows, []string{label, "no peers"})
		}
	}
	rows = append(rows,
		[]string{"Store", shownName(strings.Join(s.Node.StorePeers, ", "), "no node known")},
		[]string{"History", historyText(s.History, now)},
		[]string{"Compared", comparedText(s.Reconciliation, now)},
	)
	for _, h := range s.Reconciliation.Stores {
		rows = append(rows, []string{"", shownName(h.Node, "store nodes"), storeText(h, now)})
	}
	rows = append(rows,
		[]string{"To send", count(s.Pending, "envelope", "envelopes")},
		[]string{"Events", fmt.Sprint(s.LastEvent)},
		[]string{"Synced", "sent " + usageText(s.Synced.Sent)},
		[]string{"", "received " + usageText(s.Synced.Received)},
	)
	label = "Communities"
	for _, c := range s.Synced.Communities {
		rows = append(rows, []string{label, c.Community, channelText(c)})
		label = ""
	}
	label = "Sessions"
	for _, b := range s.Sessions {
		if b.Healed == 0 {
			rows = append(rows, []string{label, sessionText(b, now)})
			label = ""
		}
	}
	label = "Dropped"
	for _, cause := range slices.Sorted(maps.Keys(s.Dropped)) {
		rows = append(rows, []string{label, fmt.Sprintf("%d × %s", s.Dropped[cause], cause)})
		label = ""
	}
	return table(w, rows...)
}

// usageText tells in words what payloads of data synchronisation took.
func usageText(u mvds.Usage) string {
	text := fmt.Sprintf("%s in %s", diskSize(int64(u.Payloads.Bytes)), count(int(u.Payloads.Count), "payload", "payloads"))
	for _, part := range []struct {
		n         mvds.Count
		one, more string
	}{
		{u.Messages, "message", "messages"}, {u.Retries, "of them again", "of them again"}, {u.Acks, "acknowledgement", "acknowledgements"},
		{u.Offers, "offer", "offers"}, {u.Requests, "request", "requests"},
	} {
		if part.n.Count > 0 {
			text += ", " + count(int(part.n.Count), part.one, part.more)
		}
	}
	return text
}

// channelText tells in words what the channel of a community took, and what
// became of its losses.
func channelText(c parley.CommunitySynced) string {
	text := fmt.Sprintf("%s sent, %d acknowledged, %s received", count(int(c.Sent.Messages.Count), "message", "messages"), c.Acknowledged,
		count(int(c.Received.Messages.Count+c.Received.PassedOn.Count), "message", "messages"))
	for _, part := range []struct {
		n    uint64
		what string
	}{
		{c.Sent.Again.Count, "sent again"}, {c.Sent.PassedOn.Count, "passed on to others"}, {c.Failed, "given up"},
		{c.Repairs.Fetched, "fetched from store nodes"}, {c.Repairs.PassedOn, "got from other members"}, {c.Repairs.Lost, "lost"},
	} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}

// historyText tells in words how fetching missed messages goes.
func historyText(p parley.Progress, now time.Time) string {
	switch {
	case p.Active:
		return fmt.Sprintf("being fetched since %s: %d of %s, %s", localTime(time.UnixMilli(p.Since), now), p.Topics, count(p.Of, "topic", "topics"), count(p.Envelopes, "envelope", "envelopes"))
	case p.Error != "" && p.Topics < p.Of:
		return "not complete: " + p.Error
	case p.Of == 0:
		return "not fetched yet"
	}
	return fmt.Sprintf("complete, %s fetched, %d of them new", count(p.Envelopes, "envelope", "envelopes"), p.New)
}

// comparedText tells in words how comparing with store nodes goes.
func comparedText(r parley.Reconciliation, now time.Time) string {
	switch {
	case r.Rounds == 0:
		return "with no store node yet"
	case r.Error != "":
		return "not complete: " + r.Error
	}
	return fmt.Sprintf("%s, last %s, %s repaired", count(r.Rounds, "time", "times"), localTime(time.UnixMilli(r.Last), now), count(r.Repaired, "loss", "losses"))
}

// storeText tells in words how a store node compares with what is here and with
// others.
func storeText(h parley.StoreHealth, now time.Time) string {
	text := fmt.Sprintf("%s listed, %d of them missing here", count(h.Hashes, "message", "messages"), h.Missing)
	for _, part := range []struct {
		many int
		what string
	}{{h.Lacking, "lacking there"}, {h.Withheld, "not given"}, {h.Wrong, "wrong"}} {
		if part.many > 0 {
			text += fmt.Sprintf(", %d %s", part.many, part.what)
		}
	}
	if paused := time.UnixMilli(h.PausedUntil); h.PausedUntil > 0 && paused.After(now) {
		text += ", left alone until " + localTime(paused, now)
	}
	if h.Error != "" {
		text += ": " + h.Error
	}
	return text
}
