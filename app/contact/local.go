package contact

import (
	"fmt"
	"time"

	apppb "github.com/parley-im/parley/pb/app"
)

// newer checks an action's clock against both clocks of the relation: an
// action comes after everything that is known.
func (c Contact) newer(clock uint64) error {
	if clock <= c.Clock() {
		return fmt.Errorf("%w: %d, theirs is %d", ErrStale, clock, c.Clock())
	}
	return nil
}

// SendRequest asks to become a contact, or asks again. If the other has asked
// already, both are contacts of each other. The clock is also that of the chat
// message that carries the request.
func (c Contact) SendRequest(clock uint64, now time.Time) (Contact, Effects, error) {
	switch {
	case c.Blocked:
		return c, Effects{}, ErrBlocked
	case c.State() == StateMutual:
		return c, Effects{}, ErrMutual
	}
	if err := c.newer(clock); err != nil {
		return c, Effects{}, err
	}
	c.add(clock, now)
	return c, Effects{
		Mutual:      c.State() == StateMutual,
		SendRequest: true,
		SendUpdate:  true,
		Introduce:   true,
	}, nil
}

// Accept accepts a request that was received, also one dismissed before.
func (c Contact) Accept(clock uint64, now time.Time) (Contact, Effects, error) {
	switch {
	case c.Blocked:
		return c, Effects{}, ErrBlocked
	case c.State() == StateMutual:
		return c, Effects{}, ErrMutual
	case c.Remote != Received:
		return c, Effects{}, ErrNoRequest
	}
	if err := c.newer(clock); err != nil {
		return c, Effects{}, err
	}
	id := c.ReceivedRequest
	if id == "" {
		id = DefaultRequestID(c.Key)
	}
	c.add(clock, now)
	return c, Effects{
		Mutual:    true,
		Accept:    &apppb.AcceptContactRequest{Id: id, Clock: clock},
		Introduce: true,
	}, nil
}

// add takes the stance sent.
func (c *Contact) add(clock uint64, now time.Time) {
	c.Local, c.LocalClock = Sent, clock
	if c.AddedAt.IsZero() {
		c.AddedAt = now
	}
}

// Decline dismisses a request that was received. The other is not told.
func (c Contact) Decline(clock uint64) (Contact, Effects, error) {
	if c.State() != StateReceived {
		return c, Effects{}, ErrNoRequest
	}
	if err := c.newer(clock); err != nil {
		return c, Effects{}, err
	}
	c.Local, c.LocalClock = Dismissed, clock
	return c, Effects{}, nil
}

// Retract withdraws our request or ends the relation, and tells the other.
func (c Contact) Retract(clock uint64) (Contact, Effects, error) {
	after, effects, err := c.Remove(clock)
	if err == nil {
		effects.Retract = RetractMessage(c.request(), clock)
	}
	return after, effects, err
}

// Remove ends the relation without a message: the other learns of it with the
// propagated state of whatever is sent next.
func (c Contact) Remove(clock uint64) (Contact, Effects, error) {
	if c.Local == NoRelation && c.Remote == NoRelation {
		return c, Effects{}, ErrNoRelation
	}
	if c.Blocked {
		return c, Effects{}, ErrBlocked
	}
	if err := c.newer(clock); err != nil {
		return c, Effects{}, err
	}
	c.reset(clock)
	return c, Effects{}, nil
}

// reset ends the relation for both sides: whatever either did before this
// clock is void.
func (c *Contact) reset(clock uint64) {
	c.Local, c.LocalClock = NoRelation, clock
	c.Remote, c.RemoteClock = NoRelation, clock
	c.SentRequest, c.ReceivedRequest = "", ""
	c.AddedAt = time.Time{}
}

// Block shuts the contact out: nothing it sends is processed. A contact that
// was added is told that the relation ended, not that it is blocked.
func (c Contact) Block(clock uint64) (Contact, Effects, error) {
	if c.Blocked {
		return c, Effects{}, ErrBlocked
	}
	if err := c.newer(clock); err != nil {
		return c, Effects{}, err
	}
	var effects Effects
	if c.Local == Sent {
		effects.Retract = RetractMessage(c.request(), clock)
		c.reset(clock)
	}
	c.Blocked, c.Status = true, Status{}
	c.Local, c.LocalClock = Dismissed, clock
	return c, effects, nil
}

// Unblock lets the contact in again, as somebody without a relation to us.
func (c Contact) Unblock(clock uint64) (Contact, Effects, error) {
	if !c.Blocked {
		return c, Effects{}, ErrNotBlocked
	}
	if err := c.newer(clock); err != nil {
		return c, Effects{}, err
	}
	c.Blocked = false
	c.reset(clock)
	return c, Effects{}, nil
}

// request is the id of the request that the relation began with, ours if both
// asked; empty when it is not known.
func (c Contact) request() string {
	if c.Local == Sent && c.SentRequest != "" {
		return c.SentRequest
	}
	return c.ReceivedRequest
}

// RetractMessage returns the payload that tells of a retraction. Deployed
// clients leave the id empty and do not read it.
func RetractMessage(id string, clock uint64) *apppb.RetractContactRequest {
	return &apppb.RetractContactRequest{Id: id, Clock: clock}
}

// Profile is what contacts are told about ourselves.
type Profile struct {
	DisplayName string
	ENSName     string
	Bio         string
	// Color is the id of the customisation colour, 0 for none.
	Color uint32
}

// Update returns the payload of a contact update to c. The clock is that of
// the chat with c.
func (p Profile) Update(c Contact, clock uint64) *apppb.ContactUpdate {
	update := &apppb.ContactUpdate{
		Clock:                         clock,
		EnsName:                       p.ENSName,
		DisplayName:                   p.DisplayName,
		ContactRequestPropagatedState: c.Propagated(),
		PublicKey:                     c.Key.Hex(),
		CustomizationColor:            p.Color,
	}
	// Receivers take this clock as a request whatever the propagated state
	// says, so it is there only when there is one.
	if c.Local == Sent {
		update.ContactRequestClock = c.LocalClock
	}
	return update
}
