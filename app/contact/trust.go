package contact

import (
	"errors"
	"fmt"
)

// ErrTrust is the error of a mark that does not exist.
var ErrTrust = errors.New("not a mark of trust")

// Trust is whether we believe that a contact is who they say, by our own
// judgement or by app/verify. It never leaves this account. The numbers are
// those of deployed clients.
type Trust uint8

// The marks.
const (
	TrustUnknown  Trust = 0
	Trusted       Trust = 1
	Untrustworthy Trust = 2
)

var trustNames = [...]string{TrustUnknown: "unknown", Trusted: "trusted", Untrustworthy: "untrustworthy"}

// String returns the mark in a stable word, or its number.
func (t Trust) String() string {
	if int(t) < len(trustNames) {
		return trustNames[t]
	}
	return fmt.Sprintf("trust %d", uint8(t))
}

// MarshalText writes the mark as String does.
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the words that String returns.
func (t *Trust) UnmarshalText(text []byte) error {
	for i, name := range trustNames {
		if name == string(text) {
			*t = Trust(i)
			return nil
		}
	}
	return fmt.Errorf("%w: %q", ErrTrust, text)
}

// WithTrust marks the contact, whatever the relation. Ending the relation or
// blocking does not take the mark away.
func (c Contact) WithTrust(t Trust) (Contact, error) {
	if int(t) >= len(trustNames) {
		return c, fmt.Errorf("%w: %d", ErrTrust, uint8(t))
	}
	c.Trust = t
	return c, nil
}
