package sds

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/parley-im/parley/internal/kv"
)

// lookHeads bounds how many heads are looked at, the newest first.
const lookHeads = 64

// addHead makes a message of the log a head, and those that it depends on
// heads no more.
func (e *step) addHead(m *Message) error {
	for _, h := range m.History {
		k, ok, err := e.known(refOf(h.ID))
		if err != nil {
			return err
		}
		if ok {
			if err := e.st.Delete(placeKey(keyHeads, k.lamport, h.ID)); err != nil {
				return err
			}
		}
	}
	return e.st.Put(placeKey(keyHeads, m.Lamport, m.ID), nil)
}

// heads returns the messages of the log that no message of the log depends on,
// as far as their Lamport timestamp is believed, the newest first.
func (e *step) heads() (list []Logged, err error) {
	latest := e.latest()
	err = e.st.Scan(keyHeads, func(k string, _ []byte) error {
		if len(k) <= len(keyHeads)+numberSize {
			return fmt.Errorf("%w: heads", ErrCorrupt)
		}
		if len(list) == lookHeads {
			return kv.Stop
		}
		place := k[len(keyHeads):]
		if l := (Logged{Entry{ID: place[numberSize:]}, placeLamport(place)}); l.Lamport <= latest {
			list = append(list, l)
		}
		return nil
	})
	return list, err
}

// addHistory fills in the causal history: the newest messages, and heads
// beyond them, as long as the header has room for them beside half a filter.
// Of more heads than that, chance decides.
func (e *step) addHistory(m *Message) error {
	c := e.Config
	newest, err := e.tail(c.History, e.latest())
	if err != nil {
		return err
	}
	named := newest
	for _, l := range newest {
		m.History = append(m.History, e.historyEntry(l.Entry))
	}
	if c.Heads > 0 {
		heads, err := e.otherHeads(newest)
		if err != nil {
			return err
		}
		room := filterTag + c.Filter.size(c.Filter.Window)/2
		for _, l := range heads {
			entry, err := e.logEntry(l.Lamport, l.ID)
			if err != nil {
				return err
			}
			if entry == nil {
				return fmt.Errorf("%w: head is not in the log", ErrCorrupt)
			}
			m.History = append(m.History, e.historyEntry(*entry))
			if c.Header > 0 && m.header(c.Layout)+room > c.Header {
				m.History = m.History[:len(m.History)-1]
				break
			}
			named = append(named, l)
		}
	}
	places := map[string]uint64{}
	for _, l := range named {
		places[l.ID] = l.Lamport
	}
	slices.SortFunc(m.History, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(places[a.ID], places[b.ID]), cmp.Compare(a.ID, b.ID))
	})
	return nil
}

// otherHeads returns heads that are not among the newest messages,
// Config.Heads at most.
func (e *step) otherHeads(newest []Logged) ([]Logged, error) {
	heads, err := e.heads()
	if err != nil {
		return nil, err
	}
	heads = slices.DeleteFunc(heads, func(l Logged) bool {
		return slices.ContainsFunc(newest, func(n Logged) bool { return n.ID == l.ID })
	})
	most := e.Config.Heads
	if len(heads) <= most {
		return heads, nil
	}
	var b [8]byte
	if _, err := io.ReadFull(e.rand, b[:]); err != nil {
		return nil, fmt.Errorf("choosing heads: %w", err)
	}
	first := int(binary.BigEndian.Uint64(b[:]) % uint64(len(heads)))
	return append(heads[first:], heads[:first]...)[:most], nil
}

// historyEntry is a message as causal histories name it.
func (e *step) historyEntry(entry Entry) Entry {
	if e.Config.Repair.Off {
		entry.Sender = "" // populated with SDS-R alone
	}
	return entry
}

// lacks reports whether the sender of a message cannot have one of our heads:
// it neither names it nor has it in its filter. Without a filter only the
// newest tells. What is older than Fetch.Keep is not pressed on anybody, so
// that a quiet channel becomes quiet.
func (e *step) lacks(m *Message, r ref) (bool, error) {
	heads, err := e.heads()
	if err != nil {
		return false, err
	}
	f := e.Config.Filter
	usable := f.usable(m.Filter)
	if !usable {
		heads = heads[:min(1, len(heads))]
	}
	keep := uint64(e.Config.Fetch.Keep / e.Config.Tick)
	for _, l := range heads {
		if l.Lamport+keep < e.clock() {
			return false, nil
		}
		if slices.ContainsFunc(m.History, func(h Entry) bool { return h.ID == l.ID }) {
			continue
		}
		if !usable || !f.contains(m.Filter, f.prehash(l.ID, refOf(l.ID)), salt(r)) {
			return true, nil
		}
	}
	return false, nil
}
