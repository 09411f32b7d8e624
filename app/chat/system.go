package chat

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// System is the content type of entries that nobody said: this device makes
// them out of what it knows and sends them to nobody. No message that is
// received has it.
const System = "system"

// GroupChange is the content of an entry about a private group.
type GroupChange struct {
	// Kind is what was done, in a word of package group; the entry's author
	// did it.
	Kind string `json:"kind"`
	// Members are whom it is about, none for the group itself.
	Members []key.Public `json:"members,omitempty"`
	// Text is the new name or colour.
	Text string `json:"text,omitempty"`
}

// NewGroupChange makes the entry of a group's chat about something that
// somebody did to the group.
func NewGroupChange(id message.ID, chat string, by key.Public, clock uint64, c GroupChange) *Message {
	return &Message{
		ID: id, Chat: chat, From: by, ContentType: System, Clock: clock, Timestamp: clock, State: Received, GroupChange: &c,
	}
}

// IsSystem tells that nobody said the message: it can be neither answered nor
// changed, and does not count as unread.
func (m *Message) IsSystem() bool { return m.GroupChange != nil }
