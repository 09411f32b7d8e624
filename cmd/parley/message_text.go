package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

// messagePrinter writes messages with the names of people and groups.
type messagePrinter struct {
	app    *app
	client *client.Client
	self   string
	// one chat alone is shown, so nobody asks whose it is.
	one   bool
	names map[string]string // by 0x04…
	chats map[string]string // names of groups, empty for one-to-one chats
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

// group returns the name of the group that a chat is, empty for a chat of two.
func (p *messagePrinter) group(ctx context.Context, id string) (string, error) {
	if name, ok := p.chats[id]; ok {
		return name, nil
	}
	room, err := p.client.Chat(ctx, id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return "", err
	}
	name := ""
	if err == nil && room.Kind != message.OneToOne {
		name = chatName(room)
	}
	if p.chats == nil {
		p.chats = make(map[string]string)
	}
	p.chats[id] = name
	return name, nil
}

// who tells who speaks, and where if that is not plain.
func (p *messagePrinter) who(ctx context.Context, m parley.Message) (string, error) {
	group, err := p.group(ctx, m.Chat)
	if err != nil {
		return "", err
	}
	mine := m.From.String() == p.self
	who, where := "me", group
	if !mine {
		if who, err = p.name(ctx, m.FromKey); err != nil {
			return "", err
		}
		if said := m.Author.DisplayName; said != "" && who == account.Alias(m.From) {
			who = said // a stranger's, who tells it with each message
		}
	} else if group == "" {
		if where, err = p.name(ctx, m.Chat); err != nil {
			return "", err
		}
	}
	switch {
	case p.one:
		return who, nil
	case mine:
		return who + " → " + where, nil
	case group != "":
		return who + " in " + group, nil
	}
	return who, nil
}

func (p *messagePrinter) print(ctx context.Context, m parley.Message) error {
	if p.app.json {
		return p.app.printJSON(m)
	}
	if m.GroupChange != nil {
		return p.entry(ctx, m)
	}
	who, err := p.who(ctx, m)
	if err != nil {
		return err
	}
	if m.Text, err = p.calls(ctx, m.Text); err != nil {
		return err
	}
	return writeMessage(p.app.out, m, who, time.Now())
}

// calls returns a text with the names of those whom it mentions.
func (p *messagePrinter) calls(ctx context.Context, text string) (string, error) {
	var err error
	text = chat.ShowMentions(text, func(pub key.Public) string {
		if pub.String() == p.self {
			return "me"
		}
		name, lookup := p.name(ctx, pub.Hex())
		if lookup != nil {
			err = lookup
		}
		return name
	})
	return text, err
}

// printer returns what writes messages of all chats.
func (a *app) printer(ctx context.Context, c *client.Client) (*messagePrinter, error) {
	s, err := c.Status(ctx)
	return &messagePrinter{app: a, client: c, self: s.Account}, err
}

// writeMessage writes a message: time, who, text, what others made of it, and
// of our own how far it has come.
func writeMessage(w io.Writer, m parley.Message, who string, now time.Time) error {
	head := fmt.Sprintf("%s  %s: ", localTime(saidAt(m.Timestamp, m.Clock), now), plain(who))
	text := strings.ReplaceAll(plain(messageText(m)), "\n", "\n    ")
	tail := ""
	for _, r := range m.Reactions {
		tail += "  " + plain(r.Emoji)
		if r.Count > 1 {
			tail += fmt.Sprint(r.Count)
		}
	}
	if m.Pinned {
		tail += "  (pinned)"
	}
	if m.ThreadName != "" {
		tail += "  (thread: " + plain(m.ThreadName) + ")"
	}
	if m.Edited && !m.Deleted {
		tail += "  (edited)"
	}
	if m.State != chat.Received {
		tail += fmt.Sprintf("  (%s)", m.State)
	}
	_, err := fmt.Fprintln(w, head+text+tail)
	return err
}

// saidAt is when a message was said. All that tells of one that was deleted is
// its clock.
func saidAt(timestamp, clock uint64) time.Time {
	if timestamp == 0 {
		timestamp = clock
	}
	return time.UnixMilli(int64(timestamp))
}

// messageText is what a message says, in words.
func messageText(m parley.Message) string {
	kind, text := strings.ReplaceAll(m.ContentType, "_", " "), m.Text
	switch {
	case m.Deleted:
		return "[deleted]"
	case m.ContentType == "text", m.ContentType == "emoji":
		kind = ""
	case m.Image != nil:
		kind += " " + m.Image.Format
		if m.Image.Width > 0 && m.Image.Height > 0 { // not every client says
			kind += fmt.Sprintf(" %d×%d", m.Image.Width, m.Image.Height)
		}
	case m.Sticker != nil:
		kind += fmt.Sprintf(" %s of pack %d", m.Sticker.Hash, m.Sticker.Pack)
	case m.Audio != nil:
		kind += " " + (time.Duration(m.Audio.DurationMS) * time.Millisecond).Round(time.Second).String()
	case m.Bridge != nil:
		kind, text = "from "+m.Bridge.Name+", "+m.Bridge.User, m.Bridge.Content
	case m.Discord != nil:
		kind, text = "from discord, "+m.Discord.Author, m.Discord.Content
	case m.Transaction != nil:
		kind += " " + strings.ReplaceAll(m.Transaction.Command, "_", " ")
		if m.Transaction.Value != "" {
			kind += " " + m.Transaction.Value
		}
	}
	if kind != "" {
		text = strings.TrimSpace("[" + kind + "] " + text)
	}
	for _, p := range m.Payments {
		text += fmt.Sprintf("\n↳ asks for %s %s to %s", p.Amount, p.Symbol, p.Receiver)
	}
	for _, l := range m.Links {
		text += "\n↳ " + shownName(l.Title, l.URL)
	}
	for _, l := range m.StatusLinks {
		switch {
		case l.Contact != nil:
			text += "\n↳ " + shownName(l.Contact.DisplayName, l.Contact.Key.String())
		case l.Community != nil:
			text += "\n↳ " + shownName(l.Community.DisplayName, l.Community.ID)
		case l.Channel != nil:
			text += "\n↳ #" + shownName(l.Channel.DisplayName, l.Channel.UUID)
		}
	}
	return text
}
