package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	standing "github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

// groupHelp tells how a group can be named.
const groupHelp = `GROUP is the id or the name of a group.`

func (a *app) groupCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "group",
		Short: "Make private groups, and change who is in them",
		Long: `Make private groups, and change who is in them. There is no server: what is said goes to
every member. Who is added must be a contact of yours, and you of theirs; a group has
20 members at most.

` + groupHelp + "\n" + whoHelp,
		Example: "  parley group create \"Book club\" \"Ada Lovelace\" zQ3sh…\n  parley send \"Book club\" \"Welcome\"",
	},
		a.groupListCommand(), a.groupShowCommand(), a.groupCreateCommand(), a.groupAddCommand(),
		a.groupMemberVerb("remove", "Remove somebody from a group", "Remove somebody from a group. Only an admin of the group can.", (*client.Client).RemoveMember),
		a.groupMemberVerb("admin", "Make a member an admin", "Make a member an admin. Only an admin of the group can.", (*client.Client).AddAdmin),
		a.groupVerb("step-down", "Be no admin of a group any more", "Be an ordinary member of a group again. The last admin cannot.", (*client.Client).StepDown),
		a.groupVerb("join", "Join a group that you were added to", "Say that you want to be in a group that you were added to. Groups of your contacts are\njoined by themselves.", (*client.Client).JoinGroup),
		a.groupVerb("leave", "Leave a group", "Leave a group. What was said there stays with you.", (*client.Client).LeaveGroup),
		a.groupTextVerb("rename GROUP NAME", "Give a group another name", "Give a group another name, for everybody. Only an admin of the group can.", "  parley group rename \"Book club\" \"Film club\"", (*client.Client).RenameGroup),
		a.groupTextVerb("color GROUP COLOR", "Give a group another colour", "Give a group another colour, #rrggbb, for everybody. Only an admin of the group can.", "  parley group color \"Book club\" '#336699'", (*client.Client).SetGroupColor),
		a.groupImageCommand(), a.groupRequestsCommand(), a.groupRequestCommand(), a.groupRejectCommand(),
	)
}

// groupRow shows a group in words.
func groupRow(g parley.Group) []string {
	state := map[standing.Standing]string{
		standing.Added:   "you were added; join it with `parley group join`",
		standing.Left:    "you have left",
		standing.Removed: "you were removed",
	}[g.Standing]
	if g.Admin {
		state = "admin"
	}
	return []string{g.Name, count(len(g.Members), "member", "members"), state, g.ID}
}

func (a *app) printGroup(g parley.Group) error {
	return a.print(g, func(w io.Writer) error {
		if err := table(w, groupRow(g)); err != nil {
			return err
		}
		var rows [][]string
		for _, m := range g.Members {
			state := ""
			switch {
			case m.Admin:
				state = "admin"
			case !m.Joined:
				state = "has not joined yet"
			}
			rows = append(rows, []string{"  " + m.Name, state, m.Key.String()})
		}
		return table(w, rows...)
	})
}

func (a *app) groupListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the groups you are or were in",
		Long:    "List the groups you are or were in, by name.",
		Example: "  parley group list\n  parley group list --json | jq -r '.members[].name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Groups(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, all, groupRow, "There are no groups yet. Make one with `parley group create`.")
		},
	}
}

func (a *app) groupShowCommand() *cobra.Command {
	return a.groupVerb("show", "Show a group and its members", "Show a group and its members.", (*client.Client).Group)
}

func (a *app) groupCreateCommand() *cobra.Command {
	var color string
	c := &cobra.Command{
		Use:               "create NAME [KEY…]",
		Short:             "Make a group",
		Long:              "Make a group with you as its admin, and add others to it.\n\n" + whoHelp,
		Example:           "  parley group create \"Book club\" \"Ada Lovelace\" zQ3sh…",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeLater(a.completePeople),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := a.client().CreateGroup(cmd.Context(), args[0], color, args[1:])
			if err != nil {
				return err
			}
			return a.printGroup(g)
		},
	}
	c.Flags().StringVar(&color, "color", "", "its colour, #rrggbb")
	return c
}

func (a *app) groupAddCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "add GROUP KEY…",
		Short:             "Add people to a group",
		Long:              "Add people to a group, who must be contacts of yours and you of theirs. Only an admin of\nthe group can.\n\n" + groupHelp + "\n" + whoHelp,
		Example:           "  parley group add \"Book club\" \"Ada Lovelace\" zQ3sh…",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := a.client().AddMembers(cmd.Context(), args[0], args[1:])
			if err != nil {
				return err
			}
			return a.printGroup(g)
		},
	}
}

