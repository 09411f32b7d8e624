package stack

import (
	"bytes"
	"errors"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// What the control node of a community does: it signs descriptions, and
// publishes them.

const (
	// published is when the description of a community was published last.
	published = "community published "
	// publishInterval is how often it is at least (deployed clients).
	publishInterval = 24 * time.Hour
)

// publishCommunity sends the newest description to everybody who follows the community.
// These are the same bytes each time, so that a control node that was away
// cannot take back what another did.
func (s *Stack) publishCommunity(t *step, own key.Private, c community.Community) error {
	_, err := s.send(t, outgoing{
		typ: apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, body: c.Description.Encode(), community: c.Key, by: own,
	})
	if err != nil {
		return err
	}
	return t.SetMark(published+c.ID(), t.now)
}

// publishDue publishes what is due again and returns when to come back, the
// zero time for never.
func (s *Stack) publishDue(t *step) (next time.Time, err error) {
	keys, err := communityKeys(t.Tx)
	if err != nil {
		return next, err
	}
	for _, own := range keys {
		c, _, err := s.community(t.Tx, own.Public())
		if err != nil {
			return next, err
		}
		if c.Description.IsZero() {
			continue
		}
		last, err := t.Mark(published + c.ID())
		if err != nil {
			return next, err
		}
		due := last.Add(publishInterval)
		if !due.After(t.now) {
			err := t.try(func(t *step) error { return s.publishCommunity(t, own, c) })
			if errors.Is(err, storage.ErrIO) {
				return next, err
			}
			if err != nil {
				s.log.Warn("cannot publish a community", "community", c.ID(), "cause", err)
			}
			due = t.now.Add(publishInterval)
		}
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next, nil
}

// issue stores a description that we have signed and publishes it.
func (s *Stack) issue(t *step, by community.Control, before, after community.Community) error {
	if bytes.Equal(before.Wrapped, after.Wrapped) {
		return nil
	}
	if err := s.putCommunity(t, before, after, community.Changes(before, after, s.Self())); err != nil {
		return err
	}
	return s.publishCommunity(t, by.Key, after)
}

// control changes a community that we control.
func (s *Stack) control(k key.Public, do func(c community.Community, by community.Control) (community.Community, error)) (after community.Community, err error) {
	err = s.update(func(t *step) error {
		before, by, err := s.controlled(t, k)
		if err != nil {
			return controlError(k, err)
		}
		if after, err = do(before, by); err != nil {
			return communityError(err)
		}
		return s.issue(t, by, before, after)
	})
	return after, err
}

// CreateCommunity makes a community of ours with one channel, and publishes it.
func (s *Stack) CreateCommunity(p community.Params) (c community.Community, err error) {
	err = s.update(func(t *step) error {
		own, err := key.Generate(s.rand)
		if err != nil {
			return err
		}
		by := community.Control{Key: own, Now: t.now, Rand: s.rand}
		if c, err = community.Create(by, s.Self(), p); err != nil {
			return communityError(err)
		}
		if err := putCommunityKey(t.Tx, own); err != nil {
			return err
		}
		return s.issue(t, by, community.Community{Key: own.Public()}, c)
	})
	return c, err
}

// EditCommunity replaces what a community says of itself; begin with the
// Params of its description.
func (s *Stack) EditCommunity(k key.Public, p community.Params) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) { return c.Edit(by, p) })
}

// CreateChannel makes a channel and returns its UUID, too.
func (s *Stack) CreateChannel(k key.Public, p community.ChannelParams) (after community.Community, uuid string, err error) {
	after, err = s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		c, uuid, err = c.CreateChannel(by, p)
		return c, err
	})
	return after, uuid, err
}

// EditChannel replaces what a channel says of itself; begin with its Params.
func (s *Stack) EditChannel(k key.Public, uuid string, p community.ChannelParams) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.EditChannel(by, uuid, p)
	})
}

// MoveChannel puts a channel at a place, from 0, of a category or, when that is
// empty, of none.
func (s *Stack) MoveChannel(k key.Public, uuid, category string, position int) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.MoveChannel(by, uuid, category, position)
	})
}

// DeleteChannel deletes a channel. What was written there stays where it is.
func (s *Stack) DeleteChannel(k key.Public, uuid string) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.DeleteChannel(by, uuid)
	})
}

// CreateCategory makes a category of channels and returns its id, too.
func (s *Stack) CreateCategory(k key.Public, name string, channels []string) (after community.Community, id string, err error) {
	after, err = s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		c, id, err = c.CreateCategory(by, name, channels)
		return c, err
	})
	return after, id, err
}

// EditCategory renames a category and says which channels are in it.
func (s *Stack) EditCategory(k key.Public, id, name string, channels []string) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.EditCategory(by, id, name, channels)
	})
}

// MoveCategory puts a category at a place, from 0.
func (s *Stack) MoveCategory(k key.Public, id string, position int) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.MoveCategory(by, id, position)
	})
}

// DeleteCategory deletes a category; its channels stay.
func (s *Stack) DeleteCategory(k key.Public, id string) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.DeleteCategory(by, id)
	})
}

// Kick removes a member, who may ask to join again.
func (s *Stack) Kick(k, member key.Public) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.RemoveMember(by, member)
	})
}

// Ban keeps somebody out, member or not; with deleteAll everybody deletes what
// they wrote.
func (s *Stack) Ban(k, who key.Public, deleteAll bool) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.Ban(by, who, deleteAll)
	})
}

// Unban lets somebody ask to join again.
func (s *Stack) Unban(k, who key.Public) (community.Community, error) {
	return s.control(k, func(c community.Community, by community.Control) (community.Community, error) {
		return c.Unban(by, who)
	})
}
