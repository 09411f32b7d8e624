package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	rules "github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

func (a *app) communityJoinCommand() *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "join COMMUNITY",
		Short: "Ask to be a member of a community",
		Long: `Ask to be a member of a community, and follow it from now on. One that is new here has to
say what it is first; that is waited for, for half a minute.

Most communities let everybody in who asks, when their owner is online; of others the owner
decides. With --wait the command returns when you are a member, and fails after --timeout;
the request stays all the same.

The owner is told your name, and an address that is made for this community alone.

` + communityHelp,
		Example:           "  parley community join 'https://status.app/c/…'\n  parley community join 0x02… --wait --timeout 30s",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeCommunity,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			after, err := c.JoinCommunity(ctx, args[0])
			if err != nil {
				return err
			}
			var waited error
			if wait && !after.Joined {
				if waited = awaitMembership(ctx, c, s.LastEvent, after, timeout); waited == nil {
					if after, err = c.Community(ctx, after.ID); err != nil {
						return err
					}
				}
			}
			if err := a.printCommunity(after); err != nil {
				return err
			}
			return waited
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until you are a member")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long --wait waits")
	return c
}

// awaitMembership waits until we are a member of a community that we asked to
// join.
func awaitMembership(ctx context.Context, c *client.Client, since uint64, of parley.Community, timeout time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.Events(limited, since, true, func(e parley.Event) error {
		if e.Type != parley.EventCommunity {
			return nil
		}
		data, err := e.Decode()
		if err != nil {
			return err
		}
		if change, ok := data.(*parley.CommunityChange); ok && change.ID == of.ID && change.Kind == rules.YouJoined {
			return errReached
		}
		return nil
	})
	switch {
	case errors.Is(err, errReached):
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fault.New(fault.Timeout, "nobody has let you into %q after %s", of.Name, timeout).
			WithHint("the request stays; see `parley community show`")
	}
	return err
}

// asker is what to call who asks to join: not every client tells a name.
func asker(r parley.CommunityRequest) string { return shownName(r.DisplayName, account.Alias(r.From)) }

// communityRequestRow shows a request to join a community in words.
func communityRequestRow(r parley.CommunityRequest) []string {
	return []string{
		localTime(time.UnixMilli(int64(r.Clock)), time.Now()), string(r.State), shownName(r.Name, r.Community), asker(r), r.From.String(),
	}
}

func (a *app) communityRequestsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "requests [COMMUNITY]",
		Short: "List who asks to join your communities",
		Long: `List who asks to join your communities, or one of them, and what became of it: those that
wait for you first, then the newest.

` + communityHelp,
		Example:           "  parley community requests\n  parley community requests \"Book club\" --json | jq -r 'select(.state == \"pending\") | .from'",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeCommunity,
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			all, err := a.client().CommunityRequests(cmd.Context(), name)
			if err != nil {
				return err
			}
			return printList(a, all, communityRequestRow, "Nobody has asked to join.")
		},
	}
}

// communityDecision makes a command that answers a request to join.
func (a *app) communityDecision(verb, short, long string, do func(c *client.Client, ctx context.Context, community, who string) (parley.CommunityRequest, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " COMMUNITY KEY",
		Short:             short,
		Long:              long + "\n\n" + communityHelp + "\n" + whoHelp,
		Example:           "  parley community " + verb + " \"Book club\" zQ3sh…",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeAsking,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := do(a.client(), cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.print(r, func(w io.Writer) error { return table(w, communityRequestRow(r)) })
		},
	}
}

// completeAsking offers communities, and then who asks to join.
func (a *app) completeAsking(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if len(args) == 0 {
		return a.completeCommunity(cmd, args, text)
	}
	if len(args) > 1 || a.settle(cmd) != nil {
		return nil, done
	}
	all, err := a.client().CommunityRequests(cmd.Context(), args[0])
	if err != nil {
		return nil, done
	}
	var people []cobra.Completion
	for _, r := range all {
		if r.State == rules.Pending {
			people = append(people, cobra.CompletionWithDesc(r.From.String(), oneLine(asker(r))))
		}
	}
	return people, done
}

func (a *app) communityMemberVerb(verb, short, long string, do func(c *client.Client, ctx context.Context, community, who string) (parley.Community, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " COMMUNITY KEY",
		Short:             short,
		Long:              long + "\n\n" + communityHelp + "\n" + whoHelp,
		Example:           "  parley community " + verb + " \"Book club\" zQ3sh…",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeCommunityMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			after, err := do(a.client(), cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printCommunity(after)
		},
	}
}

func (a *app) communityBanCommand() *cobra.Command {
	var deleteAll bool
	c := a.communityMemberVerb("ban", "Keep somebody out of a community",
		"Keep somebody out of your community, member or not. With --delete-all everybody deletes what\nthey wrote there.",
		func(c *client.Client, ctx context.Context, community, who string) (parley.Community, error) {
			return c.BanMember(ctx, community, who, deleteAll)
		})
	c.Flags().BoolVar(&deleteAll, "delete-all", false, "delete all they wrote there, for everybody")
	return c
}
