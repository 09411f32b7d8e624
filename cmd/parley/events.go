package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
)

func (a *app) eventsCommand() *cobra.Command {
	var since uint64
	var follow bool
	c := &cobra.Command{
		Use:   "events",
		Short: "Print the durable event stream, one JSON object a line",
		Long: `Print everything that happened: messages received and sent, how far they have
come, contacts and their requests. Each event is one line of JSON:

  {"seq":17,"time":1767323045678,"type":"message","data":{…}}

Events are kept with what they tell of and numbered without gaps. Who remembers
the last seq and asks for what came --since then misses nothing and sees nothing
twice. With --follow the stream goes on until ctrl-c, over restarts of the daemon.`,
		Example: `  parley events
  parley events --since 17 --follow | jq -c 'select(.type == "message")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := a.client().Events(cmd.Context(), since, follow, func(e parley.Event) error { return a.printJSON(e) })
			if errors.Is(err, context.Canceled) {
				return nil // stopped by the person
			}
			return err
		},
	}
	c.Flags().Uint64Var(&since, "since", 0, "only events with a higher sequence number")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as events happen")
	return c
}
