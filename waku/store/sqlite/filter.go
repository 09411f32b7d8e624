package sqlite

import (
	"crypto/sha256"
	"encoding/binary"
)

// filterBits is the room of a filter for each key; at 16 bits about one
// absent key in 600 seems to be there.
const filterBits = 16

// filterBlock is the number of words of one block of a filter.
const filterBlock = 8

// filter tells which 64-bit keys are not in a set: a split block Bloom
// filter, in which a key sets one bit in each word of one block, so that
// asking costs one cache line. The keys must be spread evenly.
type filter []uint32

// newFilter returns an empty filter with room for n keys.
func newFilter(n int) filter {
	return make(filter, filterBlock*max(1, (n*filterBits+filterBlock*32-1)/(filterBlock*32)))
}

// salts spread the lower half of a key over the words of a block.
var salts = [filterBlock]uint32{
	0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1, 0xd6e8feb9, 0xa0761d65, 0xe7037ed1,
}

// block returns the words of a key.
func (f filter) block(key uint64) *[filterBlock]uint32 {
	i := (key >> 32) * uint64(len(f)/filterBlock) >> 32
	return (*[filterBlock]uint32)(f[i*filterBlock:])
}

func (f filter) add(key uint64) {
	b := f.block(key)
	for i, salt := range salts {
		b[i] |= 1 << (uint32(key) * salt >> 27)
	}
}

// has reports whether key may have been added; false is certain.
func (f filter) has(key uint64) bool {
	b := f.block(key)
	for i, salt := range salts {
		if b[i]&(1<<(uint32(key)*salt>>27)) == 0 {
			return false
		}
	}
	return true
}

// bytes is the stored form.
func (f filter) bytes() []byte {
	out := make([]byte, 0, 4*len(f))
	for _, w := range f {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}

// filterOf reads the stored form; false when it is none.
func filterOf(b []byte) (filter, bool) {
	if len(b) == 0 || len(b)%(4*filterBlock) != 0 {
		return nil, false
	}
	f := make(filter, len(b)/4)
	for i := range f {
		f[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return f, true
}

// filterKey is the key of a topic pair.
func (t topic) filterKey() uint64 {
	b := binary.BigEndian.AppendUint64(nil, uint64(len(t.pubsub)))
	b = append(append(b, t.pubsub...), t.content...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
