package sds

import (
	stdheap "container/heap"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/parley-im/parley/internal/kv"
)

// held is what is known of a message in the incoming buffer.
type held struct {
	id      string
	lamport uint64
	// unmet is how many dependencies it waits for.
	unmet  uint64
	weight uint64
	// until is when it is delivered whatever is missing.
	until int64
	hint  string
	// sender stands for the author.
	sender uint64
	late   bool
}

func (t table) heldRecord(r ref) (*held, error) {
	raw, ok, err := t.st.Get(r.key(keyHeld))
	if err != nil || !ok {
		return nil, err
	}
	u := unpacker{b: raw}
	h := &held{id: u.text(), lamport: u.number(), unmet: u.number(), weight: u.number(),
		until: u.signed(), hint: u.text(), sender: u.number(), late: u.flag()}
	return h, u.done("held message")
}

func (e *step) putHeld(r ref, h *held) error {
	var p packer
	p.text(h.id)
	p.number(h.lamport)
	p.number(h.unmet)
	p.number(h.weight)
	p.signed(h.until)
	p.text(h.hint)
	p.number(h.sender)
	p.flag(h.late)
	return e.st.Put(r.key(keyHeld), p.b)
}

// retrieval is the hint, nil when there is none.
func (h *held) retrieval() []byte {
	if h.hint == "" {
		return nil
	}
	return []byte(h.hint)
}

func (h *held) queueKey(r ref) string {
	return keyQueue + number(h.sender) + number(math.MaxUint64-h.lamport) + string(r[:])
}

func waitKey(dependency, dependant ref) string {
	return keyWaits + string(dependency[:]) + string(dependant[:])
}

// hold puts a message into the incoming buffer.
func (e *step) hold(m *Message, r ref, data, hint []byte, late bool, unmet int) error {
	author := refOf(m.Sender)
	h := &held{
		id: m.ID, lamport: m.Lamport, unmet: uint64(unmet), weight: uint64(len(data) + unmet*MissingWeight),
		until: e.now + int64(e.Config.Fetch.Hold), hint: string(hint),
		sender: binary.BigEndian.Uint64(author[:]), late: late,
	}
	if err := e.putHeld(r, h); err != nil {
		return err
	}
	if err := e.st.Put(r.key(keyHeldRaw), data); err != nil {
		return err
	}
	if err := e.st.Put(h.queueKey(r), nil); err != nil {
		return err
	}
	if err := e.st.Put(timerKey(h.until, timerHeld, r), nil); err != nil {
		return err
	}
	return e.weigh(h, 1)
}

// weigh adds a held message to what its sender and all hold, or takes it away.
func (e *step) weigh(h *held, sign int) error {
	k := keyWeight + number(h.sender)
	raw, ok, err := e.st.Get(k)
	if err != nil {
		return err
	}
	var sum uint64
	if ok {
		if len(raw) != numberSize {
			return fmt.Errorf("%w: incoming buffer", ErrCorrupt)
		}
		sum = binary.BigEndian.Uint64(raw)
	}
	sum += uint64(sign) * h.weight
	e.s.held += uint64(sign) * h.weight
	if sum == 0 {
		return e.st.Delete(k)
	}
	return e.st.Put(k, []byte(number(sum)))
}

// release takes a message out of the incoming buffer and returns it.
func (e *step) release(r ref, h *held) (*Message, []byte, error) {
	data, ok, err := e.st.Get(r.key(keyHeldRaw))
	if err != nil {
		return nil, nil, err
	}
	if !ok {
		return nil, nil, fmt.Errorf("%w: held message without its bytes", ErrCorrupt)
	}
	m, _, err := Decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: held message: %w", ErrCorrupt, err)
	}
	if err := e.weigh(h, -1); err != nil {
		return nil, nil, err
	}
	err = e.remove(r.key(keyHeld), r.key(keyHeldRaw), h.queueKey(r), timerKey(h.until, timerHeld, r))
	return m, data, err
}

