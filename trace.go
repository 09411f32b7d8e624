package parley

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	storagepb "github.com/parley-im/parley/pb/storage"
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
	Seq uint64 `json:"seq"`
	// Time is Unix time in milliseconds.
	Time int64  `json:"time"`
	Type string `json:"type"`
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
	// reacted, retracted, pinned, unpinned, stored, segments, or the kind of an activity.
	What string `json:"what,omitempty"`
	// Done of Of segments of a large message were published then, or were here.
	Done int `json:"done,omitempty"`
	Of   int `json:"of,omitempty"`
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
	name := []byte(parsed.String())
	err = c.Events(ctx, 0, false, func(e Event) error {
		if !bytes.Contains(e.Data, name) {
			return nil
		}
		if step, about := traceStep(e, parsed, c.Self()); about {
			trace.Steps = append(trace.Steps, step)
		}
		return nil
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
func traceStep(e Event, id message.ID, self key.Public) (s TraceStep, about bool) {
	data, err := e.Decode()
	if err != nil {
		return s, false // an older version wrote it
	}
	s = TraceStep{Seq: e.Seq, Time: e.Time, Type: e.Type}
	switch d := data.(type) {
	case *Message:
		about = d.ID == id
		s.message(d, self)
	case *StateChange:
		about = d.ID == id
		s.State, s.Peers, s.Why, s.By, s.ByKey = string(d.State), d.Peers, d.Why, d.By, d.ByKey
	case *Stored:
		about = d.ID == id
		s.What = "stored"
	case *Transfer:
		about = slices.Contains(d.Messages, id)
		s.What, s.State, s.Done, s.Of, s.By, s.ByKey = "segments", string(d.State), d.Done, d.Of, d.Peer, d.PeerKey
	case *ReactionChange:
		about = d.Message == id
		s.What, s.Emoji, s.Clock, s.By, s.ByKey = "reacted", d.Emoji, d.Clock, d.From, d.FromKey
		if d.Retracted {
			s.What = "retracted"
		}
	case *Pin:
		about = d.Message == id
		s.What, s.Clock, s.By, s.ByKey = "unpinned", d.Clock, d.By, d.ByKey
		if d.Pinned {
			s.What = "pinned"
		}
	case *Activity:
		about = d.Message == id.String()
		s.What, s.State, s.Clock = string(d.Kind), string(d.State), d.Clock
	case *ContactRequest:
		about = d.Message == id
		s.What, s.By, s.ByKey = "received", d.Key, d.PublicKey
	}
	return s, about
}

// message shows a message as it was at an event.
func (s *TraceStep) message(m *Message, self key.Public) {
	s.State, s.Clock, s.By, s.ByKey = string(m.State), m.Clock, m.From, m.FromKey
	switch {
	case m.Deleted:
		s.What, s.Clock = "deleted", m.DeletedClock
		if by := m.DeletedBy; by != nil {
			s.By, s.ByKey = by.Key, by.PublicKey
		}
	case m.Edited:
		s.What, s.Clock = "edited", m.EditedClock
	case m.From == self:
		s.What = "sent"
	default:
		s.What = "received"
	}
}
