package view

import (
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/storage"
)

// Chat is a conversation, as a list of chats shows it.
type Chat struct {
	// ID is the other's key 0x04… in a one-to-one chat, else the group's id.
	ID string `json:"id"`
	// Kind is one_to_one, private_group, community or public.
	Kind message.ChatKind `json:"kind"`
	// Name is the other's name in a one-to-one chat.
	Name string `json:"name"`
	// Key is the other's in a one-to-one chat, zQ3sh….
	Key key.Public `json:"key,omitzero"`
	// PublicKey is the same key as 0x04….
	PublicKey string `json:"public_key,omitempty"`
	// Color is the group's, as #rrggbb.
	Color string `json:"color,omitempty"`
	// Community is the id of the community that a channel is of.
	Community string `json:"community,omitempty"`
	// CommunityName is what that is called.
	CommunityName string `json:"community_name,omitempty"`
	// Active chats belong into a list; one in which only a stranger has written
	// does not, nor one that was deleted.
	Active bool `json:"active"`
	// Unread is how many messages of others are newer than the read mark.
	Unread int `json:"unread"`
	// Mentions is how many of those call for us.
	Mentions int `json:"mentions"`
	// Pinned chats are at the top of the list.
	Pinned bool `json:"pinned"`
	// Muted tells whether the chat is silent now.
	Muted bool `json:"muted"`
	// MutedUntil is when that ends, absent when somebody has to end it.
	MutedUntil int64 `json:"muted_until,omitempty"`
	// ReadClock is that of the newest message that was read.
	ReadClock uint64 `json:"read_clock,omitempty"`
	// LastClock is the newest clock of the chat.
	LastClock uint64 `json:"last_clock,omitempty"`
	// Draft is the text that was begun and not sent.
	Draft string `json:"draft,omitempty"`
	// Last is the last message in short.
	Last *LastMessage `json:"last,omitempty"`
}

// LastMessage is the last message of a chat in short.
type LastMessage struct {
	// ID is the message's.
	ID message.ID `json:"id"`
	// From is who wrote it, zQ3sh….
	From key.Public `json:"from"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key"`
	// Text is its beginning, in one line.
	Text string `json:"text"`
	// ContentType is that of a message.
	ContentType string `json:"content_type"`
	// Clock orders the messages of a chat, in milliseconds.
	Clock uint64 `json:"clock"`
	// Timestamp is when the author says to have written it.
	Timestamp uint64 `json:"timestamp"`
	// State is that of a message.
	State chat.State `json:"state"`
	// Deleted tells that it was deleted for everyone.
	Deleted bool `json:"deleted,omitempty"`
}

// NewChat shows a chat with its name and draft.
func NewChat(l storage.ListedChat, name, draft string, now time.Time) Chat {
	shown := Chat{
		ID:        l.ID,
		Kind:      l.Kind,
		Name:      name,
		Key:       l.Peer,
		PublicKey: hexOf(l.Peer),
		Color:     l.Color,
		Active:    l.Active,
		Unread:    l.Summary.Unread,
		Mentions:  l.Mentions,
		Pinned:    l.Pinned,
		Muted:     l.IsMuted(now),
		ReadClock: l.ReadClock,
		LastClock: l.LastClock,
		Draft:     draft,
	}
	if l.Kind == message.Community {
		if k, _, err := community.SplitChannelID(l.ID); err == nil {
			shown.Community = k.CompressedHex()
		}
	}
	if shown.Muted {
		shown.MutedUntil = l.MutedUntil
	}
	if last := l.Last; last.ID != (message.ID{}) {
		shown.Last = &LastMessage{
			last.ID, last.From, last.From.Hex(), last.Text, last.ContentType, last.Clock, last.Timestamp, last.State, last.Deleted,
		}
	}
	return shown
}

// Draft is what was begun in a chat and not sent.
type Draft struct {
	// Chat is the id of the chat.
	Chat string `json:"chat"`
	// Text is what was begun; without it and ReplyTo there is no draft.
	Text string `json:"text"`
	// ReplyTo is the id of the message it answers.
	ReplyTo string `json:"reply_to,omitempty"`
	// Time is when it was kept.
	Time int64 `json:"time,omitempty"`
}

// NewDraft shows the draft of a chat.
func NewDraft(chat string, d storage.Draft) Draft {
	shown := Draft{Chat: chat, Text: d.Text, ReplyTo: d.ReplyTo}
	if !d.Time.IsZero() {
		shown.Time = d.Time.UnixMilli()
	}
	return shown
}
