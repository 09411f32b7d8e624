package stack

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// What is done to a message that is there: edits and deletions. Reactions and
// pins are in files of their own.

// errNotThere means that its author does not take part in the chat that a
// message is for, or that we do not.
var errNotThere = errors.New("for a chat that its author or we are not in")

// hears judges whether something that somebody sent belongs in a chat, and
// whether they may delete there what others wrote.
func (s *Stack) hears(t *step, in incoming, place chat.Place) (moderator bool, err error) {
	switch place.Kind {
	case message.OneToOne:
		if !place.Own {
			err = s.letIn(t, in, place.ID)
		}
		return false, err
	case message.PrivateGroup:
		g, err := s.hearsInGroup(t, in, place)
		return g.IsAdmin(in.Author), err
	case message.Community:
		return s.hearsInChannel(t, in, place)
	}
	return false, errChatKind
}

// hearsInGroup is hears of a private group, which it returns.
func (s *Stack) hearsInGroup(t *step, in incoming, place chat.Place) (g group.Group, err error) {
	if !place.Own {
		if err := s.letIn(t, in, place.ID); err != nil {
			return g, err
		}
	}
	g, ok, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, place.ID)
	if err == nil && !ok {
		err = &message.Missing{Target: message.ChatTarget(place.ID)}
	}
	if err != nil {
		return g, err
	}
	return g, s.admits(g, in.Author)
}

// admits tells whether somebody may say something in a group. Whoever was
// removed may not, also what they said before; who was never a member may be
// one whose adding has not come yet.
func (s *Stack) admits(g group.Group, who key.Public) error {
	switch {
	case g.MayPost(who, s.Self()):
		return nil
	case g.IsMember(s.Self()) && !g.WasMember(who):
		return &message.Missing{Target: memberTarget(g.ID, who)}
	}
	return errNotThere
}

// memberTarget names somebody's being a member of a group as the target of what
// they say there.
func memberTarget(group string, who key.Public) string {
	return message.ChatTarget(group) + "/" + who.CompressedHex()
}

// target finds the message that another is about.
func (s *Stack) target(t *step, id message.ID) (*chat.Message, error) {
	m, ok, err := t.Message(id)
	switch {
	case err == nil && !ok:
		err = &message.Missing{Target: message.MessageTarget(id)}
	case err == nil && m.IsSystem():
		err = errSystem
	}
	return m, err
}

// change applies a change that somebody made to a message.
func (s *Stack) change(t *step, in incoming, m chat.Addressed, id message.ID, apply func(m *chat.Message, by chat.Change) (*chat.Message, error)) error {
	place, err := chat.Match(m, in.Author, s.Self())
	if err != nil {
		return err
	}
	moderator, err := s.hears(t, in, place)
	if err != nil {
		return err
	}
	before, err := s.target(t, id)
	if err != nil {
		return err
	}
	by := chat.Change{ID: in.ID, Author: in.Author, Chat: place.ID, Moderator: moderator}
	after, err := apply(before, by)
	if err != nil {
		return err
	}
	return s.rewrite(t, place, before, after)
}

