package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// A summary is stored in a form of its own, not as JSON: a list of chats reads
// a thousand of them at once. It is a version, flags, the two counts, and the
// last message: clock, timestamp, id, and four texts with their lengths before
// them (author, text, content type, state). Numbers are unsigned varints.

const (
	summaryVersion = 1

	summaryPinned  = 1
	summaryLast    = 2
	summaryDeleted = 4
)

func encodeSummary(s Summary) []byte {
	flags := byte(one(s.Pinned)*summaryPinned | one(s.Last.Deleted)*summaryDeleted)
	last := s.Last.ID != (message.ID{})
	if last {
		flags |= summaryLast
	}
	out := append(make([]byte, 0, 160+len(s.Last.Text)), summaryVersion, flags)
	out = binary.AppendUvarint(out, uint64(s.Unread))
	out = binary.AppendUvarint(out, uint64(s.Mentions))
	if !last {
		return out
	}
	out = binary.AppendUvarint(out, s.Last.Clock)
	out = binary.AppendUvarint(out, s.Last.Timestamp)
	out = append(out, s.Last.ID[:]...)
	var from []byte
	if !s.Last.From.IsZero() {
		from = s.Last.From.Bytes()
	}
	for _, text := range [][]byte{from, []byte(s.Last.Text), []byte(s.Last.ContentType), []byte(s.Last.State)} {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	return out
}

// decodeSummary reads a summary. Checking a key takes longer than all the rest;
// peer, which may be zero, is one that need not be checked again.
func decodeSummary(k string, raw []byte, peer key.Public) (s Summary, err error) {
	if len(raw) < 2 || raw[0] != summaryVersion {
		return s, corruptSummary(k)
	}
	flags, rest, bad := raw[1], raw[2:], false
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			bad = true
			return 0
		}
		rest = rest[size:]
		return n
	}
	take := func(n uint64) []byte {
		if bad || n > uint64(len(rest)) {
			bad = true
			return nil
		}
		out := rest[:n]
		rest = rest[n:]
		return out
	}
	s.Pinned = flags&summaryPinned != 0
	s.Unread, s.Mentions = int(number()), int(number())
	if flags&summaryLast != 0 {
		p := &s.Last
		p.Deleted = flags&summaryDeleted != 0
		p.Clock, p.Timestamp = number(), number()
		copy(p.ID[:], take(message.IDSize))
		switch from := take(number()); {
		case len(from) == 0:
		case bytes.Equal(from, peer.Bytes()):
			p.From = peer
		default:
			if p.From, err = key.PublicFromBytes(from); err != nil {
				return Summary{}, corruptSummary(k)
			}
		}
		p.Text, p.ContentType = string(take(number())), string(take(number()))
		p.State = chat.State(take(number()))
	}
	if bad || len(rest) != 0 {
		return Summary{}, corruptSummary(k)
	}
	return s, nil
}

func corruptSummary(k string) error { return fmt.Errorf("%w: record %q", ErrCorrupt, k) }
