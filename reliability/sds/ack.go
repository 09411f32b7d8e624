package sds

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// State is how much is known of an own message's arrival (section
// "Participant state").
type State int

// The states.
const (
	// Acknowledged: at least some participants have it. It is no longer in
	// the outgoing buffer.
	Acknowledged State = iota
	// Unacknowledged: nothing is known.
	Unacknowledged
	// PossiblyAcknowledged: bloom filters contain it.
	PossiblyAcknowledged
)

// Pending is a message of the outgoing buffer.
type Pending struct {
	ID      string
	Lamport uint64
	State   State
	// Sends is how often it was broadcast, Due when it will be again.
	Sends int
	Due   time.Time
}

// own is what is kept of an own message without acknowledgement.
type own struct {
	id      string
	lamport uint64
	prehash uint64
	state   State
	// evidence is the logarithm of how much likelier it is that somebody has
	// the message than that nobody has, in millionths; hits counts filters.
	evidence           int64
	hits               uint64
	created, sent, due int64
	sends              uint64
}

func (o *own) marshal() []byte {
	var p packer
	p.text(o.id)
	p.number(o.lamport)
	p.number(o.prehash)
	p.number(uint64(o.state))
	p.signed(o.evidence)
	p.number(o.hits)
	p.signed(o.created)
	p.signed(o.sent)
	p.signed(o.due)
	p.number(o.sends)
	return p.b
}

func parseOwn(raw []byte) (*own, error) {
	u := unpacker{b: raw}
	o := &own{id: u.text(), lamport: u.number(), prehash: u.number(), state: State(u.number()), evidence: u.signed(),
		hits: u.number(), created: u.signed(), sent: u.signed(), due: u.signed(), sends: u.number()}
	return o, u.done("own message")
}

func (t table) ownRecord(r ref) (*own, error) {
	raw, ok, err := t.st.Get(r.key(keyOwn))
	if err != nil || !ok {
		return nil, err
	}
	return parseOwn(raw)
}

// ownMessage is an own message without acknowledgement, as it went out.
func (t table) ownMessage(r ref) (*Message, error) {
	raw, ok, err := t.st.Get(r.key(keyOwnRaw))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: own message without its bytes", ErrCorrupt)
	}
	m, _, err := Decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: own message: %w", ErrCorrupt, err)
	}
	return m, nil
}

// Pending returns the outgoing buffer in the order of sending.
func (c *Channel) Pending(st kv.Store, now time.Time) ([]Pending, error) {
	e, err := c.open(st, now, nil)
	if err != nil {
		return nil, err
	}
	var list []Pending
	err = e.outgoing(func(_ ref, o *own) {
		list = append(list, Pending{o.id, o.lamport, o.state, int(o.sends), e.time(o.due)})
	})
	slices.SortFunc(list, func(a, b Pending) int { return cmp.Compare(a.Lamport, b.Lamport) })
	return list, err
}

func (t table) outgoing(visit func(ref, *own)) error {
	return t.st.Scan(keyOwn, func(k string, v []byte) error {
		if len(k) != len(keyOwn)+refSize {
			return fmt.Errorf("%w: own message", ErrCorrupt)
		}
		o, err := parseOwn(v)
		if err == nil {
			visit(ref([]byte(k[len(keyOwn):])), o)
		}
		return err
	})
}

// await puts a new message into the outgoing buffer.
func (e *step) await(m *Message, r ref, raw []byte) error {
	o := &own{id: m.ID, lamport: m.Lamport, prehash: e.Config.Filter.prehash(m.ID, r), state: Unacknowledged,
		created: e.now, sent: e.now, sends: 1}
	wait, err := e.jittered(e.gap(o))
	if err != nil {
		return err
	}
	o.due = e.now + wait
	e.s.outgoing++
	if err := e.st.Put(r.key(keyOwnRaw), raw); err != nil {
		return err
	}
	if err := e.st.Put(timerKey(o.due, timerOwn, r), nil); err != nil {
		return err
	}
	return e.st.Put(r.key(keyOwn), o.marshal())
}

// gap is the time from the last send to the next.
func (e *step) gap(o *own) int64 {
	c := e.Config.Resend
	gap := c.Unacknowledged
	if o.state == PossiblyAcknowledged {
		gap = c.Possible
	}
	for n := o.sends; n > 1 && gap < c.Most; n-- {
		gap *= 2
	}
	return int64(min(gap, c.Most))
}

// jittered adds up to a quarter, so that what was sent together does not come
// again together.
func (e *step) jittered(gap int64) (int64, error) {
	extra, err := e.draw(gap / 8)
	return gap + extra, err
}

