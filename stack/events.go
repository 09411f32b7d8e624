package stack

import (
	"context"
	"reflect"
	"sync"

	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// The types of durable events. Names and fields are stable; fields are only
// added. What is said of them here is docs/events.md, which a test writes.
const (
	// EventMessage means that a message is there. It comes once for each message:
	// when it was received, from somebody else or from another device of ours,
	// and when it was made here, in state pending.
	EventMessage = "message"
	// EventMessageState means that a message of ours has come further: published
	// to a peer, acknowledged by the recipient, given up, or tried again.
	EventMessageState = "message.state"
	// EventMessageChanged means that a message was edited or deleted, for everyone
	// or for us alone. The data is the message as it is now; of an album that is
	// deleted there is an event for each picture.
	EventMessageChanged = "message.changed"
	// EventReaction means that somebody, or we, reacted to a message or took it
	// back.
	EventReaction = "message.reaction"
	// EventPin means that somebody, or we, pinned a message or unpinned it.
	EventPin = "message.pin"
	// EventGroup means that a private group has changed, whoever did it: its
	// members, admins, name, colour or picture. There is one for each change.
	EventGroup = "group"
	// EventGroupRequest means that there is news of a request to be added to a
	// group: somebody asks us or we ask, it was turned down, or who asked was
	// added.
	EventGroupRequest = "group.request"
	// EventCommunity means that a community has changed, by a new description or by
	// what we did: there is one for each change, and when we begin to follow one or
	// cease to.
	EventCommunity = "community"
	// EventCommunityRequest means that there is news of a request to join a
	// community: somebody asks to join one that we control or we ask ourselves, it
	// was decided, withdrawn, or has expired.
	EventCommunityRequest = "community.request"
	// EventVerification means that there is news of a contact verification: it was
	// asked, answered, declined, taken back or judged, on either side.
	EventVerification = "contact.verification"
	// EventActivity means that the activity centre has an entry that is new or has
	// changed, by itself or because somebody said so.
	EventActivity = "activity"
	// EventActivityRead means that entries of the activity centre were marked as
	// read, all up to a clock at once. There is no event for each of them, and
	// several of these where there are many entries.
	EventActivityRead = "activity.read"
	// EventChat means that something was done to a chat here: it was read, muted,
	// cleared, deleted, pinned, or brought back by a new contact. Messages and
	// changes of groups, which change a chat too, have events of their own.
	EventChat = "chat"
	// EventDraft means that what was begun in a chat and not sent is another text
	// now, or none. Sending is no reason for it: who sends takes the draft away
	// themselves.
	EventDraft = "chat.draft"
	// EventContact means that what is known of somebody has changed: the relation,
	// a name, what they say of themselves, our judgement.
	EventContact = "contact"
	// EventPicture means that somebody's profile picture is another one, or is
	// there no more. The picture itself is had by a call of its own.
	EventPicture = "contact.picture"
	// EventContactRequest means that somebody asks to become a contact. What they
	// write with it is a message, too.
	EventContactRequest = "contact.request"
	// EventPresence means that somebody said something new about being there, or
	// that we did.
	EventPresence = "presence"
	// EventProfile means that what others are told about us was changed here.
	EventProfile = "profile"
	// EventUndecryptable means that a message from somebody we know could not be
	// read. Those of strangers are only counted.
	EventUndecryptable = "undecryptable"
	// EventHistory means that messages which were missed have been fetched from
	// store nodes. It comes when the fetch is over, after the events of what was
	// found.
	EventHistory = "history"
)

// EventType is a type of events and that of its data.
type EventType struct {
	Name string
	// Data is the Go type that Event.Data is the JSON of.
	Data reflect.Type
}

// EventTypes returns the types of events, in the order of the documentation.
func EventTypes() []EventType {
	return []EventType{
		{EventMessage, reflect.TypeFor[view.Message]()},
		{EventMessageState, reflect.TypeFor[view.StateChange]()},
		{EventMessageStored, reflect.TypeFor[view.Stored]()},
		{EventTransfer, reflect.TypeFor[view.Transfer]()},
		{EventMessageChanged, reflect.TypeFor[view.Message]()},
		{EventReaction, reflect.TypeFor[view.ReactionChange]()},
		{EventPin, reflect.TypeFor[view.Pin]()},
		{EventChat, reflect.TypeFor[view.Chat]()},
		{EventDraft, reflect.TypeFor[view.Draft]()},
		{EventGroup, reflect.TypeFor[view.GroupChange]()},
		{EventGroupRequest, reflect.TypeFor[view.GroupRequest]()},
		{EventCommunity, reflect.TypeFor[view.CommunityChange]()},
		{EventCommunityRequest, reflect.TypeFor[view.CommunityRequest]()},
		{EventContact, reflect.TypeFor[view.Contact]()},
		{EventContactRequest, reflect.TypeFor[view.ContactRequest]()},
		{EventPicture, reflect.TypeFor[view.ContactPicture]()},
		{EventVerification, reflect.TypeFor[view.Verification]()},
		{EventCommunityLost, reflect.TypeFor[view.CommunityLost]()},
		{EventPresence, reflect.TypeFor[view.Presence]()},
		{EventProfile, reflect.TypeFor[view.Profile]()},
		{EventDevice, reflect.TypeFor[view.DeviceChange]()},
		{EventActivity, reflect.TypeFor[view.Activity]()},
		{EventActivityRead, reflect.TypeFor[view.ActivityRead]()},
		{EventUndecryptable, reflect.TypeFor[view.Undecryptable]()},
		{EventSessionBroken, reflect.TypeFor[view.Session]()},
		{EventSessionHealed, reflect.TypeFor[view.Session]()},
		{EventHistory, reflect.TypeFor[Progress]()},
	}
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
