package storage

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// ErrPosition is a text that is no position.
var ErrPosition = errors.New("not a position")

// positionSize is the length of a position in keys: clock and id.
const positionSize = 8 + message.IDSize

// Position is a place between the messages of a chat, or of all: that of the
// message with this clock and id, whether it is still there or not. It stays
// right whatever comes or goes meanwhile. The zero position is none.
type Position struct {
	Clock uint64
	ID    message.ID
}

// PositionOf returns where a message stands.
func PositionOf(m *chat.Message) Position { return Position{m.Clock, m.ID} }

// AfterClock is the position behind all messages of a clock and before later
// ones: what is after it is newer than that clock.
func AfterClock(clock uint64) Position {
	return Position{clock, message.ID(bytes.Repeat([]byte{0xff}, message.IDSize))}
}

// IsZero tells that p is no position.
func (p Position) IsZero() bool { return p == Position{} }

// String returns a text for others to hand back, empty for the zero position.
// What it is made of is nobody's business: it may change.
func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(p.key()))
}

// ParsePosition reads what String returned; anything else is ErrPosition.
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	if len(s) != base64.RawURLEncoding.EncodedLen(positionSize) {
		return Position{}, fmt.Errorf("%w: %d characters", ErrPosition, len(s))
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != positionSize {
		return Position{}, fmt.Errorf("%w: not in its alphabet", ErrPosition)
	}
	p := positionOfKey(string(raw))
	if p.IsZero() {
		return Position{}, fmt.Errorf("%w: nothing stands there", ErrPosition)
	}
	return p, nil
}

// MarshalText writes what String returns.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what ParsePosition reads.
func (p *Position) UnmarshalText(text []byte) error {
	parsed, err := ParsePosition(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}

// key is the form in keys, which sorts as messages do.
func (p Position) key() string { return string(number(p.Clock)) + string(p.ID[:]) }

// positionOfKey reads the end of a key, of positionSize bytes.
func positionOfKey(k string) Position {
	return Position{binary.BigEndian.Uint64([]byte(k)), message.ID([]byte(k[8:]))}
}

// before tells whether a message at p stands before one at q.
func (p Position) before(q Position) bool {
	return p.Clock < q.Clock || p.Clock == q.Clock && bytes.Compare(p.ID[:], q.ID[:]) < 0
}
