package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/cmd/parley/internal/demo"
)

// demoCommand shows a newcomer two people talking over a real network.
func (a *app) demoCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "See two people talk over a Waku network on this machine",
		Long: `Start a Waku network of one service node and two people on it: Alice with a full
client and Bobby with a light one. They become contacts and exchange twenty
messages each; in the middle Bobby stops, is written to, and starts again.

Each step is printed with the envelopes that went over the wire. Afterwards
everything stays up: open the two web pages and go on talking yourself.
Nothing is reachable from outside this machine, and nothing is left on it.`,
		Example: "  parley demo\n  parley demo --once --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), once)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "exit when the script is done; fails if a message was lost")
	return c
}

func (a *app) demo(ctx context.Context, once bool) (err error) {
	show := func(s demo.Step) { writeStep(a.out, s) }
	if a.json {
		encoder := json.NewEncoder(a.out)
		show = func(s demo.Step) { encoder.Encode(s) }
	}
	d, err := demo.Start(ctx, show)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Play(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped by the person
		}
		return err
	}
	if once {
		return nil
	}
	fmt.Fprintln(a.err, "\nBoth are still there: open their pages, or press ctrl-c to stop.")
	<-ctx.Done()
	return nil
}

// writeStep prints a step for people, one line each; a person's page gets a
// line of its own, so that it can be clicked.
func writeStep(w io.Writer, s demo.Step) {
	at := fmt.Sprintf("%6.2fs", s.Seconds)
	switch s.Kind {
	case "wire":
		fmt.Fprintf(w, "%s           ↳ %s, %d bytes to %s, %s, envelope %s…\n", at, s.Text, s.Bytes, shard(s.PubsubTopic), s.ContentTopic, s.Envelope[:10])
	case "person":
		fmt.Fprintf(w, "%s  %-8s %s\n", at, s.Who, s.Text)
		fmt.Fprintf(w, "%18s key  %s\n%18s page %s\n", "", s.Key, "", s.Page)
	case "said":
		fmt.Fprintf(w, "%s  %-8s “%s”\n", at, s.Who, s.Text)
	case "result":
		fmt.Fprintf(w, "\n%s\n", s.Text)
	default:
		fmt.Fprintf(w, "%s  %-8s %s\n", at, s.Who, s.Text)
	}
}

// shard shortens /waku/2/rs/<cluster>/<index>.
func shard(pubsub string) string {
	var cluster, index int
	if _, err := fmt.Sscanf(pubsub, "/waku/2/rs/%d/%d", &cluster, &index); err != nil {
		return pubsub
	}
	return fmt.Sprintf("shard %d/%d", cluster, index)
}
