package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// The private keys of communities. Who has one is a control node: it takes
// requests, and signs descriptions. A key may be handed to another account; who
// takes over first looks for the newest description, since what is signed on
// top of an old one would take back what came after that.

// communityKey returns the private key of a community, if we have it.
func communityKey(tx *storage.Tx, k key.Public) (own key.Private, ok bool, err error) {
	raw, ok, err := storage.GetRecord[[]byte](tx, storage.CommunityKeys, k.CompressedHex())
	if err != nil || !ok {
		return key.Private{}, false, err
	}
	own, err = key.PrivateFromBytes(raw)
	return own, err == nil, err
}

// communityKeys returns all private keys of communities, ordered by community.
func communityKeys(tx *storage.Tx) ([]key.Private, error) {
	records, err := storage.Records[[]byte](tx, storage.CommunityKeys, "")
	if err != nil {
		return nil, err
	}
	all := make([]key.Private, len(records))
	for i, r := range records {
		if all[i], err = key.PrivateFromBytes(r.Value); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func putCommunityKey(tx *storage.Tx, own key.Private) error {
	return storage.PutRecord(tx, storage.CommunityKeys, own.Public().CompressedHex(), own.Bytes())
}

const (
	// takenOver is when we got the key of a community from elsewhere: what was
	// asked before was for the control node of that time.
	takenOver = "community taken over "
	// takingOver is on communities of which we got the key and of which a newer
	// description may still come. It is when the last one came.
	takingOver = "community to take over "
	// takeoverPause is how long none must have come.
	takeoverPause = time.Minute
)

// takeoverTarget names our beginning to control a community as the target of
// the requests to it.
func takeoverTarget(k key.Public) string { return "control/" + k.CompressedHex() }

var errNoControl = errors.New("to a community that we do not control")

// controlled returns a community whose key we have, and what it takes to change
// it. Until we know the newest description, requests wait.
func (s *Stack) controlled(t *step, k key.Public) (c community.Community, by community.Control, err error) {
	own, ok, err := communityKey(t.Tx, k)
	if err == nil && !ok {
		err = errNoControl
	}
	if err != nil {
		return c, by, err
	}
	if waits, err := t.Mark(takingOver + k.CompressedHex()); err != nil {
		return c, by, err
	} else if !waits.IsZero() {
		return c, by, &message.Missing{Target: takeoverTarget(k)}
	}
	c, _, err = s.community(t.Tx, k)
	return c, community.Control{Key: own, Now: t.now, Rand: s.rand}, err
}

// controlError tells a person why they cannot change a community.
func controlError(k key.Public, err error) error {
	if errors.Is(err, errNoControl) {
		return fault.New(fault.Denied, "you do not control the community %s", k.CompressedHex()).WithHint("only who has its key can do that")
	}
	if _, ok := errors.AsType[*message.Missing](err); ok {
		return fault.New(fault.Conflict, "the newest description of %s is being looked for", k.CompressedHex()).WithHint("wait a minute or two")
	}
	return err
}

// ExportCommunityKey returns the private key of a community that we control.
// Whoever has it controls the community as well: two control nodes that both go
// on overwrite what the other says, so one of them should forget it.
func (s *Stack) ExportCommunityKey(k key.Public) (own key.Private, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		var ok bool
		own, ok, err = communityKey(tx, k)
		if err == nil && !ok {
			err = controlError(k, errNoControl)
		}
		return err
	})
	return own, err
}

// ImportCommunityKey makes us a control node of a community, as soon as its
// newest description has come from the network. Then we are listed as a member,
// too.
func (s *Stack) ImportCommunityKey(own key.Private) (after community.Community, err error) {
	k := own.Public()
	err = s.update(func(t *step) error {
		if _, ok, err := communityKey(t.Tx, k); err != nil || ok {
			return errors.Join(err, fault.New(fault.Conflict, "you control the community %s already", k.CompressedHex()))
		}
		before, _, err := s.community(t.Tx, k)
		if err != nil {
			return err
		}
		if err := putCommunityKey(t.Tx, own); err != nil {
			return err
		}
		// What is here is not published before it is known to be the newest.
		for _, mark := range []string{takenOver, takingOver, published} {
			if err := t.SetMark(mark+k.CompressedHex(), t.now); err != nil {
				return err
			}
		}
		t.resubscribe = true
		before.Key = k
		after = before.Follow()
		return s.putCommunity(t, before, after, []community.Change{{Kind: view.CommunityKeyCame}})
	})
	return after, err
}

// ForgetCommunityKey makes us a control node no more, for when another one goes
// on. What we are to the community stays.
func (s *Stack) ForgetCommunityKey(k key.Public) error {
	return s.update(func(t *step) error {
		if _, ok, err := communityKey(t.Tx, k); err != nil || !ok {
			return errors.Join(err, controlError(k, errNoControl))
		}
		c, _, err := s.community(t.Tx, k)
		if err != nil {
			return err
		}
		t.resubscribe = true
		for _, mark := range []string{takenOver, takingOver, published} {
			if err := t.DeleteMark(mark + c.ID()); err != nil {
				return err
			}
		}
		if err := storage.DeleteRecord(t.Tx, storage.CommunityKeys, c.ID()); err != nil {
			return err
		}
		return t.event(EventCommunity, view.NewCommunityChange(c, community.Change{Kind: view.CommunityKeyGone}))
	})
}

// takeOver begins to control the communities whose keys have come from
// elsewhere and of which the newest description is here. It returns when to
// look again, the zero time for never.
func (s *Stack) takeOver(t *step) (next time.Time, err error) {
	marks, err := t.Marks(takingOver)
	if err != nil {
		return next, err
	}
	for _, mark := range marks {
		since, err := t.Mark(mark)
		if err != nil {
			return next, err
		}
		k, err := key.ParsePublic(mark[len(takingOver):])
		if err != nil {
			return next, err
		}
		c, _, err := s.community(t.Tx, k)
		if err != nil {
			return next, err
		}
		if c.Description.IsZero() || s.Progress().Active || t.now.Sub(since) < takeoverPause {
			next = t.now.Add(takeoverPause)
			continue
		}
		err = t.try(func(t *step) error { return s.beginControl(t, mark, c) })
		if err := s.dropped(err); err != nil {
			return next, err
		}
	}
	return next, nil
}

// beginControl lists us as a member, since only members write, and takes up the
// requests that have waited.
func (s *Stack) beginControl(t *step, mark string, before community.Community) error {
	if err := t.DeleteMark(mark); err != nil {
		return err
	}
	c, by, err := s.controlled(t, before.Key)
	if err != nil {
		return err
	}
	after := c
	if !c.IsMember(s.Self()) && !c.Description.Gated {
		after, err = c.AddMembers(by, community.Request{
			Member: s.Self(), Community: c.Key, Clock: uint64(t.now.Unix()), State: community.Accepted,
		})
		if err != nil {
			return err
		}
	}
	after = after.Owned(s.Self(), t.now)
	if err := s.putCommunity(t, c, after, community.Changes(c, after, s.Self())); err != nil {
		return err
	}
	if err := s.publishCommunity(t, by.Key, after); err != nil {
		return err
	}
	return s.arrived(t, takeoverTarget(c.Key))
}
