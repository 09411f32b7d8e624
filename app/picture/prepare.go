package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
)

// The qualities of JPEG that are tried, best first (deployed clients).
const (
	MaxQuality  = 80
	MinQuality  = 50
	qualityStep = 2
)

// Target is what a picture is made to fit.
type Target struct {
	// Side is the most pixels of width or height.
	Side int
	// Ideal and Max are sizes in bytes: the best quality that gives Ideal is
	// taken; when none does, the least one if it gives Max; otherwise the
	// picture is made smaller.
	Ideal, Max int
	// Animation is the most bytes of an animation, which is sent as it is; 0
	// sends the first frame.
	Animation int
}

// The target of pictures in messages. Side and Max are those of deployed
// clients. Theirs for Ideal is 50,000, which makes nearly every photograph one
// of the least quality; 100,000 still fit one Waku message of 150 KB.
const (
	MessageSide      = 2000
	MessageIdeal     = 100_000
	MessageMax       = 350_000
	MessageAnimation = 400_000 // what chat.MaxImage lets through
)

// MessageTarget returns the target of pictures in messages.
func MessageTarget() Target {
	return Target{Side: MessageSide, Ideal: MessageIdeal, Max: MessageMax, Animation: MessageAnimation}
}

// Prepare makes a picture of the user's own ready for a message. See
// [Target.Prepare].
func Prepare(data []byte) (Picture, error) { return MessageTarget().Prepare(data) }

// Prepare makes a picture ready for sending: upright as EXIF says, no larger
// than the target, and without any metadata. Photographs become JPEG, pictures
// with transparent parts PNG if that fits and JPEG on white otherwise. An
// animated GIF or WebP stays what it is, less everything but its frames; it
// gives ErrAnimation if it is larger than the target. An animated PNG becomes
// its still picture. Errors are those of [Limits.Inspect], ErrDecoder and
// ErrTarget.
func (t Target) Prepare(data []byte) (Picture, error) {
	info, err := Input().Inspect(data)
	if err != nil {
		return Picture{}, err
	}
	if info.Animated && t.Animation > 0 && (info.Format == GIF || info.Format == WebP) {
		return t.animation(data)
	}
	img, err := decode(data, info)
	if err != nil {
		return Picture{}, err
	}
	return t.encode(render(img, info, image.Rectangle{}, t.Side))
}

// animation rewrites an animated GIF or WebP.
func (t Target) animation(data []byte) (Picture, error) {
	out, info, err := Strip(data)
	if err != nil {
		return Picture{}, err
	}
	if len(out) > t.Animation || max(info.Width, info.Height) > t.Side {
		return Picture{}, fmt.Errorf("%w: %d bytes and %d×%d pixels, at most %d bytes and %d pixels a side",
			ErrAnimation, len(out), info.Width, info.Height, t.Animation, t.Side)
	}
	return Picture{Format: info.Format, Width: info.Width, Height: info.Height, Animated: true, Data: out}, nil
}

// Strip returns a GIF or WebP picture with its frames, their timing and
// nothing else; its pixels are not decoded. Other formats give ErrFormat.
func Strip(data []byte) ([]byte, Info, error) {
	l := Input()
	if len(data) > l.Bytes {
		return nil, Info{}, fmt.Errorf("%w: %d, at most %d", ErrBytes, len(data), l.Bytes)
	}
	switch sniff(data) {
	case GIF:
		return l.stripGIF(data)
	case WebP:
		return l.stripWebP(data)
	}
	return nil, Info{}, fmt.Errorf("%w: only GIF and WebP are rewritten", ErrFormat)
}

// Safe makes a new picture of one received, for display: the still picture,
// upright, no side longer than side pixels (0 for as it is), PNG where parts of
// it are transparent and JPEG where none are. Errors are those of [Inspect] and
// ErrDecoder.
func Safe(data []byte, side int) (Picture, error) {
	info, err := Inspect(data)
	if err != nil {
		return Picture{}, err
	}
	img, err := decode(data, info)
	if err != nil {
		return Picture{}, err
	}
	if side <= 0 {
		side = MaxReceivedSide
	}
	small := render(img, info, image.Rectangle{}, side)
	if !small.Opaque() {
		return encodePNG(small)
	}
	return encodeJPEG(small, MaxQuality)
}

// render returns the part of a decoded picture at crop, which is in upright
// coordinates and means everything when empty, upright and with no side longer
// than side.
func render(img image.Image, info Info, crop image.Rectangle, side int) *image.RGBA {
	all := image.Rect(0, 0, info.Width, info.Height)
	part := all
	if !crop.Empty() {
		part = stored(crop, info.Width, info.Height, info.Orientation)
	}
	w, h := within(part.Dx(), part.Dy(), side)
	return orient(scale(img, part, w, h), info.Orientation)
}

// encode encodes a picture so that it fits.
func (t Target) encode(img *image.RGBA) (Picture, error) {
	if !img.Opaque() {
		p, err := encodePNG(img)
		if err != nil || len(p.Data) <= t.Max {
			return p, err
		}
		flatten(img)
	}
	for {
		p, err := t.search(img)
		if err != nil || len(p.Data) <= t.Max {
			return p, err
		}
		w, h := img.Rect.Dx(), img.Rect.Dy()
		if w == 1 && h == 1 {
			return Picture{}, fmt.Errorf("%w: %d bytes", ErrTarget, t.Max)
		}
		// The size goes with the number of pixels, or a little less.
		ratio := min(math.Sqrt(float64(t.Max)/float64(len(p.Data))), 0.95)
		img = scale(img, img.Rect, max(int(float64(w)*ratio), 1), max(int(float64(h)*ratio), 1))
	}
}

// search returns a JPEG of the best quality that gives the ideal size, of the
// least if none does.
func (t Target) search(img *image.RGBA) (Picture, error) {
	best, err := encodeJPEG(img, MaxQuality)
	if err != nil || len(best.Data) <= t.Ideal {
		return best, err
	}
	if best, err = encodeJPEG(img, MinQuality); err != nil || len(best.Data) > t.Ideal {
		return best, err
	}
	// What fits is at low, what does not at high, counted in steps.
	for low, high := 0, (MaxQuality-MinQuality)/qualityStep; high-low > 1; {
		middle := (low + high) / 2
		p, err := encodeJPEG(img, MinQuality+qualityStep*middle)
		if err != nil {
			return Picture{}, err
		}
		if len(p.Data) <= t.Ideal {
			best, low = p, middle
		} else {
			high = middle
		}
	}
	return best, nil
}

func encodeJPEG(img *image.RGBA, quality int) (Picture, error) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: quality}); err != nil {
		return Picture{}, fmt.Errorf("encoding a picture: %w", err)
	}
	return Picture{Format: JPEG, Width: img.Rect.Dx(), Height: img.Rect.Dy(), Data: out.Bytes()}, nil
}

func encodePNG(img *image.RGBA) (Picture, error) {
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		return Picture{}, fmt.Errorf("encoding a picture: %w", err)
	}
	return Picture{Format: PNG, Width: img.Rect.Dx(), Height: img.Rect.Dy(), Data: out.Bytes()}, nil
}
