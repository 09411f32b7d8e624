package parley

import (
	"context"
	"errors"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
)

// Image describes the picture of a message, as its author says.
type Image struct {
	// Format is png, jpeg, webp, gif, or unknown_N.
	Format string `json:"format"`
	Bytes  int    `json:"bytes"`
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
	// AlbumID is shared by pictures that were sent together, AlbumImages of
	// them.
	AlbumID     string `json:"album_id,omitempty"`
	AlbumImages uint32 `json:"album_images,omitempty"`
}

// Audio describes the recording of a message.
type Audio struct {
	// Format is aac, amr, or unknown_N.
	Format     string `json:"format"`
	Bytes      int    `json:"bytes"`
	DurationMS uint64 `json:"duration_ms,omitempty"`
}

// Link is a preview of something on the web, as the author of the message saw
// it. Nobody fetches anything to check it.
type Link struct {
	URL         string `json:"url"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Image tells that the link is to a picture and not to a page.
	Image bool `json:"image,omitempty"`
	// Width and Height are those of the preview's picture; it has one when they
	// are there.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
}

// StatusLink is a preview of a share URL: one of the three, or none if this
// version does not know what it shows. Only the key in the URL is sure.
type StatusLink struct {
	URL       string              `json:"url"`
	Contact   *ContactLink        `json:"contact,omitempty"`
	Community *chat.CommunityLink `json:"community,omitempty"`
	Channel   *chat.ChannelLink   `json:"channel,omitempty"`
}

// ContactLink is the preview of a person.
type ContactLink struct {
	Person
	DisplayName string `json:"display_name,omitempty"`
	Description string `json:"description,omitempty"`
}

func newImage(i *chat.Image) *Image {
	if i == nil {
		return nil
	}
	return &Image{i.Format, len(i.Payload), i.Width, i.Height, i.AlbumID, i.AlbumImages}
}

func newAudio(a *chat.Audio) *Audio {
	if a == nil {
		return nil
	}
	return &Audio{a.Format, len(a.Payload), a.DurationMS}
}

// newDiscord leaves the pictures and files out.
func newDiscord(d *chat.Discord) *chat.Discord {
	if d == nil {
		return nil
	}
	shown := *d
	shown.Avatar, shown.Attachments = nil, nil
	for _, a := range d.Attachments {
		a.Payload = nil
		shown.Attachments = append(shown.Attachments, a)
	}
	return &shown
}

func newLinks(links []chat.Link) (all []Link) {
	for _, l := range links {
		all = append(all, Link{l.URL, l.Title, l.Description, l.Image, l.Thumbnail.Width, l.Thumbnail.Height})
	}
	return all
}

func newStatusLinks(links []chat.StatusLink) (all []StatusLink) {
	for _, l := range links {
		shown := StatusLink{URL: l.URL, Community: withoutPictures(l.Community)}
		if l.Contact != nil {
			shown.Contact = &ContactLink{newPerson(l.Contact.Key), l.Contact.DisplayName, l.Contact.Description}
		}
		if l.Channel != nil {
			channel := *l.Channel
			channel.Community = withoutPictures(channel.Community)
			shown.Channel = &channel
		}
		all = append(all, shown)
	}
	return all
}

func withoutPictures(c *chat.CommunityLink) *chat.CommunityLink {
	if c == nil {
		return nil
	}
	shown := *c
	shown.Icon, shown.Banner = chat.Thumbnail{}, chat.Thumbnail{}
	return &shown
}

// Picture is an encoded picture that is harmless: it was decoded and encoded
// anew here, whoever it came from.
type Picture struct {
	// Type is the media type, image/png or image/jpeg.
	Type   string
	Width  int
	Height int
	Data   []byte
}

// decoders bounds how many pictures are decoded at a time: the largest that
// are accepted take some 100 MB each.
var decoders = make(chan struct{}, 2)

// safe makes a harmless picture of one that came from somewhere, no side longer
// than side pixels (0: as it is).
func safe(ctx context.Context, data []byte, side int) (Picture, error) {
	if side < 0 {
		return Picture{}, fault.New(fault.Usage, "the side of the picture is below zero")
	}
	select {
	case decoders <- struct{}{}:
		defer func() { <-decoders }()
	case <-ctx.Done():
		return Picture{}, ctx.Err()
	}
	p, err := picture.Safe(data, side)
	if err != nil {
		return Picture{}, fault.Wrap(fault.Invalid, "the picture cannot be shown", err)
	}
	return Picture{p.Format.MIME(), p.Width, p.Height, p.Data}, nil
}

// MessageImage returns the picture of a message, still and encoded anew, no
// side longer than side pixels (0: as it is).
func (c *Client) MessageImage(ctx context.Context, id string, side int) (Picture, error) {
	m, err := c.message(id)
	if err != nil {
		return Picture{}, err
	}
	if m.Image == nil {
		return Picture{}, fault.New(fault.NotFound, "the message has no picture")
	}
	return safe(ctx, m.Image.Payload, side)
}

// LinkImage returns the picture of the n-th preview of a message, counted from
// 0.
func (c *Client) LinkImage(ctx context.Context, id string, n int) (Picture, error) {
	m, err := c.message(id)
	if err != nil {
		return Picture{}, err
	}
	if n < 0 || n >= len(m.Links) || len(m.Links[n].Thumbnail.Payload) == 0 {
		return Picture{}, fault.New(fault.NotFound, "the message has no such preview with a picture")
	}
	return safe(ctx, m.Links[n].Thumbnail.Payload, 0)
}

// Recording is an encoded sound as somebody sent it: not to be trusted.
type Recording struct {
	// Type is the media type, audio/aac, audio/amr, or that of anything.
	Type string
	Data []byte
}

// MessageAudio returns the recording of a message, as it came.
func (c *Client) MessageAudio(_ context.Context, id string) (Recording, error) {
	m, err := c.message(id)
	if err != nil {
		return Recording{}, err
	}
	if m.Audio == nil {
		return Recording{}, fault.New(fault.NotFound, "the message has no recording")
	}
	media := "application/octet-stream"
	switch m.Audio.Format {
	case "aac", "amr":
		media = "audio/" + m.Audio.Format
	}
	return Recording{media, m.Audio.Payload}, nil
}

func (c *Client) message(id string) (*chat.Message, error) {
	parsed, err := messageID(id)
	if err != nil {
		return nil, err
	}
	return c.stack.Message(parsed)
}

// ProfilePicture returns somebody's picture as far as they show it to us; size
// is thumbnail or large.
func (c *Client) ProfilePicture(ctx context.Context, who, size string) (Picture, error) {
	if size != picture.Thumbnail && size != picture.Large {
		return Picture{}, fault.New(fault.Usage, "%q is neither %s nor %s", size, picture.Thumbnail, picture.Large)
	}
	pub, err := c.Resolve(ctx, who)
	if err != nil {
		return Picture{}, err
	}
	data, err := c.profilePicture(pub, size)
	if err != nil {
		return Picture{}, err
	}
	return safe(ctx, data, 0)
}

func (c *Client) profilePicture(pub key.Public, size string) (data []byte, err error) {
	if pub == c.Self() {
		data, _, err = c.stack.OwnPicture(size)
	} else {
		data, err = c.stack.ProfilePicture(pub, size)
	}
	if errors.Is(err, stack.ErrNoPicture) || err == nil && len(data) == 0 {
		return nil, fault.New(fault.NotFound, "there is no picture of them")
	}
	return data, err
}
