package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) activityCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "activity",
		Short: "See what concerns you: requests, mentions, replies, invitations",
		Long: `See what concerns you: contact requests, mentions, replies, invitations to groups, requests
for your groups, and questions of contacts who want to know that it is you.`,
		Example: "  parley activity list --unread\n  parley activity read",
	},
		a.activityListCommand(), a.activityReadCommand(), a.activityDismissCommand(),
	)
}

// activityRow shows an entry in words.
func activityRow(e parley.Activity) []string {
	from := ""
	if !e.From.IsZero() {
		from = e.From.String()
	}
	return []string{localTime(time.UnixMilli(int64(e.Clock)), time.Now()), strings.ReplaceAll(string(e.Kind), "_", " "), string(e.State), from, e.Text, e.ID}
}

func (a *app) activityListCommand() *cobra.Command {
	var q parley.ActivityQuery
	c := &cobra.Command{
		Use:   "list",
		Short: "List what concerns you, the newest first",
		Long: `List what concerns you, the newest first. Kinds are contact_request, mention, reply,
group_invitation, group_addition, group_request, community_request, community_accepted,
community_kicked and verification.`,
		Example: "  parley activity list --unread\n  parley activity list --kind mention,reply --limit 5 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 0 {
				return fault.New(fault.Usage, "--limit is below zero")
			}
			all, err := a.activities(cmd.Context(), q)
			if err != nil {
				return err
			}
			if !a.json {
				p, err := a.printer(cmd.Context(), a.client())
				for i := 0; i < len(all) && err == nil; i++ {
					all[i].Text, err = p.calls(cmd.Context(), all[i].Text)
				}
				if err != nil {
					return err
				}
			}
			return printList(a, all, activityRow, "Nothing is there.")
		},
	}
	flags := c.Flags()
	flags.BoolVar(&q.Unread, "unread", false, "only what is unread")
	flags.StringSliceVar(&q.Kinds, "kind", nil, "only some kinds; may be repeated")
	flags.IntVar(&q.Limit, "limit", 50, "at most so many; 0 is all")
	return c
}

// activities reads as many entries as are wanted, page by page.
func (a *app) activities(ctx context.Context, q parley.ActivityQuery) (all []parley.Activity, err error) {
	c, most := a.client(), q.Limit
	for {
		q.Limit = maxPage
		if most > 0 {
			q.Limit = min(most-len(all), maxPage)
		}
		page, err := c.Activities(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Activities...)
		if page.Next == "" || most > 0 && len(all) >= most {
			return all, nil
		}
		q.Next = page.Next
	}
}

func (a *app) activityReadCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "read [ID…]",
		Short:   "Mark entries as read",
		Long:    "Mark entries as read, or, without ID, all of them.",
		Example: "  parley activity read\n  parley activity read message/0x…",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			if len(args) > 0 {
				return a.changeActivities(ctx, args, "read")
			}
			counts, err := c.ReadActivities(ctx, 0)
			if err != nil {
				return err
			}
			return a.print(counts, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%d unread\n", counts.Unread)
				return err
			})
		},
	}
}

func (a *app) activityDismissCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "dismiss ID…",
		Short:   "Put entries away",
		Long:    "Put entries away. Nobody is told: what an entry asks is answered by the other commands.",
		Example: "  parley activity dismiss message/0x…",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeActivities(cmd.Context(), args, "dismissed")
		},
	}
}

func (a *app) changeActivities(ctx context.Context, ids []string, state string) error {
	c := a.client()
	for _, id := range ids {
		e, err := c.ChangeActivity(ctx, id, state)
		if err != nil {
			return err
		}
		if err := a.print(e, func(w io.Writer) error { return table(w, activityRow(e)) }); err != nil {
			return err
		}
	}
	return nil
}
