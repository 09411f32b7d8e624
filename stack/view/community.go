package view

import (
	"maps"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/picture"
)

// Community is a community as we see it. Its members are had by a call of their
// own, and so are the bytes of its pictures.
type Community struct {
	// ID is the community's, 0x02… or 0x03…: its compressed key.
	ID string `json:"id"`
	// Key is the same key, zQ3sh….
	Key key.Public `json:"key"`
	// Known tells that a description of it is here; what follows from that is
	// empty until then.
	Known bool `json:"known"`
	// Clock is that of the description, in milliseconds.
	Clock uint64 `json:"clock,omitempty"`
	// Name is what it is called.
	Name string `json:"name"`
	// Description is what it says of itself.
	Description string `json:"description"`
	// Color is #rrggbb.
	Color string `json:"color,omitempty"`
	// Emoji stands for it beside its name.
	Emoji string `json:"emoji,omitempty"`
	// Intro is what is shown before one asks to join.
	Intro string `json:"intro,omitempty"`
	// Outro is what is shown to who leaves.
	Outro string `json:"outro,omitempty"`
	// Tags are what it is about, in words of the vocabulary.
	Tags []string `json:"tags,omitempty"`
	// Access is how one becomes a member: auto, manual, invitation or unknown.
	Access community.Access `json:"access,omitempty"`
	// ENSOnly tells that it asks for an ENS name.
	ENSOnly bool `json:"ens_only,omitempty"`
	// PinByAll tells that every member may pin messages.
	PinByAll bool `json:"pin_by_all,omitempty"`
	// Gated tells that it lets in who has certain tokens; such ones cannot be
	// joined here yet.
	Gated bool `json:"gated,omitempty"`
	// Images are the names of its pictures: thumbnail, large, banner.
	Images []string `json:"images,omitempty"`

	// Joined tells that we are a member.
	Joined bool `json:"joined"`
	// Spectated tells that we follow it.
	Spectated bool `json:"spectated"`
	// JoinedAt is when we became a member.
	JoinedAt uint64 `json:"joined_at,omitempty"`
	// Control tells that we have its key: requests come to us, and we say who
	// is a member.
	Control bool `json:"control"`
	// Role is what we are to it: owner, admin, token_master, or empty.
	Role community.Role `json:"role,omitempty"`
	// Banned tells that we are kept out.
	Banned bool `json:"banned,omitempty"`
	// Request is how far our own request to join has come: pending, declined,
	// accepted, canceled, or empty.
	Request community.RequestState `json:"request,omitempty"`
	// RequestedAt is the time of that request.
	RequestedAt uint64 `json:"requested_at,omitempty"`

	// Members is how many there are.
	Members int `json:"members"`
	// ActiveMembers is how many wrote something lately, as its owner counts.
	ActiveMembers uint64 `json:"active_members,omitempty"`
	// Pending is how many requests to join wait for us.
	Pending int `json:"pending,omitempty"`
	// Categories are headings for channels, in their order.
	Categories []community.Category `json:"categories"`
	// Channels are in the order in which they are shown.
	Channels []Channel `json:"channels"`
	// Banlist are those who are kept out, for who controls the community.
	Banlist []CommunityBan `json:"banlist,omitempty"`
	// ArchiveLink leads to older messages.
	ArchiveLink string `json:"archive_link,omitempty"`
}

// Channel is a place to talk in a community. It is a chat, too, by its id.
type Channel struct {
	// ID is that of its chat.
	ID string `json:"id"`
	// UUID is its id within the community.
	UUID string `json:"uuid"`
	// Name is what it is called.
	Name string `json:"name"`
	// Description is what it is for.
	Description string `json:"description"`
	// Color is #rrggbb.
	Color string `json:"color,omitempty"`
	// Emoji stands for it beside its name.
	Emoji string `json:"emoji,omitempty"`
	// Category is the id of its category.
	Category string `json:"category,omitempty"`
	// Position is its place within the category, from 0.
	Position int32 `json:"position"`
	// ViewersReact tells that those may react who may not write.
	ViewersReact bool `json:"viewers_react,omitempty"`
	// Encrypted tells that only its members can read it; such ones are not
	// readable here yet.
	Encrypted bool `json:"encrypted,omitempty"`
	// CanPost tells whether we may write.
	CanPost bool `json:"can_post"`
	// CanReact tells whether we may react.
	CanReact bool `json:"can_react"`
	// CanPin tells whether we may pin.
	CanPin bool `json:"can_pin"`
	// CanDelete tells whether we may delete what others wrote.
	CanDelete bool `json:"can_delete"`
}

