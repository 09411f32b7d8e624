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
		[]string{"To send", count(s.Pending, "envelope", "envelopes")},
		[]string{"Events", fmt.Sprint(s.LastEvent)},
	)
	label = "Dropped"
	for _, cause := range slices.Sorted(maps.Keys(s.Dropped)) {
		rows = append(rows, []string{label, fmt.Sprintf("%d × %s", s.Dropped[cause], cause)})
		label = ""
	}
	return table(w, rows...)
}

// historyText tells in words how fetching missed messages goes.
func historyText(p parley.Progress, now time.Time) string {
	switch {
	case p.Active:
		return fmt.Sprintf("being fetched since %s: %d of %s, %s", localTime(p.Since, now), p.Topics, count(p.Of, "topic", "topics"), count(p.Envelopes, "envelope", "envelopes"))
	case p.Error != "" && p.Topics < p.Of:
		return "not complete: " + p.Error
	case p.Of == 0:
		return "not fetched yet"
	}
	return fmt.Sprintf("complete, %s fetched, %d of them new", count(p.Envelopes, "envelope", "envelopes"), p.New)
}
