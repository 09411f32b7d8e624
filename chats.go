package parley

import (
	"context"
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Chat is a conversation, as a list of chats shows it.
type Chat = view.Chat

// LastMessage is the last message of a chat in short.
type LastMessage = view.LastMessage

// Chats returns the chats that belong into a list, or all of them: pinned ones
// first, then those with the newest activity.
func (c *Client) Chats(_ context.Context, all bool) ([]Chat, error) {
	listed, err := c.stack.ChatList()
	if err != nil {
		return nil, err
	}
	drafts := make(map[string]string)
	known := make(map[key.Public]contact.Contact)
	if err := c.db.View(func(tx *storage.Tx) error {
		records, err := storage.Records[storage.Draft](tx, storage.Drafts, "")
		if err != nil {
			return err
		}
		for _, r := range records {
			drafts[r.ID] = r.Value.Text
		}
		contacts, err := tx.Contacts()
		for _, k := range contacts {
			known[k.Key] = k
		}
		return err
	}); err != nil {
		return nil, err
	}
	now := time.Now()
	chats := make([]Chat, 0, len(listed))
	for _, l := range listed {
		if !l.Active && !all {
			continue
		}
		name := l.Name
		if !l.Peer.IsZero() {
			k, ok := known[l.Peer]
			if !ok {
				k.Key = l.Peer
			}
			name = view.Name(k)
		}
		chats = append(chats, view.NewChat(l, name, drafts[l.ID], now))
	}
	return chats, nil
}

// Chat returns one chat, which ResolveChat finds.
func (c *Client) Chat(ctx context.Context, who string) (Chat, error) {
	return c.onChat(ctx, who, c.stack.Chat)
}

// MarkRead notes that a chat was read up to a clock, 0 for all of it. Nobody
// else is told.
func (c *Client) MarkRead(ctx context.Context, who string, clock uint64) (Chat, error) {
	return c.onChat(ctx, who, func(id string) (chat.Chat, error) { return c.stack.MarkRead(id, clock) })
}

// Mute silences a chat for a while, 0 for until it is unmuted.
func (c *Client) Mute(ctx context.Context, who string, duration time.Duration) (Chat, error) {
	if duration < 0 {
		return Chat{}, fault.New(fault.Usage, "a chat cannot be muted for less than nothing")
	}
	var until time.Time
	if duration > 0 {
		until = time.Now().Add(duration)
	}
	return c.onChat(ctx, who, func(id string) (chat.Chat, error) { return c.stack.Mute(id, until) })
}

// Unmute ends the silence of a chat.
func (c *Client) Unmute(ctx context.Context, who string) (Chat, error) {
	return c.onChat(ctx, who, c.stack.Unmute)
}

// ClearHistory deletes all messages of a chat from this account.
func (c *Client) ClearHistory(ctx context.Context, who string) (Chat, error) {
	return c.onChat(ctx, who, c.stack.ClearHistory)
}

// DeleteChat clears a chat and takes it out of the list until somebody says
// something there.
func (c *Client) DeleteChat(ctx context.Context, who string) (Chat, error) {
	return c.onChat(ctx, who, c.stack.DeleteChat)
}

// PinChat keeps a chat at the top of the list, or no longer.
func (c *Client) PinChat(ctx context.Context, who string, pinned bool) (Chat, error) {
	return c.onChat(ctx, who, func(id string) (chat.Chat, error) { return c.stack.PinChat(id, pinned) })
}

// onChat does something with a chat and returns it as it is then.
func (c *Client) onChat(ctx context.Context, who string, do func(id string) (chat.Chat, error)) (Chat, error) {
	id, err := c.ResolveChat(ctx, who)
	if err != nil {
		return Chat{}, err
	}
	var l storage.ListedChat
	if l.Chat, err = do(id); err != nil {
		return Chat{}, err
	}
	name, draft := l.Name, storage.Draft{}
	err = c.db.View(func(tx *storage.Tx) (err error) {
		if l.Summary, err = tx.Summary(id); err != nil {
			return err
		}
		if draft, _, err = tx.Draft(id); err != nil || l.Peer.IsZero() {
			return err
		}
		k, err := tx.Contact(l.Peer)
		name = view.Name(k)
		return err
	})
	return view.NewChat(l, name, draft.Text, time.Now()), err
}

// Draft is what was begun in a chat and not sent; without text and ReplyTo
// there is none.
type Draft struct {
	Chat string `json:"chat"`
	Text string `json:"text"`
	// ReplyTo is the id of the message it answers.
	ReplyTo string `json:"reply_to,omitempty"`
	// Time is Unix time in milliseconds.
	Time int64 `json:"time,omitempty"`
}

// Draft returns what was begun in a chat and not sent.
func (c *Client) Draft(ctx context.Context, who string) (Draft, error) {
	id, err := c.ResolveChat(ctx, who)
	if err != nil {
		return Draft{}, err
	}
	d, err := c.stack.Draft(id)
	if err != nil {
		return Draft{}, err
	}
	shown := Draft{Chat: id, Text: d.Text, ReplyTo: d.ReplyTo}
	if !d.Time.IsZero() {
		shown.Time = d.Time.UnixMilli()
	}
	return shown, nil
}

// SetDraft keeps what was begun in a chat; an empty draft is none.
func (c *Client) SetDraft(ctx context.Context, who, text, replyTo string) (Draft, error) {
	id, err := c.ResolveChat(ctx, who)
	if err != nil {
		return Draft{}, err
	}
	if len(text) > maxDraft {
		return Draft{}, fault.Wrap(fault.Usage, "keeping the draft", errDraft)
	}
	if replyTo != "" {
		if _, err := messageID(replyTo); err != nil {
			return Draft{}, err
		}
	}
	if err := c.stack.SetDraft(id, text, replyTo); err != nil {
		return Draft{}, err
	}
	return c.Draft(ctx, id)
}

// maxDraft bounds a draft, in bytes: four times the longest text.
const maxDraft = 4 * 4 * chat.MaxText

var errDraft = errors.New("the draft is too long")
