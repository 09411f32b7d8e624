package stack

import (
	"errors"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// What a control node does with the requests of others.

var errBeforeUs = errors.New("request to the control node before us")

// requestKey names the record of a request to join.
func requestKey(member, k key.Public) string { return k.CompressedHex() + "/" + member.Hex() }

func requestOf(tx *storage.Tx, member, k key.Public) (community.Request, bool, error) {
	return storage.GetRecord[community.Request](tx, storage.CommunityRequests, requestKey(member, k))
}

// requestsTo returns the requests to a community.
func requestsTo(tx *storage.Tx, k key.Public) (all []community.Request, err error) {
	records, err := storage.Records[community.Request](tx, storage.CommunityRequests, k.CompressedHex()+"/")
	for _, r := range records {
		all = append(all, r.Value)
	}
	return all, err
}

// putRequest stores a request and tells of it. Its entry in the activity centre
// begins with the request and gets its answer.
func (s *Stack) putRequest(t *step, c community.Community, before, after community.Request) error {
	if err := storage.PutRecord(t.Tx, storage.CommunityRequests, requestKey(after.Member, after.Community), after); err != nil {
		return err
	}
	if after.State == before.State && after.Clock == before.Clock {
		return nil
	}
	if err := t.event(EventCommunityRequest, view.NewCommunityRequest(after, c.Description.Name, false)); err != nil {
		return err
	}
	entry, err := activity.OfCommunity(activity.CommunityRequest, c.ID(), after.Member, after.Clock*1000, after.DisplayName)
	if err != nil {
		return err
	}
	if after.State == community.Pending {
		return s.note(t, entry)
	}
	return s.closeActivity(t, entry.ID, after.State == community.Accepted)
}

// askedOfUs returns the community that somebody asks something of, if we control it
// and did so when they asked.
func (s *Stack) askedOfUs(t *step, in incoming, k key.Public) (c community.Community, by community.Control, err error) {
	c, by, err = s.controlled(t, k)
	if err != nil {
		return c, by, err
	}
	since, err := t.Mark(takenOver + k.CompressedHex())
	if err == nil && in.at.Add(clockTolerance).Before(since) {
		err = errBeforeUs
	}
	return c, by, err
}

func (s *Stack) onRequestToJoin(t *step, in incoming) error {
	r, err := community.ParseRequest(in.Author, in.Payload)
	if err != nil {
		return err
	}
	c, by, err := s.askedOfUs(t, in, r.Community)
	_, waits := errors.AsType[*message.Missing](err)
	// Deployed clients tell owner and admins of their request as well, without
	// the accounts, which are for the control node: that is not the request.
	if (err == nil || waits) && in.aside && len(r.Accounts) == 0 {
		return community.ErrNoAccount
	}
	if err != nil {
		return err
	}
	before, _, err := requestOf(t.Tx, r.Member, r.Community)
	if err != nil {
		return err
	}
	others, err := requestsTo(t.Tx, r.Community)
	if err != nil {
		return err
	}
	desk := community.Desk{Before: before, Now: t.now}
	for _, o := range others {
		if o.State == community.Pending && o.Member != r.Member {
			desk.Pending++
		}
	}
	after, err := c.Admit(r, desk)
	if err != nil {
		return err
	}
	if err := s.putRequest(t, c, before, after); err != nil || after.State != community.Accepted {
		return err
	}
	return s.admit(t, by, c, after)
}

// admit makes somebody whose request was accepted a member, and tells them.
func (s *Stack) admit(t *step, by community.Control, before community.Community, r community.Request) error {
	after, err := before.AddMembers(by, r)
	if err != nil {
		return err
	}
	if err := s.issue(t, by, before, after); err != nil {
		return err
	}
	response, err := after.Respond(by, r)
	if err != nil {
		return err
	}
	body, err := response.Encode()
	if err != nil {
		return err
	}
	_, err = s.send(t, outgoing{
		typ: apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE, body: body,
		to: []key.Public{r.Member}, community: after.Key, by: by.Key,
	})
	return err
}

func (s *Stack) onCancelRequest(t *step, in incoming) error {
	x, err := community.ParseCancel(in.Author, in.Payload)
	if err != nil {
		return err
	}
	c, by, err := s.askedOfUs(t, in, x.Community)
	if err != nil {
		return err
	}
	before, _, err := requestOf(t.Tx, x.Member, x.Community)
	if err != nil {
		return err
	}
	after, err := before.Cancel(x)
	if err != nil {
		return err
	}
	if err := s.putRequest(t, c, before, after); err != nil || !c.IsMember(x.Member) {
		return err
	}
	return s.expel(t, by, c, x.Member)
}

// expel takes somebody off the list of members.
func (s *Stack) expel(t *step, by community.Control, before community.Community, who key.Public) error {
	after, err := before.RemoveMember(by, who)
	if err != nil {
		return err
	}
	return s.issue(t, by, before, after)
}

func (s *Stack) onRequestToLeave(t *step, in incoming) error {
	x, err := community.ParseLeaving(in.Author, in.Payload)
	if err != nil {
		return err
	}
	c, by, err := s.askedOfUs(t, in, x.Community)
	if err != nil {
		return err
	}
	last, _, err := requestOf(t.Tx, x.Member, x.Community)
	if err != nil {
		return err
	}
	if err := c.CheckLeaving(x, last); err != nil {
		return err
	}
	return s.expel(t, by, c, x.Member)
}

func (s *Stack) onEditAddresses(t *step, in incoming) error {
	x, err := community.ParseAddresses(in.Author, in.Payload)
	if err != nil {
		return err
	}
	c, by, err := s.askedOfUs(t, in, x.Community)
	if err != nil {
		return err
	}
	if err := c.CheckAddresses(x); err != nil {
		return err
	}
	before, known, err := requestOf(t.Tx, x.Member, x.Community)
	if err != nil {
		return err
	}
	if !known { // another control node let them in
		before = community.Request{Member: x.Member, Community: x.Community, State: community.Accepted}
	}
	if err := s.putRequest(t, c, before, before.WithAddresses(x)); err != nil {
		return err
	}
	after, err := c.UpdateMember(by, x.Member, x.Clock)
	if err != nil {
		return err
	}
	return s.issue(t, by, c, after)
}

// decide answers a request that waits.
func (s *Stack) decide(k, member key.Public, answer func(r community.Request) (community.Request, error)) (after community.Request, err error) {
	err = s.update(func(t *step) error {
		c, by, err := s.controlled(t, k)
		if err != nil {
			return controlError(k, err)
		}
		before, ok, err := requestOf(t.Tx, member, k)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.NotFound, "they have not asked to join %q", c.Description.Name)
		}
		if after, err = answer(before); err != nil {
			return communityError(err)
		}
		if err := s.putRequest(t, c, before, after); err != nil || after.State != community.Accepted {
			return err
		}
		return communityError(s.admit(t, by, c, after))
	})
	return after, err
}

// AcceptMember lets somebody into a community that we control, who has asked.
func (s *Stack) AcceptMember(k, member key.Public) (community.Request, error) {
	return s.decide(k, member, community.Request.Accept)
}

// RejectMember turns somebody's request to join down. They are not told:
// deployed clients do not either.
func (s *Stack) RejectMember(k, member key.Public) (community.Request, error) {
	return s.decide(k, member, community.Request.Decline)
}

// CommunityRequests returns the requests to join a community that we control,
// ordered by who asks.
func (s *Stack) CommunityRequests(k key.Public) (all []community.Request, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err = requestsTo(tx, k)
		return err
	})
	return all, err
}
