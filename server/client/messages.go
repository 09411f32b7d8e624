package client

import (
	"bytes"
	"context"
	"fmt"
	"image"
	_ "image/jpeg" // pictures come as these two
	_ "image/png"
	"net/url"
	"strconv"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/chat"
)

// Send says something in a chat; when it returns the message is in the daemon's
// outbox. Of an album it returns the first message.
func (c *Client) Send(ctx context.Context, to, text string, options parley.SendOptions) (parley.Message, error) {
	return post[parley.Message](ctx, c, "/messages", struct {
		To      string        `json:"to"`
		Text    string        `json:"text,omitempty"`
		ReplyTo string        `json:"reply_to,omitempty"`
		Images  [][]byte      `json:"images,omitempty"`
		Sticker *chat.Sticker `json:"sticker,omitempty"`
		Audio   *chat.Audio   `json:"audio,omitempty"`
		Preview bool          `json:"preview,omitempty"`
		Mention bool          `json:"mention,omitempty"`
	}{to, text, options.ReplyTo, options.Images, options.Sticker, options.Audio, options.Preview, options.Mention})
}

// Messages returns the newest limit messages (0: all) of a chat, or of all
// chats when chat is empty, that are newer than since, a clock in milliseconds.
func (c *Client) Messages(ctx context.Context, chat string, since uint64, limit int) ([]parley.Message, error) {
	return get[[]parley.Message](ctx, c, "/messages", queryOf{}.text("chat", chat).number("since", since).limit(limit).values())
}

// Page returns a page of messages.
func (c *Client) Page(ctx context.Context, q parley.PageQuery) (parley.MessagePage, error) {
	return get[parley.MessagePage](ctx, c, "/messages/page", queryOf{}.text("chat", q.Chat).text("before", q.Before).text("after", q.After).
		text("around", q.Around).number("since", q.Since).flag("oldest", q.Oldest).limit(q.Limit).values())
}

// Search finds messages by their words.
func (c *Client) Search(ctx context.Context, q parley.SearchQuery) (parley.SearchPage, error) {
	return get[parley.SearchPage](ctx, c, "/search", queryOf{}.text("text", q.Text).text("chat", q.Chat).text("from", q.From).
		text("next", q.Next).limit(q.Limit).values())
}

// Message returns one message by its id 0x….
func (c *Client) Message(ctx context.Context, id string) (parley.Message, error) {
	return get[parley.Message](ctx, c, place("messages", id), nil)
}

// Trace tells what happened to a message.
func (c *Client) Trace(ctx context.Context, id string) (parley.Trace, error) {
	return get[parley.Trace](ctx, c, place("messages", id, "trace"), nil)
}

// Edit gives a message of ours another text.
func (c *Client) Edit(ctx context.Context, id, text string, options parley.EditOptions) (parley.Message, error) {
	return c.change(ctx, id, "edit", struct {
		Text    string `json:"text"`
		Preview bool   `json:"preview,omitempty"`
		Mention bool   `json:"mention,omitempty"`
	}{text, options.Preview, options.Mention})
}

// Delete deletes a message for everyone.
func (c *Client) Delete(ctx context.Context, id string) (parley.Message, error) {
	return c.change(ctx, id, "delete", nil)
}

// DeleteForMe deletes a message from this account alone.
func (c *Client) DeleteForMe(ctx context.Context, id string) (parley.Message, error) {
	return c.change(ctx, id, "delete", map[string]bool{"for_me": true})
}

// Resend tries a message of ours that failed once more, as the same message.
func (c *Client) Resend(ctx context.Context, id string) (parley.Message, error) {
	return c.change(ctx, id, "retry", nil)
}

// React adds an emoji to a message.
func (c *Client) React(ctx context.Context, id, emoji string) (parley.Message, error) {
	return c.change(ctx, id, "react", map[string]string{"emoji": emoji})
}

// Unreact takes our emoji from a message.
func (c *Client) Unreact(ctx context.Context, id, emoji string) (parley.Message, error) {
	return c.change(ctx, id, "unreact", map[string]string{"emoji": emoji})
}

// Pin pins a message to the top of its chat, for everybody there.
func (c *Client) Pin(ctx context.Context, id string) (parley.Message, error) {
	return c.change(ctx, id, "pin", nil)
}

// Unpin takes a pin back.
func (c *Client) Unpin(ctx context.Context, id string) (parley.Message, error) {
	return c.change(ctx, id, "unpin", nil)
}

func (c *Client) change(ctx context.Context, id, verb string, body any) (parley.Message, error) {
	return post[parley.Message](ctx, c, place("messages", id, verb), body)
}

// MessageImage returns the picture of a message, no side longer than side
// pixels (0: as it is).
func (c *Client) MessageImage(ctx context.Context, id string, side int) (parley.Picture, error) {
	return c.picture(ctx, place("messages", id, "image"), sided(side))
}

// LinkImage returns the picture of the n-th preview of a message, counted from
// 0.
func (c *Client) LinkImage(ctx context.Context, id string, n int) (parley.Picture, error) {
	return c.picture(ctx, place("messages", id, "links", strconv.Itoa(n), "image"), nil)
}

// MessageAudio returns the recording of a message, without what is not sound.
func (c *Client) MessageAudio(ctx context.Context, id string) (parley.Recording, error) {
	data, media, err := c.bytes(ctx, place("messages", id, "audio"), nil)
	return parley.Recording{Type: media, Data: data}, err
}

func sided(side int) url.Values {
	if side == 0 {
		return nil
	}
	return url.Values{"side": {strconv.Itoa(side)}}
}

func (c *Client) picture(ctx context.Context, path string, query url.Values) (p parley.Picture, err error) {
	if p.Data, p.Type, err = c.bytes(ctx, path, query); err != nil {
		return p, err
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(p.Data))
	if err != nil {
		return p, fmt.Errorf("the daemon's answer: %w", err)
	}
	p.Width, p.Height = config.Width, config.Height
	return p, nil
}
