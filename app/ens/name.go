package ens

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Domain is where Status usernames are: "alice" is alice.stateofus.eth
// (65/STATUS-ACCOUNT-ADDRESS, ENS Username).
const Domain = "stateofus.eth"

// TLD is what all names end in.
const TLD = "eth"

// MaxName is the longest name, in bytes, that is read.
const MaxName = 255

// Errors of names.
var (
	// ErrName: nobody can have such a name.
	ErrName = errors.New("not an ENS name")
	// ErrUnverifiable: somebody may have such a name, but it has characters
	// whose normal form (ENSIP-15) is not known here, so it is shown and never
	// looked up.
	ErrUnverifiable = errors.New("an ENS name that cannot be verified here")
)

// Normalize returns the full name that is looked up for a name as people claim
// it: a username without a dot is in [Domain], a name that ends in .eth is one
// already. Letters A to Z, digits, hyphens and underscores are known, with the
// rules of ENSIP-15 for them: lower case, underscores at the beginning of a
// label only, no "--" in places 3 and 4.
func Normalize(name string) (string, error) {
	if name == "" || len(name) > MaxName || !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: %d bytes", ErrName, len(name))
	}
	for _, r := range name {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) && r != zeroWidthJoiner {
			return "", fmt.Errorf("%w: %q in it", ErrName, r)
		}
	}
	if !strings.Contains(name, ".") {
		name += "." + Domain
	}
	if len(name) > MaxName {
		return "", fmt.Errorf("%w: %d bytes", ErrName, len(name))
	}
	labels := strings.Split(name, ".")
	if len(labels) < 2 || !strings.EqualFold(labels[len(labels)-1], TLD) {
		return "", fmt.Errorf("%w: it does not end in .%s", ErrName, TLD)
	}
	unverifiable := false
	for i, label := range labels {
		lower, err := normalizeLabel(label)
		switch {
		case errors.Is(err, ErrUnverifiable):
			unverifiable = true
		case err != nil:
			return "", err
		}
		labels[i] = lower
	}
	if unverifiable {
		return "", ErrUnverifiable
	}
	return strings.Join(labels, "."), nil
}

// zeroWidthJoiner is within many emoji.
const zeroWidthJoiner = '\u200d'

func normalizeLabel(label string) (string, error) {
	if label == "" {
		return "", fmt.Errorf("%w: an empty label", ErrName)
	}
	for _, r := range label {
		if r > unicode.MaxASCII {
			return "", ErrUnverifiable
		}
	}
	label = strings.ToLower(label)
	inner := strings.TrimLeft(label, "_")
	for _, r := range inner {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
		case r == '_':
			return "", fmt.Errorf("%w: an underscore within a label", ErrName)
		default:
			return "", fmt.Errorf("%w: %q in it", ErrName, r)
		}
	}
	if len(label) >= 4 && label[2:4] == "--" {
		return "", fmt.Errorf("%w: hyphens in places 3 and 4 of a label", ErrName)
	}
	return label, nil
}

// Shown returns a claimed name as it is shown and compared: in its normal
// form, as it came when that is not known, and empty when it is no name.
func Shown(name string) string {
	normal, err := Normalize(name)
	switch {
	case err == nil:
		return normal
	case errors.Is(err, ErrUnverifiable):
		return name
	}
	return ""
}
