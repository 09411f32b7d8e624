package parley

import (
	"context"
	"errors"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/audio"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/stack/view"
)

// What messages carry besides their text.
type (
	// Image describes the picture of a message.
	Image = view.Image
	// Audio describes the recording of a message.
	Audio = view.Audio
	// Link is a preview of something on the web, made by the author.
	Link = view.Link
	// StatusLink is a preview of a share URL, made by the author.
	StatusLink = view.StatusLink
	// ContactLink, CommunityLink and ChannelLink are what it shows.
	ContactLink   = view.ContactLink
	CommunityLink = view.CommunityLink
	ChannelLink   = view.ChannelLink
	// Discord is what was imported from Discord.
	Discord = view.Discord
)

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
	data, err := c.payload(id, chat.PayloadImage, "the message has no picture")
	if err != nil {
		return Picture{}, err
	}
	return safe(ctx, data, side)
}

// LinkImage returns the picture of the n-th preview of a message, counted from
// 0.
func (c *Client) LinkImage(ctx context.Context, id string, n int) (Picture, error) {
	data, err := c.payload(id, chat.PayloadLink(n), "the message has no such preview with a picture")
	if err != nil {
		return Picture{}, err
	}
	return safe(ctx, data, 0)
}

// Recording is an encoded sound: whole frames of one stream and nothing else,
// whoever it came from. The sound in them was not decoded.
type Recording struct {
	// Type is the media type, audio/aac or audio/amr.
	Type string
	Data []byte
}

// MessageAudio returns the recording of a message, without what is not sound.
func (c *Client) MessageAudio(_ context.Context, id string) (Recording, error) {
	data, err := c.payload(id, chat.PayloadAudio, "the message has no recording")
	if err != nil {
		return Recording{}, err
	}
	r, err := audio.Clean(data)
	if err != nil {
		return Recording{}, fault.Wrap(fault.Invalid, "the recording cannot be played", err)
	}
	return Recording{r.Format.MIME(), r.Data}, nil
}

// payload returns a payload of a message by its name, or an error that says
// that there is none.
func (c *Client) payload(id, name, none string) ([]byte, error) {
	parsed, err := messageID(id)
	if err != nil {
		return nil, err
	}
	data, err := c.stack.Payload(parsed, name)
	if errors.Is(err, stack.ErrNoPayload) {
		err = fault.New(fault.NotFound, "%s", none)
	}
	return data, err
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
