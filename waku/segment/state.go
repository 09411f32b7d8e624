package segment

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	wakupb "github.com/parley-im/parley/pb/waku"
)

// The keys of the store. An id is sender/hash, in hexadecimal.
//
//	g/<id>              group
//	s/<id>/<d|p><index> payload of a data or parity segment
//	o/<time>/<id>       open payloads in the order of their first segment
//	c/<id>              finished payloads: the time
//	e/<time>/<id>       finished payloads in the order of time
//	t                   totals
const (
	groupPrefix     = "g/"
	segmentPrefix   = "s/"
	openPrefix      = "o/"
	completedPrefix = "c/"
	expiryPrefix    = "e/"
	totalsKey       = "t"
)

// totals counts what is stored of all senders.
type totals struct {
	Bytes     uint64 // of open payloads, with segmentCharge
	Completed uint64
}

func senderText(from key.Public) string { return from.CompressedHex()[2:] }

func identify(from key.Public, s *wakupb.SegmentMessage) string {
	return senderText(from) + "/" + hex.EncodeToString(s.EntireMessageHash)
}

func completedKey(id string) string { return completedPrefix + id }

func segmentKey(id string, s *wakupb.SegmentMessage) string {
	if isParity(s) {
		return fmt.Sprintf("%s%s/p%04x", segmentPrefix, id, s.ParitySegmentIndex)
	}
	return fmt.Sprintf("%s%s/d%04x", segmentPrefix, id, s.Index)
}

func timeKey(prefix string, at uint64, id string) string {
	return fmt.Sprintf("%s%016x/%s", prefix, at, id)
}

// stamp returns Unix nanoseconds; a time before 1970 is 1970.
func stamp(t time.Time) uint64 {
	if t.Before(time.Unix(0, 0)) {
		return 0
	}
	return uint64(t.UnixNano())
}

func encode(v any) []byte {
	b, err := binary.Append(nil, binary.BigEndian, v)
	if err != nil {
		panic(err) // v has no fixed size: a programming error
	}
	return b
}

// load reads a record into v and leaves v alone when there is none.
func load(st kv.Store, name string, v any) error {
	b, ok, err := st.Get(name)
	if err != nil || !ok {
		return err
	}
	return decode(b, v)
}

func decode(b []byte, v any) error {
	if n, err := binary.Decode(b, binary.BigEndian, v); err != nil || n != len(b) {
		return ErrState
	}
	return nil
}

func loadGroup(st kv.Store, id string) (g group, err error) {
	err = load(st, groupPrefix+id, &g)
	return g, err
}

func changeTotals(st kv.Store, change func(*totals)) error {
	var t totals
	if err := load(st, totalsKey, &t); err != nil {
		return err
	}
	change(&t)
	return st.Put(totalsKey, encode(t))
}

// storeSegment writes a segment and its group, which was g before.
func storeSegment(st kv.Store, id string, g, merged group, s *wakupb.SegmentMessage) error {
	if g.Stored == 0 {
		if err := st.Put(timeKey(openPrefix, merged.First, id), []byte{1}); err != nil {
			return err
		}
	}
	if err := st.Put(segmentKey(id, s), s.Payload); err != nil {
		return err
	}
	if err := st.Put(groupPrefix+id, encode(merged)); err != nil {
		return err
	}
	return changeTotals(st, func(t *totals) { t.Bytes += merged.Bytes - g.Bytes })
}

// scanSegments visits the stored segments of a payload.
func scanSegments(st kv.Store, id string, visit func(parity bool, index int, b []byte) error) error {
	prefix := segmentPrefix + id + "/"
	return st.Scan(prefix, func(name string, b []byte) error {
		kind := name[len(prefix):]
		if kind == "" {
			return ErrState
		}
		index, err := strconv.ParseUint(kind[1:], 16, 16)
		if err != nil {
			return ErrState
		}
		return visit(kind[0] == 'p', int(index), b)
	})
}

