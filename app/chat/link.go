package chat

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits on what goes along with a text. Deployed clients unfurl five links of
// a message at most; of what is received a little more is kept, and what is
// beyond that is left out, not the message.
const (
	MaxLinks            = 5
	MaxReceivedLinks    = 20
	MaxReceivedPayments = 20
)

// Link is a preview of something on the web, as the author of the message saw
// it: receivers never fetch anything to check it.
type Link struct {
	URL         string `json:"url"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Image tells that the link is to a picture and not to a page.
	Image     bool      `json:"image,omitempty"`
	Thumbnail Thumbnail `json:"thumbnail,omitzero"`
	// Favicon is the encoded picture that the site goes by.
	Favicon []byte `json:"favicon,omitempty"`
	// FaviconBytes is the length of one that was detached; see
	// [Message.Detach].
	FaviconBytes int `json:"favicon_bytes,omitempty"`
}

// Thumbnail is a small picture of a preview. The payload is as it was received.
type Thumbnail struct {
	Payload []byte `json:"payload,omitempty"`
	// Bytes is the length of a payload that was detached; see [Message.Detach].
	Bytes int `json:"bytes,omitempty"`
	// Width and Height in pixels, as the author says; 0 for unknown.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
}

// IsZero tells whether there is no thumbnail.
func (t Thumbnail) IsZero() bool {
	return len(t.Payload) == 0 && t.Bytes == 0 && t.Width == 0 && t.Height == 0
}

// StatusLink is a preview of a share URL: one of the three, or none if this
// version does not know what it shows.
type StatusLink struct {
	URL       string         `json:"url"`
	Contact   *ContactLink   `json:"contact,omitempty"`
	Community *CommunityLink `json:"community,omitempty"`
	Channel   *ChannelLink   `json:"channel,omitempty"`
}

// ContactLink is the preview of a person.
type ContactLink struct {
	Key         key.Public `json:"key"`
	DisplayName string     `json:"display_name,omitempty"`
	Description string     `json:"description,omitempty"`
	Icon        Thumbnail  `json:"icon,omitzero"`
}

// CommunityLink is the preview of a community.
type CommunityLink struct {
	// ID is the community's compressed key as 0x….
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name,omitempty"`
	Description string    `json:"description,omitempty"`
	Members     uint32    `json:"members,omitempty"`
	Color       string    `json:"color,omitempty"`
	Icon        Thumbnail `json:"icon,omitzero"`
	Banner      Thumbnail `json:"banner,omitzero"`
}

// ChannelLink is the preview of a community's channel.
type ChannelLink struct {
	UUID        string         `json:"uuid"`
	Emoji       string         `json:"emoji,omitempty"`
	DisplayName string         `json:"display_name,omitempty"`
	Description string         `json:"description,omitempty"`
	Color       string         `json:"color,omitempty"`
	Community   *CommunityLink `json:"community,omitempty"`
}

// LinksFrom reads previews out of a message, the first MaxReceivedLinks of
// them.
func LinksFrom(links []*apppb.UnfurledLink) []Link {
	var all []Link
	for _, l := range links[:min(len(links), MaxReceivedLinks)] {
		all = append(all, Link{
			URL: l.GetUrl(), Title: l.GetTitle(), Description: l.GetDescription(),
			Image:     l.GetType() == apppb.UnfurledLink_IMAGE,
			Thumbnail: Thumbnail{Payload: l.GetThumbnailPayload(), Width: l.GetThumbnailWidth(), Height: l.GetThumbnailHeight()},
			Favicon:   l.GetFaviconPayload(),
		})
	}
	return all
}

// Unfurled returns previews as they go into a message.
func Unfurled(links []Link) []*apppb.UnfurledLink {
	var all []*apppb.UnfurledLink
	for _, l := range links {
		kind := apppb.UnfurledLink_LINK
		if l.Image {
			kind = apppb.UnfurledLink_IMAGE
		}
		all = append(all, &apppb.UnfurledLink{
			Url: l.URL, Title: l.Title, Description: l.Description, Type: kind, FaviconPayload: l.Favicon,
			ThumbnailPayload: l.Thumbnail.Payload, ThumbnailWidth: l.Thumbnail.Width, ThumbnailHeight: l.Thumbnail.Height,
		})
	}
	return all
}

// StatusLinksFrom reads previews of share URLs out of a message, the first
// MaxReceivedLinks of them. A person whose key is none is left out.
func StatusLinksFrom(m *apppb.UnfurledStatusLinks) []StatusLink {
	var all []StatusLink
	links := m.GetUnfurledStatusLinks()
	for _, l := range links[:min(len(links), MaxReceivedLinks)] {
		link := StatusLink{URL: l.GetUrl(), Community: communityLink(l.GetCommunity())}
		if c := l.GetContact(); c != nil {
			pub, err := key.PublicFromBytes(c.PublicKey)
			if err != nil {
				continue
			}
			link.Contact = &ContactLink{Key: pub, DisplayName: c.DisplayName, Description: c.Description, Icon: thumbnail(c.Icon)}
		}
		if c := l.GetChannel(); c != nil {
			link.Channel = &ChannelLink{
				UUID: c.ChannelUuid, Emoji: c.Emoji, DisplayName: c.DisplayName, Description: c.Description,
				Color: c.Color, Community: communityLink(c.Community),
			}
		}
		all = append(all, link)
	}
	return all
}

