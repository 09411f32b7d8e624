package sds

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// Received is what a message brought.
type Received struct {
	Message *Message
	// Known says that the message had been received before, or that we wrote
	// it: it is not delivered again.
	Known bool
	Result
}

// Receive applies a message that came from anybody. hint is what others can
// retrieve it with: the Waku message hash under which it came; nil when not
// known.
//
// Nothing in a message proves who wrote it. A caller who can tell, by a
// signature in the content for instance, should drop a message whose Sender is
// wrong before it comes here.
//
// The store keeps data, which may not be changed afterwards.
//
// An error leaves the state as it was: those of Decode, ErrChannel, ErrID,
// ErrAhead, ErrTime.
func (c *Channel) Receive(st kv.Store, now time.Time, rand io.Reader, data, hint []byte) (*Received, error) {
	m, _, err := Decode(data)
	if err != nil {
		return nil, err
	}
	if m.Channel != c.ID {
		return nil, fmt.Errorf("%w: %.64q", ErrChannel, m.Channel)
	}
	if m.Kind != Sync {
		if err := c.checkID(m); err != nil {
			return nil, err
		}
	}
	if len(hint) > MaxHint {
		return nil, fmt.Errorf("%w: retrieval hint of %d bytes, limit %d", ErrLimit, len(hint), MaxHint)
	}
	e, err := c.open(st, now, rand)
	if err != nil {
		return nil, err
	}
	if m.Kind == Content && m.Lamport > e.latest() {
		return nil, fmt.Errorf("%w: Lamport timestamp %d, ours %d", ErrAhead, m.Lamport, e.clock())
	}
	in := &Received{Message: m}
	switch {
	case m.Kind == Ephemeral && m.Sender == c.Self, m.Kind == Sync && m.Sender == c.Self:
		in.Known = true
		return in, nil
	case m.Kind == Ephemeral:
		in.Delivered = []Delivery{{ID: m.ID, Sender: m.Sender, Content: m.Content, Hint: hint, Ephemeral: true}}
		return in, nil
	}
	if in.Known, err = e.apply(m, data, hint); err == nil {
		err = e.close()
	}
	if err != nil {
		return nil, fmt.Errorf("receiving a message: %w", err)
	}
	in.Result = e.out
	return in, nil
}

// apply takes a content or sync message into the state, and reports whether it
// was known.
func (e *step) apply(m *Message, data, hint []byte) (known bool, err error) {
	r := refOf(m.ID)
	if m.Kind == Sync {
		known, err = e.repeatedSync(r)
	} else {
		known, err = e.seen(r)
	}
	if err != nil {
		return false, err
	}
	if known && m.Sender == e.Self {
		return true, nil
	}
	late := false
	if m.Kind == Content {
		if late, err = e.wasLost(r); err != nil {
			return false, err
		}
		if err := e.received(r); err != nil {
			return false, err
		}
	}
	if known && !e.Config.Copies {
		return true, nil
	}
	if err := e.requests(m.Requests); err != nil {
		return false, err
	}
	if err := e.review(m, r); err != nil || known {
		return known, err
	}
	if m.Kind == Sync {
		return false, e.heardSync(m, r)
	}
	if err := e.spoke(m.Sender); err != nil {
		return false, err
	}
	return false, e.take(m, r, data, hint, late)
}

// stale reports whether a message is older than the log, so that nothing tells
// whether it was delivered.
func (e *step) stale(m *Message) bool { return e.s.horizon > 0 && m.Lamport <= e.s.horizon }

// take delivers a new content message or holds it until what it depends on is
// there.
func (e *step) take(m *Message, r ref, data, hint []byte, late bool) error {
	if e.stale(m) {
		if err := e.drop(m.ID, r); err != nil {
			return err
		}
		if err := e.resolve(r, math.MaxUint64); err != nil {
			return err
		}
		return e.drain()
	}
	unmet, err := e.unmet(m, r)
	if err != nil {
		return err
	}
	if err := e.remember(m.ID, r); err != nil {
		return err
	}
	if len(unmet) == 0 {
		if err := e.deliver(m, r, data, hint, late); err != nil {
			return err
		}
		return e.drain()
	}
	for _, d := range unmet {
		if err := e.st.Put(waitKey(refOf(d.ID), r), []byte(number(m.Lamport))); err != nil {
			return err
		}
	}
	if err := e.hold(m, r, data, hint, late, len(unmet)); err != nil {
		return err
	}
	for _, d := range unmet {
		if err := e.miss(d, false); err != nil {
			return err
		}
	}
	// Who waits for a message that is not before it in the order lied.
	if err := e.resolve(r, m.Lamport); err != nil {
		return err
	}
	if err := e.drain(); err != nil {
		return err
	}
	return e.evict()
}

// unmet returns the entries of a message's causal history that are not in the
// log. Each message is named once. What is held and not before the message in
// the order cannot be what it depends on, and dependencies that are lost, or
// came and were older than the log, count as met.
func (e *step) unmet(m *Message, r ref) ([]Entry, error) {
	var list []Entry
	for i, d := range m.History {
		if d.ID == m.ID || slices.ContainsFunc(m.History[:i], func(o Entry) bool { return o.ID == d.ID }) {
			continue
		}
		dr := refOf(d.ID)
		if ok, err := e.has(dr.key(keyKnown)); err != nil {
			return nil, err
		} else if ok {
			continue
		}
		h, err := e.heldRecord(dr)
		if err != nil {
			return nil, err
		}
		if h != nil && h.lamport >= m.Lamport {
			continue
		}
		if h == nil {
			met, err := e.wasLost(dr)
			if err == nil && !met {
				met, err = e.cameStale(dr)
			}
			if err != nil {
				return nil, err
			}
			if met {
				continue
			}
		}
		list = append(list, d)
	}
	return list, nil
}

// deliver puts a message into the log and hands it to the application.
func (e *step) deliver(m *Message, r ref, data, hint []byte, late bool) error {
	if err := e.logInsert(m, r, hint); err != nil {
		return err
	}
	if err := e.cache(m, r, data); err != nil {
		return err
	}
	e.out.Delivered = append(e.out.Delivered, Delivery{
		ID: m.ID, Sender: m.Sender, Lamport: m.Lamport, Content: m.Content, Hint: hint,
		Own: m.Sender == e.Self, Late: late,
	})
	return e.resolve(r, math.MaxUint64)
}

// heardSync applies a sync message: what it names and we lack is missing. It
// is not kept.
func (e *step) heardSync(m *Message, r ref) error {
	unmet, err := e.unmet(m, r)
	if err != nil {
		return err
	}
	for _, d := range unmet {
		if err := e.miss(d, true); err != nil {
			return err
		}
	}
	return e.heard(m, r)
}

// recentSyncs is how many sync messages are recognised when they come again.
const recentSyncs = 32

// repeatedSync reports whether a sync message came before, and notes it.
func (e *step) repeatedSync(r ref) (bool, error) {
	list, _, err := e.st.Get(keySyncs)
	if err != nil {
		return false, err
	}
	id := string(r[:numberSize])
	for i := 0; i+numberSize <= len(list); i += numberSize {
		if string(list[i:i+numberSize]) == id {
			return true, nil
		}
	}
	list = append(slices.Clip(list), id...)
	return false, e.st.Put(keySyncs, list[max(0, len(list)-recentSyncs*numberSize):])
}
