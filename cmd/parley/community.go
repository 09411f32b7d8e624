package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	rules "github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/server/client"
)

// communityHelp tells how a community can be named.
const communityHelp = `COMMUNITY is the id of a community, its key in any form, a share URL, or its name.`

// channelHelp tells how a channel can be named.
const channelHelp = `CHANNEL is the name of a channel, with or without #, or its UUID.`

func (a *app) communityCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "community",
		Short: "Join communities, talk in their channels, and make your own",
		Long: `Join communities, talk in their channels, and make your own. A community belongs to who has
its key: they say who is a member and what channels there are. What is said in the channels
of these communities can be read by everybody who knows the link.

A channel is a chat: write COMMUNITY/CHANNEL wherever a chat is meant.

` + communityHelp + "\n" + channelHelp,
		Example: `  parley community create "Book club" --description "We read"
  parley community link "Book club"
  parley community join 'https://status.app/c/…' --wait
  parley send "Book club/general" "Hello"`,
	},
		a.communityListCommand(),
		a.communityVerb("show", "Show a community and its channels", "Show a community and its channels.", (*client.Client).Community),
		a.communityMembersCommand(),
		a.communityVerb("follow", "Read a community without being a member", "Read a community from now on, without being a member and without anybody knowing.", (*client.Client).FollowCommunity),
		a.communityVerb("unfollow", "Read a community no longer", "Read a community that you are no member of no longer. What was written stays with you.", (*client.Client).UnfollowCommunity),
		a.communityJoinCommand(),
		a.communityVerb("cancel", "Withdraw your request to join", "Withdraw your request to join a community.", (*client.Client).CancelJoin),
		a.communityVerb("leave", "Leave a community", "Leave a community. What was written there stays with you.", (*client.Client).LeaveCommunity),
		a.communityVerb("share-addresses", "Reveal your address to a community once more", "Reveal the address that is made for this community alone to its owner once more. It leads to\nno wallet; owners refuse members who reveal none.", (*client.Client).ShareAddresses),
		a.communityLinkCommand(), a.communityTagsCommand(),
		a.communityCreateCommand(), a.communityEditCommand(),
		a.communityRequestsCommand(),
		a.communityDecision("accept", "Let somebody in who has asked", "Let somebody into your community, who has asked to join.", (*client.Client).AcceptJoin),
		a.communityDecision("reject", "Turn somebody's request to join down", "Turn somebody's request to join your community down. They are not told, and can ask again\nafter a week; you can still accept it.", (*client.Client).RejectJoin),
		a.communityMemberVerb("kick", "Remove somebody from a community", "Remove somebody from your community. They may ask to join again.", (*client.Client).KickMember),
		a.communityBanCommand(),
		a.communityMemberVerb("unban", "Let somebody ask to join again", "Let somebody whom you have banned ask to join your community again.", (*client.Client).UnbanMember),
		a.channelCommand(), a.categoryCommand(),
		a.communityExportCommand(), a.communityImportCommand(),
		a.communityVerb("forget-key", "Control a community no more", "Forget the key of a community, for when another account goes on with it. Nobody can give it\nback who does not have it.", (*client.Client).ForgetCommunityKey),
	)
}

// communityState tells what we are to a community.
func communityState(c parley.Community) string {
	switch {
	case c.Control && c.Pending > 0:
		return "yours, " + count(c.Pending, "request to join", "requests to join")
	case c.Control:
		return "yours"
	case c.Banned:
		return "you are banned"
	case c.Joined:
		return "member"
	case c.Request == rules.Pending:
		return "you asked to join"
	case !c.Known:
		return "nothing heard of it yet"
	case c.Spectated:
		return "following"
	}
	return "not followed"
}

// communityRow shows a community in words.
func communityRow(c parley.Community) []string {
	return []string{shownName(c.Name, c.ID), count(c.Members, "member", "members"), communityState(c), c.ID}
}

func channelRow(ch parley.Channel, indent string) []string {
	note := ch.Description
	if ch.Encrypted {
		note = "encrypted, not readable here"
	}
	return []string{indent + "#" + ch.Name, note, ch.UUID}
}

func (a *app) printCommunity(c parley.Community) error {
	return a.print(c, func(w io.Writer) error {
		if err := table(w, communityRow(c)); err != nil {
			return err
		}
		for _, text := range []string{c.Description, strings.Join(c.Tags, ", "), c.Intro} {
			if text != "" {
				fmt.Fprintln(w, "  "+strings.ReplaceAll(plain(text), "\n", "\n  "))
			}
		}
		if c.Access == rules.ManualAccept && !c.Joined {
			fmt.Fprintln(w, "  Its owner decides who is let in.")
		}
		if c.Gated {
			fmt.Fprintln(w, "  It lets in who has certain tokens: it cannot be joined here yet.")
		}
		var rows [][]string
		for _, ch := range c.Channels {
			if ch.Category == "" {
				rows = append(rows, channelRow(ch, "  "))
			}
		}
		for _, category := range c.Categories {
			rows = append(rows, []string{"  " + category.Name})
			for _, ch := range c.Channels {
				if ch.Category == category.ID {
					rows = append(rows, channelRow(ch, "    "))
				}
			}
		}
		for _, b := range c.Banlist {
			rows = append(rows, []string{"  banned", "", b.Key.String()})
		}
		return table(w, rows...)
	})
}

