package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// open opens the archive in a database and closes it at the end of the test.
func open(t testing.TB, url string, cfg postgres.Config) *postgres.Archive {
	t.Helper()
	a, err := postgres.Open(context.Background(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// TestSuite runs the tests that every archive must pass, also with chunks that
// are written after every few entries.
//
// Proves: SP-21.
func TestSuite(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	for _, tail := range []int{0, 20} {
		t.Run(fmt.Sprintf("tail=%d", tail), func(t *testing.T) {
			t.Parallel()
			storetest.RunMaintainer(t, storetest.Driver{
				New: func(t testing.TB) func(testing.TB) store.Maintainer {
					cfg := postgres.Config{Schema: postgrestest.Name()}
					return func(t testing.TB) store.Maintainer {
						t.Helper()
						a, err := postgres.Open(context.Background(), server.URL("postgres"), cfg)
						if err != nil {
							t.Fatal(err)
						}
						if tail > 0 {
							a.SetTail(tail)
						}
						return a
					}
				},
				Overhead: 1 << 20,
			})
		})
	}
}
