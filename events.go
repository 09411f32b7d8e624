package parley

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Event is an entry of the durable event stream. docs/events.md tells what the
// types mean and what their data are.
type Event struct {
	// Seq counts from 1 without gaps.
	Seq uint64 `json:"seq"`
	// Time is when it was written, Unix time in milliseconds.
	Time int64  `json:"time"`
	Type string `json:"type"`
	// Data is JSON; see [Event.Decode].
	Data json.RawMessage `json:"data"`
}

// The types of events; package stack says when they come. The data are of the
// types behind them.
const (
	EventMessage        = stack.EventMessage        // Message
	EventMessageState   = stack.EventMessageState   // StateChange
	EventMessageStored  = stack.EventMessageStored  // Stored
	EventTransfer       = stack.EventTransfer       // Transfer
	EventMessageChanged = stack.EventMessageChanged // Message
	EventReaction       = stack.EventReaction       // ReactionChange
	EventPin            = stack.EventPin            // Pin
	EventChat           = stack.EventChat           // Chat
	EventDraft          = stack.EventDraft          // Draft
	EventGroup          = stack.EventGroup          // GroupChange
	EventGroupRequest   = stack.EventGroupRequest   // GroupRequest

	EventCommunity        = stack.EventCommunity        // CommunityChange
	EventCommunityRequest = stack.EventCommunityRequest // CommunityRequest
	EventCommunityLost    = stack.EventCommunityLost    // CommunityLost

	EventContact        = stack.EventContact        // Contact
	EventContactRequest = stack.EventContactRequest // ContactRequest
	EventPicture        = stack.EventPicture        // ContactPicture
	EventVerification   = stack.EventVerification   // Verification
	EventPresence       = stack.EventPresence       // Presence
	EventProfile        = stack.EventProfile        // Profile
	EventActivity       = stack.EventActivity       // Activity
	EventActivityRead   = stack.EventActivityRead   // ActivityRead
	EventUndecryptable  = stack.EventUndecryptable  // Undecryptable
	EventSessionBroken  = stack.EventSessionBroken  // BrokenSession
	EventSessionHealed  = stack.EventSessionHealed  // BrokenSession
	EventHistory        = stack.EventHistory        // Progress
)

// The data of events that nothing else returns.
type (
	// StateChange is that a message of ours has come further, or not.
	StateChange = view.StateChange
	// Stored is that store nodes are known to have a message of ours.
	Stored = view.Stored
	// Transfer is how far a large message has come that travels in segments.
	Transfer = view.Transfer
	// ReactionChange is that somebody reacts to a message, or no longer does.
	ReactionChange = view.ReactionChange
	// GroupChange is one thing that changed in a private group.
	GroupChange = view.GroupChange
	// CommunityChange is one thing that changed in a community.
	CommunityChange = view.CommunityChange
	// CommunityLost is that messages of a community are missing, and nobody has
	// them.
	CommunityLost = view.CommunityLost
	// ContactRequest is that somebody asks to become a contact.
	ContactRequest = view.ContactRequest
	// ContactPicture is that somebody's profile picture is another one.
	ContactPicture = view.ContactPicture
	// Presence is what somebody says about being there.
	Presence = view.Presence
	// ActivityRead is that the activity centre was read.
	ActivityRead = view.ActivityRead
	// Undecryptable is a message to us that could not be read.
	Undecryptable = view.Undecryptable
)

var eventData = func() map[string]reflect.Type {
	all := make(map[string]reflect.Type)
	for _, t := range stack.EventTypes() {
		all[t.Name] = t.Data
	}
	return all
}()

// Decode returns the data as a pointer to the Go type of the event's type:
// *Message for EventMessage and so on. It returns nil for a type that this
// version does not know.
func (e Event) Decode() (any, error) {
	t, ok := eventData[e.Type]
	if !ok {
		return nil, nil
	}
	data := reflect.New(t).Interface()
	if err := json.Unmarshal(e.Data, data); err != nil {
		return nil, fmt.Errorf("event %d of type %s: %w", e.Seq, e.Type, err)
	}
	return data, nil
}

// Events calls yield for every event with a sequence number above since, in
// order; with follow it goes on as they happen, until ctx ends. Events are
// written with what they tell of, in one transaction, and are never dropped:
// who remembers the last sequence number misses nothing.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, yield func(Event) error) error {
	return c.stack.Events(ctx, since, follow, func(e storage.Event) error {
		return yield(Event{e.Seq, e.Time.UnixMilli(), e.Type, e.Data})
	})
}

// positionError tells that it is the caller who gave a place that is none.
func positionError(op string, err error) error {
	if errors.Is(err, storage.ErrPosition) {
		return fault.Wrap(fault.Usage, op, err)
	}
	return err
}
