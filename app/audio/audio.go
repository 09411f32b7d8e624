// Package audio holds the rules for recordings (62/STATUS-PAYLOADS, Audio
// content type): what of a received one may be played, and what of one's own is
// sent.
//
// Nothing here decodes sound. A recording is walked frame by frame by the
// lengths in its frame headers, and what is not sound, tags before and behind
// the frames, is left out without being looked into. Whoever plays the rest has
// to do with whole frames of one stream only.
//
// The two formats are those that travel: AAC in ADTS frames without checksums
// (ISO/IEC 13818-7, 6.2) and narrowband AMR (RFC 4867, section 5), the same
// that deployed clients (status-go) know by their first bytes.
package audio

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Format is how a recording is encoded. The texts are stable.
type Format string

// The formats that travel.
const (
	AAC Format = "aac"
	AMR Format = "amr"
)

// MIME returns the media type, as audio/aac.
func (f Format) MIME() string { return "audio/" + string(f) }

// MaxReceivedBytes is the size of a recording that is played. Deployed clients
// record two minutes at most, which is well below.
const MaxReceivedBytes = 8 << 20

// Errors of this package, one for each cause.
var (
	ErrFormat = errors.New("not an AAC or AMR recording")
	ErrBytes  = errors.New("the recording has too many bytes")
	ErrEmpty  = errors.New("the recording has no sound")
)

// Recording is sound and nothing else.
type Recording struct {
	Format Format
	// Duration is as long as the frames are, whatever a message claims.
	Duration time.Duration
	// Frames is at least 1.
	Frames int
	// Data is the encoded sound, without anything beside its frames.
	Data []byte
}

// Clean returns what is sound in a recording of anybody. The format is that of
// the bytes. It refuses what is neither format (ErrFormat), what is too large
// (ErrBytes) and what has no whole frame (ErrEmpty); whatever follows the last
// whole frame of the stream is left out.
func Clean(data []byte) (Recording, error) {
	if len(data) > MaxReceivedBytes {
		return Recording{}, fmt.Errorf("%w: %d, at most %d", ErrBytes, len(data), MaxReceivedBytes)
	}
	if sound, ok := bytes.CutPrefix(data, []byte(amrMagic)); ok {
		return cleanAMR(sound)
	}
	return cleanADTS(skipTags(data))
}
