package sds

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/parley-im/parley/internal/kv"
)

// Logged is an entry of the local log.
type Logged struct {
	Entry
	Lamport uint64
}

// Log returns the local log: delivered and own messages in the channel's
// order, by Lamport timestamp and then by id, the oldest first.
func (c *Channel) Log(st kv.Store) ([]Logged, error) {
	list, err := (table{st}).tail(math.MaxInt, math.MaxUint64)
	return list, err
}

// tail returns the newest n entries of the log whose Lamport timestamp is at
// most latest, the oldest first.
func (t table) tail(n int, latest uint64) ([]Logged, error) {
	// The store has the newest timestamp first, but the ids of one timestamp
	// in ascending order: each such group is turned around.
	var list []Logged
	group := 0
	err := t.st.Scan(keyLog, func(k string, v []byte) error {
		l, err := parseLog(k, v)
		if err != nil {
			return err
		}
		if l.Lamport > latest {
			return nil
		}
		if group < len(list) && list[group].Lamport != l.Lamport {
			slices.Reverse(list[group:])
			group = len(list)
			if group >= n {
				return kv.Stop
			}
		}
		list = append(list, l)
		return nil
	})
	slices.Reverse(list[min(group, len(list)):])
	list = list[:min(n, len(list))]
	slices.Reverse(list)
	return list, err
}

func parseLog(k string, v []byte) (Logged, error) {
	if len(k) <= len(keyLog)+numberSize {
		return Logged{}, fmt.Errorf("%w: log", ErrCorrupt)
	}
	u := unpacker{b: v}
	l := Logged{Lamport: placeLamport(k[len(keyLog):])}
	l.ID = k[len(keyLog)+numberSize:]
	l.Sender = u.text()
	if hint := u.text(); hint != "" {
		l.Hint = []byte(hint)
	}
	return l, u.done("log")
}

func (t table) logEntry(lamport uint64, id string) (*Entry, error) {
	k := logKey(lamport, id)
	raw, ok, err := t.st.Get(k)
	if err != nil || !ok {
		return nil, err
	}
	l, err := parseLog(k, raw)
	return &l.Entry, err
}

func (t table) putLog(lamport uint64, e Entry) error {
	var p packer
	p.text(e.Sender)
	p.text(string(e.Hint))
	return t.st.Put(logKey(lamport, e.ID), p.b)
}

// known is what is kept of a delivered message under its id.
type known struct {
	lamport uint64
	// aired is when it was last rebroadcast as far as we know.
	aired int64
}

func (t table) known(r ref) (known, bool, error) {
	raw, ok, err := t.st.Get(r.key(keyKnown))
	if err != nil || !ok {
		return known{}, false, err
	}
	u := unpacker{b: raw}
	k := known{u.number(), u.signed()}
	return k, true, u.done("known message")
}

func (t table) putKnown(r ref, k known) error {
	var p packer
	p.number(k.lamport)
	p.signed(k.aired)
	return t.st.Put(r.key(keyKnown), p.b)
}

// seen reports whether a message is in the log or held.
func (t table) seen(r ref) (bool, error) {
	if ok, err := t.has(r.key(keyKnown)); ok || err != nil {
		return ok, err
	}
	return t.has(r.key(keyHeld))
}

// logInsert puts a message into the log.
func (e *step) logInsert(m *Message, r ref, hint []byte) error {
	e.s.lamport = max(e.s.lamport, m.Lamport)
	if err := e.putLog(m.Lamport, Entry{m.ID, hint, m.Sender}); err != nil {
		return err
	}
	if err := e.putKnown(r, known{lamport: m.Lamport}); err != nil {
		return err
	}
	e.s.logged++
	if err := e.addHead(m); err != nil {
		return err
	}
	// Trimming in batches makes the walk over the log cost little per entry.
	most := uint64(e.Config.Limits.Log)
	if e.s.logged <= most+most/8 {
		return nil
	}
	return e.trim()
}

