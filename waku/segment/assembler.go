package segment

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	wakupb "github.com/parley-im/parley/pb/waku"
)

// Limits of what is kept of payloads that are not complete yet. Foreign keys
// cost nothing, so there is a bound for one sender and one for all together;
// the oldest payload gives way.
const (
	// MaxPayload is the largest payload that is put together, in bytes.
	MaxPayload = 32 << 20
	// SenderGroups is how many payloads of one sender may be open.
	SenderGroups = 64
	// SenderBytes bounds the open payloads of one sender.
	SenderBytes = 64 << 20
	// TotalBytes bounds all open payloads.
	TotalBytes = 256 << 20
	// MaxCompleted is how many finished payloads are remembered.
	MaxCompleted = 1 << 16
	// KeepFor is how long open and finished payloads are remembered.
	KeepFor = 30 * 24 * time.Hour

	// segmentCharge is counted for each stored segment besides its payload, so
	// that many tiny ones are bounded too.
	segmentCharge = 1024
)

// Status says what became of the bytes given to Add.
type Status int

// The statuses. The zero value comes with an error.
const (
	// Whole bytes are no segment; they are returned as they came.
	Whole Status = iota + 1
	// Incomplete is a segment whose payload still lacks others.
	Incomplete
	// Complete is the segment that finished a payload, which is returned.
	Complete
	// AlreadyComplete is a segment of a payload that was returned before.
	AlreadyComplete
)

// String returns the status in words.
func (s Status) String() string {
	switch s {
	case Whole:
		return "whole"
	case Incomplete:
		return "incomplete"
	case Complete:
		return "complete"
	case AlreadyComplete:
		return "already complete"
	}
	return "none"
}

// Assembler puts payloads together from segments in any order. All its state
// is in the store that it is given, which must be its own (kv.Sub). The zero
// value is ready; its fields lower the limits.
type Assembler struct {
	MaxPayload   int // 0: the constant MaxPayload
	SenderGroups int // 0: the constant SenderGroups
	SenderBytes  int // 0: the constant SenderBytes
	TotalBytes   int // 0: the constant TotalBytes
	MaxCompleted int // 0: the constant MaxCompleted
}

func or(v, fallback int) int {
	if v > 0 {
		return v
	}
	return fallback
}

// Taken is what became of the bytes given to Take.
type Taken struct {
	// Payload is what came in as a whole or is complete now.
	Payload []byte
	Status  Status
	// Of tells about the payload that a segment belongs to; it is empty for
	// what is no segment.
	Of Open
	// New tells that the segment was not there before.
	New bool
	// Dropped are payloads that had to give way to the segment.
	Dropped []Open
}

// Add takes the opened payload of a message from a sender. Bytes that are no
// segment come back unchanged; a segment that is the last one needed brings
// the whole payload. Repeated segments change nothing.
//
// Payloads of two senders never mix, even with the same hash. On an error that
// is not the store's nothing is changed.
func (a Assembler) Add(st kv.Store, now time.Time, from key.Public, raw []byte) ([]byte, Status, error) {
	taken, err := a.Take(st, now, from, raw)
	return taken.Payload, taken.Status, err
}

// Take is Add that also tells how far the payload is.
func (a Assembler) Take(st kv.Store, now time.Time, from key.Public, raw []byte) (Taken, error) {
	s := parse(raw)
	if s == nil {
		return Taken{Payload: raw, Status: Whole}, nil
	}
	if err := check(s); err != nil {
		return Taken{}, err
	}
	id := identify(from, s)
	if _, done, err := st.Get(completedKey(id)); err != nil {
		return Taken{}, err
	} else if done {
		return Taken{Status: AlreadyComplete, Of: group{}.open(from, s.EntireMessageHash)}, nil
	}
	g, err := loadGroup(st, id)
	if err != nil {
		return Taken{}, err
	}
	if g.Stored == 0 {
		g.First = stamp(now)
	}
	limit := or(a.MaxPayload, MaxPayload)
	merged, err := g.merge(s, limit)
	if err != nil {
		return Taken{}, err
	}
	if _, there, err := st.Get(segmentKey(id, s)); err != nil {
		return Taken{}, err
	} else if there {
		return Taken{Status: Incomplete, Of: g.open(from, s.EntireMessageHash)}, nil
	}

	merged.Stored++
	merged.Bytes += uint64(len(s.Payload) + segmentCharge)
	taken := Taken{Status: Incomplete, New: true, Of: merged.open(from, s.EntireMessageHash)}
	if merged.Count > 0 && merged.Stored >= merged.Count {
		if taken.Payload, err = assemble(st, id, merged, s); err != nil {
			return Taken{}, err
		}
		if n := len(taken.Payload); n > limit {
			return Taken{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, limit)
		}
		taken.Status, taken.Of.Length = Complete, len(taken.Payload)
		return taken, a.finish(st, now, id, g)
	}
	if taken.Dropped, err = a.makeRoom(st, id, g, merged); err != nil {
		return Taken{}, err
	}
	return taken, storeSegment(st, id, g, merged, s)
}

// Purge forgets open and finished payloads whose first segment, or whose
// completion, is KeepFor or longer ago. It returns the open ones.
func (a Assembler) Purge(st kv.Store, now time.Time) (stale []Open, err error) {
	last := stamp(now.Add(-KeepFor))
	open, err := oldest(st, openPrefix, last, -1)
	if err != nil {
		return nil, err
	}
	for _, id := range open {
		dropped, err := giveUp(st, id)
		if err != nil {
			return nil, err
		}
		stale = append(stale, dropped)
	}
	done, err := oldest(st, expiryPrefix, last, -1)
	if err != nil {
		return nil, err
	}
	for _, id := range done {
		if err := forgetCompleted(st, id); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

// parse returns nil when raw is no segment: it does not decode, it tells no
// number of segments, or its hash is not one. The last rule keeps apart signed
// application messages, which have a 65-byte signature in the field of the
// hash and their type in that of the segment count.
func parse(raw []byte) *wakupb.SegmentMessage {
	s := new(wakupb.SegmentMessage)
	if proto.Unmarshal(raw, s) != nil || len(s.EntireMessageHash) != hashSize {
		return nil
	}
	if s.SegmentsCount < 2 && s.ParitySegmentsCount == 0 {
		return nil
	}
	return s
}

func isParity(s *wakupb.SegmentMessage) bool { return s.SegmentsCount == 0 }

// check refuses a segment that contradicts itself.
func check(s *wakupb.SegmentMessage) error {
	parity := s.ParitySegmentsCount
	switch {
	case s.SegmentsCount == 1:
		return fmt.Errorf("%w: 1 data segment", ErrCount)
	case s.SegmentsCount > MaxSegments:
		return fmt.Errorf("%w: %d data segments, at most %d", ErrCount, s.SegmentsCount, MaxSegments)
	case parity > MaxCoded-2:
		return fmt.Errorf("%w: %d parity segments, at most %d", ErrCount, parity, MaxCoded-2)
	case isParity(s) && s.ParitySegmentIndex >= parity:
		return fmt.Errorf("%w: parity segment %d of %d", ErrIndex, s.ParitySegmentIndex, parity)
	case !isParity(s) && s.Index >= s.SegmentsCount:
		return fmt.Errorf("%w: data segment %d of %d", ErrIndex, s.Index, s.SegmentsCount)
	case len(s.Payload) == 0:
		return fmt.Errorf("%w: empty", ErrLength)
	}
	return nil
}
