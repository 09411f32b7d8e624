package parley

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

type (
	// Community is a community as we see it.
	Community = view.Community
	// Channel is a place to talk in a community. It is a chat, too: its id, or
	// COMMUNITY/CHANNEL, names it wherever a chat is meant.
	Channel = view.Channel
	// Category is a heading for channels.
	Category = community.Category
	// CommunityMember is a member of a community.
	CommunityMember = view.CommunityMember
	// CommunityRequest is a request to join a community.
	CommunityRequest = view.CommunityRequest
	// CommunityTag is one of the words that say what a community is about.
	CommunityTag = community.Tag
)

// Communities returns the communities that we follow or are a member of, by
// name.
func (c *Client) Communities(context.Context) ([]Community, error) {
	known, err := c.stack.Communities()
	if err != nil {
		return nil, err
	}
	all := make([]Community, 0, len(known))
	for _, one := range known {
		shown, err := c.stack.ShowCommunity(one)
		if err != nil {
			return nil, err
		}
		all = append(all, shown)
	}
	slices.SortFunc(all, func(a, b Community) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// Community returns a community that we follow or are a member of: by id, key
// in any form, share URL or name.
func (c *Client) Community(_ context.Context, name string) (Community, error) {
	return c.onCommunity(name, c.stack.Community)
}

// CommunityMembers returns the members of a community, ordered by key, by the
// names under which we know them: of strangers, who controls the community knows
// how they called themselves when they asked to join.
func (c *Client) CommunityMembers(_ context.Context, name string) ([]CommunityMember, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return nil, err
	}
	all, err := c.stack.CommunityMembers(k)
	if err != nil {
		return nil, err
	}
	asked, err := c.askedAs(k)
	if err != nil {
		return nil, err
	}
	for i, m := range all {
		switch name := asked[m.Key]; {
		case m.Key == c.Self():
			all[i].Name = c.ownName()
		case name != "" && m.Name == account.Alias(m.Key):
			all[i].Name = name
		}
	}
	return append([]CommunityMember{}, all...), nil
}

// CommunityPicture returns a picture of a community: its thumbnail, large or
// banner.
func (c *Client) CommunityPicture(ctx context.Context, name, which string, side int) (Picture, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return Picture{}, err
	}
	known, err := c.stack.Community(k)
	if err != nil {
		return Picture{}, err
	}
	data, ok := view.CommunityPicture(known, which)
	if !ok {
		return Picture{}, fault.New(fault.NotFound, "the community has no picture %q", which)
	}
	return safe(ctx, data, side)
}

// CommunityTags returns the words that communities can say they are about.
func (c *Client) CommunityTags(context.Context) ([]CommunityTag, error) { return community.Tags(), nil }

// CommunityURL returns the share URL of a community that we follow, or of one of
// its channels when that is not empty. What it says of the community is for all
// who see the URL.
func (c *Client) CommunityURL(_ context.Context, name, channel string) (string, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return "", err
	}
	known, err := c.stack.Community(k)
	if err != nil {
		return "", err
	}
	d := known.Description
	if channel == "" && d.IsZero() {
		u, err := share.ForCommunity(k, nil)
		if err != nil {
			return "", err
		}
		return u.String(), nil
	}
	preview := &apppb.CommunityUrlData{
		DisplayName: d.Name, Description: d.Text, MembersCount: uint32(len(d.Members)), Color: d.Color,
	}
	for _, tag := range d.Tags {
		if i, ok := community.TagIndex(tag); ok {
			preview.TagIndices = append(preview.TagIndices, uint32(i))
		}
	}
	if channel == "" {
		u, err := share.ForCommunity(k, preview)
		if err != nil {
			return "", err
		}
		return u.String(), nil
	}
	ch, err := channelOf(known, channel)
	if err != nil {
		return "", err
	}
	u, err := share.ForChannel(k, &apppb.ChannelUrlData{
		DisplayName: ch.Name, Description: ch.Text, Emoji: ch.Emoji, Color: ch.Color, Community: preview, Uuid: ch.UUID,
	})
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// FollowCommunity reads a community from now on, without being a member: by id,
// key in any form or share URL. What it says of itself comes from the network.
func (c *Client) FollowCommunity(_ context.Context, name string) (Community, error) {
	return c.onCommunity(name, c.stack.FollowCommunity)
}

// UnfollowCommunity ends our reading of a community that we are no member of.
// What was written there stays.
func (c *Client) UnfollowCommunity(_ context.Context, name string) (Community, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return Community{}, err
	}
	before, err := c.stack.Community(k)
	if err != nil {
		return Community{}, err
	}
	if err := c.stack.UnfollowCommunity(k); err != nil {
		return Community{}, err
	}
	return c.stack.ShowCommunity(before.Unfollow())
}

// joinPatience is how long joining waits for what a community says of itself.
const joinPatience = 30 * time.Second

// JoinCommunity asks to be a member of a community, which is followed from then
// on: by id, key in any form, share URL or name. Of one that is new here it
// waits for the description, for half a minute at most.
//
// The answer comes by itself, soon if the community lets everybody in; being
// a member is an event.
func (c *Client) JoinCommunity(ctx context.Context, name string) (Community, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return Community{}, err
	}
	if _, err := c.stack.FollowCommunity(k); err != nil {
		return Community{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	if err := c.described(ctx, k); err != nil {
		return Community{}, err
	}
	after, err := c.stack.JoinCommunity(k)
	if err != nil {
		return Community{}, err
	}
	return c.stack.ShowCommunity(after)
}

// errDescribed ends the reading of events.
var errDescribed = errors.New("described")

// described waits until a community that we follow has said what it is.
func (c *Client) described(ctx context.Context, k key.Public) error {
	since, err := c.stack.LastEvent()
	if err != nil {
		return err
	}
	look := func() error {
		known, err := c.stack.Community(k)
		if err == nil && !known.Description.IsZero() {
			err = errDescribed
		}
		return err
	}
	err = look()
	if err == nil {
		err = c.stack.Events(ctx, since, true, func(e storage.Event) error {
			if e.Type != EventCommunity {
				return nil
			}
			return look()
		})
	}
	switch {
	case errors.Is(err, errDescribed):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Timeout, "nothing has been heard of the community %s yet", k.CompressedHex()).
			WithHint("it is followed from now on: join it again when `parley community show` knows it")
	}
	return err
}

// CancelJoin withdraws our request to join a community.
func (c *Client) CancelJoin(_ context.Context, name string) (Community, error) {
	return c.onCommunity(name, c.stack.CancelJoin)
}

// LeaveCommunity ends our membership and our reading of a community. What was
// written there stays.
func (c *Client) LeaveCommunity(_ context.Context, name string) (Community, error) {
	return c.onCommunity(name, c.stack.LeaveCommunity)
}

// ShareAddresses reveals the address that is made for a community, of which we
// are a member, to its owner once more.
func (c *Client) ShareAddresses(_ context.Context, name string) (Community, error) {
	return c.onCommunity(name, func(k key.Public) (community.Community, error) {
		if err := c.stack.ShareAddresses(k); err != nil {
			return community.Community{}, err
		}
		return c.stack.Community(k)
	})
}

// onCommunity does something to a community and shows it as it is then.
func (c *Client) onCommunity(name string, do func(k key.Public) (community.Community, error)) (Community, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return Community{}, err
	}
	after, err := do(k)
	if err != nil {
		return Community{}, err
	}
	return c.stack.ShowCommunity(after)
}