func (a *app) communityListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the communities you follow or are a member of",
		Long:    "List the communities you follow or are a member of, by name.",
		Example: "  parley community list\n  parley community list --json | jq -r 'select(.joined) | .channels[].name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Communities(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, all, communityRow, "There are no communities yet. Join one with `parley community join`, or make one with `parley community create`.")
		},
	}
}

// communityVerb makes a command that does one thing to one community.
func (a *app) communityVerb(verb, short, long string, do func(*client.Client, context.Context, string) (parley.Community, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " COMMUNITY",
		Short:             short,
		Long:              long + "\n\n" + communityHelp,
		Example:           fmt.Sprintf("  parley community %s \"Book club\"", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeCommunity,
		RunE:              onOne(a, do, a.printCommunity),
	}
}

func (a *app) communityMembersCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "members COMMUNITY",
		Short:             "List the members of a community",
		Long:              "List the members of a community, by the names under which you know them.\n\n" + communityHelp,
		Example:           "  parley community members \"Book club\"",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeCommunity,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := a.client().CommunityMembers(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printList(a, all, func(m parley.CommunityMember) []string {
				return []string{m.Name, strings.ReplaceAll(string(m.Role), "_", " "), m.Key.String()}
			}, "Nobody is known to be a member.")
		},
	}
}

func (a *app) communityLinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "link COMMUNITY [CHANNEL]",
		Short: "Print the share URL of a community or channel",
		Long: `Print the share URL of a community, or of one of its channels. It carries name, description
and the number of members, for programs that show what it leads to.

` + communityHelp + "\n" + channelHelp,
		Example:           "  parley community link \"Book club\"\n  parley community link \"Book club\" general",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			channel := ""
			if len(args) == 2 {
				channel = args[1]
			}
			u, err := a.client().CommunityURL(cmd.Context(), args[0], channel)
			if err != nil {
				return err
			}
			return a.print(struct {
				URL string `json:"url"`
			}{u}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, u)
				return err
			})
		},
	}
}

func (a *app) communityTagsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "tags",
		Short:   "List the words that communities can say they are about",
		Long:    "List the words that communities can say they are about, for --tag.",
		Example: "  parley community tags",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().CommunityTags(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, all, func(t parley.CommunityTag) []string { return []string{t.Name, t.Emoji} }, "")
		},
	}
}

// completeCommunity offers the communities of the running daemon, by name.
func (a *app) completeCommunity(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 || a.settle(cmd) != nil {
		return nil, done
	}
	all, err := a.client().Communities(cmd.Context())
	if err != nil {
		return nil, done
	}
	var names []cobra.Completion
	for _, c := range all {
		names = append(names, cobra.CompletionWithDesc(oneLine(shownName(c.Name, c.ID)), count(c.Members, "member", "members")))
	}
	return names, done
}

// completeChannel offers communities, and then their channels.
func (a *app) completeChannel(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	switch {
	case len(args) == 0:
		return a.completeCommunity(cmd, args, text)
	case len(args) > 1 || a.settle(cmd) != nil:
		return nil, done
	}
	c, err := a.client().Community(cmd.Context(), args[0])
	if err != nil {
		return nil, done
	}
	var names []cobra.Completion
	for _, ch := range c.Channels {
		names = append(names, cobra.CompletionWithDesc(oneLine(ch.Name), oneLine(ch.Description)))
	}
	return names, done
}

// completeCommunityMember offers communities, and then people.
func (a *app) completeCommunityMember(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeCommunity(cmd, args, text)
	}
	return a.completePeople(cmd, args, text)
}

// completeCommunityChat offers the channels in which we can write, as
// COMMUNITY/CHANNEL.
func (a *app) completeCommunityChat(cmd *cobra.Command) []cobra.Completion {
	if a.settle(cmd) != nil {
		return nil
	}
	all, err := a.client().Communities(cmd.Context())
	if err != nil {
		return nil
	}
	var names []cobra.Completion
	for _, c := range all {
		for _, ch := range c.Channels {
			if ch.CanPost {
				names = append(names, cobra.CompletionWithDesc(oneLine(c.Name+"/"+ch.Name), oneLine(ch.Description)))
			}
		}
	}
	return names
}