// dropGroup forgets an open payload and returns what it was.
func dropGroup(st kv.Store, id string) (group, error) {
	g, err := loadGroup(st, id)
	if err != nil {
		return g, err
	}
	if g.Stored == 0 {
		return g, fmt.Errorf("%w: no payload %s", ErrState, id)
	}
	names := []string{groupPrefix + id, timeKey(openPrefix, g.First, id)}
	err = st.Scan(segmentPrefix+id+"/", func(name string, _ []byte) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		return g, err
	}
	for _, name := range names {
		if err := st.Delete(name); err != nil {
			return g, err
		}
	}
	return g, changeTotals(st, func(t *totals) { t.Bytes -= min(g.Bytes, t.Bytes) })
}

// giveUp is dropGroup of a payload that is not complete.
func giveUp(st kv.Store, id string) (Open, error) {
	g, err := dropGroup(st, id)
	if err != nil {
		return Open{}, err
	}
	return g.named(id)
}

// named shows the group of an id.
func (g group) named(id string) (Open, error) {
	sender, hash, _ := strings.Cut(id, "/")
	compressed, err := hex.DecodeString(sender)
	if err != nil {
		return Open{}, ErrState
	}
	from, err := key.PublicFromBytes(compressed)
	if err != nil {
		return Open{}, ErrState
	}
	raw, err := hex.DecodeString(hash)
	if err != nil || len(raw) != hashSize {
		return Open{}, ErrState
	}
	return g.open(from, raw), nil
}

// Since returns when the first segment came of the oldest open payload that is
// not older than a time, the zero time when there is none: from there on store
// nodes may have what is missing.
func (a Assembler) Since(st kv.Store, after time.Time) (first time.Time, err error) {
	least := stamp(after)
	err = st.Scan(openPrefix, func(name string, _ []byte) error {
		at, _, ok := strings.Cut(name[len(openPrefix):], "/")
		when, err := strconv.ParseUint(at, 16, 64)
		switch {
		case !ok || err != nil:
			return ErrState
		case when < least:
			return nil
		}
		first = time.Unix(0, int64(when))
		return kv.Stop
	})
	return first, err
}

// finish forgets the segments of a payload and remembers that it was finished.
// The group is g as stored, without the last segment.
func (a Assembler) finish(st kv.Store, now time.Time, id string, g group) error {
	if g.Stored > 0 {
		if _, err := dropGroup(st, id); err != nil {
			return err
		}
	}
	at := stamp(now)
	if err := st.Put(completedKey(id), encode(at)); err != nil {
		return err
	}
	if err := st.Put(timeKey(expiryPrefix, at, id), []byte{1}); err != nil {
		return err
	}
	var many int
	err := changeTotals(st, func(t *totals) {
		t.Completed++
		many = int(t.Completed) - or(a.MaxCompleted, MaxCompleted)
	})
	if err != nil || many <= 0 {
		return err
	}
	ids, err := oldest(st, expiryPrefix, ^uint64(0), many)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := forgetCompleted(st, id); err != nil {
			return err
		}
	}
	return nil
}

func forgetCompleted(st kv.Store, id string) error {
	var at uint64
	if err := load(st, completedKey(id), &at); err != nil {
		return err
	}
	if err := st.Delete(completedKey(id)); err != nil {
		return err
	}
	if err := st.Delete(timeKey(expiryPrefix, at, id)); err != nil {
		return err
	}
	return changeTotals(st, func(t *totals) { t.Completed -= min(1, t.Completed) })
}

// oldest returns the ids of an index in the order of time, up to a time and a
// number; a negative number is none.
func oldest(st kv.Store, prefix string, last uint64, many int) ([]string, error) {
	var ids []string
	err := st.Scan(prefix, func(name string, _ []byte) error {
		at, id, ok := strings.Cut(name[len(prefix):], "/")
		when, err := strconv.ParseUint(at, 16, 64)
		if !ok || err != nil {
			return ErrState
		}
		if when > last || len(ids) == many {
			return kv.Stop
		}
		ids = append(ids, id)
		return nil
	})
	return ids, err
}
