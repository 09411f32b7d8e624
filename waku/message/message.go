// Package message builds, checks, reads and identifies Waku messages, the
// envelopes that every Waku protocol carries.
//
// Sources: 14/WAKU2-MESSAGE for the fields and the deterministic hash,
// 64/WAKU2-NETWORK for the size, the Status protocol stack (Waku messages) for
// how Status fills the fields.
package message

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
)

// Version is the payload encryption of every message that Status sends:
// 26/WAKU2-PAYLOAD.
const Version = 1

// Limits. The specifications write "150 KB", which deployed nodes read in two
// ways, and the relays of the Status networks carry more. So what is accepted
// and what is sent have a limit each; what a network carries is up to its
// relays.
const (
	// MaxSize is the largest serialised message accepted, in bytes: 1 MiB, the
	// most that any deployed network carries (Status clients and fleets).
	MaxSize = 1 << 20

	// MaxRPCSize is the strictest reading of 150 KB, in bytes: go-waku counts
	// 150,000 for a whole gossipsub RPC and resets the stream of a larger one.
	MaxRPCSize = 150_000

	// rpcRoom is kept free for the RPC around a message: two tags and lengths
	// (8 bytes) and the pubsub topic with its own (23 for the longest static
	// shard), rounded up for named topics.
	rpcRoom = 64

	// MaxPublishSize is the largest serialised message to publish, in bytes:
	// every deployed node relays it.
	MaxPublishSize = MaxRPCSize - rpcRoom

	// MaxMeta is the largest meta attribute in bytes (14/WAKU2-MESSAGE).
	MaxMeta = 64

	// MaxSkew is how far a timestamp may be from now for a store node to keep
	// the message (deployed store nodes).
	MaxSkew = 20 * time.Second
)

// Errors of this package.
var (
	ErrEncoding     = errors.New("not a Waku message")
	ErrEmptyPayload = errors.New("empty payload")
	ErrEmptyTopic   = errors.New("empty content topic")
	ErrMeta         = errors.New("meta too long")
	ErrTooLarge     = errors.New("message too large")
	ErrTimestamp    = errors.New("bad timestamp")
)

// New returns the message that Status publishes: version 1, the time in
// nanoseconds and, as deployed clients do, meta present but empty and
// ephemeral always present. The payload is kept, not copied.
func New(payload []byte, contentTopic string, at time.Time, ephemeral bool) *wakupb.WakuMessage {
	return &wakupb.WakuMessage{
		Payload:      payload,
		ContentTopic: contentTopic,
		Version:      proto.Uint32(Version),
		Timestamp:    proto.Int64(at.UnixNano()),
		Meta:         []byte{},
		Ephemeral:    proto.Bool(ephemeral),
	}
}

// Validate checks what every node may ask of a message: payload and content
// topic not empty, meta at most MaxMeta, a timestamp (when present) not before
// 1970, at most MaxSize bytes serialised.
func Validate(m *wakupb.WakuMessage) error {
	switch {
	case len(m.GetPayload()) == 0:
		return ErrEmptyPayload
	case m.GetContentTopic() == "":
		return ErrEmptyTopic
	case len(m.GetMeta()) > MaxMeta:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMeta, len(m.GetMeta()), MaxMeta)
	case m.GetTimestamp() < 0:
		return fmt.Errorf("%w: %d ns is before 1970", ErrTimestamp, m.GetTimestamp())
	}
	if size := proto.Size(m); size > MaxSize {
		return fmt.Errorf("%w: %d bytes serialised, at most %d", ErrTooLarge, size, MaxSize)
	}
	return nil
}

// Marshal validates and serialises m, fields in ascending order.
func Marshal(m *wakupb.WakuMessage) ([]byte, error) {
	if err := Validate(m); err != nil {
		return nil, err
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return b, nil
}

// Unmarshal reads and validates a serialised message. Fields it does not know
// are kept, and written again by Marshal.
func Unmarshal(b []byte) (*wakupb.WakuMessage, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), MaxSize)
	}
	m := new(wakupb.WakuMessage)
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if err := Validate(m); err != nil {
		return nil, err
	}
	return m, nil
}

// MaxPayload returns the largest payload in bytes with which a message made by
// New under contentTopic has at most limit bytes serialised, whatever its
// time; 0 when nothing fits.
func MaxPayload(contentTopic string, limit int) int {
	m := New(nil, contentTopic, time.Time{}, true)
	m.Timestamp = proto.Int64(-1 << 63) // the longest varint
	room := limit - proto.Size(m)
	// The payload's own tag and length: a length of fewer bytes leaves more.
	for n := room - 2; n > 0; n-- {
		if protowire.SizeTag(1)+protowire.SizeBytes(n) <= room {
			return n
		}
	}
	return 0
}
