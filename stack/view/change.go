package view

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
)

// StateChange is that a message of ours has come further, or not.
type StateChange struct {
	// ID is the message's.
	ID message.ID `json:"id"`
	// Chat is the id of its chat.
	Chat string `json:"chat"`
	// State is sent, delivered or failed; pending when a message that had failed
	// is tried again.
	State chat.State `json:"state"`
	// Peers is how many peers took it, in state sent.
	Peers int `json:"peers,omitempty"`
	// By is who acknowledged it, in state delivered, zQ3sh….
	By key.Public `json:"by,omitzero"`
	// ByKey is the same key as 0x04….
	ByKey string `json:"by_key,omitempty"`
	// Why is what made it fail, in state failed.
	Why string `json:"why,omitempty"`
}

// StateChangeOf completes a change of a message's state.
func StateChangeOf(m *chat.Message, c StateChange) StateChange {
	c.ID, c.Chat, c.ByKey = m.ID, m.Chat, hexOf(c.By)
	return c
}

// ReactionChange is that somebody reacts to a message, or no longer does.
type ReactionChange struct {
	// Message is the id of what is reacted to.
	Message message.ID `json:"message"`
	// Chat is the id of its chat.
	Chat string `json:"chat"`
	// From is who reacts, zQ3sh….
	From key.Public `json:"from"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key"`
	// Emoji is the emoji itself.
	Emoji string `json:"emoji"`
	// Code is its code points as 1f44d.
	Code reaction.Emoji `json:"code"`
	// Clock is that of the reaction, in milliseconds.
	Clock uint64 `json:"clock"`
	// Retracted tells that they take it back.
	Retracted bool `json:"retracted,omitempty"`
}

// NewReactionChange shows a reaction.
func NewReactionChange(r reaction.Reaction) ReactionChange {
	return ReactionChange{r.Message, r.Chat, r.From, r.From.Hex(), r.Emoji.String(), r.Emoji, r.Clock, r.Retracted}
}

// Pin is a message at the top of its chat.
type Pin struct {
	// Message is the message's id.
	Message message.ID `json:"message"`
	// Chat is the id of its chat.
	Chat string `json:"chat"`
	// By is who pinned it, or unpinned it, zQ3sh….
	By key.Public `json:"by"`
	// ByKey is the same key as 0x04….
	ByKey string `json:"by_key"`
	// Clock is when they did, in milliseconds.
	Clock uint64 `json:"clock"`
	// Pinned tells that it is, and not that it was.
	Pinned bool `json:"pinned"`
}

// NewPin shows a pin.
func NewPin(p pin.Pin) Pin { return Pin{p.Message, p.Chat, p.By, p.By.Hex(), p.Clock, p.Pinned} }

// Undecryptable is a message to us that could not be read.
type Undecryptable struct {
	// From sent it, zQ3sh….
	From key.Public `json:"from"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key"`
	// Hash is that of the Waku message.
	Hash string `json:"hash"`
	// Cause is why.
	Cause string `json:"cause"`
}

// NewUndecryptable shows what could not be read.
func NewUndecryptable(from key.Public, hash string, cause error) Undecryptable {
	return Undecryptable{from, from.Hex(), hash, cause.Error()}
}
