package picture

import (
	"errors"
	"fmt"
	"image"
	"io"
	"maps"
	"slices"

	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Names of the pictures of a profile or a community.
const (
	Thumbnail = "thumbnail"
	Large     = "large"
	Banner    = "banner"
)

// Sizes of those pictures in pixels, of the square or of the banner's shorter
// side, and in bytes (deployed clients).
const (
	ThumbnailSide, ThumbnailIdeal, ThumbnailMax = 80, 2560, 5632
	LargeSide, LargeIdeal, LargeMax             = 240, 16_384, 38_400
	BannerSide, BannerIdeal, BannerMax          = 800, 307_200, 460_800
)

// MaxIdentityBytes and MaxIdentitySide bound one received picture of a profile
// or community.
const (
	MaxIdentityBytes = 512 << 10
	MaxIdentitySide  = 2400
)

// Errors of pictures of profiles.
var (
	ErrName   = errors.New("not the name of a profile picture")
	ErrSealed = errors.New("the picture is encrypted")
	ErrShowTo = errors.New("not an audience of profile pictures")
)

// Set is the pictures of a profile or a community by name.
type Set map[string]Picture

// Profile makes the pictures of a profile: a thumbnail and a large one, square
// JPEG without metadata. crop is the part of the upright picture to take, the
// middle if it is empty; of a part that is not square the middle is taken too.
// Nothing is made larger than it was. Errors are those of [Target.Prepare] and
// ErrCrop.
func Profile(data []byte, crop image.Rectangle) (Set, error) {
	img, info, err := open(data, &crop)
	if err != nil {
		return nil, err
	}
	square := middle(crop)
	set := Set{}
	for name, t := range map[string]Target{
		Thumbnail: {Side: ThumbnailSide, Ideal: ThumbnailIdeal, Max: ThumbnailMax},
		Large:     {Side: LargeSide, Ideal: LargeIdeal, Max: LargeMax},
	} {
		if set[name], err = t.opaque(render(img, info, square, t.Side)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return set, nil
}

// BannerOf makes the banner of a community, whose shorter side has at most 800
// pixels, of the part of the upright picture at crop; all of it if that is
// empty.
func BannerOf(data []byte, crop image.Rectangle) (Picture, error) {
	img, info, err := open(data, &crop)
	if err != nil {
		return Picture{}, err
	}
	short, long := min(crop.Dx(), crop.Dy()), max(crop.Dx(), crop.Dy())
	side := long
	if short > BannerSide {
		side = min((long*BannerSide+short/2)/short, MaxIdentitySide)
	}
	t := Target{Side: min(side, MaxIdentitySide), Ideal: BannerIdeal, Max: BannerMax}
	return t.opaque(render(img, info, crop, t.Side))
}

// open decodes a picture of the user's own and checks the crop, which becomes
// the whole picture if it was empty.
func open(data []byte, crop *image.Rectangle) (image.Image, Info, error) {
	info, err := Input().Inspect(data)
	if err != nil {
		return nil, Info{}, err
	}
	w, h := info.Displayed()
	all := image.Rect(0, 0, w, h)
	if *crop == (image.Rectangle{}) {
		*crop = all
	}
	if crop.Empty() || !crop.In(all) {
		return nil, Info{}, fmt.Errorf("%w: %v of %d×%d pixels", ErrCrop, *crop, w, h)
	}
	img, err := decode(data, info)
	return img, info, err
}

// middle returns the square in the middle of a rectangle.
func middle(r image.Rectangle) image.Rectangle {
	side := min(r.Dx(), r.Dy())
	at := r.Min.Add(image.Pt((r.Dx()-side)/2, (r.Dy()-side)/2))
	return image.Rectangle{Min: at, Max: at.Add(image.Pt(side, side))}
}

// opaque encodes a picture as JPEG, on white.
func (t Target) opaque(img *image.RGBA) (Picture, error) {
	if !img.Opaque() {
		flatten(img)
	}
	return t.encode(img)
}

// Wire returns the pictures as a ChatIdentity carries them, for everyone.
func (s Set) Wire() map[string]*apppb.IdentityImage {
	images := make(map[string]*apppb.IdentityImage, len(s))
	for name, p := range s {
		images[name] = &apppb.IdentityImage{
			Payload:     p.Data,
			SourceType:  apppb.IdentityImage_RAW_PAYLOAD,
			ImageFormat: int32(p.Format.Wire()),
		}
	}
	return images
}

// ShowTo says who may see the pictures of one's profile. The texts are stable.
type ShowTo string

// The audiences.
const (
	Everyone     ShowTo = "everyone"
	ContactsOnly ShowTo = "contacts"
	Nobody       ShowTo = "nobody"
)

// ParseShowTo reads an audience.
func ParseShowTo(s string) (ShowTo, error) {
	switch to := ShowTo(s); to {
	case Everyone, ContactsOnly, Nobody:
		return to, nil
	}
	return "", fmt.Errorf("%w: %q", ErrShowTo, s)
}

// Showing is what it takes to publish the pictures of one's profile.
type Showing struct {
	To  ShowTo
	Own key.Private
	// Contacts are those we added; they are needed for ContactsOnly.
	Contacts []key.Public
}

// Images returns the images of a ChatIdentity: as they are for everyone,
// encrypted for contacts only, none for nobody.
func (s Showing) Images(rand io.Reader, set Set) (map[string]*apppb.IdentityImage, error) {
	switch s.To {
	case Everyone:
		return set.Wire(), nil
	case ContactsOnly:
		return Seal(rand, s.Own, s.Contacts, set.Wire())
	case Nobody:
		return nil, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrShowTo, s.To)
}

// Fit returns those of received images that may be kept, after [Unseal]: of a
// known name, within the limits, a whole still picture; each with its real
// format. The others give an error each, sorted by name. Which of two sets is
// newer is decided by the clock of the identity.
func Fit(images map[string]*apppb.IdentityImage) (Set, []error) {
	set := Set{}
	var bad []error
	for _, name := range slices.Sorted(maps.Keys(images)) {
		p, err := fit(name, images[name])
		if err != nil {
			bad = append(bad, fmt.Errorf("image %.20q: %w", name, err))
			continue
		}
		set[name] = p
	}
	return set, bad
}

func fit(name string, m *apppb.IdentityImage) (Picture, error) {
	switch name {
	case Thumbnail, Large, Banner:
	default:
		return Picture{}, ErrName
	}
	if m.GetEncrypted() {
		return Picture{}, ErrSealed
	}
	l := Limits{Bytes: MaxIdentityBytes, Side: MaxIdentitySide, Pixels: MaxIdentitySide * MaxIdentitySide, Frames: 1, Total: MaxReceivedTotal}
	info, err := l.Inspect(m.GetPayload())
	if err != nil {
		return Picture{}, err
	}
	w, h := info.Displayed()
	return Picture{Format: info.Format, Width: w, Height: h, Animated: info.Animated, Data: m.GetPayload()}, nil
}
