package contact

import (
	"math/rand/v2"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// newKey returns a key that depends on nothing but the seed.
func newKey(t testing.TB, seed byte) key.Private {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
