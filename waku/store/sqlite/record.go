package sqlite

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/parley-im/parley/waku/message"
)

// topic is a pair of topics as in the table.
type topic struct{ pubsub, content string }

// record is what an index knows of an entry.
type record struct {
	timestamp int64
	hash      message.Hash
	topic     uint32 // the number of the topic pair in the slice
	size      uint32 // of the message as stored, in bytes
	id        int64  // the row in the slice
}

// recordSize is the size of an encoded record.
const recordSize = keySize + 12

// appendTo encodes r: the key, by which encoded records sort as entries do,
// then the rest. The row is told from the first of its chunk.
func (r *record) appendTo(b []byte, first int64) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.timestamp))
	b = append(b, r.hash[:]...)
	b = binary.BigEndian.AppendUint32(b, r.topic)
	b = binary.BigEndian.AppendUint32(b, r.size)
	return binary.BigEndian.AppendUint32(b, uint32(r.id-first))
}

func recordOf(b []byte, first int64) record {
	return record{
		timestamp: int64(binary.BigEndian.Uint64(b)),
		hash:      message.Hash(b[8:keySize]),
		topic:     binary.BigEndian.Uint32(b[keySize:]),
		size:      binary.BigEndian.Uint32(b[keySize+4:]),
		id:        first + int64(binary.BigEndian.Uint32(b[keySize+8:])),
	}
}

func compareRecords(a, b record) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), bytes.Compare(a.hash[:], b.hash[:]))
}

// prefix is the start of a hash, as far as the indexes by hash go.
func prefix(h *message.Hash) uint64 { return binary.BigEndian.Uint64(h[:]) }

// key is the key of r.
func (r *record) key() key { return key{r.timestamp, r.hash[:]} }

// key is a place in the order of entries: that of one, or, as the bound of a
// range, a place between two.
type key struct {
	timestamp int64
	hash      []byte
}

// keySize is the size of an encoded key of an entry.
const keySize = 8 + message.HashSize

// last is behind every entry.
var last = key{math.MaxInt64, bytes.Repeat([]byte{0xff}, message.HashSize+1)}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), bytes.Compare(a.hash, b.hash))
}

// after is the first place behind k.
func (k key) after() key { return key{k.timestamp, append(slices.Clone(k.hash), 0)} }

// encode returns what sorts as k does among encoded records.
func (k key) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(k.timestamp)), k.hash...)
}

// within are the bounds of a scan: from inclusive, to exclusive.
type within struct {
	from, to key
	forward  bool
	limit    int
}

// cut leaves w.limit of the places from including to excluding, on the side
// where the scan begins.
func (w *within) cut(from, to int) (int, int) {
	if n := to - from - w.limit; n > 0 && w.forward {
		to -= n
	} else if n > 0 {
		from += n
	}
	return from, to
}

// reduce sorts what scans of one range found, in the direction of w, and
// keeps the first w.limit. w then ends where no more can be found.
func (w *within) reduce(found []record) []record {
	if w.forward {
		slices.SortFunc(found, compareRecords)
	} else {
		slices.SortFunc(found, func(a, b record) int { return compareRecords(b, a) })
	}
	if len(found) < w.limit {
		return found
	}
	found = found[:w.limit]
	edge := found[w.limit-1].key()
	edge.hash = slices.Clone(edge.hash)
	if w.forward {
		w.to = edge
	} else {
		w.from = edge.after()
	}
	return found
}
