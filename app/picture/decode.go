package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
)

// decode decodes the first picture of data, which was inspected before: info
// is what came out. The result is as large as the whole picture and not turned
// upright yet.
func decode(data []byte, info Info) (img image.Image, err error) {
	// The decoders are not ours, and what they read is anybody's.
	defer func() {
		if r := recover(); r != nil {
			img, err = nil, fmt.Errorf("%w: the decoder gave up: %v", ErrMalformed, r)
		}
	}()
	whole := image.Rect(0, 0, info.Width, info.Height)
	var at image.Point
	if info.Format == WebP && info.Animated {
		frame := firstFrame(data)
		data, at = frame.still, frame.at
		info.Width, info.Height = frame.width, frame.height
	}
	var config image.Config
	switch info.Format {
	case PNG:
		config, err = png.DecodeConfig(bytes.NewReader(data))
	case JPEG:
		config, err = jpeg.DecodeConfig(bytes.NewReader(data))
	case GIF:
		config, err = gif.DecodeConfig(bytes.NewReader(data))
	case WebP:
		config, _, err = image.DecodeConfig(bytes.NewReader(data))
	}
	if err != nil {
		return nil, decodeError(err)
	}
	// Inspection and decoder must mean the same picture, or the limits were
	// checked for another.
	if config.Width != info.Width || config.Height != info.Height {
		return nil, fmt.Errorf("%w: %d×%d pixels, and to its decoder %d×%d",
			ErrMalformed, info.Width, info.Height, config.Width, config.Height)
	}
	switch info.Format {
	case PNG:
		img, err = png.Decode(bytes.NewReader(data))
	case JPEG:
		img, err = jpeg.Decode(bytes.NewReader(data))
	case GIF:
		img, err = gif.Decode(bytes.NewReader(data))
	case WebP:
		// There is no decoder in the standard library; one takes part by being
		// linked in.
		img, _, err = image.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return nil, decodeError(err)
	}
	return framed{img, img.Bounds().Min.Add(at), whole}.plain(), nil
}

func decodeError(err error) error {
	if errors.Is(err, image.ErrFormat) {
		return ErrDecoder
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}

// framed is an image on a canvas of another size: the first frame of an
// animation need not fill it.
type framed struct {
	image.Image
	at     image.Point // where on the canvas its upper left corner is
	canvas image.Rectangle
}

// Bounds returns the canvas.
func (f framed) Bounds() image.Rectangle { return f.canvas }

// plain returns the image itself where it fills the canvas.
func (f framed) plain() image.Image {
	if f.Image.Bounds() == f.canvas {
		return f.Image
	}
	return f
}
