package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Markers of a JPEG file (ITU-T T.81, Table B.1).
const (
	jpegSOF0 = 0xc0
	jpegSOF2 = 0xc2
	jpegDHT  = 0xc4
	jpegJPG  = 0xc8
	jpegDAC  = 0xcc
	jpegRST0 = 0xd0
	jpegSOI  = 0xd8
	jpegEOI  = 0xd9
	jpegSOS  = 0xda
	jpegAPP1 = 0xe1
	jpegTEM  = 0x01
)

// inspectJPEG walks the markers up to the end of the image.
func (l Limits) inspectJPEG(data []byte) (Info, error) {
	info := Info{Format: JPEG, Orientation: 1, Frames: 1}
	scans := 0
	for i := 2; ; {
		marker, next := nextMarker(data, i)
		if next < 0 {
			return Info{}, fmt.Errorf("%w: JPEG without its end", ErrTruncated)
		}
		i = next
		switch {
		case marker == jpegEOI:
			if info.Width == 0 || scans == 0 {
				return Info{}, fmt.Errorf("%w: JPEG without image", ErrMalformed)
			}
			return info, nil
		case marker >= jpegRST0 && marker <= jpegSOI, marker == jpegTEM:
			continue // stand alone
		}
		if len(data)-i < 2 {
			return Info{}, fmt.Errorf("%w: in a JPEG segment", ErrTruncated)
		}
		size := int(binary.BigEndian.Uint16(data[i:]))
		if size < 2 {
			return Info{}, fmt.Errorf("%w: JPEG segment of %d bytes", ErrMalformed, size)
		}
		if len(data)-i < size {
			return Info{}, fmt.Errorf("%w: in a JPEG segment", ErrTruncated)
		}
		segment := data[i+2 : i+size]
		i += size
		switch {
		case marker == jpegSOS:
			if scans++; scans > MaxScans {
				return Info{}, fmt.Errorf("%w: more than %d", ErrScans, MaxScans)
			}
		case marker == jpegAPP1:
			if tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00")); ok {
				info.Orientation = orientation(tiff)
			}
		case marker >= jpegSOF0 && marker <= 0xcf && marker != jpegDHT && marker != jpegJPG && marker != jpegDAC:
			if err := l.readSOF(marker, segment, &info); err != nil {
				return Info{}, err
			}
		}
	}
}

// readSOF reads the header of the frame; a file has one.
func (l Limits) readSOF(marker byte, segment []byte, info *Info) error {
	if marker > jpegSOF2 {
		return fmt.Errorf("%w: JPEG process %#x is not supported", ErrMalformed, marker)
	}
	if info.Width != 0 {
		return fmt.Errorf("%w: JPEG with two frames", ErrMalformed)
	}
	if len(segment) < 6 {
		return fmt.Errorf("%w: JPEG frame header of %d bytes", ErrMalformed, len(segment))
	}
	if segment[0] != 8 {
		return fmt.Errorf("%w: JPEG of %d bits", ErrMalformed, segment[0])
	}
	info.Height = int(binary.BigEndian.Uint16(segment[1:]))
	info.Width = int(binary.BigEndian.Uint16(segment[3:]))
	return l.checkSize(*info)
}

// nextMarker returns the next marker at or after i and where it ends, -1 if
// there is none. Compressed data, where 0xff is followed by a zero, and
// restart markers within it are passed over, and so is rubbish.
func nextMarker(data []byte, i int) (byte, int) {
	for i < len(data) {
		at := bytes.IndexByte(data[i:], 0xff)
		if at < 0 {
			return 0, -1
		}
		i += at + 1
		for i < len(data) && data[i] == 0xff { // fill
			i++
		}
		if i == len(data) {
			return 0, -1
		}
		if data[i] != 0 {
			return data[i], i + 1
		}
		i++
	}
	return 0, -1
}
