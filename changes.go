package parley

import (
	"context"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/stack/view"
)

// EditOptions are what an edit can carry besides the text.
type EditOptions struct {
	// Preview is as in SendOptions. Without it the message has no previews
	// after the edit.
	Preview bool
	// Mention is as in SendOptions.
	Mention bool
}

// Edit gives a message of ours another text.
func (c *Client) Edit(ctx context.Context, id, text string, options EditOptions) (Message, error) {
	if options.Mention {
		m, err := c.message(id)
		if err != nil {
			return Message{}, err
		}
		if text, err = c.byName(m.Chat, text); err != nil {
			return Message{}, err
		}
	}
	content := stack.Content{Text: text}
	if options.Preview {
		content.Links, content.StatusLinks = c.previews(ctx, text)
	}
	return c.change(id, func(id message.ID) (*chat.Message, error) { return c.stack.EditMessage(id, content) })
}

// Delete deletes a message for everyone: one of ours, or, for admins of a
// group, anybody's there.
func (c *Client) Delete(_ context.Context, id string) (Message, error) {
	return c.change(id, c.stack.DeleteMessage)
}

// DeleteForMe deletes a message from this account alone; nobody is told.
func (c *Client) DeleteForMe(_ context.Context, id string) (Message, error) {
	return c.onMessage(id, c.stack.DeleteMessageForMe)
}

// Resend tries a message of ours that failed once more, as the same message.
func (c *Client) Resend(_ context.Context, id string) (Message, error) {
	return c.change(id, c.stack.Resend)
}

// React adds an emoji to a message.
func (c *Client) React(_ context.Context, id, emoji string) (Message, error) {
	return c.onMessage(id, func(id message.ID) error {
		_, err := c.stack.React(id, emoji, false)
		return err
	})
}

// Unreact takes our emoji from a message.
func (c *Client) Unreact(_ context.Context, id, emoji string) (Message, error) {
	return c.onMessage(id, func(id message.ID) error {
		_, err := c.stack.React(id, emoji, true)
		return err
	})
}

// Pin pins a message to the top of its chat, for everybody there.
func (c *Client) Pin(_ context.Context, id string) (Message, error) {
	return c.onMessage(id, func(id message.ID) error {
		_, err := c.stack.Pin(id, true)
		return err
	})
}

// Unpin takes a pin back.
func (c *Client) Unpin(_ context.Context, id string) (Message, error) {
	return c.onMessage(id, func(id message.ID) error {
		_, err := c.stack.Pin(id, false)
		return err
	})
}

func (c *Client) change(id string, do func(message.ID) (*chat.Message, error)) (Message, error) {
	parsed, err := messageID(id)
	if err != nil {
		return Message{}, err
	}
	after, err := do(parsed)
	if err != nil {
		return Message{}, err
	}
	return c.showOne(after)
}

// onMessage does something to a message and returns it as it is then.
func (c *Client) onMessage(id string, do func(message.ID) error) (Message, error) {
	return c.change(id, func(id message.ID) (*chat.Message, error) {
		if err := do(id); err != nil {
			return nil, err
		}
		return c.stack.Message(id)
	})
}

// Pin is a message at the top of its chat.
type Pin = view.Pin

// Pins returns what is pinned in a chat, the oldest first.
func (c *Client) Pins(ctx context.Context, who string) ([]Pin, error) {
	id, err := c.ResolveChat(ctx, who)
	if err != nil {
		return nil, err
	}
	held, err := c.stack.Pins(id)
	if err != nil {
		return nil, err
	}
	all := make([]Pin, 0, len(held))
	for _, p := range held {
		all = append(all, view.NewPin(p))
	}
	return all, nil
}