// resolve lets those go on that wait for a message and have a Lamport
// timestamp of at most upTo.
func (e *step) resolve(r ref, upTo uint64) error {
	type edge struct {
		key     string
		waiting ref
	}
	var edges []edge
	prefix := r.key(keyWaits)
	err := e.st.Scan(prefix, func(k string, v []byte) error {
		if len(k) != len(prefix)+refSize || len(v) != numberSize {
			return fmt.Errorf("%w: dependency", ErrCorrupt)
		}
		if binary.BigEndian.Uint64(v) <= upTo {
			edges = append(edges, edge{k, ref([]byte(k[len(prefix):]))})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range edges {
		if err := e.st.Delete(w.key); err != nil {
			return err
		}
		h, err := e.heldRecord(w.waiting)
		if err != nil {
			return err
		}
		if h == nil {
			return fmt.Errorf("%w: dependency of a message that is not held", ErrCorrupt)
		}
		if h.unmet--; h.unmet == 0 {
			stdheap.Push(&e.ready, item{w.waiting, h})
		}
		if err := e.putHeld(w.waiting, h); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers what waits for nothing any more, and what that lets go on, in
// the channel's order as far as dependencies leave a choice.
func (e *step) drain() error {
	for e.ready.Len() > 0 {
		next := stdheap.Pop(&e.ready).(item)
		m, data, err := e.release(next.ref, next.held)
		if err != nil {
			return err
		}
		if e.stale(m) {
			if err := e.drop(m.ID, next.ref); err != nil {
				return err
			}
			if err := e.resolve(next.ref, math.MaxUint64); err != nil {
				return err
			}
			continue
		}
		if err := e.deliver(m, next.ref, data, next.held.retrieval(), next.held.late); err != nil {
			return err
		}
	}
	return nil
}

// detach ends a held message's waiting for each of its dependencies, and
// forgets those that nobody else waits for.
func (e *step) detach(m *Message, r ref) error {
	for _, d := range m.History {
		dr := refOf(d.ID)
		k := waitKey(dr, r)
		if ok, err := e.has(k); err != nil {
			return err
		} else if !ok {
			continue
		}
		if err := e.st.Delete(k); err != nil {
			return err
		}
		if waited, err := e.any(dr.key(keyWaits)); err != nil {
			return err
		} else if waited {
			continue
		}
		if err := e.unwanted(dr); err != nil {
			return err
		}
	}
	return nil
}

// endHold delivers a message that has waited for too long.
func (e *step) endHold(r ref) error {
	h, err := e.heldRecord(r)
	if err != nil || h == nil {
		return err
	}
	m, data, err := e.release(r, h)
	if err != nil {
		return err
	}
	if err := e.detach(m, r); err != nil {
		return err
	}
	if err := e.deliver(m, r, data, h.retrieval(), true); err != nil {
		return err
	}
	return e.drain()
}

// evict keeps the incoming buffer within its limit: who fills it most loses
// the newest of what was held. A message that others wait for is missing
// again, so what is honest comes back once there is room.
func (e *step) evict() error {
	for e.s.held > uint64(e.Config.Limits.HeldBytes) {
		heaviest, most := "", uint64(0)
		err := e.st.Scan(keyWeight, func(k string, v []byte) error {
			if len(v) == numberSize && binary.BigEndian.Uint64(v) > most {
				heaviest, most = k[len(keyWeight):], binary.BigEndian.Uint64(v)
			}
			return nil
		})
		if err != nil {
			return err
		}
		var r ref
		err = e.st.Scan(keyQueue+heaviest, func(k string, _ []byte) error {
			copy(r[:], k[len(k)-refSize:])
			return kv.Stop
		})
		if err != nil {
			return err
		}
		h, err := e.heldRecord(r)
		if err != nil {
			return err
		}
		if h == nil {
			return fmt.Errorf("%w: incoming buffer", ErrCorrupt)
		}
		m, _, err := e.release(r, h)
		if err != nil {
			return err
		}
		if err := e.detach(m, r); err != nil {
			return err
		}
		if waited, err := e.any(r.key(keyWaits)); err != nil {
			return err
		} else if waited {
			if err := e.miss(Entry{m.ID, h.retrieval(), m.Sender}, false); err != nil {
				return err
			}
		}
		e.out.Evicted = append(e.out.Evicted, m.ID)
	}
	return nil
}

// item is a held message that waits for nothing any more.
type item struct {
	ref  ref
	held *held
}

// heap has the first in the channel's order on top.
type heap []item

func (h heap) Len() int { return len(h) }
func (h heap) Less(i, j int) bool {
	a, b := h[i].held, h[j].held
	return a.lamport < b.lamport || a.lamport == b.lamport && a.id < b.id
}
func (h heap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *heap) Push(x any)   { *h = append(*h, x.(item)) }
func (h *heap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
