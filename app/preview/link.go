package preview

import (
	"fmt"

	"github.com/parley-im/parley/app/picture"
	apppb "github.com/parley-im/parley/pb/app"
)

// Sizes of the pictures of a preview that is made here, in pixels and bytes.
// Five of them should not weigh more than a picture that is sent.
const (
	ThumbnailSide, ThumbnailIdeal, ThumbnailMax = 800, 40_000, 80_000
	IconSide, IconIdeal, IconMax                = 64, 4096, 16_384
)

// Link makes the preview of a link out of what its page says and the pictures
// that were fetched for it, either of which may be nil. For a link to a picture
// thumbnail is that picture. Pictures are encoded anew; of a page, one that
// cannot be used is left out. Errors: ErrURL, ErrTitle, and ErrImage for a link
// to a picture that cannot be used.
func Link(link string, c Content, thumbnail, icon []byte) (*apppb.UnfurledLink, error) {
	f, err := canonical(link)
	if err != nil || f.Kind == Status {
		return nil, fmt.Errorf("%w: %.60q", ErrURL, link)
	}
	out := &apppb.UnfurledLink{
		Url:         f.URL,
		Title:       clean(c.Title, MaxTitle),
		Description: clean(c.Description, MaxDescription),
	}
	small, err := shrink(thumbnail, picture.Target{Side: ThumbnailSide, Ideal: ThumbnailIdeal, Max: ThumbnailMax})
	if c.Kind == Image {
		out.Type = apppb.UnfurledLink_IMAGE
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrImage, err)
		}
	} else if out.Title == "" {
		return nil, ErrTitle
	}
	if err == nil {
		out.ThumbnailPayload = small.Data
		out.ThumbnailWidth, out.ThumbnailHeight = uint32(small.Width), uint32(small.Height)
	}
	if p, err := shrink(icon, picture.Target{Side: IconSide, Ideal: IconIdeal, Max: IconMax}); err == nil {
		out.FaviconPayload = p.Data
	}
	return out, nil
}

// shrink makes a small still picture of one that was fetched.
func shrink(data []byte, t picture.Target) (picture.Picture, error) {
	// Narrower limits than for the user's own.
	if _, err := picture.Inspect(data); err != nil {
		return picture.Picture{}, err
	}
	return t.Prepare(data)
}
