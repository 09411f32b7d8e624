package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/parley-im/parley/waku/message"
)

// key is a place in the order of entries, as bytes that compare as the entries
// do: the timestamp, most significant byte first, and the hash. As the bound of
// a range it may be a part of that, or have something behind it.
type key string

const (
	keySize = 8 + message.HashSize
	// last is behind every entry.
	last = key("\xff")
)

// bound is the place before all entries of a timestamp.
func bound(timestamp int64) key {
	return key(binary.BigEndian.AppendUint64(nil, uint64(max(0, timestamp))))
}

// after is the first place behind k.
func (k key) after() key { return k + "\x00" }

// timestamp is that of an entry's key.
func (k key) timestamp() int64 { return int64(binary.BigEndian.Uint64([]byte(k[:8]))) }

// hash is that of an entry's key.
func (k key) hash() message.Hash { return message.Hash([]byte(k[8:keySize])) }

// entry is what the indexes have of a message.
type entry struct {
	key   key
	topic int32 // the number of the topic pair
}

// everything is the topic number of the chunks that have the entries of all
// topics; no topic has it.
const everything = int32(0)

// chunkBytes bounds the entries of a chunk, so that a page of the database has
// room for two with what else is in their rows. That is about a hundred entries.
const chunkBytes = 3960

// maxEntrySize is that of the longest form of an entry in a chunk.
const maxEntrySize = binary.MaxVarintLen64 + binary.MaxVarintLen32 + message.HashSize

// errCorrupt is an index that makes no sense.
var errCorrupt = errors.New("the index of the archive is corrupt")

// appendEntry appends the form of an entry in a chunk: how much later it is than
// the one before, its topic if the chunk is of all of them, and its hash.
func appendEntry(b []byte, before int64, e entry, topics bool) []byte {
	b = binary.AppendUvarint(b, uint64(e.key.timestamp()-before))
	if topics {
		b = binary.AppendUvarint(b, uint64(e.topic))
	}
	return append(b, e.key[8:keySize]...)
}

// encodeEntries returns sorted entries as one chunk of any size.
func encodeEntries(entries []entry, topics bool) []byte {
	b, before := make([]byte, 0, len(entries)*40), int64(0)
	for _, e := range entries {
		b = appendEntry(b, before, e, topics)
		before = e.key.timestamp()
	}
	return b
}

// decodeEntries appends the entries of a chunk, of a topic or of everything, to
// out.
func decodeEntries(out []entry, b []byte, topic int32) ([]entry, error) {
	keys := make([]byte, 0, (len(b)/(message.HashSize+1)+1)*keySize)
	first, at := len(out), int64(0)
	for len(b) > 0 {
		delta, n := binary.Uvarint(b)
		if n <= 0 || delta > uint64(math.MaxInt64-at) {
			return out, errCorrupt
		}
		at, b = at+int64(delta), b[n:]
		e := entry{topic: topic}
		if topic == everything {
			number, n := binary.Uvarint(b)
			if n <= 0 || number > math.MaxInt32 {
				return out, errCorrupt
			}
			e.topic, b = int32(number), b[n:]
		}
		if len(b) < message.HashSize {
			return out, errCorrupt
		}
		keys = append(binary.BigEndian.AppendUint64(keys, uint64(at)), b[:message.HashSize]...)
		b = b[message.HashSize:]
		out = append(out, e)
	}
	text := key(keys) // one for all
	for i := range out[first:] {
		out[first+i].key = text[i*keySize : (i+1)*keySize]
	}
	return out, nil
}

// chunk is a row of the table of chunks: some entries of a topic of one
// partition that follow each other. Those of a topic do not overlap.
type chunk struct {
	topic       int32
	first, last key // of the entries
	size        int // bytes of the entries
	entries     []byte
}

// pack makes chunks of sorted entries: full ones and one with the rest, or, when
// even, of about the same size, which leaves room where more may come between.
func pack(topic int32, entries []entry, even bool) (out []chunk) {
	limit := chunkBytes
	if even {
		total := len(encodeEntries(entries, topic == everything))
		if parts := (total + chunkBytes - 1) / chunkBytes; parts > 1 {
			limit = min(chunkBytes, total/parts+2*maxEntrySize)
		}
	}
	for len(entries) > 0 {
		c := chunk{topic: topic, first: entries[0].key, entries: make([]byte, 0, min(limit, len(entries)*40))}
		before, n := int64(0), 0
		for n < len(entries) && (n == 0 || len(c.entries)+maxEntrySize <= limit) {
			c.entries = appendEntry(c.entries, before, entries[n], topic == everything)
			before = entries[n].key.timestamp()
			n++
		}
		c.last, c.size = entries[n-1].key, len(c.entries)
		out, entries = append(out, c), entries[n:]
	}
	return out
}

// change is what adding entries does to the chunks of a topic: those named by
// the places go, and their entries are written anew with the added.
type change struct {
	old   []int // places among the topic's chunks
	added []entry
	even  bool
}

// plan distributes sorted entries that are not there over the chunks of their
// topic, in order, as far as these begin behind the first of the entries or a
// few before it. Entries that come behind all chunks are written as chunks of
// their own, together with those before them that are not much larger: so each
// is rewritten a few times only, and few chunks stay small.
func plan(chunks []chunk, entries []entry) (out []change) {
	behind := 0 // where those behind all chunks begin
	if n := len(chunks); n > 0 {
		behind, _ = slices.BinarySearchFunc(entries, chunks[n-1].last, func(e entry, k key) int { return compareKeys(e.key, k) })
	}
	at := 0 // the chunk that the entry belongs to
	for i := 0; i < behind; {
		for at+1 < len(chunks) && chunks[at+1].first < entries[i].key {
			at++
		}
		end := i + 1
		for end < behind && (at+1 == len(chunks) || entries[end].key < chunks[at+1].first) {
			end++
		}
		out = append(out, change{old: []int{at}, added: entries[i:end], even: true})
		i = end
	}
	if behind == len(entries) {
		return out
	}
	tail := change{added: entries[behind:]}
	size := len(tail.added) * (message.HashSize + 5)
	for i := len(chunks) - 1; i >= 0; i-- {
		c := &chunks[i]
		if n := len(out); n > 0 && out[n-1].old[0] == i { // it is written anew anyway
			tail.added = append(slices.Clone(out[n-1].added), tail.added...)
			out = out[:n-1]
		} else if c.size > 2*size || c.size+maxEntrySize > chunkBytes {
			break
		}
		tail.old = append(tail.old, i)
		size += c.size
	}
	return append(out, tail)
}

// corrupt says where an index makes no sense.
func corrupt(topic int32, err error) error { return fmt.Errorf("topic %d: %w", topic, err) }
