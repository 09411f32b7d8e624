package store_test

import (
	"path/filepath"
	"testing"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

// TestSQLite runs the suite over SQLite archives: in memory and in a directory,
// there with its usual sizes too; otherwise with chunks and slices so small
// that the suite fills many of them.
//
// Proves: SP-21.
func TestSQLite(t *testing.T) {
	t.Parallel()
	memory := func(testing.TB) string { return ":memory:" }
	directory := func(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }
	for name, kind := range map[string]struct {
		open  func(string) (*store.SQLite, error)
		place func(testing.TB) string
	}{
		"memory, small":    {store.OpenSmall, memory},
		"directory":        {store.OpenSQLite, directory},
		"directory, small": {store.OpenSmall, directory},
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
