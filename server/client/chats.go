package client

import (
	"context"
	"time"

	"github.com/parley-im/parley"
)

// Chats returns the chats that belong into a list, or all of them: pinned ones
// first, then those with the newest activity.
func (c *Client) Chats(ctx context.Context, all bool) ([]parley.Chat, error) {
	return get[[]parley.Chat](ctx, c, "/chats", queryOf{}.flag("all", all).values())
}

// ChatPage returns a page of the list of chats.
func (c *Client) ChatPage(ctx context.Context, q parley.ChatQuery) (parley.ChatPage, error) {
	return get[parley.ChatPage](ctx, c, "/pages/chats", queryOf{}.flag("all", q.All).text("next", q.Next).limit(q.Limit).values())
}

// Chat returns one chat: of a key in any form, a share URL, the name of a
// contact, the id or name of a group, or COMMUNITY/CHANNEL.
func (c *Client) Chat(ctx context.Context, chat string) (parley.Chat, error) {
	return get[parley.Chat](ctx, c, place("chats", chat), nil)
}

// MarkRead notes that a chat was read up to a clock, 0 for all of it.
func (c *Client) MarkRead(ctx context.Context, chat string, clock uint64) (parley.Chat, error) {
	return c.chat(ctx, chat, "read", map[string]uint64{"clock": clock})
}

// Mute silences a chat for a while, to the second, 0 for until it is unmuted.
func (c *Client) Mute(ctx context.Context, chat string, duration time.Duration) (parley.Chat, error) {
	seconds := int64(duration / time.Second)
	if duration > 0 && seconds == 0 {
		seconds = 1
	}
	return c.chat(ctx, chat, "mute", map[string]int64{"seconds": seconds})
}

// Unmute ends the silence of a chat.
func (c *Client) Unmute(ctx context.Context, chat string) (parley.Chat, error) {
	return c.chat(ctx, chat, "unmute", nil)
}

// ClearHistory deletes all messages of a chat from this account.
func (c *Client) ClearHistory(ctx context.Context, chat string) (parley.Chat, error) {
	return c.chat(ctx, chat, "clear", nil)
}

// DeleteChat clears a chat and takes it out of the list until somebody says
// something there.
func (c *Client) DeleteChat(ctx context.Context, chat string) (parley.Chat, error) {
	return c.chat(ctx, chat, "delete", nil)
}

// PinChat keeps a chat at the top of the list, or no longer.
func (c *Client) PinChat(ctx context.Context, chat string, pinned bool) (parley.Chat, error) {
	if pinned {
		return c.chat(ctx, chat, "pin", nil)
	}
	return c.chat(ctx, chat, "unpin", nil)
}

func (c *Client) chat(ctx context.Context, chat, verb string, body any) (parley.Chat, error) {
	return post[parley.Chat](ctx, c, place("chats", chat, verb), body)
}

// Pins returns what is pinned in a chat, the oldest first.
func (c *Client) Pins(ctx context.Context, chat string) ([]parley.Pin, error) {
	return get[[]parley.Pin](ctx, c, place("chats", chat, "pins"), nil)
}

// Mentionable returns who in a chat may be meant by the mention that a text
// ends in.
func (c *Client) Mentionable(ctx context.Context, chat, text string) ([]parley.Mentionable, error) {
	return get[[]parley.Mentionable](ctx, c, place("chats", chat, "mentionable"), queryOf{}.text("text", text).values())
}

// Draft returns what was begun in a chat and not sent.
func (c *Client) Draft(ctx context.Context, chat string) (parley.Draft, error) {
	return get[parley.Draft](ctx, c, place("chats", chat, "draft"), nil)
}

// SetDraft keeps what was begun in a chat; an empty draft is none.
func (c *Client) SetDraft(ctx context.Context, chat, text, replyTo string) (parley.Draft, error) {
	return post[parley.Draft](ctx, c, place("chats", chat, "draft"), struct {
		Text    string `json:"text"`
		ReplyTo string `json:"reply_to,omitempty"`
	}{text, replyTo})
}
