package contact

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what people say about themselves, in characters (deployed
// clients).
const (
	MinDisplayName = 5
	MaxDisplayName = 24
	MaxBio         = 240
)

// Errors of names and the like.
var (
	ErrNameLength = errors.New("display name has the wrong length")
	ErrNameChars  = errors.New("display name has characters that are not allowed")
	ErrNameENS    = errors.New("display name looks like an ENS name")
	ErrNameAlias  = errors.New("display name is one that is generated from a key")
	ErrBioLength  = errors.New("bio is too long")
)

// CheckName checks a display name that is to be our own: empty, or 5 to 24
// letters A to Z, digits, spaces, hyphens and underscores that neither look
// like an ENS name nor like a generated one. Older clients drop every message
// of somebody with another name. It returns the name without the space around
// it. isAlias may be nil.
func CheckName(name string, isAlias func(string) bool) (string, error) {
	for _, r := range name {
		if r > unicode.MaxASCII {
			return "", fmt.Errorf("%w: %q", ErrNameChars, r)
		}
	}
	return CheckReceivedName(name, isAlias)
}

// CheckReceivedName checks the display name of somebody else: what either
// older clients allow, who know ASCII only, or newer ones, who let it have the
// letters, marks and digits of any script. A message with another name is to be
// dropped as a whole. The name comes out without the space around it, and with
// spaces for line breaks and the like, so that it stays one line.
func CheckReceivedName(name string, isAlias func(string) bool) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", nil
	}
	if n := utf8.RuneCountInString(name); n < MinDisplayName || n > MaxDisplayName {
		return "", fmt.Errorf("%w: %d characters, %d to %d are allowed", ErrNameLength, n, MinDisplayName, MaxDisplayName)
	}
	for _, suffix := range []string{"_eth", ".eth", "-eth"} {
		if strings.HasSuffix(name, suffix) {
			return "", fmt.Errorf("%w: it ends in %s", ErrNameENS, suffix)
		}
	}
	for _, r := range name {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N) && !unicode.IsSpace(r) && r != '_' && r != '-' {
			return "", fmt.Errorf("%w: %q", ErrNameChars, r)
		}
	}
	name = strings.Map(oneLine, name)
	if isAlias != nil && isAlias(name) {
		return "", ErrNameAlias
	}
	return name, nil
}

// oneLine makes a space of every kind of space.
func oneLine(r rune) rune {
	if unicode.IsSpace(r) {
		return ' '
	}
	return r
}

// CheckBio checks what somebody says about themselves.
func CheckBio(bio string) error {
	if n := utf8.RuneCountInString(bio); n > MaxBio {
		return fmt.Errorf("%w: %d characters, at most %d", ErrBioLength, n, MaxBio)
	}
	return nil
}
