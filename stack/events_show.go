package stack

import (
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// What is known, in the shapes of package view. Events hold them as they were
// in the transaction that wrote them.

// Show shows messages with what others made of them: reactions and pins.
func (s *Stack) Show(all []*chat.Message) (shown []view.Message, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		shown, err = s.show(tx, all)
		return err
	})
	return shown, err
}

func (s *Stack) show(tx *storage.Tx, all []*chat.Message) ([]view.Message, error) {
	shown := make([]view.Message, 0, len(all))
	for _, m := range all {
		reactions, err := storage.Reactions[reaction.Reaction](tx, m.ID)
		if err != nil {
			return nil, err
		}
		p, _, err := storage.GetPin[pin.Pin](tx, m.Chat, m.ID)
		if err != nil {
			return nil, err
		}
		one := view.NewMessage(m)
		one.Reactions, one.Pinned = view.NewReactions(reaction.Summarize(reactions, s.Self())), p.Pinned
		shown = append(shown, one)
	}
	return shown, nil
}

// messageEvent tells that a message is there, or has changed.
func (s *Stack) messageEvent(t *step, kind string, m *chat.Message) error {
	shown, err := s.show(t.Tx, []*chat.Message{m})
	if err != nil {
		return err
	}
	return t.event(kind, shown[0])
}

// chatEvent tells that a chat has changed.
func (s *Stack) chatEvent(t *step, c chat.Chat) error {
	l := storage.ListedChat{Chat: c}
	var err error
	if l.Summary, err = t.Summary(c.ID); err != nil {
		return err
	}
	if err := hush(t.Tx, &l); err != nil {
		return err
	}
	draft, _, err := t.Draft(c.ID)
	if err != nil {
		return err
	}
	name := c.Name
	if c.Kind == message.OneToOne {
		peer, err := t.Contact(c.Peer)
		if err != nil {
			return err
		}
		name = view.Name(peer)
	}
	shown := view.NewChat(l, name, draft.Text, t.now)
	if k, _, err := community.SplitChannelID(c.ID); err == nil && c.Kind == message.Community {
		its, _, err := s.community(t.Tx, k)
		if err != nil {
			return err
		}
		shown.CommunityName = its.Description.Name
	}
	return t.event(EventChat, shown)
}

// contactEvent tells that what is known of somebody has changed.
func (s *Stack) contactEvent(t *step, c contact.Contact) error {
	shown, err := showContact(t.Tx, c, t.now)
	if err != nil {
		return err
	}
	return t.event(EventContact, shown)
}

// ShowContact shows a contact.
func (s *Stack) ShowContact(c contact.Contact) (shown view.Contact, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		shown, err = showContact(tx, c, s.now())
		return err
	})
	return shown, err
}

func showContact(tx *storage.Tx, c contact.Contact, now time.Time) (view.Contact, error) {
	picture, err := tx.HasPicture(c.Key)
	return view.NewContact(c, picture, now), err
}

// ShowContacts shows everybody the account knows, ordered by key.
func (s *Stack) ShowContacts() (all []view.Contact, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		contacts, err := tx.Contacts()
		if err != nil {
			return err
		}
		pictured, err := tx.Pictured()
		if err != nil {
			return err
		}
		now := s.now()
		all = make([]view.Contact, 0, len(contacts))
		for _, c := range contacts {
			all = append(all, view.NewContact(c, pictured[c.Key.Compressed()], now))
		}
		return nil
	})
	return all, err
}

// presenceEvent tells what somebody says about being there.
func (s *Stack) presenceEvent(t *step, of view.Person, status contact.Status) error {
	return t.event(EventPresence, view.Presence{Person: of, Presence: status.Presence, PresenceText: status.Text})
}

// requestEvent tells of a request for a group.
func (s *Stack) requestEvent(t *step, i group.Invitation) error {
	g, _, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, i.ChatID)
	if err != nil {
		return err
	}
	return t.event(EventGroupRequest, view.NewGroupRequest(i, g.Name))
}

// ShowProfile shows what others are told about us.
func (s *Stack) ShowProfile() (p view.Profile, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		p, err = s.showProfile(tx, s.me.Load(), s.now())
		return err
	})
	return p, err
}

func (s *Stack) showProfile(tx *storage.Tx, me *self, now time.Time) (view.Profile, error) {
	status, _, err := storage.GetRecord[contact.Status](tx, storage.Settings, ownStatus)
	return view.NewProfile(s.Self(), me.Profile, me.pictures.ShowTo, status, now), err
}
