package contact

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Incoming is what is known of a received message beside its content.
type Incoming struct {
	// WakuTime is the timestamp of the Waku message, the reference for clocks.
	WakuTime time.Time
	// IsAlias tells whether a name is one that is generated from a key; nil
	// lets all names pass.
	IsAlias func(name string) bool
}

// before is called by every step that a message of the other causes.
func (c Contact) before(in Incoming, clock uint64) error {
	if c.Blocked {
		return ErrBlocked
	}
	return message.CheckClock(clock, in.WakuTime)
}

// ReceiveRequest applies a contact request that came as a message of that id,
// or without a message of its own if id is empty. One with an equal or older
// clock is ignored.
func (c Contact) ReceiveRequest(id string, clock uint64, in Incoming) (Contact, Effects, error) {
	if err := c.before(in, clock); err != nil {
		return c, Effects{}, fmt.Errorf("contact request: %w", err)
	}
	was := c
	c.received(clock)
	c.name(id, clock)
	return c, was.effects(c), nil
}

// received takes it that the other added us at that clock.
func (c *Contact) received(clock uint64) {
	if clock > c.RemoteClock {
		c.Remote, c.RemoteClock = Received, clock
	}
}

// name remembers the id of the request that the other's stance stems from.
func (c *Contact) name(id string, clock uint64) {
	if c.Remote != Received || c.RemoteClock != clock || c.State() == StateMutual {
		return
	}
	if id == "" {
		id = DefaultRequestID(c.Key)
		if c.ReceivedRequest != "" {
			return
		}
	}
	c.ReceivedRequest = id
}

// ReceiveAccept applies the acceptance of our request. It counts as the
// other's own request, also when we do not know the request it names: the
// intention is clear. One with an equal or older clock is ignored.
func (c Contact) ReceiveAccept(m *apppb.AcceptContactRequest, in Incoming) (Contact, Effects, error) {
	if err := c.before(in, m.GetClock()); err != nil {
		return c, Effects{}, fmt.Errorf("acceptance of a contact request: %w", err)
	}
	was := c
	c.received(m.GetClock())
	c.name("", m.GetClock())
	return c, was.effects(c), nil
}

// ReceiveRetract applies a retraction, which ends the relation for both sides;
// one with an equal or older clock is ignored. What we dismissed stays
// dismissed.
//
// A stance of ours that is newer than the retraction stands. Deployed clients
// drop it and set their clock back, after which the other, who has our newer
// request, and we disagree and nothing repairs it.
func (c Contact) ReceiveRetract(m *apppb.RetractContactRequest, in Incoming) (Contact, Effects, error) {
	if err := c.before(in, m.GetClock()); err != nil {
		return c, Effects{}, fmt.Errorf("retraction of a contact request: %w", err)
	}
	was := c
	c.retracted(m.GetClock())
	return c, was.effects(c), nil
}

// retracted applies a retraction by the other.
func (c *Contact) retracted(clock uint64) {
	if clock <= c.RemoteClock {
		return
	}
	c.Remote, c.RemoteClock, c.ReceivedRequest = NoRelation, clock, ""
	c.resetLocal(clock)
}

// resetLocal voids our stance by a retraction at that clock. At an equal clock
// the retraction wins, as it does at the other end.
func (c *Contact) resetLocal(clock uint64) {
	if c.Local == Dismissed || clock < c.LocalClock {
		return
	}
	c.Local, c.LocalClock, c.SentRequest = NoRelation, clock, ""
	c.AddedAt = time.Time{}
}

// ReceivePropagated compares the other's view of the relation with ours and
// takes over what is newer; nil is no view. Effects.SendUpdate is set when the
// other is behind and should hear from us, but never for somebody dismissed:
// declining is silent.
//
// Three things differ from deployed clients, which without them disagree for
// ever after some orders of arrival: a retraction learnt here wins at an equal
// clock, it does not undo a stance of the other that is newer, and somebody who
// tells that we are dismissed has not added us.
func (c Contact) ReceivePropagated(p *apppb.ContactRequestPropagatedState, in Incoming) (Contact, Effects, error) {
	if c.Blocked {
		return c, Effects{}, ErrBlocked
	}
	if err := CheckPropagated(p, in.WakuTime); err != nil || p == nil {
		return c, Effects{}, err
	}
	was := c
	// What is local there is remote here. Of what they think of our stance
	// only a retraction is believed: it may have been theirs.
	if p.RemoteState == uint64(NoRelation) && p.RemoteClock > 0 && p.RemoteClock >= c.LocalClock && c.Local != Dismissed {
		c.resetLocal(p.RemoteClock)
		if p.RemoteClock >= c.RemoteClock {
			c.Remote, c.RemoteClock, c.ReceivedRequest = NoRelation, p.RemoteClock, ""
		}
	}
	switch p.LocalState {
	case uint64(Sent):
		c.received(p.LocalClock)
		c.name("", p.LocalClock)
	case uint64(NoRelation):
		c.retracted(p.LocalClock)
	case uint64(Dismissed):
		// They have not added us, and they retracted nothing of ours.
		if p.LocalClock > c.RemoteClock {
			c.Remote, c.RemoteClock, c.ReceivedRequest = NoRelation, p.LocalClock, ""
		}
	}
	effects := was.effects(c)
	added := p.RemoteState == uint64(Received)
	effects.SendUpdate = p.RemoteClock < c.LocalClock && c.Local != Dismissed && added != (c.Local == Sent)
	return c, effects, nil
}

