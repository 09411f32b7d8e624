package parley

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"maps"
	"slices"
	"strings"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
)

// What can be done to a community by who has its key: who made it, or who was
// given the key.

// CommunitySettings are what a community says of itself. What is nil stays as it
// is, or is left at its default when the community is made.
type CommunitySettings struct {
	Name *string `json:"name,omitempty"`
	// Description is by default the name: there must be one.
	Description *string `json:"description,omitempty"`
	// Color is #rrggbb, #4360df by default.
	Color *string `json:"color,omitempty"`
	Emoji *string `json:"emoji,omitempty"`
	// Intro is shown before one asks to join, Outro to who leaves.
	Intro *string `json:"intro,omitempty"`
	Outro *string `json:"outro,omitempty"`
	// Tags are of the vocabulary; see [Client.CommunityTags].
	Tags []string `json:"tags,omitzero" required:"false"`
	// Access is auto, the default, which lets everybody in who asks, or manual.
	Access *string `json:"access,omitempty"`
	// ENSOnly asks for an ENS name.
	ENSOnly *bool `json:"ens_only,omitempty"`
	// PinByAll lets every member pin messages.
	PinByAll *bool `json:"pin_by_all,omitempty"`
	// Picture and Banner are PNG, JPEG, WebP or GIF.
	Picture []byte `json:"picture,omitempty"`
	Banner  []byte `json:"banner,omitempty"`
	// NoPicture and NoBanner take away what there is.
	NoPicture bool `json:"no_picture,omitempty"`
	NoBanner  bool `json:"no_banner,omitempty"`
}

// defaultColor is that of a community whose owner chose none.
const defaultColor = "#4360df"

// put changes a value if there is another one.
func put[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply makes the parameters what the settings say.
func (s CommunitySettings) apply(p community.Params) (community.Params, error) {
	put(&p.Name, s.Name)
	put(&p.Text, s.Description)
	put(&p.Color, s.Color)
	put(&p.Emoji, s.Emoji)
	put(&p.Intro, s.Intro)
	put(&p.Outro, s.Outro)
	if s.Access != nil {
		p.Access = community.Access(*s.Access)
		if p.Access != community.AutoAccept && p.Access != community.ManualAccept {
			return p, fault.New(fault.Usage, "the access %q is neither %q nor %q", *s.Access, community.AutoAccept, community.ManualAccept)
		}
	}
	put(&p.ENSOnly, s.ENSOnly)
	put(&p.PinByAll, s.PinByAll)
	if s.Tags != nil {
		p.Tags = s.Tags
	}
	images := maps.Clone(p.Images)
	if images == nil {
		images = make(map[string]*apppb.IdentityImage)
	}
	for _, one := range []struct {
		drop  bool
		data  []byte
		names []string
		read  func() (picture.Set, error)
	}{
		{s.NoPicture, s.Picture, []string{picture.Thumbnail, picture.Large}, func() (picture.Set, error) {
			return picture.Profile(s.Picture, image.Rectangle{})
		}},
		{s.NoBanner, s.Banner, []string{picture.Banner}, func() (picture.Set, error) {
			banner, err := picture.BannerOf(s.Banner, image.Rectangle{})
			return picture.Set{picture.Banner: banner}, err
		}},
	} {
		if !one.drop && len(one.data) == 0 {
			continue
		}
		for _, name := range one.names {
			delete(images, name)
		}
		if len(one.data) == 0 {
			continue
		}
		set, err := one.read()
		if err != nil {
			return p, fault.Wrap(fault.Usage, "the picture cannot be used", err)
		}
		maps.Copy(images, set.Wire())
	}
	p.Images = images
	return p, nil
}

// CreateCommunity makes a community of ours, with one channel; Name is required.
func (c *Client) CreateCommunity(_ context.Context, s CommunitySettings) (Community, error) {
	p, err := s.apply(community.Params{Color: defaultColor, Access: community.AutoAccept})
	if err != nil {
		return Community{}, err
	}
	p.Text = cmp.Or(p.Text, p.Name)
	made, err := c.stack.CreateCommunity(p)
	if err != nil {
		return Community{}, err
	}
	return c.stack.ShowCommunity(made)
}

// EditCommunity changes what a community says of itself.
func (c *Client) EditCommunity(_ context.Context, name string, s CommunitySettings) (Community, error) {
	return c.onCommunity(name, func(k key.Public) (community.Community, error) {
		before, err := c.stack.Community(k)
		if err != nil {
			return before, err
		}
		p, err := s.apply(before.Description.Params())
		if err != nil {
			return before, err
		}
		return c.stack.EditCommunity(k, p)
	})
}

// CommunityRequests returns the requests to join a community that we control, or
// all that we control when the name is empty: those that wait first, then the
// newest.
func (c *Client) CommunityRequests(_ context.Context, name string) ([]CommunityRequest, error) {
	var known []community.Community
	if name == "" {
		followed, err := c.stack.Communities()
		if err != nil {
			return nil, err
		}
		known = followed
	} else {
		k, err := c.resolveCommunity(name)
		if err != nil {
			return nil, err
		}
		one, err := c.stack.Community(k)
		if err != nil {
			return nil, err
		}
		known = []community.Community{one}
	}
	all := []CommunityRequest{}
	for _, one := range known {
		requests, err := c.stack.CommunityRequests(one.Key)
		if err != nil {
			return nil, err
		}
		for _, r := range requests {
			all = append(all, view.NewCommunityRequest(r, one.Description.Name, false))
		}
	}
	waits := func(r CommunityRequest) int {
		if r.State == community.Pending {
			return 0
		}
		return 1
	}
	slices.SortFunc(all, func(a, b CommunityRequest) int {
		return cmp.Or(cmp.Compare(waits(a), waits(b)), cmp.Compare(b.Clock, a.Clock), strings.Compare(a.Community, b.Community), strings.Compare(a.FromKey, b.FromKey))
	})
	return all, nil
}

// AcceptJoin lets somebody into a community, who has asked.
func (c *Client) AcceptJoin(ctx context.Context, name, who string) (CommunityRequest, error) {
	return c.decide(ctx, name, who, c.stack.AcceptMember)
}

// RejectJoin turns somebody's request to join a community down. They are not
// told.
func (c *Client) RejectJoin(ctx context.Context, name, who string) (CommunityRequest, error) {
	return c.decide(ctx, name, who, c.stack.RejectMember)
}

func (c *Client) decide(ctx context.Context, name, who string, do func(k, member key.Public) (community.Request, error)) (CommunityRequest, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return CommunityRequest{}, err
	}
	member, err := c.resolveAsking(ctx, k, who)
	if err != nil {
		return CommunityRequest{}, err
	}
	r, err := do(k, member)
	if err != nil {
		return CommunityRequest{}, err
	}
	known, err := c.stack.Community(k)
	if err != nil {
		return CommunityRequest{}, err
	}
	return view.NewCommunityRequest(r, known.Description.Name, false), nil
}

