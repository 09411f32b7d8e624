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
	"github.com/parley-im/parley/server/client"
)

// chatHelp tells how a chat can be named.
const chatHelp = `CHAT is a key in any form, a share URL, the name of a contact, the id or name of a group, or
COMMUNITY/CHANNEL.`

func (a *app) chatCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "chat",
		Short: "List, mark, mute, clear and delete chats",
		Long: `List, mark, mute, clear and delete chats. Nobody else learns of any of it.

` + chatHelp,
		Example: "  parley chat list\n  parley chat read \"Ada Lovelace\"\n  parley chat mute \"Book club\" --for 8h",
	},
		a.chatListCommand(), a.chatReadCommand(), a.chatMuteCommand(),
		a.chatVerb("unmute", "End the silence of a chat", "End the silence of a chat.", (*client.Client).Unmute),
		a.chatVerb("clear", "Delete all messages of a chat from this account", "Delete all messages of a chat from this account. They do not come back, and the others keep theirs.", (*client.Client).ClearHistory),
		a.chatVerb("delete", "Clear a chat and take it out of the list", "Clear a chat and take it out of the list until somebody says something there.", (*client.Client).DeleteChat),
		a.chatVerb("pin", "Keep a chat at the top of the list", "Keep a chat at the top of the list.", func(c *client.Client, ctx context.Context, chat string) (parley.Chat, error) {
			return c.PinChat(ctx, chat, true)
		}),
		a.chatVerb("unpin", "Do not keep a chat at the top of the list", "Do not keep a chat at the top of the list any more.", func(c *client.Client, ctx context.Context, chat string) (parley.Chat, error) {
			return c.PinChat(ctx, chat, false)
		}),
		a.chatPinsCommand(), a.chatDraftCommand(),
	)
}

// chatRow shows a chat in words.
func chatRow(c parley.Chat, now time.Time) []string {
	var notes []string
	if c.Unread > 0 {
		note := fmt.Sprintf("%d unread", c.Unread)
		if c.Mentions > 0 {
			note += fmt.Sprintf(", %d for you", c.Mentions)
		}
		notes = append(notes, note)
	}
	if c.Pinned {
		notes = append(notes, "pinned")
	}
	switch {
	case c.Muted && c.MutedUntil > 0:
		notes = append(notes, "muted until "+localTime(time.UnixMilli(c.MutedUntil), now))
	case c.Muted:
		notes = append(notes, "muted")
	}
	if c.Draft != "" {
		notes = append(notes, "draft")
	}
	id := c.ID
	if !c.Key.IsZero() {
		id = c.Key.String()
	}
	last, at := "", ""
	if c.Last != nil {
		at = localTime(saidAt(c.Last.Timestamp, c.Last.Clock), now)
		last = c.Last.Text
		switch {
		case c.Last.Deleted:
			last = "[deleted]"
		case last == "":
			last = "[" + strings.ReplaceAll(c.Last.ContentType, "_", " ") + "]"
		}
	}
	return []string{chatName(c), strings.Join(notes, ", "), at, last, id}
}

// chatName is what a chat is called, a channel with its community.
func chatName(c parley.Chat) string {
	name := shownName(c.Name, c.ID)
	if c.CommunityName != "" {
		name = c.CommunityName + "/" + name
	}
	return name
}

func (a *app) printChat(c parley.Chat) error {
	return a.print(c, func(w io.Writer) error { return table(w, chatRow(c, time.Now())) })
}

func (a *app) chatListCommand() *cobra.Command {
	var all bool
	var page listPage
	c := &cobra.Command{
		Use:   "list",
		Short: "List chats with what is unread and the last message",
		Long: `List chats with what is unread and the last message: pinned ones first, then those with
the newest activity. With --all also those in which only strangers have written, and those
that were deleted.

` + pageHelp,
		Example: "  parley chat list\n  parley chat list --json | jq 'select(.unread > 0)'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			chats, next, err := onePage(page,
				func() ([]parley.Chat, error) { return a.client().Chats(cmd.Context(), all) },
				func() ([]parley.Chat, string, error) {
					p, err := a.client().ChatPage(cmd.Context(), parley.ChatQuery{All: all, Next: page.next, Limit: page.limit})
					return p.Chats, p.Next, err
				})
			if err != nil {
				return err
			}
			defer a.more(next)
			if !a.json {
				p, err := a.printer(cmd.Context(), a.client())
				for i := 0; i < len(chats) && err == nil; i++ {
					if last := chats[i].Last; last != nil {
						last.Text, err = p.calls(cmd.Context(), last.Text)
					}
				}
				if err != nil {
					return err
				}
			}
			now := time.Now()
			return printList(a, chats, func(c parley.Chat) []string { return chatRow(c, now) }, "There are no chats yet.")
		},
	}
	c.Flags().BoolVar(&all, "all", false, "also chats with strangers and deleted ones")
	page.flags(c)
	return c
}