func (a *app) groupVerb(verb, short, long string, do func(*client.Client, context.Context, string) (parley.Group, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " GROUP",
		Short:             short,
		Long:              long + "\n\n" + groupHelp,
		Example:           fmt.Sprintf("  parley group %s \"Book club\"", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeGroup,
		RunE:              onOne(a, do, a.printGroup),
	}
}

func (a *app) groupMemberVerb(verb, short, long string, do func(c *client.Client, ctx context.Context, group, who string) (parley.Group, error)) *cobra.Command {
	c := a.groupTextVerb(verb+" GROUP KEY", short, long+"\n\n"+whoHelp, fmt.Sprintf("  parley group %s \"Book club\" \"Ada Lovelace\"", verb), do)
	c.ValidArgsFunction = a.completeMember
	return c
}

func (a *app) groupTextVerb(use, short, long, example string, do func(c *client.Client, ctx context.Context, group, text string) (parley.Group, error)) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Long:              long + "\n\n" + groupHelp,
		Example:           example,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := do(a.client(), cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printGroup(g)
		},
	}
}

func (a *app) groupImageCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "image GROUP FILE",
		Short:   "Give a group a picture",
		Long:    "Give a group a picture, PNG, JPEG, WebP or GIF, of which the middle is shown to everybody.\nOnly an admin of the group can.\n\n" + groupHelp,
		Example: "  parley group image \"Book club\" cover.jpg",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readPicture(args[1])
			if err != nil {
				return fault.Wrap(fault.Usage, "reading the picture", err)
			}
			g, err := a.client().SetGroupImage(cmd.Context(), args[0], data)
			if err != nil {
				return err
			}
			return a.printGroup(g)
		},
	}
}

// requestRow shows a request for a group in words.
func requestRow(r parley.GroupRequest) []string {
	return []string{localTime(time.UnixMilli(int64(r.Clock)), time.Now()), r.From.String(), r.State, shownName(r.Name, r.Group), r.Introduction}
}

func (a *app) printRequest(r parley.GroupRequest) error {
	return a.print(r, func(w io.Writer) error { return table(w, requestRow(r)) })
}

func (a *app) groupRequestsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "requests",
		Short: "List requests to be added to groups",
		Long: `List requests to be added to groups, yours and those of others to you, the newest first.
To accept one, add who asks with "parley group add".`,
		Example: "  parley group requests",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().GroupRequests(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, all, requestRow, "Nobody has asked for a group.")
		},
	}
}

func (a *app) groupRequestCommand() *cobra.Command {
	var text string
	c := &cobra.Command{
		Use:     "request ID KEY",
		Short:   "Ask to be added to a group",
		Long:    "Ask an admin to be added to a group, of which you know the id.\n\n" + whoHelp,
		Example: "  parley group request 7b1f…-0x04… zQ3sh… --message \"Ada here\"",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.client().RequestGroup(cmd.Context(), args[0], args[1], text)
			if err != nil {
				return err
			}
			return a.printRequest(r)
		},
	}
	c.Flags().StringVar(&text, "message", "", "what the request says")
	return c
}

func (a *app) groupRejectCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "reject GROUP KEY",
		Short:             "Turn down a request to be added to a group",
		Long:              "Turn down somebody's request to be added to a group. They are told. Only an admin of the\ngroup can.\n\n" + groupHelp + "\n" + whoHelp,
		Example:           "  parley group reject \"Book club\" zQ3sh…",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeMember,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.client().RejectGroupRequest(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printRequest(r)
		},
	}
}

// completeGroup offers the groups of the running daemon, by name.
func (a *app) completeGroup(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 || a.settle(cmd) != nil {
		return nil, done
	}
	all, err := a.client().Groups(cmd.Context())
	if err != nil {
		return nil, done
	}
	var names []cobra.Completion
	for _, g := range all {
		names = append(names, cobra.CompletionWithDesc(strings.ReplaceAll(plain(g.Name), "\n", " "), count(len(g.Members), "member", "members")))
	}
	return names, done
}

// completeMember offers groups, and then people.
func (a *app) completeMember(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return a.completeGroup(cmd, args, text)
	}
	return a.completePeople(cmd, args, text)
}

// completeLater offers nothing for the first argument.
func (a *app) completeLater(next cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return next(cmd, args, text)
	}
}
