package contact

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNickname is how long a nickname may be, in characters. No specification
// and no message knows nicknames; the limit keeps lists readable.
const MaxNickname = 32

// Errors of nicknames.
var (
	ErrNicknameLength = errors.New("nickname is too long")
	ErrNicknameChars  = errors.New("nickname has characters that cannot be shown")
)

// zeroWidthJoiner holds emoji of several parts together.
const zeroWidthJoiner = '\u200d'

// CheckNickname checks what we want to call somebody: any characters that can
// be shown, none is no nickname. It returns the nickname without the space
// around it.
func CheckNickname(nickname string) (string, error) {
	nickname = strings.TrimSpace(nickname)
	if n := utf8.RuneCountInString(nickname); n > MaxNickname {
		return "", fmt.Errorf("%w: %d characters, at most %d", ErrNicknameLength, n, MaxNickname)
	}
	if !utf8.ValidString(nickname) {
		return "", fmt.Errorf("%w: no UTF-8", ErrNicknameChars)
	}
	for _, r := range nickname {
		if !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r) && r != zeroWidthJoiner {
			return "", fmt.Errorf("%w: %q", ErrNicknameChars, r)
		}
	}
	return nickname, nil
}

// WithNickname names the contact, whatever the relation; the empty nickname
// takes the name away.
func (c Contact) WithNickname(nickname string) (Contact, error) {
	nickname, err := CheckNickname(nickname)
	if err == nil {
		c.Nickname = nickname
	}
	return c, err
}
