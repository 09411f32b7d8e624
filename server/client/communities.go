package client

import (
	"context"

	"github.com/parley-im/parley"
)

// Communities returns the communities that we follow or are a member of, by
// name.
func (c *Client) Communities(ctx context.Context) ([]parley.Community, error) {
	return get[[]parley.Community](ctx, c, "/communities", nil)
}

// Community returns a community by id, key in any form, share URL or name.
func (c *Client) Community(ctx context.Context, name string) (parley.Community, error) {
	return get[parley.Community](ctx, c, place("communities", name), nil)
}

// CommunityMembers returns the members of a community, ordered by key.
func (c *Client) CommunityMembers(ctx context.Context, name string) ([]parley.CommunityMember, error) {
	return get[[]parley.CommunityMember](ctx, c, place("communities", name, "members"), nil)
}

// CommunityPicture returns a picture of a community: its thumbnail, large or
// banner, no side longer than side pixels (0: as it is).
func (c *Client) CommunityPicture(ctx context.Context, name, which string, side int) (parley.Picture, error) {
	query := sided(side)
	if query == nil {
		query = queryOf{}.values()
	}
	queryOf(query).text("name", which)
	return c.picture(ctx, place("communities", name, "picture"), query)
}

// CommunityTags returns the words that communities can say they are about.
func (c *Client) CommunityTags(ctx context.Context) ([]parley.CommunityTag, error) {
	return get[[]parley.CommunityTag](ctx, c, "/community-tags", nil)
}

// CommunityURL returns the share URL of a community, or of one of its channels
// when that is not empty.
func (c *Client) CommunityURL(ctx context.Context, name, channel string) (string, error) {
	link, err := get[struct{ URL string }](ctx, c, place("communities", name, "url"), queryOf{}.text("channel", channel).values())
	return link.URL, err
}

// FollowCommunity reads a community from now on, without being a member.
func (c *Client) FollowCommunity(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "follow", nil)
}

// UnfollowCommunity ends our reading of a community that we are no member of.
func (c *Client) UnfollowCommunity(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "unfollow", nil)
}

// JoinCommunity asks to be a member of a community. Of one that is new there it
// waits for the description, for half a minute at most.
func (c *Client) JoinCommunity(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "join", nil)
}

// CancelJoin withdraws our request to join a community.
func (c *Client) CancelJoin(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "cancel", nil)
}

// LeaveCommunity ends our membership and our reading of a community.
func (c *Client) LeaveCommunity(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "leave", nil)
}

// ShareAddresses reveals the address that is made for a community to its owner
// once more.
func (c *Client) ShareAddresses(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "share-addresses", nil)
}

func (c *Client) community(ctx context.Context, name, verb string, body any) (parley.Community, error) {
	return post[parley.Community](ctx, c, place("communities", name, verb), body)
}

// CreateCommunity makes a community; Name is required.
func (c *Client) CreateCommunity(ctx context.Context, s parley.CommunitySettings) (parley.Community, error) {
	return post[parley.Community](ctx, c, "/communities", s)
}

// EditCommunity changes what a community says of itself.
func (c *Client) EditCommunity(ctx context.Context, name string, s parley.CommunitySettings) (parley.Community, error) {
	return c.community(ctx, name, "edit", s)
}

// CommunityRequests returns the requests to join a community that we control, or
// all that we control when the name is empty: those that wait first, then the
// newest.
func (c *Client) CommunityRequests(ctx context.Context, name string) ([]parley.CommunityRequest, error) {
	return get[[]parley.CommunityRequest](ctx, c, "/community-requests", queryOf{}.text("community", name).values())
}

// AcceptJoin lets somebody into a community, who has asked.
func (c *Client) AcceptJoin(ctx context.Context, name, who string) (parley.CommunityRequest, error) {
	return post[parley.CommunityRequest](ctx, c, place("communities", name, "accept"), map[string]string{"who": who})
}

// RejectJoin turns somebody's request to join a community down.
func (c *Client) RejectJoin(ctx context.Context, name, who string) (parley.CommunityRequest, error) {
	return post[parley.CommunityRequest](ctx, c, place("communities", name, "reject"), map[string]string{"who": who})
}

