package picture

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// inspectPNG walks the chunks up to IEND (W3C PNG, 5). Nothing compressed is
// opened, neither pixels nor texts.
func (l Limits) inspectPNG(data []byte) (Info, error) {
	info := Info{Format: PNG, Orientation: 1, Frames: 1}
	pixels, frames, total := false, 0, 0
	for i := len(pngSignature); ; {
		if len(data)-i < 12 {
			return Info{}, fmt.Errorf("%w: PNG without its end", ErrTruncated)
		}
		size := binary.BigEndian.Uint32(data[i:])
		if uint64(size) > uint64(len(data)-i-12) {
			return Info{}, fmt.Errorf("%w: in a PNG chunk", ErrTruncated)
		}
		end := i + 8 + int(size)
		kind, body := string(data[i+4:i+8]), data[i+8:end]
		first := i == len(pngSignature)
		if first != (kind == "IHDR") {
			return Info{}, fmt.Errorf("%w: PNG whose header is not the first chunk", ErrMalformed)
		}
		switch kind {
		case "IHDR":
			if crc32.ChecksumIEEE(data[i+4:end]) != binary.BigEndian.Uint32(data[end:]) {
				return Info{}, fmt.Errorf("%w: checksum of the PNG header", ErrMalformed)
			}
			if err := l.readIHDR(body, &info); err != nil {
				return Info{}, err
			}
		case "IDAT":
			pixels = true
		case "eXIf":
			info.Orientation = orientation(body)
		case "acTL":
			info.Animated = true
		case "fcTL":
			frames++
			total += info.Width * info.Height
			if err := l.checkFrames(frames, total); err != nil {
				return Info{}, err
			}
		case "IEND":
			if !pixels {
				return Info{}, fmt.Errorf("%w: PNG without pixels", ErrMalformed)
			}
			if info.Animated {
				info.Frames = max(frames, 1)
			}
			return info, nil
		}
		i = end + 4
	}
}

func (l Limits) readIHDR(body []byte, info *Info) error {
	if len(body) != 13 {
		return fmt.Errorf("%w: PNG header of %d bytes", ErrMalformed, len(body))
	}
	width, height := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	if width >= 1<<31 || height >= 1<<31 {
		return fmt.Errorf("%w: %d×%d pixels", ErrMalformed, width, height)
	}
	info.Width, info.Height, info.deep = int(width), int(height), body[8] == 16
	return l.checkSize(*info)
}
