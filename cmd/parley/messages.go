package main

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

func (a *app) messagesCommand() *cobra.Command {
	var since, around string
	var limit int
	var follow bool
	c := &cobra.Command{
		Use:   "messages [CHAT]",
		Short: "Show messages",
		Long: `Show the messages of a chat, or of all chats, in order. CHAT is a key in any form, a
share URL, the name of a contact, the id or name of a group, or COMMUNITY/CHANNEL.

--since takes a time (2026-01-31, 2026-01-31T15:04:05Z), a time ago (90m, 24h), or
the clock of a message in milliseconds. With --follow new messages are shown as
they come, until ctrl-c.

--around takes the id of a message, such as one that "parley search" has found, and
shows it with what was said before and after it in its chat, 50 messages or as many as
--limit says.

For programs "parley events" is the better source: it misses nothing.`,
		Example: `  parley messages
  parley messages "Ada Lovelace" --limit 20 --follow
  parley messages zQ3sh… --since 24h --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeChat,
		RunE: func(cmd *cobra.Command, args []string) error {
			clock, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			if limit < 0 {
				return fault.New(fault.Usage, "--limit is below zero")
			}
			who := ""
			if len(args) == 1 {
				who = args[0]
			}
			if around != "" {
				if follow || since != "" {
					return fault.New(fault.Usage, "--around goes with neither --since nor --follow")
				}
				return a.messagesAround(cmd.Context(), who, around, limit)
			}
			return a.messages(cmd.Context(), who, clock, limit, follow)
		},
	}
	c.Flags().StringVar(&since, "since", "", "only newer messages: a time, a time ago, or a clock")
	c.Flags().StringVar(&around, "around", "", "the messages before and after the one with this id")
	c.Flags().IntVar(&limit, "limit", 0, "at most so many, the newest; 0 is all")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on as messages come")
	return c
}

// parseSince returns a clock in milliseconds.
func parseSince(text string, now time.Time) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	if clock, err := strconv.ParseUint(text, 10, 64); err == nil {
		return clock, nil
	}
	at, err := now, error(nil)
	if ago, durationErr := time.ParseDuration(text); durationErr == nil {
		at = now.Add(-ago)
	} else if at, err = time.ParseInLocation(time.DateOnly, text, time.Local); err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err != nil || at.UnixMilli() < 0 {
		return 0, fault.New(fault.Usage, "--since %q is not a time, a time ago or a clock", text).WithHint("write 2026-01-31, 2026-01-31T15:04:05Z or 24h")
	}
	return uint64(at.UnixMilli()), nil
}

func (a *app) messages(ctx context.Context, who string, since uint64, limit int, follow bool) error {
	c := a.client()
	if who != "" {
		id, err := a.chatID(ctx, c, who)
		if err != nil {
			return err
		}
		who = id
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	p := &messagePrinter{app: a, client: c, self: s.Account, one: who != ""}
	shown := make(map[string]bool)
	show := func(all []parley.Message) error {
		for _, m := range all {
			if follow { // else nobody asks
				shown[m.ID.String()] = true
			}
			if err := p.print(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}
	if limit > 0 {
		all, err := c.Messages(ctx, who, since, limit)
		if err == nil {
			err = show(all)
		}
		if err != nil {
			return err
		}
	} else if err := allMessages(ctx, c, parley.PageQuery{Chat: who, Since: since}, show); err != nil {
		return err
	}
	if !follow {
		return nil
	}
	err = c.Events(ctx, s.LastEvent, true, func(e parley.Event) error {
		var said struct{ ID, Chat string }
		if e.Type != parley.EventMessage {
			return nil
		}
		if err := json.Unmarshal(e.Data, &said); err != nil {
			return err
		}
		if shown[said.ID] || who != "" && said.Chat != who {
			return nil
		}
		m, err := c.Message(ctx, said.ID)
		if err != nil {
			return err
		}
		return p.print(ctx, m)
	})
	if errors.Is(err, context.Canceled) {
		return nil // stopped by the person
	}
	return err
}

// messagesAround shows a message with what was said before and after it.
func (a *app) messagesAround(ctx context.Context, who, id string, limit int) error {
	c := a.client()
	page, err := c.Page(ctx, parley.PageQuery{Chat: who, Around: id, Limit: min(limit, maxPage)})
	if err != nil {
		return err
	}
	p, err := a.printer(ctx, c)
	if err != nil {
		return err
	}
	p.one = true
	for _, m := range page.Messages {
		if err := p.print(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// chatID turns what people write for a chat into its id. A chat with somebody
// to whom nobody has said anything yet has one, too.
func (a *app) chatID(ctx context.Context, c *client.Client, who string) (string, error) {
	room, err := c.Chat(ctx, who)
	if err == nil {
		return room.ID, nil
	}
	if fault.KindOf(err) == fault.NotFound {
		if one, contactErr := c.Contact(ctx, who); contactErr == nil {
			return one.PublicKey, nil
		}
	}
	return "", err
}

// allMessages shows messages page by page, oldest first.
func allMessages(ctx context.Context, c *client.Client, q parley.PageQuery, show func([]parley.Message) error) error {
	q.Oldest, q.Limit = true, maxPage
	for {
		page, err := c.Page(ctx, q)
		if err != nil {
			return err
		}
		if err := show(page.Messages); err != nil || page.Next == "" {
			return err
		}
		q.After = page.Next
	}
}
