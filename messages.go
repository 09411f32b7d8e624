package parley

import (
	"cmp"
	"context"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// Message is a message of a chat, as API and command line show it.
type Message struct {
	ID message.ID `json:"id"`
	// Chat is the other party's key 0x04… in a one-to-one chat.
	Chat string `json:"chat"`
	// From prints as zQ3sh…; FromKey is the same as 0x04….
	From        key.Public `json:"from"`
	FromKey     string     `json:"from_key"`
	Text        string     `json:"text"`
	ContentType string     `json:"content_type"`
	// Clock orders the messages of a chat; Timestamp is the sender's Unix time
	// in milliseconds.
	Clock     uint64 `json:"clock"`
	Timestamp uint64 `json:"timestamp"`
	// State is received, or pending, sent, delivered, failed for our own.
	State     chat.State `json:"state"`
	ReplyTo   string     `json:"reply_to,omitempty"`
	Reactions []string   `json:"reactions"`
	Edited    bool       `json:"edited"`
	Deleted   bool       `json:"deleted"`
}

func newMessage(m *chat.Message) Message {
	return Message{
		ID:          m.ID,
		Chat:        m.Chat,
		From:        m.From,
		FromKey:     m.From.Hex(),
		Text:        m.Text,
		ContentType: m.ContentType,
		Clock:       m.Clock,
		Timestamp:   m.Timestamp,
		State:       m.State,
		ReplyTo:     m.ReplyTo,
		Reactions:   []string{},
	}
}

// SendOptions are what a message can carry besides its text.
type SendOptions struct {
	// ReplyTo is the id of the message this one answers.
	ReplyTo string
}

// Send sends a text to somebody, whom Resolve finds. When it returns the
// message is on disk and sealed, in state pending; the rest happens by itself.
func (c *Client) Send(ctx context.Context, to, text string, options SendOptions) (Message, error) {
	pub, err := c.Resolve(ctx, to)
	if err != nil {
		return Message{}, err
	}
	if pub == c.Self() {
		return Message{}, fault.New(fault.Usage, "that is this account itself")
	}
	m, err := c.stack.SendText(pub, text, options.ReplyTo)
	if err != nil {
		return Message{}, err
	}
	return newMessage(m), nil
}

// Messages returns the newest limit messages (0: all) of a chat, or of all
// chats when chat is empty, that are newer than since (a clock in
// milliseconds), in order.
func (c *Client) Messages(ctx context.Context, who string, since uint64, limit int) ([]Message, error) {
	id := ""
	if who != "" {
		pub, err := c.Resolve(ctx, who)
		if err != nil {
			return nil, err
		}
		id = chat.OneToOneID(pub)
	}
	known, err := c.stack.Messages(id)
	if err != nil {
		return nil, err
	}
	all := make([]Message, 0, len(known))
	for _, m := range known {
		if m.Clock > since {
			all = append(all, newMessage(m))
		}
	}
	if who == "" { // they come chat by chat
		slices.SortStableFunc(all, func(a, b Message) int { return cmp.Compare(a.Clock, b.Clock) })
	}
	if limit > 0 && len(all) > limit {
		all = all[len(all)-limit:]
	}
	return all, nil
}

// Message returns one message by its id 0x….
func (c *Client) Message(_ context.Context, id string) (Message, error) {
	parsed, err := message.ParseID(id)
	if err != nil {
		return Message{}, fault.Wrap(fault.Usage, "reading the message id", err)
	}
	m, err := c.stack.Message(parsed)
	if err != nil {
		return Message{}, err
	}
	return newMessage(m), nil
}

// Event is an entry of the durable event stream.
type Event = storage.Event

// The types of events; package stack documents their data.
const (
	EventMessage        = stack.EventMessage
	EventMessageState   = stack.EventMessageState
	EventContact        = stack.EventContact
	EventContactRequest = stack.EventContactRequest
	EventPresence       = stack.EventPresence
	EventUndecryptable  = stack.EventUndecryptable
	EventHistory        = stack.EventHistory
)

// Events calls yield for every event with a sequence number above since, in
// order; with follow it goes on as they happen, until ctx ends. Events are
// written with what they tell of, in one transaction, and are never dropped:
// who remembers the last sequence number misses nothing.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, yield func(Event) error) error {
	return c.stack.Events(ctx, since, follow, yield)
}
