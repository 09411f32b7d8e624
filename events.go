package parley

import (
	"context"
	"errors"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// Event is an entry of the durable event stream.
type Event = storage.Event

// The types of events; package stack documents their data.
const (
	EventMessage        = stack.EventMessage
	EventMessageState   = stack.EventMessageState
	EventMessageChanged = stack.EventMessageChanged
	EventReaction       = stack.EventReaction
	EventPin            = stack.EventPin
	EventGroup          = stack.EventGroup
	EventGroupRequest   = stack.EventGroupRequest
	EventVerification   = stack.EventVerification
	EventActivity       = stack.EventActivity
	EventChat           = stack.EventChat
	EventContact        = stack.EventContact
	EventPicture        = stack.EventPicture
	EventContactRequest = stack.EventContactRequest
	EventPresence       = stack.EventPresence
	EventProfile        = stack.EventProfile
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

// positionError tells that it is the caller who gave a place that is none.
func positionError(op string, err error) error {
	if errors.Is(err, storage.ErrPosition) {
		return fault.Wrap(fault.Usage, op, err)
	}
	return err
}
