package storesync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// ErrPayload is a reconciliation payload that breaks a rule of its encoding.
var ErrPayload = errors.New("storesync: malformed payload")

const (
	// maxTimestamp is the last timestamp there is.
	maxTimestamp = math.MaxInt64
	// maxTopics and maxTopic bound the topics of a payload, and the bytes of
	// one.
	maxTopics = topic.ShardsPerCluster
	maxTopic  = 256
	// topicPrefix begins every pubsub topic. It tells the two forms apart.
	topicPrefix = "/waku/2/"
)

// Form is how a payload names what its sender stores.
type Form uint8

const (
	// Shards is the form of the specification and of nwaku to 0.36: cluster
	// and shards. Both sides must have the same.
	Shards Form = iota
	// Topics is the form of nwaku from 0.37: pubsub and content topics, where
	// none is all. What both sides have is reconciled.
	Topics
)

// Scope is what the sender of a payload stores.
type Scope struct {
	Form Form
	// Cluster and Shards are of the form Shards.
	Cluster uint16
	Shards  []uint16
	// PubsubTopics and ContentTopics are of the form Topics.
	PubsubTopics, ContentTopics []string
}

// Kind is what a payload says of a range (WAKU-SYNC, RangeType).
type Kind uint8

const (
	// Skip is a range that is done with.
	Skip Kind = iota
	// Print is a range with the fingerprint of what the sender has in it.
	Print
	// Items is a range with all ids the sender has in it.
	Items
)

// Range is a part of the order of ids.
type Range struct {
	Bounds
	Kind Kind
	// Print is set for the kind Print.
	Print Fingerprint
	// Items are those of the kind Items, in order and within the bounds.
	Items []store.ID
	// Reconciled says that the sender knows the receiver's ids of the range
	// and needs no list of them.
	Reconciled bool
}

// Payload is one message of a reconciliation (WAKU-SYNC, RangesData). One
// without ranges says that the sender has nothing left to do; its scope is
// not sent.
type Payload struct {
	Scope
	// Ranges follow each other without a gap.
	Ranges []Range
}

// done says whether p ends a reconciliation.
func (p *Payload) done() bool {
	for i := range p.Ranges {
		if p.Ranges[i].Kind != Skip {
			return false
		}
	}
	return true
}

// Append writes p behind dst. The error is ErrPayload when the ranges are not
// such as can be encoded.
//
// A bound is written as the difference of its timestamp to that of the bound
// before and, when that is zero, the bytes of its hash without zeros at the
// end: bounds lie between ids, so that short ones do. This equals the
// truncation of WAKU-SYNC wherever that loses nothing.
func (p *Payload) Append(dst []byte) ([]byte, error) {
	if len(p.Ranges) == 0 {
		return append(dst, 0), nil
	}
	dst = p.Scope.append(dst)
	last := p.Ranges[0].Lower
	if last.Timestamp < 0 || !last.Hash.IsZero() {
		return nil, fmt.Errorf("%w: the first bound has a hash or is before 1970", ErrPayload)
	}
	dst = binary.AppendUvarint(dst, uint64(last.Timestamp))
	for i := range p.Ranges {
		r := &p.Ranges[i]
		if r.Lower != last || compareIDs(r.Lower, r.Upper) >= 0 {
			return nil, fmt.Errorf("%w: range %d is empty or does not follow the one before", ErrPayload, i)
		}
		step := r.Upper.Timestamp - last.Timestamp
		if step > 0 && !r.Upper.Hash.IsZero() {
			return nil, fmt.Errorf("%w: bound %d has a hash and another timestamp than the one before", ErrPayload, i)
		}
		dst = binary.AppendUvarint(dst, uint64(step))
		if step == 0 {
			n := significant(&r.Upper.Hash)
			dst = append(append(dst, byte(n)), r.Upper.Hash[:n]...)
		}
		last = r.Upper
		dst = append(dst, byte(r.Kind))
		switch r.Kind {
		case Print:
			dst = append(dst, r.Print[:]...)
		case Items:
			dst = r.appendItems(dst)
		}
	}
	return dst, nil
}

