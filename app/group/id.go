package group

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/parley-im/parley/account/key"
)

// MaxIDSize is the longest chat id that is read, in bytes. Ours have 169.
const MaxIDSize = 256

// ErrID means that a chat id does not name its creator.
var ErrID = errors.New("not the id of a private group chat")

const (
	uuidSize = 36                         // with its hyphens
	hexSize  = 2 + 2*key.UncompressedSize // 0x04…
	bareSize = hexSize - 2                // 04…
)

// NewID makes the id of a new group: a random UUID, a hyphen and the creator's
// key as 0x04…. rand gives 16 bytes.
//
// 55/STATUS-1TO1-CHAT has the key first; deployed clients refuse that.
func NewID(creator key.Public, rand io.Reader) (string, error) {
	if creator.IsZero() {
		return "", fmt.Errorf("making a chat id: %w", key.ErrPublic)
	}
	id, err := uuid.NewRandomFromReader(rand)
	if err != nil {
		return "", fmt.Errorf("making a chat id: %w", err)
	}
	return id.String() + "-" + creator.Hex(), nil
}

// Creator checks a chat id and returns the creator it names; the group's first
// event must be theirs. Two forms are read: anything, a hyphen and 0x04…, as
// deployed clients write and check it, and the specification's, which is the
// key in hexadecimal, with or without 0x, a hyphen and a UUID.
func Creator(id string) (key.Public, error) {
	if len(id) > MaxIDSize {
		return key.Public{}, fmt.Errorf("%w: %d bytes, at most %d", ErrID, len(id), MaxIDSize)
	}
	if cut := len(id) - hexSize; cut > 1 && id[cut-1] == '-' {
		if k, err := parseMember(id[cut:]); err == nil {
			return k, nil
		}
	}
	if first, rest, ok := strings.Cut(id, "-"); ok && len(rest) == uuidSize && uuid.Validate(rest) == nil {
		if len(first) == bareSize {
			first = "0x" + first
		}
		if k, err := parseMember(first); err == nil {
			return k, nil
		}
	}
	return key.Public{}, fmt.Errorf("%w: want a UUID, a hyphen and the creator's key as 0x04…", ErrID)
}

// parseMember reads a key in the one form that names a member, 0x04… in lower
// case. Deployed clients compare the texts, so another form of the same key
// would be somebody else there.
func parseMember(s string) (key.Public, error) {
	if len(s) != hexSize {
		return key.Public{}, fmt.Errorf("%w: %d characters, want %d", key.ErrPublic, len(s), hexSize)
	}
	k, err := key.ParsePublic(s)
	if err != nil {
		return key.Public{}, err
	}
	if k.Hex() != s {
		return key.Public{}, fmt.Errorf("%w: not in lower case", key.ErrPublic)
	}
	return k, nil
}
