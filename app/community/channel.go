package community

import (
	"errors"
	"fmt"

	"github.com/parley-im/parley/account/key"
)

// MaxChannelID is the longest id of a channel in bytes. Ours are UUIDs of 36.
const MaxChannelID = 64

// ErrChannelID means that a chat id does not name a community and a channel.
var ErrChannelID = errors.New("not the chat id of a community's channel")

// cidSize is the length of a community's id in bytes.
const cidSize = 2 + 2*key.CompressedSize

// Channel is a place to talk in a community.
type Channel struct {
	// UUID is the channel's id within its community, 36 characters. Those of
	// others are not checked to be a UUID.
	UUID  string
	Name  string
	Text  string
	Color string
	Emoji string
	// Category is the id of its category, empty for none.
	Category string
	// Position is the place within its category, from 0.
	Position int32
	// ViewersReact lets those react who may not write.
	ViewersReact bool
	// HideLocked hides it from those whom a token permission keeps out.
	HideLocked bool
	// Restricted channels are named by a token permission and have members of
	// their own.
	Restricted bool
	// Encrypted channels are readable for their members only.
	Encrypted bool
	// FirstMessage is when the oldest message was written, Unix time in
	// seconds; 0 is unknown, 1 none.
	FirstMessage uint32
	// Members are those of the community unless the channel is restricted:
	// descriptions leave them out then to save space. Sorted by id; the list is
	// shared and not to be changed.
	Members []Member
}

// Category is a heading for channels.
type Category struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Position is the place among the categories, from 0.
	Position int32 `json:"position"`
}

// ChannelID returns the chat id of a channel: the community's id and the
// channel's UUID with nothing between them.
func ChannelID(k key.Public, uuid string) string { return k.CompressedHex() + uuid }

// SplitChannelID finds the community and the channel of a chat id
// (62/STATUS-PAYLOADS, Chats). There is one id for a channel: hexadecimal is in
// lower case.
func SplitChannelID(chatID string) (k key.Public, uuid string, err error) {
	if len(chatID) <= cidSize {
		return key.Public{}, "", fmt.Errorf("%w: %d bytes, more than %d wanted", ErrChannelID, len(chatID), cidSize)
	}
	k, err = parseCID(chatID[:cidSize])
	if err != nil {
		return key.Public{}, "", fmt.Errorf("%w: %w", ErrChannelID, err)
	}
	if uuid = chatID[cidSize:]; !validChannelID(uuid) {
		return key.Public{}, "", fmt.Errorf("%w: want up to %d letters, digits and hyphens for the channel", ErrChannelID, MaxChannelID)
	}
	return k, uuid, nil
}

// parseCID reads a community's id, 0x and 66 hexadecimal digits in lower case.
func parseCID(s string) (key.Public, error) {
	if len(s) != cidSize || (s[:4] != "0x02" && s[:4] != "0x03") {
		return key.Public{}, fmt.Errorf("%w: want 0x02… or 0x03…", key.ErrPublic)
	}
	k, err := key.ParsePublic(s)
	if err != nil {
		return key.Public{}, err
	}
	if k.CompressedHex() != s {
		return key.Public{}, fmt.Errorf("%w: not in lower case", key.ErrPublic)
	}
	return k, nil
}

func validChannelID(s string) bool {
	if s == "" || len(s) > MaxChannelID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// Channel returns a channel by its UUID.
func (d Description) Channel(uuid string) (Channel, bool) {
	for _, ch := range d.Channels {
		if ch.UUID == uuid {
			return ch, true
		}
	}
	return Channel{}, false
}

// Category returns a category by its id.
func (d Description) Category(id string) (Category, bool) {
	for _, g := range d.Categories {
		if g.ID == id {
			return g, true
		}
	}
	return Category{}, false
}
