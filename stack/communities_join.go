package stack

import (
	"errors"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
)

// What we do with communities of others.

// FollowCommunity reads a community from now on: its description, and what is
// written in its open channels. Of one that nothing is known of, the id is
// enough: the description comes from the network.
func (s *Stack) FollowCommunity(k key.Public) (after community.Community, err error) {
	err = s.update(func(t *step) error {
		before, _, err := s.community(t.Tx, k)
		if err != nil {
			return err
		}
		if before.Followed() {
			after = before
			return nil
		}
		before.Key = k
		after = before.Follow()
		return s.putCommunity(t, before, after, []community.Change{{Kind: view.CommunityFollowed}})
	})
	return after, err
}

// UnfollowCommunity ends our reading of a community that we are no member of.
// What was written stays.
func (s *Stack) UnfollowCommunity(k key.Public) error {
	return s.update(func(t *step) error {
		before, err := s.followedCommunity(t.Tx, k)
		if err != nil {
			return err
		}
		_, control, err := communityKey(t.Tx, k)
		switch {
		case err != nil:
			return err
		case control:
			return fault.New(fault.Conflict, "you control %q", before.Description.Name)
		case before.Joined:
			return fault.New(fault.Conflict, "you are a member of %q", before.Description.Name).WithHint("leave it with `parley community leave`")
		case before.Request.State == community.Pending:
			return fault.New(fault.Conflict, "your request to join %q waits", before.Description.Name).WithHint("withdraw it with `parley community cancel`")
		}
		return s.putCommunity(t, before, before.Unfollow(), []community.Change{{Kind: view.CommunityUnfollowed}})
	})
}

// asking is what we say of ourselves to communities.
func (s *Stack) asking() community.Asking {
	p := s.Profile()
	return community.Asking{ENSName: p.ENSName, DisplayName: p.DisplayName, Color: p.Color}
}

// request sends a message to the control node of a community.
func (s *Stack) request(t *step, k key.Public, typ message.Type, body []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = s.send(t, outgoing{typ: typ, body: body, community: k})
	return err
}

// onCommunity does something to a community that we follow.
func (s *Stack) onCommunity(k key.Public, do func(t *step, c community.Community) (community.Community, []community.Change, error)) (after community.Community, err error) {
	err = s.update(func(t *step) error {
		before, err := s.followedCommunity(t.Tx, k)
		if err != nil {
			return err
		}
		var changes []community.Change
		if after, changes, err = do(t, before); err != nil {
			return communityError(err)
		}
		return s.putCommunity(t, before, after, changes)
	})
	return after, err
}

// JoinCommunity asks a community that we follow to let us in. One that lets
// everybody in does so when its control node hears of it.
func (s *Stack) JoinCommunity(k key.Public) (community.Community, error) {
	return s.onCommunity(k, func(t *step, c community.Community) (community.Community, []community.Change, error) {
		after, r, err := c.Ask(s.identity, s.asking(), t.now)
		if err != nil {
			return c, nil, err
		}
		body, err := r.Encode()
		return after.Follow(), nil, s.request(t, k, apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN, body, err)
	})
}

// CancelJoin withdraws our request to join.
func (s *Stack) CancelJoin(k key.Public) (community.Community, error) {
	return s.onCommunity(k, func(t *step, c community.Community) (community.Community, []community.Change, error) {
		after, cancel, err := c.Withdraw(s.Self(), s.asking(), t.now)
		if err != nil {
			return c, nil, err
		}
		body, err := cancel.Encode()
		return after, nil, s.request(t, k, apppb.ApplicationMetadataMessage_COMMUNITY_CANCEL_REQUEST_TO_JOIN, body, err)
	})
}

// LeaveCommunity ends our membership and reading of a community.
func (s *Stack) LeaveCommunity(k key.Public) (community.Community, error) {
	return s.onCommunity(k, func(t *step, c community.Community) (community.Community, []community.Change, error) {
		if _, control, err := communityKey(t.Tx, k); err != nil || control {
			return c, nil, errors.Join(err, community.ErrOwner)
		}
		after, leaving, err := c.Leave(s.Self(), t.now)
		if err != nil {
			return c, nil, err
		}
		body, err := leaving.Encode()
		return after, []community.Change{{Kind: view.CommunityLeft}}, s.request(t, k, apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_LEAVE, body, err)
	})
}

// ShareAddresses reveals the account that is made for a community, of which we
// are a member, to its control node anew.
func (s *Stack) ShareAddresses(k key.Public) error {
	_, err := s.onCommunity(k, func(t *step, c community.Community) (community.Community, []community.Change, error) {
		addresses, err := c.Share(s.identity)
		if err != nil {
			return c, nil, err
		}
		body, err := addresses.Encode()
		return c, nil, s.request(t, k, apppb.ApplicationMetadataMessage_COMMUNITY_EDIT_SHARED_ADDRESSES, body, err)
	})
	return err
}

// communityError tells a person why something cannot be done with a community.
func communityError(err error) error {
	if _, known := errors.AsType[*fault.Error](err); known || err == nil {
		return err
	}
	f := &fault.Error{Kind: fault.Usage, Op: "community", Err: err}
	switch {
	case errors.Is(err, community.ErrUnknown):
		f.Kind = fault.Conflict
		return f.WithHint("its description has not come from the network yet: wait a moment")
	case errors.Is(err, community.ErrBanned), errors.Is(err, community.ErrControl), errors.Is(err, community.ErrENS), errors.Is(err, community.ErrAccess):
		f.Kind = fault.Denied
	case errors.Is(err, community.ErrOwner):
		f.Kind = fault.Denied
		return f.WithHint("a community stays with who has its key")
	case errors.Is(err, community.ErrNoMember), errors.Is(err, community.ErrNoChannel), errors.Is(err, community.ErrNoGroup), errors.Is(err, community.ErrNotBanned):
		f.Kind = fault.NotFound
	case errors.Is(err, community.ErrJoined), errors.Is(err, community.ErrNotAsked), errors.Is(err, community.ErrDecided), errors.Is(err, community.ErrGated), errors.Is(err, community.ErrExpired):
		f.Kind = fault.Conflict
	}
	return f
}
