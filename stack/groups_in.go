package stack

import (
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// GroupChange is the data of EventGroup: what changed, and in which group.
type GroupChange struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	group.Change
}

// Marks of groups.
const (
	// informed is when a member who counts us in was told that we are out.
	informed = "group informed "
	// toJoin is on groups that are to be joined.
	toJoin = "group to join "
)

func (s *Stack) onMembershipUpdate(t *step, in incoming) error {
	u, err := group.ParseUpdate(in.Payload)
	if err != nil {
		return err
	}
	before, _, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, u.ID)
	if err != nil {
		return err
	}
	sender, err := t.Contact(in.Author)
	if err != nil {
		return err
	}
	allowed, err := s.allowed(t, contact.Origin{Own: in.Author == s.Self(), Sender: sender})
	if err != nil {
		return err
	}
	out, err := before.Receive(u, group.Incoming{Self: s.Self(), Sender: in.Author, Allowed: allowed, Now: t.now})
	if err != nil {
		return err
	}
	if err := s.putGroup(t, before, out.Group, out.Changes); err != nil {
		return err
	}
	if out.Inform {
		if err := s.inform(t, out.Group, in.Author); err != nil {
			return err
		}
	}
	if err := s.invited(t, out); err != nil {
		return err
	}
	switch {
	case u.Message != nil:
		return s.onGroupMessage(t, in, out.Group, u.Message)
	case u.Reaction != nil:
		return s.reacted(t, in, u.Reaction)
	}
	return nil
}

// onGroupMessage handles a chat message for a private group.
func (s *Stack) onGroupMessage(t *step, in incoming, g group.Group, m *apppb.ChatMessage) error {
	if err := chat.Validate(m, in.reference(), message.PrivateGroup); err != nil {
		return err
	}
	if !g.MayPost(in.Author, s.Self()) {
		return errNotThere
	}
	place := chat.Place{ID: g.ID, Kind: message.PrivateGroup, Own: in.Author == s.Self()}
	return s.keep(t, place, s.newMessage(in, place.ID, m))
}

// invited handles our being added to a group. One that a contact has added us
// to is joined, as deployed clients do, soon after this; any other waits for a
// person in the activity centre.
func (s *Stack) invited(t *step, out group.Outcome) error {
	i := slices.IndexFunc(out.Changes, func(c group.Change) bool { return c.Kind == group.YouAdded })
	if i < 0 {
		return nil
	}
	by := out.Changes[i].By
	if !by.IsZero() {
		c, err := t.Contact(by)
		if err != nil {
			return err
		}
		if c.Local == contact.Sent {
			t.flush = true
			return t.SetMark(toJoin+out.Group.ID, t.now)
		}
	}
	entry, err := activity.OfGroup(activity.GroupInvitation, out.Group.ID, by, out.Group.Clock(), out.Group.Name)
	if err != nil {
		return err
	}
	return s.note(t, entry)
}

// joinGroups joins the groups that contacts have added us to.
func (s *Stack) joinGroups(t *step) error {
	marks, err := t.Marks(toJoin)
	if err != nil {
		return err
	}
	for _, mark := range marks {
		g, ok, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, mark[len(toJoin):])
		if err != nil {
			return err
		}
		if ok && g.Standing(s.Self()) == group.Added {
			if _, err := s.actOnGroup(t, g, s.join); err != nil {
				return err
			}
		}
		if err := t.DeleteMark(mark); err != nil {
			return err
		}
	}
	return nil
}

// inform tells a member who counts us in that we are out, at most once a day.
func (s *Stack) inform(t *step, g group.Group, to key.Public) error {
	mark := informed + g.ID + " " + to.CompressedHex()
	last, err := t.Mark(mark)
	if err != nil || !last.IsZero() && t.now.Sub(last) < identityInterval {
		return err
	}
	raw, err := g.Update().Encode()
	if err != nil {
		return err
	}
	if _, err := s.send(t, outgoing{
		kind: message.PrivateGroup, typ: apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, body: raw, to: []key.Public{to},
	}); err != nil {
		return err
	}
	return t.SetMark(mark, t.now)
}

// putGroup stores a group and its chat, tells of the changes, and handles what
// has waited for the group.
func (s *Stack) putGroup(t *step, before, after group.Group, changes []group.Change) error {
	if err := storage.PutRecord(t.Tx, storage.Groups, after.ID, after); err != nil {
		return err
	}
	room, known, err := t.Chat(after.ID)
	if err != nil {
		return err
	}
	if !known {
		room = chat.Chat{ID: after.ID, Kind: message.PrivateGroup}
	}
	room.Name, room.Color = after.Name, after.Color
	room.Active = room.Active || after.HasJoined(s.Self())
	if err := t.PutChat(room.Saw(after.Clock())); err != nil {
		return err
	}
	for _, c := range changes {
		if err := t.event(EventGroup, GroupChange{after.ID, after.Name, c}); err != nil {
			return err
		}
	}
	if err := s.settleRequests(t, after); err != nil {
		return err
	}
	if !slices.Equal(before.Members, after.Members) {
		t.resubscribe = true // to the contact codes of the members
	}
	if known {
		return nil
	}
	return s.arrived(t, message.ChatTarget(after.ID))
}
