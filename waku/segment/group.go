package segment

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	wakupb "github.com/parley-im/parley/pb/waku"
)

// group is what is known of one open payload. Numbers that no segment told yet
// are 0. It is stored as its fields in order, big-endian.
type group struct {
	First  uint64 // Unix nanoseconds of its first segment
	Bytes  uint64 // counted against the limits
	Length uint64 // of the payload, as its segments tell
	Count  uint32 // data segments
	Parity uint32 // parity segments
	Stored uint32 // segments in the store
	Size   uint32 // length of every segment but the last data segment
	Last   uint32 // length of the last data segment
}

// Open is a payload that is being put together, as far as its segments tell.
type Open struct {
	From key.Public
	// Hash is that of the whole payload, which every segment names.
	Hash [hashSize]byte
	// First is when the first segment came.
	First time.Time
	// Have is how many segments there are and Need how many it takes; Need is 0
	// while no segment has told.
	Have, Need int
	// Bytes are those of the segments that there are, Length those of the
	// payload; 0 while no segment has told.
	Bytes, Length int
}

// open shows the group.
func (g group) open(from key.Public, hash []byte) Open {
	o := Open{From: from, Have: int(g.Stored), Need: int(g.Count), Length: int(g.Length)}
	copy(o.Hash[:], hash)
	if g.First > 0 {
		o.First = time.Unix(0, int64(g.First))
	}
	o.Bytes = int(g.Bytes) - segmentCharge*o.Have
	return o
}

// merge returns the group with what s tells, or an error when s contradicts
// the segments before it.
func (g group) merge(s *wakupb.SegmentMessage, maxPayload int) (group, error) {
	n := uint32(len(s.Payload))
	var err error
	agree := func(known *uint32, told uint32, cause error, what string) {
		if told == 0 || err != nil {
			return
		}
		if *known != 0 && *known != told {
			err = fmt.Errorf("%w: %s %d, was %d", cause, what, told, *known)
		}
		*known = told
	}
	agree(&g.Count, s.SegmentsCount, ErrCount, "data segments")
	agree(&g.Parity, s.ParitySegmentsCount, ErrCount, "parity segments")
	if !isParity(s) && s.Index == s.SegmentsCount-1 {
		agree(&g.Last, n, ErrLength, "last segment has bytes")
	} else {
		agree(&g.Size, n, ErrLength, "segment has bytes")
	}
	if err != nil {
		return group{}, err
	}
	if told := s.OriginalPayloadLength; told != 0 {
		if g.Length != 0 && g.Length != told {
			return group{}, fmt.Errorf("%w: payload has bytes %d, was %d", ErrLength, told, g.Length)
		}
		g.Length = told
	}
	return g, g.consistent(uint64(maxPayload))
}

// consistent checks the numbers against each other.
func (g group) consistent(maxPayload uint64) error {
	count, size, last := uint64(g.Count), uint64(g.Size), uint64(g.Last)
	if g.Parity > 0 && g.Count+g.Parity > MaxCoded {
		return fmt.Errorf("%w: %d data and %d parity segments, at most %d", ErrCount, g.Count, g.Parity, MaxCoded)
	}
	if size > 0 && last > size {
		return fmt.Errorf("%w: last segment of %d bytes after segments of %d", ErrLength, last, size)
	}
	if g.Length > maxPayload {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, g.Length, maxPayload)
	}
	if count == 0 || size == 0 {
		return nil
	}
	before := (count - 1) * size // bytes before the last data segment
	if before+max(last, 1) > maxPayload {
		return fmt.Errorf("%w: %d segments of %d bytes, at most %d bytes", ErrTooLarge, count, size, maxPayload)
	}
	if g.Length == 0 {
		return nil
	}
	if g.Length <= before || g.Length > before+size || (last > 0 && g.Length != before+last) {
		return fmt.Errorf("%w: payload of %d bytes in %d segments of %d", ErrLength, g.Length, count, size)
	}
	return nil
}
