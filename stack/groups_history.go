package stack

import (
	"errors"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
)

// errSystem means that a message is about an entry of the history, which is no
// message to anybody else.
var errSystem = errors.New("about an entry that nobody said")

// said refuses to do something in front of others to an entry of the history.
func said(m *chat.Message) error {
	if m.IsSystem() {
		return fault.New(fault.Conflict, "nobody said that: it is about the group, and cannot be answered or changed")
	}
	return nil
}

// chronicle brings the history in a group's chat in line with the group. An
// entry has the clock of its event, so that it is in the same place in whatever
// order the events came; one whose event turns out void goes again.
func (s *Stack) chronicle(t *step, before, after group.Group) error {
	room, _, err := t.Chat(after.ID)
	if err != nil {
		return err
	}
	was, is := entries(before), entries(after)
	for _, e := range after.History() {
		if _, known := was[e.ID]; known || room.Cleared(e.Clock) {
			continue
		}
		m := chat.NewGroupChange(e.ID, after.ID, e.By, e.Clock, chat.GroupChange{Kind: string(e.Kind), Members: e.Members, Text: e.Text})
		if err := t.PutMessage(m); err != nil {
			return err
		}
		if err := s.messageEvent(t, EventMessage, m); err != nil {
			return err
		}
	}
	void := make(map[message.ID]bool)
	for _, r := range after.Refused {
		void[after.EntryID(r.Event)] = true
	}
	for _, e := range before.History() {
		// Old pictures are forgotten, but there was one.
		if _, holds := is[e.ID]; holds || e.Type == group.ImageChanged && !void[e.ID] {
			continue
		}
		m, ok, err := t.Message(e.ID)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := t.DeleteMessage(m.ID); err != nil {
			return err
		}
		if err := t.event(EventMessageChanged, view.NewMessage(m.DeleteForMe())); err != nil {
			return err
		}
	}
	return nil
}

func entries(g group.Group) map[message.ID]group.Entry {
	all := make(map[message.ID]group.Entry)
	for _, e := range g.History() {
		all[e.ID] = e
	}
	return all
}