// CheckPropagated checks the clocks of a propagated state; nil and clocks that
// are zero are in order.
func CheckPropagated(p *apppb.ContactRequestPropagatedState, wakuTime time.Time) error {
	for _, clock := range []uint64{p.GetLocalClock(), p.GetRemoteClock()} {
		if clock == 0 {
			continue
		}
		if err := message.CheckClock(clock, wakuTime); err != nil {
			return fmt.Errorf("contact request propagated state: %w", err)
		}
	}
	return nil
}

// effects compares a contact before a message of the other with it after.
func (c Contact) effects(after Contact) Effects {
	return Effects{
		Notify: c.Remote != Received && after.State() == StateReceived,
		Mutual: c.State() != StateMutual && after.State() == StateMutual,
		Ended:  c.Local == Sent && after.Local != Sent || c.Remote == Received && after.Remote != Received,
	}
}

// join adds the effects of a later step of the same message.
func (e Effects) join(later Effects) Effects {
	e.Notify = e.Notify || later.Notify
	e.Mutual = e.Mutual || later.Mutual
	e.Ended = e.Ended || later.Ended
	e.SendUpdate = e.SendUpdate || later.SendUpdate
	return e
}

// ReceiveUpdate applies a contact update: the propagated state, the names if
// its clock is newer, and the request it may stand for. profile_image is of
// clients before 2021 and not looked at, pictures come in a ChatIdentity; nor is
// public_key, for the key that counts is the one that signed.
func (c Contact) ReceiveUpdate(m *apppb.ContactUpdate, in Incoming) (Contact, Effects, error) {
	if err := c.before(in, m.GetClock()); err != nil {
		return c, Effects{}, fmt.Errorf("contact update: %w", err)
	}
	name, err := CheckReceivedName(m.GetDisplayName(), in.IsAlias)
	if err != nil {
		return c, Effects{}, fmt.Errorf("contact update: %w", err)
	}
	after, effects, err := c.ReceivePropagated(m.GetContactRequestPropagatedState(), in)
	if err != nil {
		return c, Effects{}, fmt.Errorf("contact update: %w", err)
	}
	// The propagated state says it better; old clients send only this clock.
	if m.ContactRequestPropagatedState == nil && m.ContactRequestClock > 0 {
		asked, asks, err := after.ReceiveRequest("", m.ContactRequestClock, in)
		if err != nil {
			return c, Effects{}, fmt.Errorf("contact update: %w", err)
		}
		after, effects = asked, effects.join(asks)
	}
	if m.Clock > after.UpdatedClock {
		after.claim(m.EnsName)
		after.Color, after.UpdatedClock = m.CustomizationColor, m.Clock
		if name != "" {
			after.DisplayName = name
		}
	}
	return after, effects, nil
}

// ReceiveChat applies what a 1:1 chat message says about its author: the
// propagated state, the names, and, if it is one, the contact request. id is
// the message's.
func (c Contact) ReceiveChat(id message.ID, m *apppb.ChatMessage, in Incoming) (Contact, Effects, error) {
	if err := c.before(in, m.GetClock()); err != nil {
		return c, Effects{}, fmt.Errorf("chat message: %w", err)
	}
	name, err := CheckReceivedName(m.GetDisplayName(), in.IsAlias)
	if err != nil {
		return c, Effects{}, fmt.Errorf("chat message: %w", err)
	}
	state := m.GetContactRequestPropagatedState()
	after, effects, err := c.ReceivePropagated(state, in)
	if err != nil {
		return c, Effects{}, fmt.Errorf("chat message: %w", err)
	}
	if m.GetContentType() == apppb.ChatMessage_CONTACT_REQUEST {
		// A sender that tells its own clock for the request is believed: a
		// retraction from here is compared with the same clock there.
		clock := m.Clock
		if state.GetLocalState() == uint64(Sent) {
			clock = state.GetLocalClock()
		}
		asked, asks, err := after.ReceiveRequest(id.String(), clock, in)
		if err != nil {
			return c, Effects{}, fmt.Errorf("chat message: %w", err)
		}
		after, effects = asked, effects.join(asks)
	}
	if m.Clock > after.UpdatedClock {
		after.UpdatedClock = m.Clock
		if name != "" {
			after.DisplayName = name
		}
		if m.EnsName != "" {
			after.claim(m.EnsName)
		}
		if m.CustomizationColor != 0 {
			after.Color = m.CustomizationColor
		}
	}
	return after, effects, nil
}
