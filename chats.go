package parley

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
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
	if !all {
		listed = slices.DeleteFunc(listed, func(l storage.ListedChat) bool { return !l.Active })
	}
	return c.newChats(listed)
}

// nameCommunity tells what the community of a channel is called; known are names
// by id.
func (c *Client) nameCommunity(of *Chat, known map[string]string) error {
	if of.Community == "" {
		return nil
	}
	name, ok := known[of.Community]
	if !ok {
		k, err := key.ParsePublic(of.Community)
		if err != nil {
			return err
		}
		its, err := c.stack.Community(k)
		if err != nil && fault.KindOf(err) != fault.NotFound { // not followed any more
			return err
		}
		name = its.Description.Name
		known[of.Community] = name
	}
	of.CommunityName = name
	return nil
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
	if err != nil {
		return Chat{}, err
	}
	shown := view.NewChat(l, name, draft.Text, time.Now())
	return shown, c.nameCommunity(&shown, make(map[string]string))
}

// Draft is what was begun in a chat and not sent; without text and ReplyTo
// there is none.
type Draft = view.Draft

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
	return view.NewDraft(id, d), nil
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
