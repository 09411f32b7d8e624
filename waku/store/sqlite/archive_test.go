package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/store/storetest"
)

// TestSuite runs the tests that every archive must pass, in memory and in a
// directory: there with its usual sizes too, otherwise with chunks and slices
// so small that the suite fills many of them.
//
// Proves: SP-21.
func TestSuite(t *testing.T) {
	t.Parallel()
	memory := func(testing.TB) string { return ":memory:" }
	directory := func(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }
	for name, kind := range map[string]struct {
		open  func(string) (*sqlite.Archive, error)
		place func(testing.TB) string
	}{
		"memory, small":    {sqlite.OpenSmall, memory},
		"directory":        {sqlite.Open, directory},
		"directory, small": {sqlite.OpenSmall, directory},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.RunMaintainer(t, storetest.Driver{
				New: func(t testing.TB) func(testing.TB) store.Maintainer {
					path := kind.place(t)
					return func(t testing.TB) store.Maintainer {
						t.Helper()
						a, err := kind.open(path)
						if err != nil {
							t.Fatal(err)
						}
						return a
					}
				},
				Overhead: 1 << 20,
				Volatile: kind.place(t) == ":memory:",
			})
		})
	}
}