// rewrite stores a changed message, with the rest of its album if it was
// deleted, and tells of it.
func (s *Stack) rewrite(t *step, place chat.Place, before, after *chat.Message) error {
	if after == before {
		return nil
	}
	siblings, err := s.album(t, before)
	if err != nil {
		return err
	}
	changed := []*chat.Message{after}
	for _, o := range siblings {
		if with := o.DeleteWith(after); with != o {
			changed = append(changed, with)
		}
	}
	for _, m := range changed {
		place.Own = m.From == s.Self()
		if err := s.store(t, place, m); err != nil {
			return err
		}
		if err := s.messageEvent(t, EventMessageChanged, m); err != nil {
			return err
		}
		if err := s.withdraw(t, m); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) onEdit(t *step, in incoming) error {
	m := new(apppb.EditMessage)
	if err := in.read(m); err != nil {
		return err
	}
	id, err := chat.ValidateEdit(m, in.reference())
	if err != nil {
		return err
	}
	return s.change(t, in, m, id, func(before *chat.Message, by chat.Change) (*chat.Message, error) { return before.Edit(m, by) })
}

func (s *Stack) onDelete(t *step, in incoming) error {
	m := new(apppb.DeleteMessage)
	if err := in.read(m); err != nil {
		return err
	}
	id, err := chat.ValidateDelete(m, in.reference())
	if err != nil {
		return err
	}
	return s.change(t, in, m, id, func(before *chat.Message, by chat.Change) (*chat.Message, error) { return before.Delete(m, by) })
}

// onThread takes note of what a thread is called.
func (s *Stack) onThread(t *step, in incoming) error {
	m := new(apppb.ThreadMetadata)
	if err := in.read(m); err != nil {
		return err
	}
	id, err := chat.ValidateThread(m, in.Author, in.reference())
	if err != nil {
		return err
	}
	return s.change(t, in, m, id, func(before *chat.Message, by chat.Change) (*chat.Message, error) { return before.NameThread(m, by) })
}

// EditMessage gives a message of ours another text and other previews.
func (s *Stack) EditMessage(id message.ID, c Content) (*chat.Message, error) {
	return s.revise(id, "editing", func(t *step, a audience, m *chat.Message) (*chat.Message, error) {
		d := s.draft(t, a)
		d.Text, d.Links, d.StatusLinks = c.Text, c.Links, c.StatusLinks
		body, err := chat.EditMessage(m, s.Self(), d)
		if err != nil {
			return nil, changeError("editing", err)
		}
		by, err := s.sendChange(t, a, apppb.ApplicationMetadataMessage_EDIT_MESSAGE, body, d.Clock)
		if err != nil {
			return nil, err
		}
		return m.Edit(body, by)
	})
}

// DeleteMessage deletes a message for everyone: our own, or, as an admin of its
// group or with a role in its community, anybody's.
func (s *Stack) DeleteMessage(id message.ID) (*chat.Message, error) {
	return s.revise(id, "deleting", func(t *step, a audience, m *chat.Message) (*chat.Message, error) {
		d := s.draft(t, a)
		body, err := chat.DeleteMessage(m, s.Self(), a.moderates(s.Self()), d)
		if err != nil {
			return nil, changeError("deleting", err)
		}
		by, err := s.sendChange(t, a, apppb.ApplicationMetadataMessage_DELETE_MESSAGE, body, d.Clock)
		if err != nil {
			return nil, err
		}
		by.Moderator = a.moderates(s.Self())
		return m.Delete(body, by)
	})
}

// DeleteMessageForMe deletes a message from this account alone: here and on the
// devices paired with this one.
func (s *Stack) DeleteMessageForMe(id message.ID) error {
	return s.update(func(t *step) error {
		m, ok, err := t.Message(id)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.NotFound, "there is no message %s", id)
		}
		after := m.DeleteForMe()
		if after == m {
			return nil
		}
		if err := s.rewrite(t, chat.Place{ID: m.Chat, Own: true}, m, after); err != nil {
			return err
		}
		room, _, err := t.Chat(m.Chat)
		if err != nil {
			return err
		}
		return s.tellDevices(t, apppb.ApplicationMetadataMessage_SYNC_DELETE_FOR_ME_MESSAGE,
			chat.DeleteForMeMessage(m, chat.NextClock(room.LastClock, t.now)))
	})
}

// tellDevices sends something to our own other devices, if any is paired.
func (s *Stack) tellDevices(t *step, typ message.Type, body proto.Message) error {
	devices, err := s.session.Installations(t.Core("session"), s.Self())
	if err != nil || !slices.ContainsFunc(devices, func(i session.Installation) bool { return i.Enabled }) {
		return err
	}
	return s.tell(t, s.Self(), typ, body)
}

func (s *Stack) onDeleteForMe(t *step, in incoming) error {
	if in.Author != s.Self() {
		return errNotOwn
	}
	d := new(apppb.SyncDeleteForMeMessage)
	if err := in.read(d); err != nil {
		return err
	}
	id, err := chat.ValidateDeleteForMe(d)
	if err != nil {
		return err
	}
	m, err := s.target(t, id)
	if err != nil && !errors.Is(err, errSystem) { // an entry has the same id on all devices
		return err
	}
	return s.rewrite(t, chat.Place{ID: m.Chat, Own: true}, m, m.DeleteForMe())
}

// revise changes a message by something that goes to all who see it.
func (s *Stack) revise(id message.ID, op string, do func(t *step, a audience, m *chat.Message) (*chat.Message, error)) (after *chat.Message, err error) {
	err = s.update(func(t *step) error {
		m, ok, err := t.Message(id)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.NotFound, "%s: there is no message %s", op, id)
		}
		if err := said(m); err != nil {
			return err
		}
		a, err := s.audience(t, m.Chat)
		if err != nil {
			return err
		}
		if after, err = do(t, a, m); err != nil {
			return err
		}
		return s.rewrite(t, a.place(), m, after)
	})
	return after, err
}

// sendChange sends a change of ours and returns it as receivers see it.
func (s *Stack) sendChange(t *step, a audience, typ message.Type, body proto.Message, clock uint64) (chat.Change, error) {
	raw, err := message.Encode(body)
	if err != nil {
		return chat.Change{}, err
	}
	id, err := s.address(t, a, typ, raw)
	if err != nil {
		return chat.Change{}, fmt.Errorf("%s: %w", message.Name(typ), err)
	}
	return chat.Change{ID: id, Author: s.Self(), Chat: a.room.ID}, t.PutChat(a.room.Saw(clock))
}

// changeError tells a person why a message cannot be changed so.
func changeError(op string, err error) error {
	kind := fault.Usage
	switch {
	case errors.Is(err, chat.ErrNotAuthor):
		kind = fault.Denied
	case errors.Is(err, chat.ErrIsDeleted), errors.Is(err, chat.ErrNotEditable), errors.Is(err, chat.ErrNotDeletable):
		kind = fault.Conflict
	}
	return fault.Wrap(kind, op, err)
}
