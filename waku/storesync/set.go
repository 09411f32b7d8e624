package storesync

import (
	"bytes"
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"sort"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// ErrOrder is a sequence of ids that is not in strictly ascending order.
var ErrOrder = errors.New("storesync: ids are not in ascending order")

// Fingerprint is the XOR of the hashes of a range.
type Fingerprint [message.HashSize]byte

// add puts a hash or another fingerprint in, or takes it out again.
func (f *Fingerprint) add(h *[message.HashSize]byte) { subtle.XORBytes(f[:], f[:], h[:]) }

// compareIDs orders ids by timestamp, then by hash.
func compareIDs(a, b store.ID) int {
	if a.Timestamp != b.Timestamp {
		return cmp.Compare(a.Timestamp, b.Timestamp)
	}
	return bytes.Compare(a.Hash[:], b.Hash[:])
}

// Bounds are the ids with Lower ≤ id < Upper.
type Bounds struct{ Lower, Upper store.ID }

// Between are the bounds of start ≤ timestamp < end, in nanoseconds.
func Between(start, end int64) Bounds {
	return Bounds{store.ID{Timestamp: start}, store.ID{Timestamp: end}}
}

// contains says whether id is within b.
func (b Bounds) contains(id store.ID) bool {
	return compareIDs(b.Lower, id) <= 0 && compareIDs(id, b.Upper) < 0
}

// within says whether b is a part of o.
func (b Bounds) within(o Bounds) bool {
	return compareIDs(o.Lower, b.Lower) <= 0 && compareIDs(b.Upper, o.Upper) <= 0
}

// block is the number of ids that share one precomputed fingerprint.
const block = 64

// Set is an ordered set of ids that does not change: what one side of a
// reconciliation has.
type Set struct {
	ids []store.ID
	// sums[i] is the fingerprint of ids[:i*block].
	sums []Fingerprint
}

// NewSet returns the set of ids, which it keeps; they are in strictly
// ascending order, or the error is ErrOrder.
func NewSet(ids []store.ID) (*Set, error) {
	s := &Set{ids: ids, sums: make([]Fingerprint, 0, len(ids)/block+1)}
	var sum Fingerprint
	for i := range ids {
		if i > 0 && compareIDs(ids[i-1], ids[i]) >= 0 {
			return nil, fmt.Errorf("%w: id %d", ErrOrder, i)
		}
		if i%block == 0 {
			s.sums = append(s.sums, sum)
		}
		sum.add((*[message.HashSize]byte)(&ids[i].Hash))
	}
	if len(ids)%block == 0 {
		s.sums = append(s.sums, sum)
	}
	return s, nil
}

// Fingerprint returns the XOR of the hashes within b; zero where there is
// none.
func (s *Set) Fingerprint(b Bounds) Fingerprint { return s.between(s.find(b)) }

// find returns the places of the first id within b and of the first behind.
func (s *Set) find(b Bounds) (from, to int) {
	from = sort.Search(len(s.ids), func(i int) bool { return compareIDs(s.ids[i], b.Lower) >= 0 })
	to = from + sort.Search(len(s.ids)-from, func(i int) bool { return compareIDs(s.ids[from+i], b.Upper) >= 0 })
	return from, to
}

// between returns the fingerprint of ids[from:to].
func (s *Set) between(from, to int) Fingerprint {
	a, b := s.before(from), s.before(to)
	a.add((*[message.HashSize]byte)(&b))
	return a
}

// before returns the fingerprint of ids[:i].
func (s *Set) before(i int) Fingerprint {
	sum := s.sums[i/block]
	for j := i - i%block; j < i; j++ {
		sum.add((*[message.HashSize]byte)(&s.ids[j].Hash))
	}
	return sum
}