// printList writes the elements of a list: a line of JSON each, or a table, or
// on standard error that there are none.
func printList[T any](a *app, all []T, row func(T) []string, none string) error {
	rows := make([][]string, 0, len(all))
	for _, one := range all {
		if a.json {
			if err := a.printJSON(one); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, row(one))
	}
	if len(all) == 0 && !a.json {
		a.say("%s", none)
	}
	return table(a.out, rows...)
}

// onOne is the run of a command that does one thing to what its argument names,
// and shows what became of it.
func onOne[T any](a *app, do func(*client.Client, context.Context, string) (T, error), show func(T) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		after, err := do(a.client(), cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(after)
	}
}

// chatVerb makes a command that does one thing to one chat.
func (a *app) chatVerb(verb, short, long string, do func(*client.Client, context.Context, string) (parley.Chat, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " CHAT",
		Short:             short,
		Long:              long + "\n\n" + chatHelp,
		Example:           fmt.Sprintf("  parley chat %s \"Ada Lovelace\"", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeChat,
		RunE:              onOne(a, do, a.printChat),
	}
}

func (a *app) chatReadCommand() *cobra.Command {
	var upTo string
	c := &cobra.Command{
		Use:               "read CHAT",
		Short:             "Note that a chat was read",
		Long:              "Note that a chat was read, all of it or up to a message.\n\n" + chatHelp,
		Example:           "  parley chat read \"Ada Lovelace\"\n  parley chat read \"Book club\" --up-to 0x…",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeChat,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			clock := uint64(0)
			if upTo != "" {
				m, err := c.Message(ctx, upTo)
				if err != nil {
					return err
				}
				room, err := c.Chat(ctx, args[0])
				if err != nil {
					return err
				}
				if m.Chat != room.ID {
					return fault.New(fault.Usage, "the message is of another chat")
				}
				clock = m.Clock
			}
			changed, err := c.MarkRead(ctx, args[0], clock)
			if err != nil {
				return err
			}
			return a.printChat(changed)
		},
	}
	c.Flags().StringVar(&upTo, "up-to", "", "id of the last message that was read")
	return c
}

func (a *app) chatMuteCommand() *cobra.Command {
	var duration time.Duration
	c := &cobra.Command{
		Use:               "mute CHAT",
		Short:             "Silence a chat",
		Long:              "Silence a chat, for a while or until it is unmuted: it is marked, for programs that call\nfor attention. Messages come as before.\n\n" + chatHelp,
		Example:           "  parley chat mute \"Book club\"\n  parley chat mute \"Book club\" --for 8h",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeChat,
		RunE: func(cmd *cobra.Command, args []string) error {
			if duration < 0 || cmd.Flags().Changed("for") && duration == 0 {
				return fault.New(fault.Usage, "--for is not above zero")
			}
			changed, err := a.client().Mute(cmd.Context(), args[0], duration)
			if err != nil {
				return err
			}
			return a.printChat(changed)
		},
	}
	c.Flags().DurationVar(&duration, "for", 0, "for how long, as 15m or 8h (default: until it is unmuted)")
	return c
}

func (a *app) chatPinsCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "pins CHAT",
		Short:             "Show the messages pinned in a chat",
		Long:              "Show the messages pinned in a chat, the oldest pin first.\n\n" + chatHelp,
		Example:           "  parley chat pins \"Book club\"",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeChat,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			pins, err := c.Pins(ctx, args[0])
			if err != nil {
				return err
			}
			if len(pins) == 0 && !a.json {
				a.say("Nothing is pinned there.")
			}
			for _, pin := range pins {
				m, err := c.Message(ctx, pin.Message.String())
				if err != nil {
					return err
				}
				if err := a.printMessage(ctx, c, m); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) chatDraftCommand() *cobra.Command {
	var reply string
	c := &cobra.Command{
		Use:               "draft CHAT [TEXT]",
		Short:             "Show or keep what was begun in a chat and not sent",
		Long:              "Show what was begun in a chat and not sent, or keep TEXT as that; an empty TEXT is none.\n\n" + chatHelp,
		Example:           "  parley chat draft \"Ada Lovelace\" \"Dear Ada, \"\n  parley chat draft \"Ada Lovelace\"",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeChat,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			if len(args) == 1 && reply != "" {
				return fault.New(fault.Usage, "--reply needs a TEXT")
			}
			draft, err := parley.Draft{}, error(nil)
			if len(args) == 2 {
				draft, err = c.SetDraft(ctx, args[0], args[1], reply)
			} else {
				draft, err = c.Draft(ctx, args[0])
			}
			if err != nil {
				return err
			}
			return a.print(draft, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, plain(draft.Text))
				return err
			})
		},
	}
	c.Flags().StringVar(&reply, "reply", "", "id of the message it answers")
	return c
}

// completeChat offers the contacts, groups and channels of the running daemon, by
// name.
func (a *app) completeChat(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	people, done := a.completeContact(cmd, args, text)
	if len(args) > 0 {
		return nil, done
	}
	groups, _ := a.completeGroup(cmd, args, text)
	return append(append(people, groups...), a.completeCommunityChat(cmd)...), done
}
