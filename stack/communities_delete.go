package stack

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// purgeBanned deletes what those wrote whom a community bans with all their
// messages.
func (s *Stack) purgeBanned(t *step, c community.Community, changes []community.Change) error {
	for _, change := range changes {
		if !change.DeleteAll {
			continue
		}
		who, err := change.Member.Key()
		if err != nil {
			continue // whoever wrote has a key
		}
		if err := s.deleteAllOf(t, c, who); err != nil {
			return err
		}
	}
	return nil
}

// deleteAllOf deletes everything that somebody wrote in a community. What they
// wrote and comes later is dropped, for they are no member.
func (s *Stack) deleteAllOf(t *step, c community.Community, who key.Public) error {
	for _, ch := range c.Description.Channels {
		var theirs []*chat.Message
		q := storage.PageQuery{Chat: community.ChannelID(c.Key, ch.UUID), Limit: storage.MaxPage}
		err := s.pages(t, q, func(m *chat.Message) (bool, error) {
			if m.From == who && m.Deleted == nil {
				theirs = append(theirs, m)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		for _, m := range theirs {
			if err := s.deleteFor(t, m, c.Key, message.ID{}, c.Description.Clock); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteFor deletes a message of a channel in the name of the community or of
// somebody who moderates it.
func (s *Stack) deleteFor(t *step, m *chat.Message, by key.Public, id message.ID, clock uint64) error {
	// It may be gone by now, as one of an album.
	m, ok, err := t.Message(m.ID)
	if err != nil || !ok {
		return err
	}
	after, err := m.Delete(&apppb.DeleteMessage{Clock: clock}, chat.Change{ID: id, Author: by, Chat: m.Chat, Moderator: true})
	if err != nil {
		return err
	}
	return s.rewrite(t, chat.Place{ID: m.Chat, Kind: message.Community, Own: m.From == s.Self()}, m, after)
}
