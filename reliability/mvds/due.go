package mvds

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// Outgoing is a payload to be sent.
type Outgoing struct {
	Peer    key.Public
	Payload *Payload
	// Messages are the ids of the messages in the payload.
	Messages []MessageID
	// Retries are those of the messages that were sent before.
	Retries Count
}

// peerPage is how many entries of the schedule Due reads at a time.
const peerPage = 64

// Due returns the payloads that go out now, at most one for each peer in each
// epoch and at most limit of them (0 or less: all). What it returns counts as
// sent: counters and next epochs are set, and the acknowledgements in it are
// forgotten, since the peer's next copy of a message renews them.
func (s *Sync) Due(st kv.Store, now time.Time, rand io.Reader, limit int) ([]Outgoing, error) {
	s = s.Defaults()
	c, err := s.clock(st, now)
	if err != nil {
		return nil, err
	}
	t := table{st}
	var out []Outgoing
	for {
		page, err := t.due(c.now)
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if limit > 0 && len(out) == limit {
				break
			}
			o, err := s.serve(t, c, now, rand, e)
			if err != nil {
				return nil, fmt.Errorf("composing a payload: %w", err)
			}
			if o != nil {
				out = append(out, *o)
			}
		}
		if len(page) < peerPage || limit > 0 && len(out) == limit {
			break
		}
	}
	if c.moved || len(out) > 0 && c.now > c.high {
		if err := c.save(st); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// entry is one of the schedule.
type entry struct {
	due  int64
	peer key.Public
}

// due reads a page of the schedule up to an epoch.
func (t table) due(epoch int64) (page []entry, err error) {
	err = t.st.Scan(keyPeers, func(k string, v []byte) error {
		e, err := parseEntry(k, v)
		if err != nil {
			return err
		}
		if e.due > epoch || len(page) == peerPage {
			return kv.Stop
		}
		page = append(page, e)
		return nil
	})
	return page, err
}

func parseEntry(k string, v []byte) (entry, error) {
	if len(k) != peersKeySize {
		return entry{}, fmt.Errorf("%w: schedule", ErrCorrupt)
	}
	peer, err := key.PublicFromBytes(v)
	if err != nil {
		return entry{}, fmt.Errorf("%w: schedule: %w", ErrCorrupt, err)
	}
	return entry{number([]byte(k[len(keyPeers):])), peer}, nil
}

// serve takes an entry off the schedule and composes the payload of its peer,
// nil when there is nothing to send.
func (s *Sync) serve(t table, c clock, now time.Time, rand io.Reader, e entry) (*Outgoing, error) {
	peer := compressed(e.peer)
	if err := t.st.Delete(keyPeers + numberKey(e.due) + peer); err != nil {
		return nil, err
	}
	state, err := t.state(peer)
	if err != nil {
		return nil, err
	}
	if next := state.slot(c.now); next > c.now {
		waiting, err := t.waiting(peer, c.now)
		if err != nil || !waiting {
			return nil, err
		}
		return nil, t.schedule(e.peer, next)
	}
	acks, left, err := t.takeAcks(peer, s.MaxPayload/2)
	if err != nil {
		return nil, err
	}
	picked, size, more, err := t.pick(peer, c.now, s.MaxPayload-len(acks)*idSize)
	if err != nil {
		return nil, err
	}
	if len(acks)+len(picked) == 0 {
		return nil, nil
	}
	// A message too long to stand beside the acknowledgements goes before them.
	if room := max(0, s.MaxPayload-size) / idSize; room < len(acks) {
		acks, left = acks[:room], true
	}
	jitter, err := s.jitter(rand)
	if err != nil {
		return nil, err
	}
	o := &Outgoing{Peer: e.peer, Payload: &Payload{Acks: acks}}
	for _, id := range acks {
		if err := t.st.Delete(keyAck + peer + string(id[:])); err != nil {
			return nil, err
		}
	}
	for _, id := range picked {
		r, err := t.record(id, peer)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, fmt.Errorf("%w: queue names message %s", ErrCorrupt, id)
		}
		if r.spent(now) {
			err = t.giveUp(r, e.peer, &state)
		} else {
			err = s.send(t, c, state, jitter, r, o)
		}
		if err != nil {
			return nil, err
		}
	}
	if o.Payload.Empty() { // all that was picked is given up
		o = nil
	} else {
		state.served = c.now
	}
	if left || more {
		if err := t.schedule(e.peer, state.slot(c.now)); err != nil {
			return nil, err
		}
	}
	return o, t.putState(peer, state)
}

