package preview

import (
	"fmt"

	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/app/share"
	apppb "github.com/parley-im/parley/pb/app"
)

// Known is what is known of a user, community or channel from what they signed
// themselves.
type Known struct {
	DisplayName string
	Description string
	Color       string // of a community or channel
	Emoji       string // of a channel
	Members     uint32 // of a community
	// Icon and Banner are nil for none.
	Icon, Banner *picture.Picture
	// Community is a channel's.
	Community *Known
}

// StatusPreview is the preview of a share URL.
type StatusPreview struct {
	Link *apppb.UnfurledStatusLink
	// Authentic tells that names and texts come from a signed profile or
	// description. Without it they are what the URL says, and whoever made the
	// URL could write anything; only the key in it is sure.
	Authentic bool
}

// FromShare makes the preview of a share URL: of what is known, or, if known is
// nil, of the data in the URL. It gives ErrURL for what is no share URL, and
// ErrNoPreview when there is neither, or no key.
func FromShare(link string, known *Known) (StatusPreview, error) {
	f, err := canonical(link)
	if err != nil || f.Kind != Status {
		return StatusPreview{}, fmt.Errorf("%w: %.60q", ErrURL, link)
	}
	u, err := share.Parse(f.URL)
	if err != nil {
		return StatusPreview{}, fmt.Errorf("%w: %w", ErrURL, err)
	}
	p := StatusPreview{Link: &apppb.UnfurledStatusLink{Url: f.URL}, Authentic: known != nil}
	if known == nil {
		known = told(u)
	}
	if known == nil || known.DisplayName == "" || u.Key.IsZero() {
		return StatusPreview{}, ErrNoPreview
	}
	k := u.Key.Compressed()
	switch u.Kind {
	case share.User:
		p.Link.Payload = &apppb.UnfurledStatusLink_Contact{Contact: &apppb.UnfurledStatusContactLink{
			PublicKey:   k[:],
			DisplayName: clean(known.DisplayName, MaxTitle),
			Description: clean(known.Description, MaxDescription),
			Icon:        thumbnail(known.Icon),
		}}
	case share.Community:
		p.Link.Payload = &apppb.UnfurledStatusLink_Community{Community: known.community(k[:])}
	case share.Channel:
		community := known.Community
		if community == nil {
			community = new(Known)
		}
		p.Link.Payload = &apppb.UnfurledStatusLink_Channel{Channel: &apppb.UnfurledStatusChannelLink{
			ChannelUuid: u.Channel.GetUuid(),
			Emoji:       clean(known.Emoji, MaxTitle),
			DisplayName: clean(known.DisplayName, MaxTitle),
			Description: clean(known.Description, MaxDescription),
			Color:       clean(known.Color, MaxTitle),
			Community:   community.community(k[:]),
		}}
	}
	return p, nil
}

// told returns what a share URL says, nil if nothing.
func told(u *share.URL) *Known {
	community := func(c *apppb.CommunityUrlData) *Known {
		if c == nil {
			return nil
		}
		return &Known{DisplayName: c.DisplayName, Description: c.Description, Color: c.Color, Members: c.MembersCount}
	}
	switch {
	case u.User != nil:
		return &Known{DisplayName: u.User.DisplayName, Description: u.User.Description}
	case u.Channel != nil:
		return &Known{
			DisplayName: u.Channel.DisplayName, Description: u.Channel.Description,
			Emoji: u.Channel.Emoji, Color: u.Channel.Color, Community: community(u.Channel.Community),
		}
	}
	return community(u.Community)
}

func (k *Known) community(id []byte) *apppb.UnfurledStatusCommunityLink {
	return &apppb.UnfurledStatusCommunityLink{
		CommunityId:  id,
		DisplayName:  clean(k.DisplayName, MaxTitle),
		Description:  clean(k.Description, MaxDescription),
		MembersCount: k.Members,
		Color:        clean(k.Color, MaxTitle),
		Icon:         thumbnail(k.Icon),
		Banner:       thumbnail(k.Banner),
	}
}

func thumbnail(p *picture.Picture) *apppb.UnfurledLinkThumbnail {
	if p == nil {
		return nil
	}
	return &apppb.UnfurledLinkThumbnail{Payload: p.Data, Width: uint32(p.Width), Height: uint32(p.Height)}
}
