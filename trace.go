package parley

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// Trace is what happened to a message, as far as this account knows.
type Trace struct {
	Message Message     `json:"message"`
	Steps   []TraceStep `json:"steps"`
	// Waiting are the envelopes in the outbox that the message's state depends
	// on.
	Waiting []WaitingEnvelope `json:"waiting"`
}

// TraceStep is an event of the stream that is about a message. Which fields
// there are depends on its type.
type TraceStep struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Type string    `json:"type"`
	// State is the message's after it, or that of an entry of the activity
	// centre.
	State string `json:"state,omitempty"`
	// Peers took the envelope.
	Peers int `json:"peers,omitempty"`
	// By is who sent, acknowledged, changed, reacted or pinned; ByKey is the
	// same as 0x04….
	By    key.Public `json:"by,omitzero"`
	ByKey string     `json:"by_key,omitempty"`
	// Clock is that of the message, of its edit, or of what was done to it.
	Clock uint64 `json:"clock,omitempty"`
	Emoji string `json:"emoji,omitempty"`
	// What says in a word what was done: received, sent, edited, deleted,
	// reacted, retracted, pinned, unpinned, or the kind of an activity.
	What string `json:"what,omitempty"`
	// Why it failed.
	Why string `json:"why,omitempty"`
}

// WaitingEnvelope is an envelope that is still to be published.
type WaitingEnvelope struct {
	Hash         wakumessage.Hash `json:"hash"`
	PubsubTopic  string           `json:"pubsub_topic"`
	ContentTopic string           `json:"content_topic"`
	Bytes        int              `json:"bytes"`
	Attempts     uint32           `json:"attempts"`
	// NotBefore is when it is tried next, Unix time in milliseconds; 0 is at
	// once.
	NotBefore int64 `json:"not_before,omitempty"`
}

// Trace tells what happened to a message. It reads the whole event stream.
func (c *Client) Trace(ctx context.Context, id string) (Trace, error) {
	parsed, err := messageID(id)
	if err != nil {
		return Trace{}, err
	}
	m, err := c.Message(ctx, id)
	if err != nil {
		return Trace{}, err
	}
	trace := Trace{Message: m, Steps: []TraceStep{}, Waiting: []WaitingEnvelope{}}
	err = c.stack.Events(ctx, 0, false, func(e Event) error {
		if !bytes.Contains(e.Data, []byte(parsed.String())) {
			return nil
		}
		step, about, err := traceStep(e, parsed.String(), c.Self())
		if about {
			trace.Steps = append(trace.Steps, step)
		}
		return err
	})
	if err != nil {
		return Trace{}, err
	}
	err = c.db.View(func(tx *storage.Tx) error {
		return tx.Outbox(func(_ uint64, r *storagepb.OutboxRecord) error {
			if !slices.ContainsFunc(r.Refs, func(ref []byte) bool { return bytes.Equal(ref, parsed[:]) }) {
				return nil
			}
			w, err := wakumessage.Unmarshal(r.WakuMessage)
			if err != nil {
				return errors.Join(storage.ErrCorrupt, err)
			}
			trace.Waiting = append(trace.Waiting, WaitingEnvelope{
				wakumessage.HashOf(r.PubsubTopic, w), r.PubsubTopic, w.GetContentTopic(), len(r.WakuMessage), r.Attempts, r.NotBefore,
			})
			return nil
		})
	})
	return trace, err
}

// traceStep shows an event that names a message, and tells whether it is about
// it.
func traceStep(e Event, id string, self key.Public) (s TraceStep, about bool, err error) {
	s = TraceStep{Seq: e.Seq, Time: e.Time, Type: e.Type}
	switch e.Type {
	case EventMessage, EventMessageChanged:
		var m chat.Message
		if err = json.Unmarshal(e.Data, &m); err == nil && m.ID.String() == id {
			about = true
			s.message(&m, self)
		}
	case EventMessageState:
		var change stack.StateChange
		if err = json.Unmarshal(e.Data, &change); err == nil && change.ID == id {
			about = true
			s.State, s.Peers, s.Why = string(change.State), change.Peers, change.Why
			if change.By != nil {
				s.by(*change.By)
			}
		}
	case EventReaction:
		var r reaction.Reaction
		if err = json.Unmarshal(e.Data, &r); err == nil && r.Message.String() == id {
			about = true
			s.What, s.Emoji, s.Clock = "reacted", r.Emoji.String(), r.Clock
			if r.Retracted {
				s.What = "retracted"
			}
			s.by(r.From)
		}
	case EventPin:
		var p pin.Pin
		if err = json.Unmarshal(e.Data, &p); err == nil && p.Message.String() == id {
			about = true
			s.What, s.Clock = "unpinned", p.Clock
			if p.Pinned {
				s.What = "pinned"
			}
			s.by(p.By)
		}
	case EventActivity:
		var a activity.Entry
		if err = json.Unmarshal(e.Data, &a); err == nil && a.Message == id {
			about = true
			s.What, s.State, s.Clock = string(a.Kind), string(a.State), a.Clock
		}
	case EventContactRequest:
		var r stack.ContactRequest
		if err = json.Unmarshal(e.Data, &r); err == nil && r.MessageID == id {
			about = true
			s.What = "received"
			s.by(r.Key)
		}
	}
	return s, about, err
}

// message shows a message as it was at an event.
func (s *TraceStep) message(m *chat.Message, self key.Public) {
	s.State, s.Clock = string(m.State), m.Clock
	s.by(m.From)
	switch {
	case m.Deleted != nil:
		s.What, s.Clock = "deleted", m.Deleted.Clock
		if by := m.Deleted.By; !by.IsZero() {
			s.by(by)
		}
	case m.Edited != nil:
		s.What, s.Clock = "edited", m.Edited.Clock
	case m.From == self:
		s.What = "sent"
	default:
		s.What = "received"
	}
}

func (s *TraceStep) by(pub key.Public) { s.By, s.ByKey = pub, pub.Hex() }