// takeAcks lists acknowledgements up to a length in bytes, and whether there
// are more.
func (t table) takeAcks(peer string, room int) (acks []MessageID, more bool, err error) {
	most := min(max(1, room/idSize), MaxIDs)
	err = t.st.Scan(keyAck+peer, func(k string, _ []byte) error {
		if len(k) != ackKeySize {
			return fmt.Errorf("%w: acknowledgement", ErrCorrupt)
		}
		if len(acks) == most {
			more = true
			return kv.Stop
		}
		acks = append(acks, MessageID([]byte(k[len(k)-IDSize:])))
		return nil
	})
	return acks, more, err
}

// pick lists the peer's records that are due, oldest first, as long as they
// fit; the first is taken whatever its length. It returns their length on the
// wire and whether more are due.
func (t table) pick(peer string, epoch int64, room int) (picked []MessageID, size int, more bool, err error) {
	messages := 0
	err = t.st.Scan(keyQueue+peer, func(k string, v []byte) error {
		if len(k) != queueKeySize || len(v) != 5 {
			return fmt.Errorf("%w: queue", ErrCorrupt)
		}
		if number([]byte(k[queuePrefix:])) > epoch {
			return kv.Stop
		}
		next := int(binary.BigEndian.Uint32(v[1:]))
		if kind(v[0]) == kindMessage {
			messages++
		}
		if len(picked) > 0 && size+next > room || messages > MaxMessages || len(picked) == MaxIDs {
			more = true
			return kv.Stop
		}
		size += next
		picked = append(picked, MessageID([]byte(k[len(k)-IDSize:])))
		return nil
	})
	return picked, size, more, err
}

// send adds a record to a payload and sets when it is due again. All records
// of a payload share the jitter, so that they stay together in one payload.
func (s *Sync) send(t table, c clock, st state, jitter int64, r *record, o *Outgoing) error {
	switch r.kind {
	case kindOffer, kindReoffer:
		o.Payload.Offers = append(o.Payload.Offers, r.id)
	case kindRequest:
		o.Payload.Requests = append(o.Payload.Requests, r.id)
	case kindMessage:
		m, err := t.message(r)
		if err != nil {
			return err
		}
		o.Payload.Messages = append(o.Payload.Messages, m)
		o.Messages = append(o.Messages, r.id)
		if r.count > 0 {
			o.Retries.add(1, r.size)
		}
	default:
		return fmt.Errorf("%w: record of kind %d", ErrCorrupt, r.kind)
	}
	err := t.change(r, func() {
		r.count = increment(r.count)
		r.step = increment(r.step)
		r.sent, r.due = c.now, c.now+s.after(st, c.now, r.step)+jitter
	})
	if err != nil {
		return err
	}
	return t.schedule(o.Peer, r.due)
}

// increment stops before it would start again at zero.
func increment(n uint32) uint32 { return max(n, n+1) }

// Next returns when Due should be called next, no earlier than now; false
// means that nothing is outstanding.
func (s *Sync) Next(st kv.Store, now time.Time) (time.Time, bool, error) {
	s = s.Defaults()
	c, err := s.clock(st, now)
	if err != nil {
		return time.Time{}, false, err
	}
	t := table{st}
	var next time.Time
	found, looked := false, 0
	err = t.st.Scan(keyPeers, func(k string, v []byte) error {
		e, err := parseEntry(k, v)
		if err != nil {
			return err
		}
		peer := compressed(e.peer)
		// After so many entries without a purpose an early answer is cheaper
		// than a precise one.
		if looked++; looked <= peerPage {
			if found, err = t.waiting(peer, e.due); err != nil || !found {
				return err
			}
		}
		found = true
		due := e.due
		if due <= c.now {
			state, err := t.state(peer)
			if err != nil {
				return err
			}
			due = state.slot(c.now)
		}
		if next = c.time(due); next.Before(now) {
			next = now
		}
		return kv.Stop
	})
	return next, found, err
}
