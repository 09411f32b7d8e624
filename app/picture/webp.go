package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
)

// Flags of the VP8X chunk (WebP Container Specification, Extended file
// format).
const (
	webpAnimation = 0x02
	webpAlpha     = 0x10
)

// webpFrameHeader is the size of what precedes the chunks in an ANMF chunk.
const webpFrameHeader = 16

// chunk is a RIFF chunk.
type chunk struct {
	kind string
	body []byte
}

// walkChunks hands the chunks of a RIFF container to visit until one fails. The
// padding of the last may be missing.
func walkChunks(data []byte, visit func(chunk) error) error {
	for len(data) > 0 {
		if len(data) < 8 {
			return fmt.Errorf("%w: in the header of a WebP chunk", ErrTruncated)
		}
		size := binary.LittleEndian.Uint32(data[4:])
		if uint64(size) > uint64(len(data)-8) {
			return fmt.Errorf("%w: in a WebP chunk", ErrTruncated)
		}
		end := 8 + int(size)
		if err := visit(chunk{string(data[:4]), data[8:end]}); err != nil {
			return err
		}
		data = data[min(end+int(size&1), len(data)):]
	}
	return nil
}

// appendChunk appends an encoded chunk.
func appendChunk(out []byte, kind string, body []byte) []byte {
	out = append(out, kind...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	out = append(out, body...)
	if len(body)&1 == 1 {
		out = append(out, 0)
	}
	return out
}

// webpWalk is the state of a walk over a WebP file.
type webpWalk struct {
	limits Limits
	visit  func(chunk)
	info   Info
	count  int // chunks so far
	stills int // bitstreams outside of frames
	total  int // pixels of all frames
}

// walkWebP walks the chunks of a WebP file and hands those to visit that make
// the picture, which may be nil: no metadata, and nothing unknown.
func (l Limits) walkWebP(data []byte, visit func(chunk)) (Info, error) {
	if visit == nil {
		visit = func(chunk) {}
	}
	// The size counts from after itself, and so includes WEBP.
	size := binary.LittleEndian.Uint32(data[4:])
	if uint64(size) > uint64(len(data)-8) {
		return Info{}, fmt.Errorf("%w: WebP file", ErrTruncated)
	}
	if size < 4 {
		return Info{}, fmt.Errorf("%w: WebP file of %d bytes", ErrMalformed, size)
	}
	w := &webpWalk{limits: l, visit: visit, info: Info{Format: WebP, Orientation: 1}}
	if err := walkChunks(data[12:8+int(size)], w.chunk); err != nil {
		return Info{}, err
	}
	switch {
	case w.info.Animated && (w.info.Frames == 0 || w.stills > 0),
		!w.info.Animated && (w.info.Frames > 0 || w.stills != 1):
		return Info{}, fmt.Errorf("%w: WebP with %d frames and %d stills", ErrMalformed, w.info.Frames, w.stills)
	case !w.info.Animated:
		w.info.Frames = 1
	}
	return w.info, nil
}

func (w *webpWalk) chunk(c chunk) error {
	first := w.count == 0
	w.count++
	header := c.kind == "VP8X" || first && (c.kind == "VP8 " || c.kind == "VP8L")
	if first != header {
		return fmt.Errorf("%w: WebP chunk %q out of place", ErrMalformed, c.kind)
	}
	switch c.kind {
	case "VP8X":
		if len(c.body) < 10 {
			return fmt.Errorf("%w: WebP header of %d bytes", ErrMalformed, len(c.body))
		}
		w.info.Animated = c.body[0]&webpAnimation != 0
		w.info.Width, w.info.Height = uint24(c.body[4:])+1, uint24(c.body[7:])+1
		if err := w.limits.checkSize(w.info); err != nil {
			return err
		}
	case "VP8 ", "VP8L":
		width, height, err := bitstreamSize(c)
		if err != nil {
			return err
		}
		if first {
			w.info.Width, w.info.Height = width, height
			if err := w.limits.checkSize(w.info); err != nil {
				return err
			}
		}
		// A decoder believes the bitstream, whatever the header says.
		if width != w.info.Width || height != w.info.Height {
			return fmt.Errorf("%w: WebP image of %d×%d in a picture of %d×%d", ErrMalformed, width, height, w.info.Width, w.info.Height)
		}
		w.stills++
	case "ANMF":
		if err := w.frame(c.body); err != nil {
			return err
		}
	case "EXIF":
		w.info.Orientation = orientation(c.body)
		return nil
	case "ALPH", "ANIM":
	default:
		return nil
	}
	w.visit(c)
	return nil
}

// frame checks a frame of an animation.
func (w *webpWalk) frame(body []byte) error {
	if len(body) < webpFrameHeader {
		return fmt.Errorf("%w: WebP frame of %d bytes", ErrMalformed, len(body))
	}
	x, y := 2*uint24(body), 2*uint24(body[3:])
	width, height := uint24(body[6:])+1, uint24(body[9:])+1
	if x+width > w.info.Width || y+height > w.info.Height {
		return fmt.Errorf("%w: WebP frame outside of the picture", ErrMalformed)
	}
	w.info.Frames++
	w.total += w.info.Width * w.info.Height
	if err := w.limits.checkFrames(w.info.Frames, w.total); err != nil {
		return err
	}
	images := 0
	err := walkChunks(body[webpFrameHeader:], func(c chunk) error {
		if c.kind != "VP8 " && c.kind != "VP8L" {
			return nil
		}
		images++
		bw, bh, err := bitstreamSize(c)
		if err == nil && (bw != width || bh != height) {
			err = fmt.Errorf("%w: WebP image of %d×%d in a frame of %d×%d", ErrMalformed, bw, bh, width, height)
		}
		return err
	})
	if err == nil && images != 1 {
		err = fmt.Errorf("%w: WebP frame with %d images", ErrMalformed, images)
	}
	return err
}

// bitstreamSize reads the dimensions out of a VP8 key frame (RFC 6386, 9.1) or
// a lossless bitstream (WebP Lossless Bitstream, 3).
func bitstreamSize(c chunk) (width, height int, err error) {
	b := c.body
	if c.kind == "VP8L" {
		if len(b) < 5 || b[0] != 0x2f || b[4]>>5 != 0 {
			return 0, 0, fmt.Errorf("%w: lossless WebP header", ErrMalformed)
		}
		bits := binary.LittleEndian.Uint32(b[1:])
		return int(bits&0x3fff) + 1, int(bits>>14&0x3fff) + 1, nil
	}
	if len(b) < 10 || b[0]&1 != 0 || b[3] != 0x9d || b[4] != 0x01 || b[5] != 0x2a {
		return 0, 0, fmt.Errorf("%w: VP8 header", ErrMalformed)
	}
	width, height = int(binary.LittleEndian.Uint16(b[6:]))&0x3fff, int(binary.LittleEndian.Uint16(b[8:]))&0x3fff
	if width == 0 || height == 0 {
		return 0, 0, fmt.Errorf("%w: VP8 image of %d×%d", ErrMalformed, width, height)
	}
	return width, height, nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// stripWebP returns a WebP file with nothing but pixels and, of an animation,
// timing and background.
func (l Limits) stripWebP(data []byte) ([]byte, Info, error) {
	out := append(make([]byte, 0, len(data)), "RIFF\x00\x00\x00\x00WEBP"...)
	info, err := l.walkWebP(data, func(c chunk) {
		body := c.body
		switch c.kind {
		case "VP8X":
			body = append([]byte{body[0] & (webpAnimation | webpAlpha), 0, 0, 0}, body[4:10]...)
		case "ANIM":
			if len(body) > 6 {
				body = body[:6]
			}
		case "ANMF":
			body = stripFrame(body)
		}
		out = appendChunk(out, c.kind, body)
	})
	if err != nil {
		return nil, Info{}, err
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	info.Orientation = 1
	return out, info, nil
}

// stripFrame returns a frame, which was walked before, with nothing but its
// image and its transparency.
func stripFrame(body []byte) []byte {
	out := append([]byte{}, body[:webpFrameHeader]...)
	out[webpFrameHeader-1] &= 3 // blending and disposal; the rest is reserved
	// The walk before this one ended well.
	_ = walkChunks(body[webpFrameHeader:], func(c chunk) error {
		switch c.kind {
		case "ALPH", "VP8 ", "VP8L":
			out = appendChunk(out, c.kind, c.body)
		}
		return nil
	})
	return out
}

// webpFrame is a frame of an animation as a WebP file of its own.
type webpFrame struct {
	still         []byte
	at            image.Point
	width, height int
}

// firstFrame returns the first frame of an animation, which was inspected
// before.
func firstFrame(data []byte) webpFrame {
	var frame webpFrame
	_ = walkChunks(data[12:8+binary.LittleEndian.Uint32(data[4:])], func(c chunk) error {
		if c.kind != "ANMF" {
			return nil
		}
		frame.at = image.Pt(2*uint24(c.body), 2*uint24(c.body[3:]))
		frame.width, frame.height = uint24(c.body[6:])+1, uint24(c.body[9:])+1
		frame.still = append(frame.still, "RIFF\x00\x00\x00\x00WEBP"...)
		chunks := stripFrame(c.body)[webpFrameHeader:]
		if string(chunks[:4]) == "ALPH" {
			header := append([]byte{webpAlpha, 0, 0, 0}, c.body[6:12]...)
			frame.still = appendChunk(frame.still, "VP8X", header)
		}
		frame.still = append(frame.still, chunks...)
		binary.LittleEndian.PutUint32(frame.still[4:], uint32(len(frame.still)-8))
		return errFound
	})
	return frame
}

// errFound ends a walk over chunks.
var errFound = errors.New("found")
