package stack

import (
	"context"
	"sync"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/storage"
)

// The types of durable events. Names and fields are stable; fields are only
// added.
const (
	// EventMessage: a message was received or sent; data is the chat.Message.
	EventMessage = "message"
	// EventMessageState: a sent message's delivery state changed; data is a
	// StateChange.
	EventMessageState = "message.state"
	// EventMessageChanged: a message was edited or deleted; data is the
	// chat.Message as it is now.
	EventMessageChanged = "message.changed"
	// EventReaction: somebody reacted to a message or takes it back; data is
	// the reaction.Reaction.
	EventReaction = "message.reaction"
	// EventPin: a message was pinned or unpinned; data is the pin.Pin.
	EventPin = "message.pin"
	// EventGroup: a private group changed; data is a GroupChange.
	EventGroup = "group"
	// EventGroupRequest: somebody asks to be added to a group, or was turned
	// down; data is the group.Invitation.
	EventGroupRequest = "group.request"
	// EventVerification: a contact verification came or got on; data is the
	// verify.Request.
	EventVerification = "contact.verification"
	// EventActivity: the activity centre has an entry that is new or has
	// changed; data is the activity.Entry.
	EventActivity = "activity"
	// EventChat: a chat was read, muted, cleared, renamed …; data is the
	// chat.Chat.
	EventChat = "chat"
	// EventContact: a contact changed; data is the contact.
	EventContact = "contact"
	// EventPicture: somebody's profile picture changed; data is a Picture.
	EventPicture = "contact.picture"
	// EventContactRequest: somebody asks to become a contact; data is a
	// ContactRequest.
	EventContactRequest = "contact.request"
	// EventPresence: somebody published a status, or we did; data is a Presence.
	EventPresence = "presence"
	// EventProfile: what others are told about us was changed here; data is an
	// OwnProfile.
	EventProfile = "profile"
	// EventUndecryptable: a message to us could not be decrypted; data is an
	// Undecryptable.
	EventUndecryptable = "undecryptable"
	// EventHistory: something missed was fetched from store nodes; data is the
	// last Progress.
	EventHistory = "history"
)

// StateChange is the data of EventMessageState.
type StateChange struct {
	ID    string     `json:"id"`
	Chat  string     `json:"chat"`
	State chat.State `json:"state"`
	// Peers is how many peers took it, in state sent.
	Peers int `json:"peers,omitempty"`
	// By acknowledged it, in state delivered.
	By *key.Public `json:"by,omitempty"`
	// Why it failed, in state failed.
	Why string `json:"why,omitempty"`
}

// ContactRequest is the data of EventContactRequest.
type ContactRequest struct {
	Key       key.Public `json:"key"`
	Name      string     `json:"name"`
	Text      string     `json:"text"`
	MessageID string     `json:"message_id"`
}

// Presence is the data of EventPresence.
type Presence struct {
	Key    key.Public `json:"key"`
	Status string     `json:"status"`
	Text   string     `json:"text,omitempty"`
}

// OwnProfile is the data of EventProfile.
type OwnProfile struct {
	DisplayName string `json:"display_name"`
	ENSName     string `json:"ens_name,omitempty"`
	Bio         string `json:"bio,omitempty"`
	Color       uint32 `json:"color,omitempty"`
	// Picture is who may see our picture, empty when there is none.
	Picture picture.ShowTo `json:"picture,omitempty"`
}

// Undecryptable is the data of EventUndecryptable.
type Undecryptable struct {
	From  key.Public `json:"from"`
	Hash  string     `json:"hash"`
	Cause string     `json:"cause"`
}

// broadcast wakes all who wait for the next change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that closes at the next notify.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// eventPage is how many events one read of the stream takes.
const eventPage = 256

// Events calls yield for every event with a sequence number above since, in
// order and without gaps; with follow it then waits for new ones until ctx
// ends. An error of yield ends it and is returned.
func (s *Stack) Events(ctx context.Context, since uint64, follow bool, yield func(storage.Event) error) error {
	for ctx.Err() == nil {
		changed := s.eventsChanged.wait()
		var page []storage.Event
		err := s.db.View(func(tx *storage.Tx) (err error) {
			page, err = tx.Events(since, eventPage)
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := yield(e); err != nil {
				return err
			}
			since = e.Seq
		}
		switch {
		case len(page) == eventPage:
		case !follow:
			return nil
		default:
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
	return ctx.Err()
}

// LastEvent returns the newest sequence number, 0 when there is none.
func (s *Stack) LastEvent() (last uint64, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		last, err = tx.LastEvent()
		return err
	})
	return last, err
}