// CommunityMember is a member of a community.
type CommunityMember struct {
	Person
	// Name is what they are called.
	Name string `json:"name"`
	// Role is owner, admin, token_master, or empty.
	Role community.Role `json:"role,omitempty"`
}

// CommunityBan is somebody whom a community keeps out.
type CommunityBan struct {
	Person
	// DeleteAll tells that all they wrote is to be deleted.
	DeleteAll bool `json:"delete_all,omitempty"`
}

// CommunityStanding is what a community is to us beside what it says of itself.
type CommunityStanding struct {
	Self key.Public
	// Control: we have its key. Pending is how many requests wait for us then.
	Control bool
	Pending int
}

// NewCommunity shows a community.
func NewCommunity(c community.Community, at CommunityStanding) Community {
	d := c.Description
	shown := Community{
		ID: c.ID(), Key: c.Key, Known: !d.IsZero(), Clock: d.Clock,
		Name: d.Name, Description: d.Text, Color: d.Color, Emoji: d.Emoji, Intro: d.Intro, Outro: d.Outro, Tags: d.Tags,
		Access: d.Access, ENSOnly: d.ENSOnly, PinByAll: d.PinByAll, Gated: d.Gated,
		Images: slices.DeleteFunc(slices.Sorted(maps.Keys(d.Images)), func(name string) bool {
			return name != picture.Thumbnail && name != picture.Large && name != picture.Banner
		}),
		Joined: c.Joined, Spectated: c.Spectated, JoinedAt: c.JoinedAt, Control: at.Control,
		Role: c.Role(at.Self), Banned: c.IsBanned(at.Self),
		Request: c.Request.State, RequestedAt: c.Request.Clock * 1000,
		Members: len(d.Members), ActiveMembers: d.ActiveMembers, Pending: at.Pending,
		Categories: append([]community.Category{}, d.Categories...), Channels: make([]Channel, 0, len(d.Channels)),
		ArchiveLink: c.Archive.URI,
	}
	for _, ch := range d.Channels {
		shown.Channels = append(shown.Channels, newChannel(c, ch, at.Self))
	}
	if !at.Control {
		return shown
	}
	for _, b := range d.Banned {
		if k, err := b.ID.Key(); err == nil {
			shown.Banlist = append(shown.Banlist, CommunityBan{NewPerson(k), b.DeleteAll})
		}
	}
	return shown
}

func newChannel(c community.Community, ch community.Channel, self key.Public) Channel {
	return Channel{
		ID: community.ChannelID(c.Key, ch.UUID), UUID: ch.UUID, Name: ch.Name, Description: ch.Text, Color: ch.Color, Emoji: ch.Emoji,
		Category: ch.Category, Position: ch.Position, ViewersReact: ch.ViewersReact, Encrypted: ch.Encrypted,
		CanPost: c.Joined && c.CanPost(self, ch.UUID), CanReact: c.Joined && c.CanReact(self, ch.UUID),
		CanPin: c.Joined && c.CanPin(self, ch.UUID), CanDelete: c.Joined && c.CanDelete(self, ch.UUID),
	}
}

// What happens to a community here and is in none of its descriptions.
const (
	CommunityFollowed   community.ChangeKind = "followed"
	CommunityUnfollowed community.ChangeKind = "unfollowed"
	CommunityLeft       community.ChangeKind = "you_left"
	CommunityKeyCame    community.ChangeKind = "key_imported"
	CommunityKeyGone    community.ChangeKind = "key_forgotten"
)

