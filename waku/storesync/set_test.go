package storesync

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-im/parley/waku/store"
)

// TestSet compares fingerprints and ranges with sums and filters.
func TestSet(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, block - 1, block, block + 1, 3*block + 7} {
		ids := randomIDs(rng, n, 1000, 1200) // several with one timestamp
		s := setOf(t, ids...)
		pick := func() store.ID {
			if n == 0 || rng.IntN(3) == 0 {
				return store.ID{Timestamp: 990 + rng.Int64N(220)}
			}
			return ids[rng.IntN(n)]
		}
		for range 200 {
			b := Bounds{pick(), pick()}
			if compareIDs(b.Lower, b.Upper) > 0 {
				b.Lower, b.Upper = b.Upper, b.Lower
			}
			var want []store.ID
			var sum Fingerprint
			for _, id := range ids {
				if compareIDs(id, b.Lower) >= 0 && compareIDs(id, b.Upper) < 0 {
					want = append(want, id)
					for i := range sum {
						sum[i] ^= id.Hash[i]
					}
				}
			}
			if from, to := s.find(b); !slices.Equal(s.ids[from:to], want) {
				t.Fatalf("%d ids within %v, want %d", to-from, b, len(want))
			}
			if s.Fingerprint(b) != sum {
				t.Fatalf("fingerprint of %v is not the XOR of its hashes", b)
			}
		}
	}
}

func TestSetOrder(t *testing.T) {
	t.Parallel()
	a, b := store.ID{Timestamp: 1}, store.ID{Timestamp: 2}
	for _, ids := range [][]store.ID{{a, a}, {b, a}} {
		if _, err := NewSet(ids); !errors.Is(err, ErrOrder) {
			t.Errorf("%v: %v", ids, err)
		}
	}
}
