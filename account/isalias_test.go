package account

import (
	"crypto/rand"
	"testing"

	"github.com/parley-im/parley/account/key"
)

func TestIsAlias(t *testing.T) {
	t.Parallel()
	for range 20 {
		k, err := key.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if name := Alias(k.Public()); !IsAlias(name) {
			t.Errorf("%q is generated and not known", name)
		}
	}
	for _, name := range []string{"", "Alice", "Hard Tame", "Hard Tame Robert", "Hard Tame Brownbutterfly Two", "hard tame brownbutterfly"} {
		if IsAlias(name) {
			t.Errorf("%q is not generated", name)
		}
	}
}
