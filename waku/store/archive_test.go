package store_test

import (
	"path/filepath"
	"testing"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

// TestSQLite runs the suite over both kinds of SQLite archive.
//
// Proves: SP-21.
func TestSQLite(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]func(*testing.T) string{
		"memory": func(*testing.T) string { return ":memory:" },
		"file":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "store.db") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) store.Archive {
				a, err := store.OpenSQLite(path(t))
				if err != nil {
					t.Fatal(err)
				}
				return a
			})
		})
	}
}
