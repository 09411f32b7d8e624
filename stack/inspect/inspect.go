// Package inspect takes things apart for people and scripts: keys, recovery
// phrases, topics, messages of every layer, links and addresses. Each function
// turns text or bytes into a value whose JSON form is what `parley inspect`
// prints; nothing here needs an account, a network or a clock.
//
// # How values are written
//
// Bytes are hexadecimal with 0x everywhere, also where a specification or
// another program writes bare digits; names of topics are texts and stay as
// they are. People's keys are zQ3sh…, with the 0x04… form beside it in a field
// of its own; keys inside wire messages are bytes. 64-bit numbers are JSON
// numbers. Enumerations are written by name.
//
// # Errors
//
// Input that cannot be meant (neither hexadecimal nor base64, no key, nothing
// at all) is of kind fault.Usage. Bytes that can be read and are not what was
// said, or break a rule, are fault.Invalid. The sentinels below and those of
// the layers tell the cause.
package inspect

import (
	"encoding/hex"
	"errors"

	"github.com/parley-im/parley/account/key"
)

const (
	// MaxBytes is how many bytes are looked into at once. A Waku message has
	// 1 MiB at most; what several of them carry together may be longer.
	MaxBytes = 4 << 20
	// MaxInput is the longest input that Bytes reads: MaxBytes in hexadecimal
	// with room for the line breaks of common tools.
	MaxInput = 3 * MaxBytes
	// MaxText is the longest name, key, link or address.
	MaxText = 64 << 10
)

// Errors of reading input.
var (
	ErrEmpty    = errors.New("no input")
	ErrTooLarge = errors.New("input too large")
	ErrEncoding = errors.New("neither hexadecimal nor base64")
	ErrNoKey    = errors.New("no key in the share URL")
	ErrSecret   = errors.New("not a key of 32 bytes in hexadecimal")
)

// Hex is a byte string that is written as 0x and hexadecimal digits.
type Hex []byte

// String returns 0x and lower-case digits.
func (h Hex) String() string { return "0x" + hex.EncodeToString(h) }

// MarshalText writes the bytes as String does.
func (h Hex) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// keyForms returns a key as people see it and in its 0x04… form, nil twice for
// the zero key.
func keyForms(pub key.Public) (short, long *string) {
	if pub.IsZero() {
		return nil, nil
	}
	s, l := pub.String(), pub.Hex()
	return &s, &l
}
