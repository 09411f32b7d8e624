package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// Parts of a GIF file (GIF89a, Appendix A).
const (
	gifHeader     = 13
	gifImage      = 0x2c
	gifExtension  = 0x21
	gifTrailer    = 0x3b
	gifControl    = 0xf9 // delay, disposal and transparency of the next frame
	gifApp        = 0xff
	gifTables     = 0x80
	gifDescriptor = 10
)

// walkGIF walks the blocks of a GIF up to its trailer and hands each to visit,
// which may be nil: the header with its colour table, extensions, images, the
// trailer.
func (l Limits) walkGIF(data []byte, visit func(block []byte)) (Info, error) {
	if visit == nil {
		visit = func([]byte) {}
	}
	if len(data) < gifHeader {
		return Info{}, fmt.Errorf("%w: GIF header", ErrTruncated)
	}
	info := Info{Format: GIF, Orientation: 1}
	info.Width = int(binary.LittleEndian.Uint16(data[6:]))
	info.Height = int(binary.LittleEndian.Uint16(data[8:]))
	if err := l.checkSize(info); err != nil {
		return Info{}, err
	}
	i := gifHeader + colourTable(data[10])
	if i > len(data) {
		return Info{}, fmt.Errorf("%w: GIF colour table", ErrTruncated)
	}
	visit(data[:i])
	for total := 0; i < len(data); {
		start := i
		switch data[i] {
		case gifTrailer:
			if info.Frames == 0 {
				return Info{}, fmt.Errorf("%w: GIF without image", ErrMalformed)
			}
			info.Animated = info.Frames > 1
			visit(data[i : i+1])
			return info, nil
		case gifExtension:
			i += 2
		case gifImage:
			if len(data)-i < gifDescriptor+1 {
				return Info{}, fmt.Errorf("%w: in a GIF frame", ErrTruncated)
			}
			x, y := int(binary.LittleEndian.Uint16(data[i+1:])), int(binary.LittleEndian.Uint16(data[i+3:]))
			w, h := int(binary.LittleEndian.Uint16(data[i+5:])), int(binary.LittleEndian.Uint16(data[i+7:]))
			if x+w > info.Width || y+h > info.Height {
				return Info{}, fmt.Errorf("%w: GIF frame outside of the picture", ErrMalformed)
			}
			info.Frames++
			// Whoever shows it composes the whole picture for every frame.
			total += info.Width * info.Height
			if err := l.checkFrames(info.Frames, total); err != nil {
				return Info{}, err
			}
			i += gifDescriptor + colourTable(data[i+9]) + 1 // and the size of codes
		default:
			return Info{}, fmt.Errorf("%w: GIF block %#x", ErrMalformed, data[i])
		}
		if i = skipSubBlocks(data, i); i < 0 {
			return Info{}, fmt.Errorf("%w: in a GIF block", ErrTruncated)
		}
		visit(data[start:i])
	}
	return Info{}, fmt.Errorf("%w: GIF without its end", ErrTruncated)
}

// colourTable returns the size in bytes of the colour table that packed flags
// announce.
func colourTable(flags byte) int {
	if flags&gifTables == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

// skipSubBlocks returns the end of the sub-blocks that begin at i, -1 if the
// data ends before.
func skipSubBlocks(data []byte, i int) int {
	for i < len(data) {
		size := int(data[i])
		i += 1 + size
		if size == 0 {
			return i
		}
	}
	return -1
}

// stripGIF returns a GIF with nothing but frames, their timing, and how often
// they are repeated.
func (l Limits) stripGIF(data []byte) ([]byte, Info, error) {
	out := make([]byte, 0, len(data))
	info, err := l.walkGIF(data, func(block []byte) {
		if len(block) > 1 && block[0] == gifExtension {
			block = keptExtension(block)
		}
		out = append(out, block...)
	})
	if err != nil {
		return nil, Info{}, err
	}
	return out, info, nil
}

// keptExtension returns of an extension what is worth keeping, nil if nothing
// is.
func keptExtension(block []byte) []byte {
	switch {
	case block[1] == gifControl && len(block) == 8 && block[2] == 4:
		return block
	case block[1] == gifApp && len(block) >= 19 && block[2] == 11 && isLoop(block[3:14]) && block[14] == 3 && block[15] == 1:
		// A loop extension may go on with more blocks, where anything can be.
		return append(slices.Clone(block[:18]), 0)
	}
	return nil
}

// isLoop tells whether an application extension is the one that repeats the
// animation.
func isLoop(id []byte) bool {
	return bytes.Equal(id, []byte("NETSCAPE2.0")) || bytes.Equal(id, []byte("ANIMEXTS1.0"))
}
