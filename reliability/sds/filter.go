package sds

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Hash is which bloom filter a network uses.
type Hash int

// The filters.
const (
	// NoFilter is none.
	NoFilter Hash = iota
	// Salted is hashed anew for every message, with the message id as salt,
	// so that what one filter contains by accident the next one does not. The
	// number of bits is eight times its length; bit i is bit i mod 8 of byte
	// i/8, from the least. With h the first 8 bytes of SHA-256 of an id and s
	// those of the carrying message's id, big-endian, x = mix(h xor mix(s)),
	// where mix is the finaliser of SplitMix64: with A and B the upper and
	// lower half of x, B made odd, the bits of the id are those numbered
	// ((A + i·B) mod 2^32)·bits/2^32 for i from 0.
	Salted
	// Murmur is that of @waku/sds: bit i is (A + i·B) mod Bits, with A and B
	// the absolute values of MurmurHash3 x86_32, seed 0, of the id and of the
	// id and " b", modulo Bits; words of 64 bits, big-endian.
	Murmur
)

// minFilter is the shortest filter in bytes.
const minFilter = 8

// murmurBytes is the length of a Murmur filter: @waku/sds has a word more than
// whole words need.
func murmurBytes(bits int) int { return 8 * (1 + bits/64) }

// prehash is what of an id is kept to build filters from.
func (f Filter) prehash(id string, r ref) uint64 {
	switch f.Hash {
	case Salted:
		return binary.BigEndian.Uint64(r[:])
	case Murmur:
		units := charCodes(id)
		return uint64(murmur3(units))<<32 | uint64(murmur3(append(units, ' ', 'b')))
	}
	return 0
}

// positions calls visit with the bits of an id in a filter of a length, until
// it returns false, and reports whether it never did.
func (f Filter) positions(prehash, salt uint64, size int, visit func(at int, mask byte) bool) bool {
	if f.Hash == Murmur {
		m := int64(f.Bits)
		a, b := magnitude(uint32(prehash>>32))%m, magnitude(uint32(prehash))%m
		for i := range int64(f.Hashes) {
			bit := int((a + i*b) % m)
			if !visit(8*(bit/64)+7-bit%64/8, 1<<(bit%8)) {
				return false
			}
		}
		return true
	}
	x := mix(prehash ^ mix(salt))
	a, b := uint32(x>>32), uint32(x)|1
	for range f.Hashes {
		bit := int(uint64(a) * uint64(8*size) >> 32)
		if !visit(bit/8, 1<<(bit%8)) {
			return false
		}
		a += b
	}
	return true
}

// size is how long a filter of n ids is made.
func (f Filter) size(n int) int {
	if f.Hash == Murmur {
		return f.Bytes
	}
	return min(f.Bytes, max(minFilter, (n*f.BitsPerID+7)/8))
}

// build makes the filter of ids, given by their prehashes.
func (f Filter) build(ids []uint64, salt uint64, size int) []byte {
	filter := make([]byte, size)
	for _, id := range ids {
		f.positions(id, salt, size, func(at int, mask byte) bool {
			filter[at] |= mask
			return true
		})
	}
	return filter
}

// usable reports whether a received filter can be looked into.
func (f Filter) usable(filter []byte) bool {
	switch f.Hash {
	case Salted:
		return len(filter) >= minFilter
	case Murmur:
		return len(filter) >= f.Bytes // a longer one has a tail without meaning
	}
	return false
}

// contains looks an id up in a usable filter.
func (f Filter) contains(filter []byte, prehash, salt uint64) bool {
	return f.positions(prehash, salt, len(filter), func(at int, mask byte) bool { return filter[at]&mask != 0 })
}

// accident is the probability that a usable filter contains an id that is not
// in it, by how full it is.
func (f Filter) accident(filter []byte) float64 {
	ones, all := 0, 8*len(filter)
	if f.Hash == Murmur {
		filter, all = filter[:f.Bytes], f.Bits
	}
	for _, b := range filter {
		ones += bits.OnesCount8(b)
	}
	return math.Pow(min(1, float64(ones)/float64(all)), float64(f.Hashes))
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// magnitude is the absolute value of a hash read as signed.
func magnitude(h uint32) int64 {
	v := int64(int32(h))
	return max(v, -v)
}

// charCodes is text as @waku/sds hashes it: the first UTF-16 code unit of
// every code point.
func charCodes(s string) []uint32 {
	units := make([]uint32, 0, len(s)+2)
	for _, r := range s {
		if r > 0xffff {
			r = 0xd800 + (r-0x10000)>>10
		}
		units = append(units, uint32(r))
	}
	return units
}

// murmur3 is MurmurHash3 x86_32 with seed 0 over elements that are bytes in
// ASCII text and may be larger otherwise, which @waku/sds lets overlap.
func murmur3(data []uint32) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	var h uint32
	for block := range len(data)/4 + 1 {
		part := data[4*block : min(4*block+4, len(data))]
		var k uint32
		for i := len(part) - 1; i >= 0; i-- {
			k = k<<8 | part[i]
		}
		h ^= bits.RotateLeft32(k*c1, 15) * c2
		if len(part) == 4 {
			h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
		}
	}
	h ^= uint32(len(data))
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}
