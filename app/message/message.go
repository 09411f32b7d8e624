// Package message is the outermost form of everything that is said: the signed
// wrapper around each application message, its id, and THE TABLE, which says
// for every type who it concerns, on which content topic it goes, and how it
// is encrypted and made reliable.
//
// Sources: 62/STATUS-PAYLOADS, Payload wrapper, with the field numbers and the
// hash that deployed clients (status-go) use; Status application protocols,
// Functional scope, Content topics and Ephemerality; Status MVDS usage.
package message

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxSize is the largest wrapped message, in bytes, that is made or opened.
// No specification gives one; a message of this size already takes more than
// a hundred segments of 150 KB.
const MaxSize = 16 << 20

// Errors of this package.
var (
	ErrEmpty     = errors.New("application message without payload")
	ErrTooLarge  = errors.New("application message too large")
	ErrMalformed = errors.New("not an application message")
	ErrSignature = errors.New("bad signature on an application message")
	ErrNoAuthor  = errors.New("application message without author")
	ErrID        = errors.New("not a message id")
	ErrType      = errors.New("not a type to be sent")
)

// IDSize is the length of a message id in bytes.
const IDSize = 32

// ID names a message: keccak256(65 bytes of the author's public key ‖ wrapped
// bytes). Replies, acceptances of contact requests and acknowledgements refer
// to it, so a message that is sent again must be sent as the same bytes.
type ID [IDSize]byte

// NewID computes the id of wrapped bytes by their author.
func NewID(author key.Public, raw []byte) ID { return key.Keccak256(author.Bytes(), raw) }

// ParseID reads 0x and 64 hexadecimal digits; the 0x may be left out.
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || len(b) != IDSize {
		return ID{}, fmt.Errorf("%w: %d characters, want 0x and %d hexadecimal digits", ErrID, len(s), 2*IDSize)
	}
	return ID(b), nil
}

// String returns 0x and 64 lower-case hexadecimal digits.
func (id ID) String() string { return "0x" + hex.EncodeToString(id[:]) }

// MarshalText writes the id as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what ParseID reads.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// Message is a wrapped message taken apart.
type Message struct {
	ID ID
	// Type is not covered by the signature: parse Payload strictly as this
	// type and never guess. Numbers this version does not know are kept.
	Type Type
	// Payload is the inner message, still encoded; never empty.
	Payload []byte
	// Author is who made Signature, or, when there is none, who signed at the
	// transport layer.
	Author key.Public
	// Signed tells whether the message carries its author's signature. One
	// that does not is deniable and must not be relayed to third parties.
	Signed bool
	// Raw is the wrapped message, the bytes the id is made of.
	Raw []byte
}

// Encode returns the bytes of an inner message, the same bytes for the same
// fields.
func Encode(m proto.Message) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Wrap signs keccak256(payload) as author and wraps it with its type. The same
// arguments give the same bytes.
func Wrap(t Type, payload []byte, author key.Private) (raw []byte, id ID, err error) {
	if t == apppb.ApplicationMetadataMessage_UNKNOWN {
		return nil, ID{}, fmt.Errorf("wrapping: %w: %s", ErrType, Name(t))
	}
	if len(payload) == 0 {
		return nil, ID{}, fmt.Errorf("wrapping %s: %w", Name(t), ErrEmpty)
	}
	if author.IsZero() {
		return nil, ID{}, fmt.Errorf("wrapping %s: %w", Name(t), ErrNoAuthor)
	}
	signature, err := author.Sign(key.Keccak256(payload))
	if err != nil {
		return nil, ID{}, fmt.Errorf("wrapping %s: %w", Name(t), err)
	}
	raw, err = Encode(&apppb.ApplicationMetadataMessage{Signature: signature, Payload: payload, Type: t})
	if err != nil {
		return nil, ID{}, fmt.Errorf("wrapping %s: %w", Name(t), err)
	}
	if len(raw) > MaxSize {
		return nil, ID{}, fmt.Errorf("wrapping %s: %w: %d bytes, at most %d", Name(t), ErrTooLarge, len(raw), MaxSize)
	}
	return raw, NewID(author.Public(), raw), nil
}

// Open takes a wrapped message apart and finds its author. transportSigner is
// who signed the layer below, the zero key if nobody did. An empty payload is
// ErrEmpty: deployed clients send such wrappers to carry nothing but the
// layers around them, and they are to be skipped.
func Open(raw []byte, transportSigner key.Public) (*Message, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(raw), MaxSize)
	}
	var wrapper apppb.ApplicationMetadataMessage
	if err := proto.Unmarshal(raw, &wrapper); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if len(wrapper.Payload) == 0 {
		return nil, fmt.Errorf("opening %s: %w", Name(wrapper.Type), ErrEmpty)
	}
	author, err := authorOf(&wrapper, transportSigner)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", Name(wrapper.Type), err)
	}
	return &Message{
		ID:      NewID(author, raw),
		Type:    wrapper.Type,
		Payload: wrapper.Payload,
		Author:  author,
		Signed:  len(wrapper.Signature) > 0,
		Raw:     raw,
	}, nil
}

// authorOf applies the precedence: the message's own signature, then the
// transport's. A signature that is there but bad does not fall back: it would
// let a relayer put its own name on a damaged message.
func authorOf(wrapper *apppb.ApplicationMetadataMessage, transportSigner key.Public) (key.Public, error) {
	signature := wrapper.Signature
	if len(signature) == 0 {
		if transportSigner.IsZero() {
			return key.Public{}, ErrNoAuthor
		}
		return transportSigner, nil
	}
	if len(signature) != key.SignatureSize {
		return key.Public{}, fmt.Errorf("%w: %d bytes, want %d", ErrSignature, len(signature), key.SignatureSize)
	}
	// Only one spelling of the recovery id: a second one would give the same
	// words of the same author a second id.
	if v := signature[key.SignatureSize-1]; v > 1 {
		return key.Public{}, fmt.Errorf("%w: recovery id %d, want 0 or 1", ErrSignature, v)
	}
	author, err := key.Recover(key.Keccak256(wrapper.Payload), signature)
	if err != nil {
		return key.Public{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return author, nil
}