// CommunityChange is one thing that changed in a community.
type CommunityChange struct {
	// ID is the community's, 0x02… or 0x03….
	ID string `json:"id"`
	// Name is what it is called then.
	Name string `json:"name,omitempty"`
	// Clock is that of its description, in milliseconds.
	Clock uint64 `json:"clock,omitempty"`
	// Kind is known, edited, you_joined, you_removed, you_banned, you_left,
	// followed, unfollowed, member_joined, member_left, member_banned,
	// member_unbanned, role_changed, channel_created, channel_changed,
	// channel_deleted, categories_changed, key_imported or key_forgotten.
	Kind community.ChangeKind `json:"kind"`
	// Member is whom it is about, zQ3sh….
	Member key.Public `json:"member,omitzero"`
	// MemberKey is the same key as 0x04….
	MemberKey string `json:"member_key,omitempty"`
	// Role is the new role of the member.
	Role community.Role `json:"role,omitempty"`
	// DeleteAll tells, of a ban, that all they wrote was deleted.
	DeleteAll bool `json:"delete_all,omitempty"`
	// Channel is the id of the chat of the channel it is about.
	Channel string `json:"channel,omitempty"`
	// ChannelName is what that is called.
	ChannelName string `json:"channel_name,omitempty"`
}

// NewCommunityChange shows a change of a community, which is as it is after it.
func NewCommunityChange(c community.Community, change community.Change) CommunityChange {
	shown := CommunityChange{
		ID: c.ID(), Name: c.Description.Name, Clock: c.Description.Clock,
		Kind: change.Kind, Role: change.Role, DeleteAll: change.DeleteAll, MemberKey: string(change.Member),
	}
	if k, err := change.Member.Key(); err == nil {
		shown.Member = k
	}
	if change.Channel != "" {
		ch, _ := c.Description.Channel(change.Channel)
		shown.Channel, shown.ChannelName = community.ChannelID(c.Key, change.Channel), ch.Name
	}
	return shown
}

// CommunityRequest is a request to join a community: ours, or somebody's to one
// that we control.
type CommunityRequest struct {
	// Community is its id, 0x02… or 0x03….
	Community string `json:"community"`
	// Name is what it is called.
	Name string `json:"name,omitempty"`
	// From is who asks, zQ3sh….
	From key.Public `json:"from"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key"`
	// Own tells that we ask.
	Own bool `json:"own,omitempty"`
	// DisplayName is what they call themselves.
	DisplayName string `json:"display_name,omitempty"`
	// ENSName is the ENS name that they say is theirs.
	ENSName string `json:"ens_name,omitempty"`
	// Clock is when they asked or withdrew it, in milliseconds.
	Clock uint64 `json:"clock"`
	// State is pending, accepted, declined, canceled or expired.
	State community.RequestState `json:"state"`
	// Addresses are the accounts that they reveal to who controls the community.
	Addresses []string `json:"addresses,omitempty"`
}

// RequestExpired is the state of a request that nobody answered in time.
const RequestExpired community.RequestState = "expired"

// NewCommunityRequest shows a request to join a community of a name.
func NewCommunityRequest(r community.Request, name string, own bool) CommunityRequest {
	shown := CommunityRequest{
		Community: r.Community.CompressedHex(), Name: name, From: r.Member, FromKey: r.Member.Hex(), Own: own,
		DisplayName: r.DisplayName, ENSName: r.ENSName, Clock: r.Clock * 1000, State: r.State,
	}
	for _, a := range r.Accounts {
		shown.Addresses = append(shown.Addresses, a.Address)
	}
	return shown
}

// CommunityPicture finds a picture of a community by its name: thumbnail, large
// or banner. There may be none, or one that is no picture.
func CommunityPicture(c community.Community, name string) ([]byte, bool) {
	set, _ := picture.Fit(c.Description.Images)
	p, ok := set[name]
	return p.Data, ok
}
