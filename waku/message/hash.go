package message

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	wakupb "github.com/parley-im/parley/pb/waku"
)

// HashSize is the size of a message hash in bytes.
const HashSize = 32

// ErrHash is text or bytes that are no message hash.
var ErrHash = errors.New("not a message hash")

// Hash is the deterministic hash of a message on a pubsub topic
// (14/WAKU2-MESSAGE, Deterministic message hashing). It identifies the message
// in stores, caches and confirmations.
type Hash [HashSize]byte

// HashOf returns SHA-256 over pubsub topic, payload, content topic, meta and
// the timestamp as 8 big-endian bytes. Absent meta adds nothing; an absent
// timestamp counts as 0.
func HashOf(pubsubTopic string, m *wakupb.WakuMessage) Hash {
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(m.GetTimestamp()))
	size := len(pubsubTopic) + len(m.GetPayload()) + len(m.GetContentTopic()) + len(m.GetMeta()) + len(stamp)

	// Most messages are small: hashing them in one piece from the stack costs
	// no allocation.
	var stack [2048]byte
	if size <= len(stack) {
		b := append(stack[:0], pubsubTopic...)
		b = append(b, m.GetPayload()...)
		b = append(b, m.GetContentTopic()...)
		b = append(b, m.GetMeta()...)
		return sha256.Sum256(append(b, stamp[:]...))
	}
	h := sha256.New()
	h.Write([]byte(pubsubTopic))
	h.Write(m.GetPayload())
	h.Write([]byte(m.GetContentTopic()))
	h.Write(m.GetMeta())
	h.Write(stamp[:])
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// ParseHash reads 64 hexadecimal digits, with or without 0x.
func ParseHash(s string) (Hash, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		return Hash{}, fmt.Errorf("%w: want 0x and %d hexadecimal digits", ErrHash, 2*HashSize)
	}
	return HashFromBytes(b)
}

// HashFromBytes reads the 32 bytes that the store protocol carries.
func HashFromBytes(b []byte) (Hash, error) {
	if len(b) != HashSize {
		return Hash{}, fmt.Errorf("%w: %d bytes, want %d", ErrHash, len(b), HashSize)
	}
	return Hash(b), nil
}

// IsZero reports whether h is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// String returns 0x and 64 lower-case hexadecimal digits.
func (h Hash) String() string { return "0x" + hex.EncodeToString(h[:]) }

// MarshalText writes the hash as String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what ParseHash reads.
func (h *Hash) UnmarshalText(text []byte) error {
	parsed, err := ParseHash(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}
