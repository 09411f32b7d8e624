package audio

import "time"

const (
	// amrMagic is what a file of one channel in narrowband begins with.
	amrMagic = "#!AMR\n"
	// amrSounds is how long a frame sounds.
	amrSounds = 20 * time.Millisecond
	// amrPadding are the bits of a frame's header that are always 0.
	amrPadding = 0x83
)

// amrSizes are the bytes of a frame by its type, without the header; -1 for
// types that are not used.
var amrSizes = [16]int{12, 13, 15, 17, 19, 20, 26, 31, 5, -1, -1, -1, -1, -1, -1, 0}

// cleanAMR copies the frames that follow the magic. The format has no place for
// anything else.
func cleanAMR(data []byte) (Recording, error) {
	r := Recording{Format: AMR, Data: []byte(amrMagic)}
	for len(data) > 0 && data[0]&amrPadding == 0 {
		size := amrSizes[data[0]>>3&0xf]
		if size < 0 || size >= len(data) {
			break
		}
		r.Data = append(r.Data, data[:1+size]...)
		r.Frames++
		r.Duration += amrSounds
		data = data[1+size:]
	}
	if r.Frames == 0 {
		return Recording{}, ErrEmpty
	}
	return r, nil
}
