package stack

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Marks of groups.
const (
	// informed is when a member who counts us in was told that we are out.
	informed       = "group informed "
	informInterval = 24 * time.Hour
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
	for _, d := range out.Dropped {
		s.counters.add("group event: " + cause(d.Err))
	}
	for _, r := range out.Group.RefusedSince(before) {
		s.counters.add("group event: " + cause(r.Err))
	}
	if err != nil {
		return err
	}
	if err := s.putGroup(t, before, out.Group, out.Changes); err != nil {
		return err
	}
	if out.Inform && in.Author != s.Self() {
		if err := s.inform(t, out.Group, in.Author); err != nil {
			return err
		}
	}
	if err := s.invited(t, out); err != nil {
		return err
	}
	if u.Message == nil && u.Reaction == nil {
		return nil
	}
	// The events hold whatever becomes of what came with them.
	err = s.handle(t, in, func(t *step, in incoming) error {
		if u.Message != nil {
			return s.onGroupMessage(t, in, out.Group, u.Message)
		}
		return s.reacted(t, in, u.Reaction)
	})
	return s.dropped(err)
}

// onGroupMessage handles a chat message for a private group.
func (s *Stack) onGroupMessage(t *step, in incoming, g group.Group, m *apppb.ChatMessage) error {
	if err := chat.Validate(m, in.reference(), message.PrivateGroup); err != nil {
		return err
	}
	if err := s.admits(g, in.Author); err != nil {
		return err
	}
	if err := s.letIn(t, in, g.ID); err != nil {
		return err
	}
	place := chat.Place{ID: g.ID, Kind: message.PrivateGroup, Own: in.Author == s.Self()}
	return s.keep(t, place, s.newMessage(in, place.ID, m))
}

// invited handles our being added to a group. One that a contact has added us
// to is joined, as deployed clients do, soon after this; any other waits for a
// person in the activity centre.
func (s *Stack) invited(t *step, out group.Outcome) error {
	i := slices.IndexFunc(out.Changes, func(c group.Change) bool { return c.Kind == group.YouAdded })
	if i < 0 || out.Group.Standing(s.Self()) != group.Added {
		return nil
	}
	by := out.Changes[i].By
	kind := activity.GroupInvitation
	if !by.IsZero() {
		c, err := t.Contact(by)
		if err != nil {
			return err
		}
		if c.Local == contact.Sent {
			kind = activity.GroupAddition
			t.flush = true
			if err := t.SetMark(toJoin+out.Group.ID, t.now); err != nil {
				return err
			}
		}
	}
	entry, err := activity.OfGroup(kind, out.Group.ID, by, out.Group.Clock(), out.Group.Name)
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
		err := t.try(func(t *step) error {
			g, ok, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, mark[len(toJoin):])
			if err != nil || !ok || g.Standing(s.Self()) != group.Added {
				return err
			}
			_, err = s.actOnGroup(t, g, s.join)
			return err
		})
		if errors.Is(err, storage.ErrIO) {
			return err
		}
		if err != nil {
			s.log.Warn("cannot join a group", "cause", err)
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
	if err != nil || !last.IsZero() && t.now.Sub(last) < informInterval {
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
// has waited for the group and its new members.
func (s *Stack) putGroup(t *step, before, after group.Group, changes []group.Change) error {
	if !sameEvents(before, after) {
		if err := storage.PutRecord(t.Tx, storage.Groups, after.ID, after); err != nil {
			return err
		}
	}
	room, known, err := t.Chat(after.ID)
	if err != nil {
		return err
	}
	was := room
	if !known {
		room = chat.Chat{ID: after.ID, Kind: message.PrivateGroup}
	}
	room.Name, room.Color = after.Name, after.Color
	room.Active = room.Active || after.HasJoined(s.Self())
	if room = room.Saw(after.Clock()); room != was {
		if err := t.PutChat(room); err != nil {
			return err
		}
	}
	if !sameEvents(before, after) {
		if err := s.chronicle(t, before, after); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := t.event(EventGroup, view.NewGroupChange(after, c)); err != nil {
			return err
		}
	}
	if err := s.concluded(t, after); err != nil {
		return err
	}
	if !known {
		if err := s.arrived(t, message.ChatTarget(after.ID)); err != nil {
			return err
		}
	}
	if slices.Equal(before.Members, after.Members) {
		return nil
	}
	t.resubscribe = true // to the contact codes of the members
	if err := s.settleRequests(t, after); err != nil {
		return err
	}
	for _, k := range after.Members {
		if before.WasMember(k) || !known {
			continue
		}
		if err := s.arrived(t, memberTarget(after.ID, k)); err != nil {
			return err
		}
	}
	return nil
}

// sameEvents tells whether two states of a group follow from the same events,
// which is so for nearly all messages that come with them.
func sameEvents(a, b group.Group) bool {
	same := func(x, y group.Event) bool { return bytes.Equal(x.Raw, y.Raw) }
	return a.ID == b.ID && slices.EqualFunc(a.Events, b.Events, same) &&
		slices.EqualFunc(a.Refused, b.Refused, func(x, y group.Refusal) bool { return same(x.Event, y.Event) })
}

// concluded closes the invitation to a group that we have joined or are not in
// any more.
func (s *Stack) concluded(t *step, g group.Group) error {
	standing := g.Standing(s.Self())
	if standing == group.Added {
		return nil
	}
	entry, err := activity.OfGroup(activity.GroupInvitation, g.ID, key.Public{}, 0, "")
	if err != nil {
		return err
	}
	return s.closeActivity(t, entry.ID, g.HasJoined(s.Self()))
}