// trim drops the oldest entries of the log.
func (e *step) trim() error {
	var old []string
	seen := 0
	err := e.st.Scan(keyLog, func(k string, _ []byte) error {
		if seen++; seen > e.Config.Limits.Log {
			old = append(old, k)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range old {
		if len(k) <= len(keyLog)+numberSize {
			return fmt.Errorf("%w: log", ErrCorrupt)
		}
		lamport := placeLamport(k[len(keyLog):])
		e.s.horizon = max(e.s.horizon, lamport)
		place := k[len(keyLog):]
		if err := e.remove(k, keyHeads+place, refOf(place[numberSize:]).key(keyKnown)); err != nil {
			return err
		}
		e.s.logged--
	}
	return nil
}

// cache keeps a message to answer repair requests, if we are one of those who
// do.
func (e *step) cache(m *Message, r ref, raw []byte) error {
	if e.Config.Repair.Off || m.Sender == "" || !inGroup(e.Self, m.Sender, m.ID, e.Config.Repair.Groups) {
		return nil
	}
	if err := e.st.Put(r.key(keyCache), raw); err != nil {
		return err
	}
	place := binary.BigEndian.AppendUint32(r[:], uint32(len(raw)))
	if err := e.st.Put(keyOrder+number(e.s.cacheNext), place); err != nil {
		return err
	}
	e.s.cacheNext++
	e.s.cacheBytes += uint64(len(raw))
	for limits := e.Config.Limits; e.s.cacheNext-e.s.cacheFirst > uint64(limits.CacheMessages) || e.s.cacheBytes > uint64(limits.CacheBytes); {
		k := keyOrder + number(e.s.cacheFirst)
		place, ok, err := e.st.Get(k)
		if err != nil {
			return err
		}
		if !ok || len(place) != refSize+4 {
			return fmt.Errorf("%w: messages kept for repair", ErrCorrupt)
		}
		if err := e.remove(k, ref(place[:refSize]).key(keyCache)); err != nil {
			return err
		}
		e.s.cacheFirst++
		e.s.cacheBytes -= uint64(binary.BigEndian.Uint32(place[refSize:]))
	}
	return nil
}

// idChunk is how many ids of the filter stand in one value: so many at a time
// leave it, after all of them left its window.
const idChunk = 64

// remember adds an id to the filter.
func (e *step) remember(id string, r ref) error {
	f := e.Config.Filter
	if f.Hash == NoFilter {
		return nil
	}
	k := keyIDs + number(e.s.ids/idChunk)
	chunk, _, err := e.st.Get(k)
	if err != nil {
		return err
	}
	if len(chunk) != int(e.s.ids%idChunk)*numberSize {
		return fmt.Errorf("%w: ids of the filter", ErrCorrupt)
	}
	// A copy, since values handed out are shared.
	chunk = binary.BigEndian.AppendUint64(slices.Clip(chunk), f.prehash(id, r))
	if err := e.st.Put(k, chunk); err != nil {
		return err
	}
	e.s.ids++
	if out := int64(e.s.ids) - int64(f.Window); out >= idChunk && e.s.ids%idChunk == 1 {
		return e.st.Delete(keyIDs + number(uint64(out)/idChunk-1))
	}
	return nil
}

// window returns the prehashes of the newest ids, Filter.Window at most.
func (e *step) window() ([]uint64, error) {
	first := uint64(max(0, int64(e.s.ids)-int64(e.Config.Filter.Window)))
	list := make([]uint64, 0, e.s.ids-first)
	for c := first / idChunk; c*idChunk < e.s.ids; c++ {
		chunk, _, err := e.st.Get(keyIDs + number(c))
		if err != nil {
			return nil, err
		}
		if want := min(idChunk, e.s.ids-c*idChunk); len(chunk) != int(want)*numberSize {
			return nil, fmt.Errorf("%w: ids of the filter", ErrCorrupt)
		}
		for i := max(first, c*idChunk) - c*idChunk; int(i) < len(chunk)/numberSize; i++ {
			list = append(list, binary.BigEndian.Uint64(chunk[i*numberSize:]))
		}
	}
	return list, nil
}
