package inspect

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
)

// Bytes reads bytes as a person pastes them. White space counts nowhere. What
// begins with 0x or has hexadecimal digits alone is hexadecimal, everything
// else base64 of either alphabet, padded or not. All errors are of kind
// fault.Usage: ErrEmpty, ErrTooLarge and ErrEncoding.
func Bytes(text string) ([]byte, error) {
	if len(text) > MaxInput {
		return nil, tooLarge(len(text), MaxInput)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	b, err := decode(text)
	if err != nil {
		return nil, usage(err, "give bytes as hexadecimal, with or without 0x, or as base64; xxd -p turns a binary file into hexadecimal")
	}
	switch {
	case len(b) == 0:
		return nil, usage(ErrEmpty, "give the bytes as an argument, or on standard input")
	case len(b) > MaxBytes:
		return nil, tooLarge(len(b), MaxBytes)
	}
	return b, nil
}

func decode(text string) ([]byte, error) {
	digits, prefixed := cutHexPrefix(text)
	if prefixed || isHex(text) {
		if !isHex(digits) {
			return nil, fmt.Errorf("%w: 0x is not followed by hexadecimal digits alone", ErrEncoding)
		}
		if len(digits)%2 != 0 {
			return nil, fmt.Errorf("%w: an odd number of hexadecimal digits, %d", ErrEncoding, len(digits))
		}
		return hex.DecodeString(digits)
	}
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	bare := strings.TrimRight(text, "=")
	if len(bare) != len(text) && (len(text)%4 != 0 || len(text)-len(bare) > 2) {
		return nil, fmt.Errorf("%w: wrong padding", ErrEncoding)
	}
	b, err := encoding.Strict().DecodeString(bare)
	if err != nil {
		return nil, ErrEncoding // the cause would repeat a part of the input
	}
	return b, nil
}

func cutHexPrefix(text string) (string, bool) {
	if len(text) >= 2 && (text[:2] == "0x" || text[:2] == "0X") {
		return text[2:], true
	}
	return text, false
}

func isHex(text string) bool {
	return strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

// Secret reads the content of a key file: 64 hexadecimal digits, with or
// without 0x, with white space around them. The error, ErrSecret of kind
// fault.Usage, repeats nothing of it.
func Secret(content string) ([32]byte, error) {
	digits, _ := cutHexPrefix(strings.TrimSpace(content))
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != 32 {
		return [32]byte{}, usage(ErrSecret, "the file holds 64 hexadecimal digits and nothing else")
	}
	return [32]byte(b), nil
}

// Subject is whose key a person has named.
type Subject struct {
	Key key.Public
	// Kind is what a share URL leads to, empty when a bare key was given.
	Kind share.Kind
	// Channel is the UUID of a channel's share URL.
	Channel string
}

// ParseSubject reads a public key in any form, a share URL among them. Errors
// are of kind fault.Usage: ErrEmpty, ErrTooLarge, ErrNoKey for a URL that names
// a user by ENS, and those of key.ParsePublic and share.Parse.
func ParseSubject(text string) (Subject, error) {
	text = strings.TrimSpace(text)
	const hint = "a key is 0x04…, 0x02… or 0x03…, zQ3sh…, or a share URL that has one"
	switch {
	case text == "":
		return Subject{}, usage(ErrEmpty, hint)
	case len(text) > MaxText:
		return Subject{}, tooLarge(len(text), MaxText)
	}
	u, err := share.Parse(text)
	if errors.Is(err, share.ErrNotShare) {
		pub, err := key.ParsePublic(text)
		if err != nil {
			return Subject{}, usage(err, hint)
		}
		return Subject{Key: pub}, nil
	}
	if err != nil {
		return Subject{}, usage(err, hint)
	}
	if u.Key.IsZero() {
		return Subject{}, usage(fmt.Errorf("%w: it names %q", ErrNoKey, u.ENSName),
			"names are not looked up here; take the link with the key, …/u#zQ3sh…")
	}
	return Subject{Key: u.Key, Kind: u.Kind, Channel: u.Channel.GetUuid()}, nil
}

// text checks a text that is not bytes and trims white space around it.
func text(s, hint string) (string, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return "", usage(ErrEmpty, hint)
	case len(s) > MaxText:
		return "", tooLarge(len(s), MaxText)
	}
	return s, nil
}

func tooLarge(n, most int) error {
	return usage(fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, n, most), "")
}

func usage(err error, hint string) error {
	return &fault.Error{Kind: fault.Usage, Hint: hint, Err: err}
}

func invalid(op string, err error) error { return fault.Wrap(fault.Invalid, op, err) }
