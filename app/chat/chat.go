// Package chat is what is said in a chat: which chat a message belongs to, in
// which order messages stand, which messages are to be dropped, and how far
// one's own have come. It holds rules and values only.
//
// Sources: 62/STATUS-PAYLOADS, ChatMessage; 55/STATUS-1TO1-CHAT; limits that
// the specifications leave open are those of deployed clients (status-go).
package chat

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Chat is a conversation. It is a value: methods return the changed copy.
type Chat struct {
	// ID is the other's 0x04… key in a 1:1 chat, the channel's name in a public
	// one, and the chat's own id in groups and communities.
	ID   string           `json:"id"`
	Kind message.ChatKind `json:"kind"`
	// Peer is the other in a 1:1 chat.
	Peer key.Public `json:"peer,omitzero"`
	// Name is what a group or channel is called, Color its colour as #rrggbb;
	// both empty in 1:1 chats, which go by the other's.
	Name  string `json:"name,omitempty"`
	Color string `json:"color,omitempty"`
	// Active chats are shown; one with a stranger is not.
	Active bool `json:"active,omitempty"`
	// Muted chats do not call for attention; see IsMuted. MutedUntil is in Unix
	// milliseconds, 0 for a chat that is muted until it is unmuted.
	Muted      bool  `json:"muted,omitempty"`
	MutedUntil int64 `json:"muted_until,omitempty"`
	// LastClock is the newest clock sent or received, in milliseconds.
	LastClock uint64 `json:"last_clock,omitempty"`
	// ClearedClock is that of the newest message when the chat was cleared or
	// deleted: nothing up to it comes back.
	ClearedClock uint64 `json:"cleared_clock,omitempty"`
	// ReadClock is that of the newest message that was read.
	ReadClock uint64 `json:"read_clock,omitempty"`
	// UnreadCount is how many messages of others are newer than that (an album
	// is one), MentionCount how many of them call for us by name or reply.
	UnreadCount  int `json:"unread_count,omitempty"`
	MentionCount int `json:"mention_count,omitempty"`
}

// NewOneToOne returns the chat with somebody, not yet active.
func NewOneToOne(peer key.Public) Chat {
	return Chat{ID: OneToOneID(peer), Kind: message.OneToOne, Peer: peer}
}

// OneToOneID returns the id of the chat with somebody: their key as 0x04….
func OneToOneID(peer key.Public) string { return peer.Hex() }

// NextClock returns the clock of the next message of a chat whose newest clock
// is last: the time in milliseconds, or one more than last if that is not
// later (62/STATUS-PAYLOADS, Clock vs Timestamp and message ordering).
func NextClock(last uint64, now time.Time) uint64 {
	ms := uint64(max(now.UnixMilli(), 0))
	switch {
	case last < ms:
		return ms
	case last == math.MaxUint64:
		return last
	}
	return last + 1
}

// Saw takes note of the clock of a message sent or received.
func (c Chat) Saw(clock uint64) Chat {
	c.LastClock = max(c.LastClock, clock)
	return c
}

// Cleared tells whether a message of that clock was cleared away.
func (c Chat) Cleared(clock uint64) bool { return clock <= c.ClearedClock }

// Clear forgets everything up to now; the caller deletes the messages.
func (c Chat) Clear() Chat {
	c.ClearedClock = c.LastClock
	return c.MarkRead(c.LastClock)
}

// MarkRead takes note that everything up to a clock was read. Having read
// everything leaves nothing unread; after less than that the caller counts
// anew.
func (c Chat) MarkRead(clock uint64) Chat {
	c.ReadClock = max(c.ReadClock, min(clock, c.LastClock))
	if c.ReadClock == c.LastClock {
		c.UnreadCount, c.MentionCount = 0, 0
	}
	return c
}

// Unread tells whether a message of that clock was not read yet.
func (c Chat) Unread(clock uint64) bool { return clock > c.ReadClock && !c.Cleared(clock) }

// ErrChatID means that a message does not say which chat it belongs to.
var ErrChatID = errors.New("chat message without a valid chat id")

// Place is where a message belongs.
type Place struct {
	ID   string
	Kind message.ChatKind
	// Peer is the other in a 1:1 chat.
	Peer key.Public
	// Own tells that we are the author, on another device.
	Own bool
	// MustExist tells that a message for a chat we do not have is dropped:
	// all kinds but 1:1, which a first message opens.
	MustExist bool
}

// Addressed is a message that says which chat it belongs to: a ChatMessage and
// whatever refers to one.
type Addressed interface {
	GetChatId() string
	GetMessageType() apppb.MessageType
}

// Match finds the chat of a received message (62/STATUS-PAYLOADS, Chats). In a
// 1:1 chat what the message says does not count, but who signed it; only
// another device of ours is believed about whom it wrote to.
func Match(m Addressed, author, self key.Public) (Place, error) {
	own := author == self
	if m.GetMessageType() == apppb.MessageType_ONE_TO_ONE {
		peer := author
		if own {
			var err error
			if peer, err = key.ParsePublic(m.GetChatId()); err != nil || peer.Hex() != m.GetChatId() {
				return Place{}, fmt.Errorf("%w: not a key in its 0x04 form", ErrChatID)
			}
		}
		return Place{ID: OneToOneID(peer), Kind: message.OneToOne, Peer: peer, Own: own}, nil
	}
	kind, ok := kinds[m.GetMessageType()]
	if !ok {
		return Place{}, fmt.Errorf("%w: %d", ErrMessageType, m.GetMessageType())
	}
	if m.GetChatId() == "" {
		return Place{}, ErrChatID
	}
	return Place{ID: m.GetChatId(), Kind: kind, Own: own, MustExist: true}, nil
}

// kinds are the message types that travel; the others are local to a client.
var kinds = map[apppb.MessageType]message.ChatKind{
	apppb.MessageType_ONE_TO_ONE:     message.OneToOne,
	apppb.MessageType_PUBLIC_GROUP:   message.PublicChat,
	apppb.MessageType_PRIVATE_GROUP:  message.PrivateGroup,
	apppb.MessageType_COMMUNITY_CHAT: message.Community,
}

// MessageType returns how messages say that they are for a kind of chat.
func MessageType(kind message.ChatKind) (apppb.MessageType, error) {
	for number, its := range kinds {
		if its == kind {
			return number, nil
		}
	}
	return 0, fmt.Errorf("%w: %s", ErrMessageType, kind)
}

// CheckAddress checks that a message says which chat it is for, and returns
// the chat's kind.
func CheckAddress(m Addressed) (message.ChatKind, error) {
	if m.GetChatId() == "" {
		return message.NoChat, ErrChatID
	}
	kind, ok := kinds[m.GetMessageType()]
	if !ok {
		return message.NoChat, fmt.Errorf("%w: %d", ErrMessageType, m.GetMessageType())
	}
	return kind, nil
}
