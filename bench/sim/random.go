package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// stream returns the random numbers of a seed for one purpose. Streams of
// different names have nothing to do with each other.
func stream(seed uint64, name ...any) *rand.Rand { return rand.New(chacha(seed, name...)) }

// entropy is the same as bytes, for cryptography.
func entropy(seed uint64, name ...any) io.Reader { return chacha(seed, name...) }

func chacha(seed uint64, name ...any) *rand.ChaCha8 {
	h := sha256.New()
	binary.Write(h, binary.BigEndian, seed)
	for _, n := range name {
		fmt.Fprintf(h, "/%v", n)
	}
	return rand.NewChaCha8([32]byte(h.Sum(nil)))
}

// between draws a duration from mean ± spread, uniformly, never below zero.
func between(r *rand.Rand, mean, spread time.Duration) time.Duration {
	return max(0, mean+time.Duration((2*r.Float64()-1)*float64(spread)))
}