// UnfurledStatus returns previews of share URLs as they go into a message, nil
// for none.
func UnfurledStatus(links []StatusLink) *apppb.UnfurledStatusLinks {
	if len(links) == 0 {
		return nil
	}
	all := new(apppb.UnfurledStatusLinks)
	for _, l := range links {
		m := &apppb.UnfurledStatusLink{Url: l.URL}
		switch {
		case l.Contact != nil:
			m.Payload = &apppb.UnfurledStatusLink_Contact{Contact: &apppb.UnfurledStatusContactLink{
				PublicKey: compressed(l.Contact.Key), DisplayName: l.Contact.DisplayName,
				Description: l.Contact.Description, Icon: l.Contact.Icon.unfurled(),
			}}
		case l.Community != nil:
			m.Payload = &apppb.UnfurledStatusLink_Community{Community: l.Community.unfurled()}
		case l.Channel != nil:
			m.Payload = &apppb.UnfurledStatusLink_Channel{Channel: &apppb.UnfurledStatusChannelLink{
				ChannelUuid: l.Channel.UUID, Emoji: l.Channel.Emoji, DisplayName: l.Channel.DisplayName,
				Description: l.Channel.Description, Color: l.Channel.Color, Community: l.Channel.Community.unfurled(),
			}}
		}
		all.UnfurledStatusLinks = append(all.UnfurledStatusLinks, m)
	}
	return all
}

func compressed(pub key.Public) []byte {
	b := pub.Compressed()
	return b[:]
}

// Errors of previews that are to be sent.
var (
	ErrLinks    = errors.New("too many link previews")
	ErrLink     = errors.New("link preview without an address")
	ErrLinkOf   = errors.New("link preview of what is not a person, community or channel")
	ErrLinkSize = errors.New("link preview whose pictures are too large")
)

// MaxPreview is how large the pictures of one preview may be that is sent, in
// bytes (deployed clients).
const MaxPreview = 350 * 1024

// checkLinks checks previews that are to be sent.
func checkLinks(links []Link, status []StatusLink) error {
	if n := len(links) + len(status); n > MaxLinks {
		return fmt.Errorf("%w: %d, at most %d", ErrLinks, n, MaxLinks)
	}
	for _, l := range links {
		if l.URL == "" {
			return ErrLink
		}
		if n := len(l.Thumbnail.Payload) + len(l.Favicon); n > MaxPreview {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrLinkSize, n, MaxPreview)
		}
	}
	for _, l := range status {
		if l.URL == "" {
			return ErrLink
		}
		size, err := l.check()
		if err != nil {
			return err
		}
		if size > MaxPreview {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrLinkSize, size, MaxPreview)
		}
	}
	return nil
}

// check checks that a preview shows exactly one thing, and returns the size of
// its pictures.
func (l StatusLink) check() (size int, err error) {
	community := l.Community
	switch {
	case l.Contact != nil && l.Community == nil && l.Channel == nil:
		if l.Contact.Key.IsZero() {
			return 0, ErrLinkOf
		}
		return len(l.Contact.Icon.Payload), nil
	case l.Contact == nil && l.Community != nil && l.Channel == nil:
	case l.Contact == nil && l.Community == nil && l.Channel != nil && l.Channel.Community != nil:
		community = l.Channel.Community
	default:
		return 0, ErrLinkOf
	}
	if pub, err := key.ParsePublic(community.ID); err != nil || pub.CompressedHex() != community.ID {
		return 0, ErrLinkOf
	}
	return len(community.Icon.Payload) + len(community.Banner.Payload), nil
}

func thumbnail(m *apppb.UnfurledLinkThumbnail) Thumbnail {
	return Thumbnail{Payload: m.GetPayload(), Width: m.GetWidth(), Height: m.GetHeight()}
}

func (t Thumbnail) unfurled() *apppb.UnfurledLinkThumbnail {
	if t.IsZero() {
		return nil
	}
	return &apppb.UnfurledLinkThumbnail{Payload: t.Payload, Width: t.Width, Height: t.Height}
}

func communityLink(m *apppb.UnfurledStatusCommunityLink) *CommunityLink {
	if m == nil {
		return nil
	}
	return &CommunityLink{
		ID: "0x" + hex.EncodeToString(m.CommunityId), DisplayName: m.DisplayName, Description: m.Description,
		Members: m.MembersCount, Color: m.Color, Icon: thumbnail(m.Icon), Banner: thumbnail(m.Banner),
	}
}

func (c *CommunityLink) unfurled() *apppb.UnfurledStatusCommunityLink {
	if c == nil {
		return nil
	}
	// An id that is not hexadecimal goes out empty; checkLinks refuses it.
	id, _ := hex.DecodeString(strings.TrimPrefix(c.ID, "0x"))
	return &apppb.UnfurledStatusCommunityLink{
		CommunityId: id, DisplayName: c.DisplayName, Description: c.Description, MembersCount: c.Members,
		Color: c.Color, Icon: c.Icon.unfurled(), Banner: c.Banner.unfurled(),
	}
}
