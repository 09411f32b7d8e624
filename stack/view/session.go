package view

import (
	"github.com/parley-im/parley/encryption/session"
)

// Session is a session with one device of somebody that is broken, or was and
// is healed: what they or we sent in it cannot be read by the other.
type Session struct {
	// Person is whose device it is.
	Person
	// Device is the id of the device.
	Device string `json:"device"`
	// State is broken or healed.
	State string `json:"state"`
	// Cause is why it broke: session_missing, pre_key_missing, peer_behind,
	// peer_ahead, keys_differ, state_damaged, or peer_began_anew.
	Cause string `json:"cause"`
	// Since is when that was found, in milliseconds.
	Since int64 `json:"since"`
	// Healed is when the first message came in a new session, in milliseconds,
	// absent until then.
	Healed int64 `json:"healed,omitempty"`
	// Messages counts those that could not be decrypted here.
	Messages int `json:"messages"`
	// Attempts counts how often we tried to begin a new session.
	Attempts int `json:"attempts"`
}

// NewSession shows a break of a session.
func NewSession(b session.Break) Session {
	s := Session{
		Person: NewPerson(b.Peer), Device: b.Installation,
		State: string(b.State), Cause: string(b.Cause), Since: b.Since.UnixMilli(),
		Messages: b.Messages, Attempts: b.Attempts,
	}
	if !b.HealedAt.IsZero() {
		s.Healed = b.HealedAt.UnixMilli()
	}
	return s
}