// changeOwn applies f to an own message and moves its timer.
func (e *step) changeOwn(r ref, o *own, f func()) error {
	due := o.due
	f()
	if due != o.due {
		if err := e.st.Delete(timerKey(due, timerOwn, r)); err != nil {
			return err
		}
		if err := e.st.Put(timerKey(o.due, timerOwn, r), nil); err != nil {
			return err
		}
	}
	return e.st.Put(r.key(keyOwn), o.marshal())
}

// settle takes an own message out of the outgoing buffer.
func (e *step) settle(r ref, o *own) error {
	e.s.outgoing--
	return e.remove(r.key(keyOwn), r.key(keyOwnRaw), timerKey(o.due, timerOwn, r))
}

// review learns from a message which of ours others have (section "Review ACK
// Status").
func (e *step) review(m *Message, r ref) error {
	if e.s.outgoing == 0 {
		return nil
	}
	for _, h := range m.History {
		hr := refOf(h.ID)
		o, err := e.ownRecord(hr)
		if err != nil {
			return err
		}
		if o != nil {
			e.out.Acknowledged = append(e.out.Acknowledged, o.id)
			if err := e.settle(hr, o); err != nil {
				return err
			}
		}
	}
	if !e.Config.Filter.usable(m.Filter) || e.s.outgoing == 0 {
		return nil
	}
	return e.reviewFilter(m, salt(r))
}

// reviewFilter looks the outgoing buffer up in a filter.
func (e *step) reviewFilter(m *Message, salt uint64) error {
	f := e.Config.Filter
	type change struct {
		ref ref
		own *own
		hit bool
	}
	var list []change
	err := e.outgoing(func(r ref, o *own) {
		if hit := f.contains(m.Filter, o.prehash, salt); hit || f.Confirm == 0 && m.Lamport > o.lamport && o.evidence > lowest {
			list = append(list, change{r, o, hit})
		}
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b change) int { return cmp.Compare(a.own.lamport, b.own.lamport) })
	p := f.accident(m.Filter)
	for _, c := range list {
		err := e.weighFilter(c.ref, c.own, c.hit, p)
		if err != nil {
			return err
		}
	}
	return nil
}

// Evidence of filters, in millionths of the natural logarithm. Half of those
// who speak after a message was sent are taken to have it if anybody has.
const (
	micro  = 1e6
	reach  = 0.5
	lowest = -2 * micro
)

// evidence is what a filter tells for or against a message having arrived: the
// logarithm of the ratio of the probabilities of what was seen.
func evidence(hit bool, accident float64) int64 {
	if !hit {
		return int64(micro * math.Log(1-reach))
	}
	accident = min(1, max(accident, Doubt)) // a single filter never settles it
	return int64(micro * math.Log((reach+(1-reach)*accident)/accident))
}

// weighFilter notes what a filter tells about an own message.
func (e *step) weighFilter(r ref, o *own, hit bool, accident float64) error {
	confirm := e.Config.Filter.Confirm
	if hit {
		o.hits++
	}
	o.evidence = max(lowest, o.evidence+evidence(hit, accident))
	enough := confirm == 0 && o.evidence >= int64(-micro*math.Log(Doubt)) || confirm > 0 && o.hits >= uint64(confirm)
	switch {
	case hit && enough:
		e.out.Acknowledged = append(e.out.Acknowledged, o.id)
		return e.settle(r, o)
	case hit && o.state == Unacknowledged:
		e.out.Possible = append(e.out.Possible, o.id)
		return e.changeOwn(r, o, func() {
			o.state = PossiblyAcknowledged
			o.due = max(e.now, o.sent+e.gap(o))
		})
	}
	return e.changeOwn(r, o, func() {})
}

// resend broadcasts an own message again or gives it up.
func (e *step) resend(r ref) (*own, error) {
	o, err := e.ownRecord(r)
	if err != nil {
		return nil, err
	}
	if o == nil {
		return nil, fmt.Errorf("%w: timer of a message that is not outgoing", ErrCorrupt)
	}
	if o.sends >= MinSends && e.now-o.created >= int64(e.Config.Resend.GiveUp) {
		m, err := e.ownMessage(r)
		if err != nil {
			return nil, err
		}
		e.out.Failed = append(e.out.Failed, GivenUp{o.id, m.Content})
		return nil, e.settle(r, o)
	}
	before := *o
	o.sends++
	wait, err := e.jittered(e.gap(o))
	if err != nil {
		return nil, err
	}
	o.sends--
	return &before, e.changeOwn(r, o, func() {
		o.sends++
		o.sent, o.due = e.now, e.now+wait
		// The filters of before are about an earlier broadcast.
		o.evidence = max(o.evidence, 0)
	})
}
