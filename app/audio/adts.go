package audio

import (
	"encoding/binary"
	"time"
)

const (
	// adtsHeader is the length of a frame's header that is not followed by a
	// checksum.
	adtsHeader = 7
	// adtsSamples is how many samples of each channel a block of a frame has.
	adtsSamples = 1024
	// adtsSame are the bits of the first four bytes that all frames of a stream
	// have in common: sync word, version, layer, absence of a checksum, profile,
	// sampling rate and channels.
	adtsSame = 0xfffffdc0
	// adtsSync are the bits that are the same in all streams: sync word, layer 0
	// and no checksum. adtsSyncMask selects them; the version is left open.
	adtsSync     = 0xfff10000
	adtsSyncMask = 0xfff70000
)

// adtsRates are the sampling rates by index, per second.
var adtsRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// adtsFrame reads the header of the frame that data begins with: what it has in
// common with others of its stream, its length with the header, and how long it
// sounds. It is false when there is no whole frame.
func adtsFrame(data []byte) (stream uint32, length int, sounds time.Duration, ok bool) {
	if len(data) < adtsHeader {
		return 0, 0, 0, false
	}
	head := binary.BigEndian.Uint32(data)
	rate := int(head >> 10 & 0xf)
	if head&adtsSyncMask != adtsSync || rate >= len(adtsRates) {
		return 0, 0, 0, false
	}
	length = int(data[3]&3)<<11 | int(data[4])<<3 | int(data[5])>>5
	if length <= adtsHeader || length > len(data) {
		return 0, 0, 0, false
	}
	blocks := time.Duration(data[6]&3) + 1
	return head & adtsSame, length, blocks * adtsSamples * time.Second / time.Duration(adtsRates[rate]), true
}

// cleanADTS copies the frames of the stream that data begins with. The bits of
// the headers that are about rights and not about sound are cleared: those for
// private use, for originals, and those that spell the number of a work.
func cleanADTS(data []byte) (Recording, error) {
	if len(data) < 2 || binary.BigEndian.Uint16(data)&(adtsSyncMask>>16) != adtsSync>>16 {
		return Recording{}, ErrFormat
	}
	r := Recording{Format: AAC, Data: make([]byte, 0, len(data))}
	var stream uint32
	for {
		its, length, sounds, ok := adtsFrame(data)
		if !ok || r.Frames > 0 && its != stream {
			break
		}
		stream = its
		r.Data = append(r.Data, data[:length]...)
		head := r.Data[len(r.Data)-length:]
		head[2] &^= 0x02
		head[3] &^= 0x3c
		r.Frames++
		r.Duration += sounds
		data = data[length:]
	}
	if r.Frames == 0 {
		return Recording{}, ErrEmpty
	}
	return r, nil
}

const (
	id3Header = 10
	id3Footer = 0x10 // the flag for a second header at the end
)

// skipTags skips ID3v2 tags by the length in their headers (ID3 tag version
// 2.4.0, 3.1). What is in them is not looked at.
func skipTags(data []byte) []byte {
	for len(data) >= id3Header && string(data[:3]) == "ID3" {
		size := id3Header
		if data[5]&id3Footer != 0 {
			size += id3Header
		}
		for i, b := range data[6:id3Header] {
			if b > 0x7f {
				return nil // no length, and so no end
			}
			size += int(b) << (21 - 7*i)
		}
		if size > len(data) {
			return nil
		}
		data = data[size:]
	}
	return data
}
