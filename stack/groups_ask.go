package stack

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
)

// invitationKey names the record of somebody's request for a group.
func invitationKey(from key.Public, chatID string) string {
	return group.InvitationID(from, chatID).String()
}

func (s *Stack) onInvitation(t *step, in incoming) error {
	m := new(apppb.GroupChatInvitation)
	if err := in.read(m); err != nil {
		return err
	}
	g, _, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, m.GetChatId())
	if err != nil {
		return err
	}
	from := in.Author
	if m.GetState() == apppb.GroupChatInvitation_REJECTED {
		from = s.Self()
	}
	known, _, err := storage.GetRecord[group.Invitation](t.Tx, storage.GroupRequests, invitationKey(from, m.GetChatId()))
	if err != nil {
		return err
	}
	next, err := group.ReceiveInvitation(known, m, g, in.Author, s.Self(), t.now)
	if err != nil {
		return err
	}
	if next.State == group.Requested {
		entry, err := activity.OfGroup(activity.GroupRequest, g.ID, in.Author, next.Clock, next.Introduction)
		if err != nil {
			return err
		}
		if err := s.note(t, entry); err != nil {
			return err
		}
	}
	return s.putInvitation(t, next)
}

func (s *Stack) putInvitation(t *step, i group.Invitation) error {
	if err := storage.PutRecord(t.Tx, storage.GroupRequests, invitationKey(i.From, i.ChatID), i); err != nil {
		return err
	}
	return s.requestEvent(t, i)
}

// settleRequests marks the requests of those who are members now as approved.
func (s *Stack) settleRequests(t *step, g group.Group) error {
	for _, k := range g.Members {
		i, ok, err := storage.GetRecord[group.Invitation](t.Tx, storage.GroupRequests, invitationKey(k, g.ID))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if settled := i.Settle(g); settled != i {
			if err := s.putInvitation(t, settled); err != nil {
				return err
			}
			if err := s.closeRequest(t, settled, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// RequestGroup asks an admin to be added to a group, of which we know the id.
func (s *Stack) RequestGroup(id string, admin key.Public, introduction string) (i group.Invitation, err error) {
	err = s.update(func(t *step) error {
		known, _, err := storage.GetRecord[group.Invitation](t.Tx, storage.GroupRequests, invitationKey(s.Self(), id))
		if err != nil {
			return err
		}
		var body *apppb.GroupChatInvitation
		i, body, err = known.Request(s.Self(), admin, id, introduction, chat.NextClock(known.Clock, t.now))
		if err != nil {
			return groupError(err)
		}
		if err := s.putInvitation(t, i); err != nil {
			return err
		}
		return s.tell(t, admin, apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION, body)
	})
	return i, err
}

// RejectGroupRequest turns somebody's request to be added to a group down; for
// its admins.
func (s *Stack) RejectGroupRequest(id string, from key.Public) (i group.Invitation, err error) {
	err = s.update(func(t *step) error {
		g, err := s.group(t.Tx, id)
		if err != nil {
			return err
		}
		known, ok, err := storage.GetRecord[group.Invitation](t.Tx, storage.GroupRequests, invitationKey(from, id))
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.NotFound, "they have not asked for this group")
		}
		var body *apppb.GroupChatInvitation
		i, body, err = known.Reject(s.Self(), g, chat.NextClock(known.Clock, t.now))
		if err != nil {
			return groupError(err)
		}
		if err := s.putInvitation(t, i); err != nil {
			return err
		}
		if err := s.closeRequest(t, i, false); err != nil {
			return err
		}
		return s.tell(t, from, apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION, body)
	})
	return i, err
}

// closeRequest gives the activity centre's entry for a request its answer.
func (s *Stack) closeRequest(t *step, i group.Invitation, approved bool) error {
	entry, err := activity.OfGroup(activity.GroupRequest, i.ChatID, i.From, 0, "")
	if err != nil {
		return err
	}
	return s.closeActivity(t, entry.ID, approved)
}
