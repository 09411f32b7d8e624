package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

func (a *app) messagesCommand() *cobra.Command {
	var since string
	var limit int
	var follow bool
	c := &cobra.Command{
		Use:   "messages [CHAT]",
		Short: "Show messages",
		Long: `Show the messages of a chat, or of all chats, in order. CHAT is a key in any form, a
share URL, or the name of a contact.

--since takes a time (2026-01-31, 2026-01-31T15:04:05Z), a time ago (90m, 24h), or
the clock of a message in milliseconds. With --follow new messages are shown as
they come, until ctrl-c.

For programs "parley events" is the better source: it misses nothing.`,
		Example: `  parley messages
  parley messages "Ada Lovelace" --limit 20 --follow
  parley messages zQ3sh… --since 24h --json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeContact,
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
			return a.messages(cmd.Context(), who, clock, limit, follow)
		},
	}
	c.Flags().StringVar(&since, "since", "", "only newer messages: a time, a time ago, or a clock")
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
		one, err := c.Contact(ctx, who)
		if err != nil {
			return err
		}
		who = one.PublicKey
	}
	s, err := c.Status(ctx)
	if err != nil {
		return err
	}
	all, err := c.Messages(ctx, who, since, limit)
	if err != nil {
		return err
	}
	p := &messagePrinter{app: a, client: c, self: s.Account, one: who != ""}
	shown := make(map[string]bool)
	for _, m := range all {
		shown[m.ID.String()] = true
		if err := p.print(ctx, m); err != nil {
			return err
		}
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

// messagePrinter writes messages with the names of people.
type messagePrinter struct {
	app    *app
	client *client.Client
	self   string
	// one chat alone is shown, so nobody asks whose it is.
	one   bool
	names map[string]string // by 0x04…
}

// name looks a person up among the contacts, which are loaded when somebody new
// turns up.
func (p *messagePrinter) name(ctx context.Context, publicKey string) (string, error) {
	if name, ok := p.names[publicKey]; ok {
		return name, nil
	}
	if p.names == nil {
		p.names = make(map[string]string)
	}
	all, err := p.client.Contacts(ctx)
	if err != nil {
		return "", err
	}
	for _, c := range all {
		p.names[c.PublicKey] = c.Name
	}
	if _, ok := p.names[publicKey]; !ok {
		c, err := p.client.Contact(ctx, publicKey)
		if err != nil {
			return "", err
		}
		p.names[publicKey] = c.Name
	}
	return p.names[publicKey], nil
}

func (p *messagePrinter) print(ctx context.Context, m parley.Message) error {
	if p.app.json {
		return p.app.printJSON(m)
	}
	who, err := p.name(ctx, m.Chat)
	if err != nil {
		return err
	}
	mine := m.From.String() == p.self
	switch {
	case mine && p.one:
		who = "me"
	case mine:
		who = "me → " + who
	}
	return writeMessage(p.app.out, m, who, time.Now())
}

// writeMessage writes a message: time, who, text, and of our own how far it
// has come.
func writeMessage(w io.Writer, m parley.Message, who string, now time.Time) error {
	head := fmt.Sprintf("%s  %s: ", localTime(time.UnixMilli(int64(m.Timestamp)), now), plain(who))
	text := m.Text
	if m.ContentType != "text" && m.ContentType != "emoji" {
		text = strings.TrimSpace("[" + strings.ReplaceAll(m.ContentType, "_", " ") + "] " + text)
	}
	text = strings.ReplaceAll(plain(text), "\n", "\n    ")
	tail := ""
	if m.State != chat.Received {
		tail = fmt.Sprintf("  (%s)", m.State)
	}
	_, err := fmt.Fprintln(w, head+text+tail)
	return err
}
