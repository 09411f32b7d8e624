package stack

import (
	"errors"
	"image"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// groupAction is something that one does to a group at a clock of its chat.
type groupAction func(g group.Group, clock uint64) (group.Group, error)

// actOnGroup does something to a group, stores it and sends it to all whom it
// concerns.
func (s *Stack) actOnGroup(t *step, before group.Group, do groupAction) (group.Group, error) {
	room, _, err := t.Chat(before.ID)
	if err != nil {
		return before, err
	}
	after, err := do(before, chat.NextClock(max(room.LastClock, before.Clock()), t.now))
	if err != nil {
		return before, groupError(err)
	}
	if err := s.putGroup(t, before, after, group.Changes(before, after, s.Self())); err != nil {
		return before, err
	}
	raw, err := after.Update().Encode()
	if err != nil {
		return before, err
	}
	_, err = s.send(t, outgoing{
		kind: message.PrivateGroup, typ: apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, body: raw,
		to: after.Recipients(before, s.Self()),
	})
	return after, err
}

// onGroup does something to a group that we have.
func (s *Stack) onGroup(id string, do groupAction) (after group.Group, err error) {
	err = s.update(func(t *step) error {
		before, err := s.group(t.Tx, id)
		if err != nil {
			return err
		}
		after, err = s.actOnGroup(t, before, do)
		return err
	})
	return after, err
}

func (s *Stack) group(tx *storage.Tx, id string) (group.Group, error) {
	g, ok, err := storage.GetRecord[group.Group](tx, storage.Groups, id)
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "there is no group %s", id).WithHint("see `parley group list`")
	}
	return g, err
}

// Group returns a private group.
func (s *Stack) Group(id string) (g group.Group, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		g, err = s.group(tx, id)
		return err
	})
	return g, err
}

// Groups returns all private groups that we are or were in, by id.
func (s *Stack) Groups() (all []group.Group, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		records, err := storage.Records[group.Group](tx, storage.Groups, "")
		for _, r := range records {
			all = append(all, r.Value)
		}
		return err
	})
	return all, err
}

// CreateGroup makes a private group with its first members, who must be mutual
// contacts.
func (s *Stack) CreateGroup(name, color string, members []key.Public) (g group.Group, err error) {
	err = s.update(func(t *step) error {
		if err := s.mutual(t, members); err != nil {
			return err
		}
		clock := chat.NextClock(0, t.now)
		created, _, err := group.Create(s.identity, name, color, members, clock, s.rand)
		if err != nil {
			return groupError(err)
		}
		g, err = s.actOnGroup(t, group.Group{ID: created.ID}, func(group.Group, uint64) (group.Group, error) { return created, nil })
		return err
	})
	return g, err
}

// mutual checks that all are contacts of ours and we of theirs: who is not
// would be surprised, and deployed clients ask for it.
func (s *Stack) mutual(t *step, members []key.Public) error {
	for _, k := range members {
		c, err := t.Contact(k)
		if err != nil {
			return err
		}
		if k == s.Self() {
			return fault.New(fault.Usage, "you are a member of your own group already")
		}
		if c.State() != contact.StateMutual {
			return fault.New(fault.Conflict, "%s is no contact of yours", c.Name()).
				WithHint("only mutual contacts can be added: send them a contact request first")
		}
	}
	return nil
}

// AddMembers adds mutual contacts to a group; for its admins.
func (s *Stack) AddMembers(id string, members []key.Public) (after group.Group, err error) {
	err = s.update(func(t *step) error {
		before, err := s.group(t.Tx, id)
		if err != nil {
			return err
		}
		if err := s.mutual(t, members); err != nil {
			return err
		}
		after, err = s.actOnGroup(t, before, func(g group.Group, clock uint64) (group.Group, error) {
			g, _, err := g.AddMembers(s.identity, members, clock)
			return g, err
		})
		return err
	})
	return after, err
}

// JoinGroup says that we, who were added, want to be in the group.
func (s *Stack) JoinGroup(id string) (group.Group, error) { return s.onGroup(id, s.join) }

func (s *Stack) join(g group.Group, clock uint64) (group.Group, error) {
	g, _, err := g.Join(s.identity, clock)
	return g, err
}

// LeaveGroup ends our membership.
func (s *Stack) LeaveGroup(id string) (group.Group, error) {
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.Leave(s.identity, clock)
		return g, err
	})
}

// RemoveMember removes somebody from a group; for its admins.
func (s *Stack) RemoveMember(id string, member key.Public) (group.Group, error) {
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.Remove(s.identity, member, clock)
		return g, err
	})
}

// RenameGroup gives a group another name; for its admins.
func (s *Stack) RenameGroup(id, name string) (group.Group, error) {
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.Rename(s.identity, name, clock)
		return g, err
	})
}

// SetGroupColor gives a group another colour, #rrggbb; for its admins.
func (s *Stack) SetGroupColor(id, color string) (group.Group, error) {
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.SetColor(s.identity, color, clock)
		return g, err
	})
}

// SetGroupImage gives a group another picture, encoded in any form that
// app/picture reads: its middle, small and without metadata; for its admins.
func (s *Stack) SetGroupImage(id string, data []byte) (group.Group, error) {
	set, err := picture.Profile(data, image.Rectangle{})
	if err != nil {
		return group.Group{}, fault.Wrap(fault.Usage, "the picture cannot be used", err)
	}
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.SetImage(s.identity, set[picture.Large].Data, clock)
		return g, err
	})
}

// AddAdmins makes members admins; for admins.
func (s *Stack) AddAdmins(id string, members []key.Public) (group.Group, error) {
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.AddAdmins(s.identity, members, clock)
		return g, err
	})
}

// StepDown makes us an ordinary member.
func (s *Stack) StepDown(id string) (group.Group, error) {
	return s.onGroup(id, func(g group.Group, clock uint64) (group.Group, error) {
		g, _, err := g.StepDown(s.identity, clock)
		return g, err
	})
}

// groupError tells a person why something cannot be done to a group.
func groupError(err error) error {
	f := &fault.Error{Kind: fault.Usage, Op: "changing the group", Err: err}
	switch {
	case errors.Is(err, group.ErrNotAdmin):
		f.Kind = fault.Denied
		return f.WithHint("ask one of the group's admins")
	case errors.Is(err, group.ErrNotMember), errors.Is(err, group.ErrAdmin):
		f.Kind = fault.Denied
	case errors.Is(err, group.ErrUnknownMember):
		f.Kind = fault.NotFound
	case errors.Is(err, group.ErrNoChange), errors.Is(err, group.ErrFull), errors.Is(err, group.ErrLastAdmin):
		f.Kind = fault.Conflict
	}
	return f
}
