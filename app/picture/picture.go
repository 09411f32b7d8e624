// Package picture holds the rules for pictures: what of a received one may be
// shown (62/STATUS-PAYLOADS, Image content type), how one is made ready for
// sending, and the pictures of a profile, to everyone or encrypted for contacts
// only.
//
// Every picture of others is taken for hostile. [Inspect] reads its structure
// without decoding a pixel and refuses what would be expensive to decode;
// [Safe] makes a new, harmless picture of it. What goes out is always encoded
// anew, or rewritten block by block when it is an animation, so that no
// metadata leaves.
package picture

import (
	"bytes"
	"errors"
	"fmt"

	apppb "github.com/parley-im/parley/pb/app"
)

// Format is how a picture is encoded. The texts are stable.
type Format string

// The formats that travel.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	WebP Format = "webp"
	GIF  Format = "gif"
)

var wireFormats = map[Format]apppb.ImageFormat{
	PNG: apppb.ImageFormat_PNG, JPEG: apppb.ImageFormat_JPEG, WebP: apppb.ImageFormat_WEBP, GIF: apppb.ImageFormat_GIF,
}

// Wire returns the number of the format in messages, 0 for none.
func (f Format) Wire() apppb.ImageFormat { return wireFormats[f] }

// MIME returns the media type, as image/png.
func (f Format) MIME() string { return "image/" + string(f) }

// Errors of this package, one for each cause.
var (
	ErrFormat    = errors.New("not a PNG, JPEG, WebP or GIF picture")
	ErrTruncated = errors.New("the picture is cut off")
	ErrMalformed = errors.New("the picture is malformed")
	ErrBytes     = errors.New("the picture has too many bytes")
	ErrPixels    = errors.New("the picture has too many pixels")
	ErrFrames    = errors.New("the picture has too many frames")
	ErrScans     = errors.New("the picture has too many scans")
	ErrDecoder   = errors.New("this build cannot decode WebP pictures")
	ErrAnimation = errors.New("the animation is too large to send")
	ErrTarget    = errors.New("the picture cannot be made small enough")
	ErrCrop      = errors.New("the crop is not a part of the picture")
)

// Limits is how much picture is accepted.
type Limits struct {
	// Bytes is the size of the encoded picture.
	Bytes int
	// Side is the most pixels of width or height.
	Side int
	// Pixels is the most of width times height. A pixel of 16 bits in each
	// channel counts as two.
	Pixels int
	// Frames is the most frames of an animation; Total the most pixels of all
	// its frames together.
	Frames, Total int
}

// Limits for pictures of others. Deployed clients send at most 2000 pixels a
// side and 400,000 bytes, but pass previews of links on as they found them.
const (
	MaxReceivedBytes  = 4 << 20
	MaxReceivedSide   = 8192
	MaxReceivedPixels = 16 << 20
	MaxReceivedFrames = 600
	MaxReceivedTotal  = 512 << 20
)

// Limits for pictures that the user hands over: what a camera makes.
const (
	MaxInputBytes  = 64 << 20
	MaxInputSide   = 16384
	MaxInputPixels = 64 << 20
)

// MaxScans is the most scans of a JPEG; each goes over the whole picture, and
// encoders make about ten.
const MaxScans = 64

// Received returns the limits for pictures of others.
func Received() Limits {
	return Limits{
		Bytes: MaxReceivedBytes, Side: MaxReceivedSide, Pixels: MaxReceivedPixels,
		Frames: MaxReceivedFrames, Total: MaxReceivedTotal,
	}
}

// Input returns the limits for pictures of the user's own. An animation may
// have no more frames than others accept.
func Input() Limits {
	return Limits{
		Bytes: MaxInputBytes, Side: MaxInputSide, Pixels: MaxInputPixels,
		Frames: MaxReceivedFrames, Total: MaxReceivedTotal,
	}
}

