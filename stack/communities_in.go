package stack

import (
	"bytes"
	"errors"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/stack/view"
)

// What communities say to those who follow them.

var errNotFollowed = errors.New("of a community that is not followed")

// onCommunityDescription takes a description in, whoever brings it: who signed
// it is the community.
func (s *Stack) onCommunityDescription(t *step, in incoming) error {
	before, ok, err := s.community(t.Tx, in.Author)
	if err == nil && (!ok || !before.Followed()) {
		err = errNotFollowed
	}
	if err != nil {
		return err
	}
	after, changes, err := before.Receive(community.Incoming{
		Author: in.Author, Wrapped: in.Raw, Payload: in.Payload, Self: s.Self(), At: in.at,
	})
	if err != nil || bytes.Equal(after.Wrapped, before.Wrapped) {
		return err
	}
	if err := s.putCommunity(t, before, after, changes); err != nil {
		return err
	}
	// Whoever takes the community over waits for the newest one.
	mark := takingOver + after.ID()
	if waits, err := t.Mark(mark); err != nil || waits.IsZero() {
		return err
	}
	return t.SetMark(mark, t.now)
}

// onJoinResponse takes the answer to our request in, with the description that
// lists us.
func (s *Stack) onJoinResponse(t *step, in incoming) error {
	r, err := community.ParseResponse(in.Payload)
	if err != nil {
		return err
	}
	before, ok, err := s.community(t.Tx, r.Community)
	if err == nil && !ok {
		err = errNotFollowed
	}
	if err != nil {
		return err
	}
	after, changes, err := before.Answered(r, community.Incoming{Author: in.Author, Self: s.Self(), At: in.at})
	if err != nil {
		return err
	}
	return s.putCommunity(t, before, after, changes)
}

// onUserKicked ends our membership of a community whose description we cannot
// read any more.
func (s *Stack) onUserKicked(t *step, in incoming) error {
	kicked, err := community.ParseKicked(in.Payload)
	if err != nil {
		return err
	}
	before, _, err := s.community(t.Tx, kicked.Community)
	if err != nil {
		return err
	}
	after, changes, err := before.WasKicked(kicked, in.Author)
	if err != nil {
		return err
	}
	return s.putCommunity(t, before, after, changes)
}

// onArchiveLink takes note of where a community's history is to be had. Nothing
// is fetched from there.
func (s *Stack) onArchiveLink(t *step, in incoming) error {
	link, err := community.ParseArchiveLink(in.Payload)
	if err != nil {
		return err
	}
	before, _, err := s.community(t.Tx, in.Author)
	if err != nil {
		return err
	}
	after, _, err := before.Link(link, in.Author)
	if err != nil || after.Archive == before.Archive {
		return err
	}
	return s.putCommunity(t, before, after, nil)
}

// waitingDeletions is how many messages that are not here yet one message can
// delete when they come.
const waitingDeletions = 64

// onDeleteMemberMessages deletes what a member wrote, at the request of who
// moderates the community.
func (s *Stack) onDeleteMemberMessages(t *step, in incoming) error {
	d, err := community.ParseDeletion(in.Payload)
	if err != nil {
		return err
	}
	c, ok, err := s.community(t.Tx, d.Community)
	if err != nil {
		return err
	}
	if !ok || !c.Followed() {
		return errNotFollowed
	}
	if err := c.CheckDeletion(d, in.Author); err != nil {
		return err
	}
	missing := 0
	for _, one := range d.Messages {
		m, here, err := t.Message(one.ID)
		switch {
		case err != nil:
			return err
		case here && m.From == d.Member && m.Chat == one.ChatID:
			err = s.deleteFor(t, m, in.Author, in.ID, d.Clock*1000)
		case !here && missing < waitingDeletions:
			missing++
			_, err = t.Wait(message.MessageTarget(one.ID), encodeWaiting(in), t.now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// noteCommunity puts into the activity centre that a community has let us in or
// has put us out, and tells what became of our request.
func (s *Stack) noteCommunity(t *step, before, after community.Community, changes []community.Change) error {
	if after.Request != before.Request && after.Request.State != community.NotAsked {
		if err := s.ownRequestEvent(t, after); err != nil {
			return err
		}
	}
	asked := before.Request.State == community.Pending
	for _, change := range changes {
		var kind activity.Kind
		switch {
		case change.Kind == community.YouJoined && asked:
			kind = activity.CommunityAccepted
		case change.Kind == community.YouRemoved, change.Kind == community.YouBanned && before.Joined:
			kind = activity.CommunityKicked
		default:
			continue
		}
		entry, err := activity.OfCommunity(kind, after.ID(), after.Key, after.Description.Clock, after.Description.Name)
		if err != nil {
			return err
		}
		if err := s.note(t, entry); err != nil {
			return err
		}
	}
	return nil
}

// ownRequestEvent tells what became of our own request to join.
func (s *Stack) ownRequestEvent(t *step, c community.Community) error {
	r := community.Request{Member: s.Self(), Community: c.Key, Clock: c.Request.Clock, State: c.Request.State}
	return t.event(EventCommunityRequest, view.NewCommunityRequest(r, c.Description.Name, true))
}