// appendItems writes the set of a range: its size, each id as the difference
// of timestamps and the whole hash, and whether it is reconciled.
func (r *Range) appendItems(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(r.Items)))
	var last int64
	for i := range r.Items {
		id := &r.Items[i]
		dst = binary.AppendUvarint(dst, uint64(id.Timestamp-last))
		dst = append(dst, id.Hash[:]...)
		last = id.Timestamp
	}
	if r.Reconciled {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (s *Scope) append(dst []byte) []byte {
	if s.Form == Shards {
		dst = binary.AppendUvarint(dst, uint64(s.Cluster))
		dst = binary.AppendUvarint(dst, uint64(len(s.Shards)))
		for _, n := range s.Shards {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		return dst
	}
	for _, topics := range [][]string{s.PubsubTopics, s.ContentTopics} {
		dst = binary.AppendUvarint(dst, uint64(len(topics)))
		for _, t := range topics {
			dst = binary.AppendUvarint(dst, uint64(len(t)))
			dst = append(dst, t...)
		}
	}
	return dst
}

// significant is the number of bytes of h without the zeros at its end.
func significant(h *message.Hash) int {
	n := len(h)
	for n > 0 && h[n-1] == 0 {
		n--
	}
	return n
}

// Decode reads a payload in either form. Its error is ErrPayload; what it
// accepts is what Append writes.
func Decode(b []byte) (*Payload, error) {
	if len(b) == 1 && b[0] == 0 {
		return new(Payload), nil
	}
	if p, err := decode(b, Topics); err == nil {
		return p, nil
	}
	return decode(b, Shards)
}

func decode(b []byte, form Form) (*Payload, error) {
	d := decoder{rest: b}
	p := &Payload{Scope: d.scope(form)}
	last := store.ID{Timestamp: d.timestamp(0)}
	for d.err == nil {
		if len(p.Ranges) == MaxRanges {
			d.fail("more than %d ranges", MaxRanges)
			break
		}
		p.Ranges = append(p.Ranges, d.span(last))
		last = p.Ranges[len(p.Ranges)-1].Upper
		if len(d.rest) == 0 {
			break
		}
	}
	if d.err != nil {
		return nil, d.err
	}
	return p, nil
}

// decoder reads a payload; after the first error it reads nothing more.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrPayload, fmt.Sprintf(format, args...))
	}
	d.rest = nil
}

// uvarint reads a minimal LEB128 number of at most limit.
func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	switch {
	case n <= 0:
		d.fail("truncated or endless number")
	case n > 1 && d.rest[n-1] == 0:
		d.fail("number with more bytes than it needs")
	case v > limit:
		d.fail("%d is above %d", v, limit)
	default:
		d.rest = d.rest[n:]
		return v
	}
	return 0
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.fail("truncated")
		return make([]byte, n) // never more than a hash or a topic
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) byte(limit byte) byte {
	b := d.bytes(1)[0]
	if b > limit {
		d.fail("%d is above %d", b, limit)
		return 0
	}
	return b
}

// timestamp reads one that follows another.
func (d *decoder) timestamp(last int64) int64 {
	return last + int64(d.uvarint(uint64(maxTimestamp-last)))
}

func (d *decoder) hash() message.Hash { return message.Hash(d.bytes(message.HashSize)) }

func (d *decoder) scope(form Form) Scope {
	s := Scope{Form: form}
	if form == Shards {
		s.Cluster = uint16(d.uvarint(math.MaxUint16))
		for range d.uvarint(maxTopics) {
			s.Shards = append(s.Shards, uint16(d.uvarint(math.MaxUint16)))
		}
		return s
	}
	s.PubsubTopics = d.topics(topicPrefix)
	s.ContentTopics = d.topics("/")
	return s
}

func (d *decoder) topics(prefix string) (topics []string) {
	for range d.uvarint(maxTopics) {
		t := string(d.bytes(int(d.uvarint(maxTopic))))
		if d.err != nil {
			return nil
		}
		if !strings.HasPrefix(t, prefix) {
			d.fail("no topic: %q", t)
			return nil
		}
		topics = append(topics, t)
	}
	return topics
}

// span reads the range that begins at lower.
func (d *decoder) span(lower store.ID) Range {
	r := Range{Bounds: Bounds{lower, store.ID{Timestamp: d.timestamp(lower.Timestamp)}}}
	if r.Upper.Timestamp == lower.Timestamp {
		n := int(d.byte(message.HashSize))
		copy(r.Upper.Hash[:], d.bytes(n))
		if d.err == nil && (significant(&r.Upper.Hash) != n || compareIDs(lower, r.Upper) >= 0) {
			d.fail("empty range, or hash of a bound with zeros at its end")
		}
	}
	r.Kind = Kind(d.byte(byte(Items)))
	switch r.Kind {
	case Print:
		r.Print = Fingerprint(d.bytes(len(r.Print)))
	case Items:
		d.items(&r)
	}
	return r
}

func (d *decoder) items(r *Range) {
	n := d.uvarint(uint64(len(d.rest)) / (message.HashSize + 1))
	if n > 0 {
		r.Items = make([]store.ID, 0, n)
	}
	var last store.ID
	for range n {
		id := store.ID{Timestamp: d.timestamp(last.Timestamp), Hash: d.hash()}
		switch {
		case d.err != nil:
			return
		case !r.contains(id):
			d.fail("id outside of its range")
			return
		case len(r.Items) > 0 && compareIDs(last, id) >= 0:
			d.fail("ids out of order")
			return
		}
		r.Items = append(r.Items, id)
		last = id
	}
	r.Reconciled = d.byte(1) == 1
}