// Info is what the structure of a picture says, whatever a message claims.
type Info struct {
	Format Format `json:"format"`
	// Width and Height are in pixels as stored, before Orientation.
	Width  int `json:"width"`
	Height int `json:"height"`
	// Orientation is EXIF's, 1 to 8; 1 is upright.
	Orientation int `json:"orientation"`
	// Frames is at least 1; Animated tells whether there is more than one, or
	// that the file says it is an animation.
	Frames   int  `json:"frames"`
	Animated bool `json:"animated"`

	deep bool // 16 bits in each channel
}

// Displayed returns width and height after Orientation.
func (i Info) Displayed() (width, height int) {
	if i.Orientation >= 5 {
		return i.Height, i.Width
	}
	return i.Width, i.Height
}

// Inspect describes a picture of somebody else, within the limits of
// [Received]. See [Limits.Inspect].
func Inspect(data []byte) (Info, error) { return Received().Inspect(data) }

// Inspect describes a picture without decoding its pixels, in one pass over
// its bytes. It refuses what is not complete, what is not a picture (ErrFormat)
// and what exceeds a limit (ErrBytes, ErrPixels, ErrFrames, ErrScans). The
// format is that of the bytes. What follows the end of the picture is not
// looked at.
func (l Limits) Inspect(data []byte) (Info, error) {
	if len(data) > l.Bytes {
		return Info{}, fmt.Errorf("%w: %d, at most %d", ErrBytes, len(data), l.Bytes)
	}
	switch sniff(data) {
	case PNG:
		return l.inspectPNG(data)
	case JPEG:
		return l.inspectJPEG(data)
	case GIF:
		return l.walkGIF(data, nil)
	case WebP:
		return l.walkWebP(data, nil)
	}
	return Info{}, ErrFormat
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// sniff returns the format that the first bytes announce, empty for none.
func sniff(data []byte) Format {
	switch {
	case bytes.HasPrefix(data, []byte(pngSignature)):
		return PNG
	case bytes.HasPrefix(data, []byte{0xff, 0xd8, 0xff}):
		return JPEG
	case bytes.HasPrefix(data, []byte("GIF87a")), bytes.HasPrefix(data, []byte("GIF89a")):
		return GIF
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return WebP
	}
	return ""
}

// checkSize checks the dimensions of a picture.
func (l Limits) checkSize(i Info) error {
	if i.Width <= 0 || i.Height <= 0 {
		return fmt.Errorf("%w: %d×%d pixels", ErrMalformed, i.Width, i.Height)
	}
	if i.Width > l.Side || i.Height > l.Side {
		return fmt.Errorf("%w: %d×%d, at most %d a side", ErrPixels, i.Width, i.Height, l.Side)
	}
	weight := i.Width * i.Height // both at most Side: no overflow
	if i.deep {
		weight *= 2
	}
	if weight > l.Pixels {
		return fmt.Errorf("%w: %d×%d, at most %d in all", ErrPixels, i.Width, i.Height, l.Pixels)
	}
	return nil
}

// checkFrames checks a count of frames and the pixels in them.
func (l Limits) checkFrames(frames, total int) error {
	if frames > l.Frames {
		return fmt.Errorf("%w: more than %d", ErrFrames, l.Frames)
	}
	if total > l.Total {
		return fmt.Errorf("%w: more than %d pixels in all", ErrFrames, l.Total)
	}
	return nil
}

// Picture is an encoded picture that is in order.
type Picture struct {
	Format Format `json:"format"`
	// Width and Height are in pixels, as displayed.
	Width    int    `json:"width"`
	Height   int    `json:"height"`
	Animated bool   `json:"animated,omitempty"`
	Data     []byte `json:"data"`
}

// Message returns the content of an image message, without album.
func (p Picture) Message() *apppb.ImageMessage {
	return &apppb.ImageMessage{
		Payload: p.Data, Format: p.Format.Wire(), Width: uint32(p.Width), Height: uint32(p.Height),
	}
}