// KickMember removes somebody from a community. They may ask to join again.
func (c *Client) KickMember(ctx context.Context, name, who string) (Community, error) {
	return c.onMember(ctx, name, who, c.stack.Kick)
}

// BanMember keeps somebody out of a community, member or not; with deleteAll all
// they wrote there is deleted, for everybody.
func (c *Client) BanMember(ctx context.Context, name, who string, deleteAll bool) (Community, error) {
	return c.onMember(ctx, name, who, func(k, pub key.Public) (community.Community, error) { return c.stack.Ban(k, pub, deleteAll) })
}

// UnbanMember lets somebody ask to join a community again.
func (c *Client) UnbanMember(ctx context.Context, name, who string) (Community, error) {
	return c.onMember(ctx, name, who, c.stack.Unban)
}

func (c *Client) onMember(ctx context.Context, name, who string, do func(k, pub key.Public) (community.Community, error)) (Community, error) {
	return c.onCommunity(name, func(k key.Public) (community.Community, error) {
		pub, err := c.resolveMember(ctx, k, who)
		if err != nil {
			return community.Community{}, err
		}
		return do(k, pub)
	})
}

// CommunityKey is the private key of a community, which whoever has it controls.
type CommunityKey struct {
	// ID is the community's.
	ID string `json:"id"`
	// PrivateKey is 0x and 64 hexadecimal digits.
	PrivateKey string `json:"private_key"`
}

// Format shows which key it is and not the key, whatever the verb.
func (k CommunityKey) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "[private key of community %s]", k.ID)
}

// ExportCommunityKey returns the private key of a community that we control.
// Two who both go on with it overwrite what the other does: one of them is to
// call [Client.ForgetCommunityKey].
func (c *Client) ExportCommunityKey(_ context.Context, name string) (CommunityKey, error) {
	k, err := c.resolveCommunity(name)
	if err != nil {
		return CommunityKey{}, err
	}
	own, err := c.stack.ExportCommunityKey(k)
	if err != nil {
		return CommunityKey{}, err
	}
	return CommunityKey{k.CompressedHex(), fmt.Sprintf("0x%x", own.Bytes())}, nil
}

// ImportCommunityKey makes us control a community, by its private key in
// hexadecimal: as soon as what it said last has come from the network, a minute
// or two.
func (c *Client) ImportCommunityKey(_ context.Context, privateKey string) (Community, error) {
	own, err := key.ParsePrivate(strings.TrimSpace(privateKey))
	if err != nil {
		return Community{}, fault.Wrap(fault.Usage, "reading the community's key", err)
	}
	after, err := c.stack.ImportCommunityKey(own)
	if err != nil {
		return Community{}, err
	}
	return c.stack.ShowCommunity(after)
}

// ForgetCommunityKey makes us control a community no more, for when another
// account goes on. What we are to the community stays.
func (c *Client) ForgetCommunityKey(_ context.Context, name string) (Community, error) {
	return c.onCommunity(name, func(k key.Public) (community.Community, error) {
		if err := c.stack.ForgetCommunityKey(k); err != nil {
			return community.Community{}, err
		}
		return c.stack.Community(k)
	})
}