// KickMember removes somebody from a community.
func (c *Client) KickMember(ctx context.Context, name, who string) (parley.Community, error) {
	return c.community(ctx, name, "kick", map[string]string{"who": who})
}

// BanMember keeps somebody out of a community; with deleteAll all they wrote
// there is deleted, for everybody.
func (c *Client) BanMember(ctx context.Context, name, who string, deleteAll bool) (parley.Community, error) {
	return c.community(ctx, name, "ban", struct {
		Who       string `json:"who"`
		DeleteAll bool   `json:"delete_all,omitempty"`
	}{who, deleteAll})
}

// UnbanMember lets somebody ask to join a community again.
func (c *Client) UnbanMember(ctx context.Context, name, who string) (parley.Community, error) {
	return c.community(ctx, name, "unban", map[string]string{"who": who})
}

// ExportCommunityKey returns the private key of a community that we control.
func (c *Client) ExportCommunityKey(ctx context.Context, name string) (parley.CommunityKey, error) {
	return post[parley.CommunityKey](ctx, c, place("communities", name, "export-key"), nil)
}

// ImportCommunityKey makes us control a community, by its private key in
// hexadecimal.
func (c *Client) ImportCommunityKey(ctx context.Context, privateKey string) (parley.Community, error) {
	return post[parley.Community](ctx, c, "/community-keys", map[string]string{"private_key": privateKey})
}

// ForgetCommunityKey makes us control a community no more.
func (c *Client) ForgetCommunityKey(ctx context.Context, name string) (parley.Community, error) {
	return c.community(ctx, name, "forget-key", nil)
}

// CreateChannel makes a channel; Name is required.
func (c *Client) CreateChannel(ctx context.Context, name string, s parley.ChannelSettings) (parley.Channel, error) {
	return post[parley.Channel](ctx, c, place("communities", name, "channels"), s)
}

// EditChannel changes what a channel says of itself.
func (c *Client) EditChannel(ctx context.Context, name, channel string, s parley.ChannelSettings) (parley.Channel, error) {
	return post[parley.Channel](ctx, c, place("communities", name, "channels", channel, "edit"), s)
}

// MoveChannel puts a channel at a place, from 0, of a category, or of those
// without one when category is empty.
func (c *Client) MoveChannel(ctx context.Context, name, channel, category string, position int) (parley.Channel, error) {
	return post[parley.Channel](ctx, c, place("communities", name, "channels", channel, "move"), struct {
		Category string `json:"category,omitempty"`
		Position int    `json:"position,omitempty"`
	}{category, position})
}

// DeleteChannel deletes a channel.
func (c *Client) DeleteChannel(ctx context.Context, name, channel string) (parley.Community, error) {
	return post[parley.Community](ctx, c, place("communities", name, "channels", channel, "delete"), nil)
}

// CreateCategory makes a category of channels.
func (c *Client) CreateCategory(ctx context.Context, name, category string, channels []string) (parley.Category, error) {
	return post[parley.Category](ctx, c, place("communities", name, "categories"), struct {
		Name     string   `json:"name"`
		Channels []string `json:"channels,omitempty"`
	}{category, channels})
}

// RenameCategory gives a category another name.
func (c *Client) RenameCategory(ctx context.Context, name, category, to string) (parley.Category, error) {
	return c.category(ctx, name, category, "rename", map[string]string{"name": to})
}

// FillCategory says which channels are in a category, in their order.
func (c *Client) FillCategory(ctx context.Context, name, category string, channels []string) (parley.Category, error) {
	return c.category(ctx, name, category, "channels", map[string][]string{"channels": append([]string{}, channels...)})
}

// MoveCategory puts a category at a place, from 0.
func (c *Client) MoveCategory(ctx context.Context, name, category string, position int) (parley.Category, error) {
	return c.category(ctx, name, category, "move", map[string]int{"position": position})
}

func (c *Client) category(ctx context.Context, name, category, verb string, body any) (parley.Category, error) {
	return post[parley.Category](ctx, c, place("communities", name, "categories", category, verb), body)
}

// DeleteCategory deletes a category; its channels stay.
func (c *Client) DeleteCategory(ctx context.Context, name, category string) (parley.Community, error) {
	return post[parley.Community](ctx, c, place("communities", name, "categories", category, "delete"), nil)
}
