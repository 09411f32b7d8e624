package message

import (
	"errors"
	"fmt"
	"time"
)

// MaxClockAhead is how far a message's clock may be ahead of the timestamp of
// the Waku message it came in (62/STATUS-PAYLOADS, Clock vs Timestamp and
// message ordering).
const MaxClockAhead = 120 * time.Second

// Errors of CheckClock.
var (
	ErrClockZero  = errors.New("clock is zero")
	ErrClockAhead = errors.New("clock is too far ahead of the transport's time")
)

// CheckClock judges a Lamport clock in milliseconds against the time of the
// Waku message, which counts in whole seconds. There is no lower bound: an old
// clock cannot be told from a message that was sent again.
func CheckClock(clock uint64, wakuTime time.Time) error {
	if clock == 0 {
		return ErrClockZero
	}
	reference := max(wakuTime.Unix(), 0)
	limit := uint64(reference)*1000 + uint64(MaxClockAhead.Milliseconds())
	if clock > limit {
		return fmt.Errorf("%w: %d ms, at most %d", ErrClockAhead, clock, limit)
	}
	return nil
}
