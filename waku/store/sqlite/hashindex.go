package sqlite

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/parley-im/parley/waku/message"
)

// hashIndex numbers message hashes from 0 on, in the order in which they are
// added. It does what a map does at a third of the cost: hashes are spread as
// they are. The seed keeps others from choosing hashes that fall together.
type hashIndex struct {
	keys []message.Hash
	// slots hold the number of a hash and one, below some bits of the hash,
	// which tell most others without a look at the keys. At most half of
	// them are taken; the others are 0.
	slots []uint64
	seed  uint64
}

const numberMask = 1<<32 - 1

func newHashIndex() *hashIndex {
	return &hashIndex{slots: make([]uint64, 64), seed: rand.Uint64()}
}

// slot returns where h is, or where it belongs, and the bits it has there.
func (x *hashIndex) slot(h *message.Hash) (s *uint64, bits uint64) {
	mixed := (binary.LittleEndian.Uint64(h[:]) ^ x.seed) * 0x9e3779b97f4a7c15
	bits = mixed &^ numberMask
	mask := uint64(len(x.slots) - 1)
	for i := mixed >> 20; ; i++ {
		s = &x.slots[i&mask]
		if *s == 0 || *s&^numberMask == bits && x.keys[*s&numberMask-1] == *h {
			return s, bits
		}
	}
}

// find returns the number of h.
func (x *hashIndex) find(h *message.Hash) (int, bool) {
	s, _ := x.slot(h)
	return int(*s&numberMask) - 1, *s != 0
}

// add adds h, which is not there.
func (x *hashIndex) add(h *message.Hash) {
	if 2*(len(x.keys)+1) > len(x.slots) {
		x.slots = make([]uint64, 4*len(x.slots))
		for i := range x.keys {
			s, bits := x.slot(&x.keys[i])
			*s = bits | uint64(i+1)
		}
	}
	s, bits := x.slot(h)
	x.keys = append(x.keys, *h)
	*s = bits | uint64(len(x.keys))
}

// reset forgets all hashes.
func (x *hashIndex) reset() {
	clear(x.slots)
	x.keys = x.keys[:0]
}
