package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/internal/kv"
)

// backends runs a test against every back end.
func backends(t *testing.T, test func(t *testing.T, db *DB)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, NewMemory())
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		db, err := Open(filepath.Join(t.TempDir(), "a.db"), [KeySize]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		test(t, db)
	})
}

func content(t *testing.T, db *DB, prefix string) []string {
	t.Helper()
	var all []string
	err := db.View(func(tx *Tx) error {
		return tx.Scan(prefix, func(k string, v []byte) error {
			all = append(all, k+"="+string(v))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error { return tx.Put("a", []byte("1")) }))
		boom := errors.New("boom")
		err := db.Update(func(tx *Tx) error {
			tx.Put("a", []byte("2"))
			tx.Put("b", []byte("2"))
			return boom
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if got := content(t, db, ""); !slices.Equal(got, []string{"a=1"}) {
			t.Fatal(got)
		}
		must(t, db.Update(func(tx *Tx) error {
			if err := tx.Try(func(tx *Tx) error { tx.Put("c", nil); tx.Delete("a"); return boom }); !errors.Is(err, boom) {
				return errors.New("Try lost the error")
			}
			return tx.Try(func(tx *Tx) error { return tx.Put("d", nil) })
		}))
		if got := content(t, db, ""); !slices.Equal(got, []string{"a=1", "d="}) {
			t.Fatal(got)
		}
	})
}

// Random operations must leave a transaction, its nested ones and the
// committed state equal to a plain map.
func TestTransactionsEqualAMap(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		rng := rand.New(rand.NewPCG(1, 2))
		model := map[string]string{}
		for range 60 {
			draft := map[string]string{}
			for k, v := range model {
				draft[k] = v
			}
			fail := rng.IntN(3) == 0
			err := db.Update(func(tx *Tx) error {
				for range 30 {
					key, value := fmt.Sprintf("%c/%02d\xff", 'a'+rng.IntN(3), rng.IntN(40)), fmt.Sprint(rng.Int())
					if rng.IntN(3) == 0 {
						delete(draft, key)
						tx.Delete(key)
					} else {
						draft[key] = value
						tx.Put(key, []byte(value))
					}
				}
				compare(t, tx, draft)
				if fail {
					return errors.New("no")
				}
				return nil
			})
			if (err != nil) != fail {
				t.Fatal(err)
			}
			if !fail {
				model = draft
			}
			must(t, db.View(func(tx *Tx) error { compare(t, tx, model); return nil }))
		}
	})
}

func compare(t *testing.T, s kv.Store, model map[string]string) {
	t.Helper()
	for _, prefix := range []string{"", "b/", "b/1"} {
		var want, got []string
		for k, v := range model {
			if bytes.HasPrefix([]byte(k), []byte(prefix)) {
				want = append(want, k+"="+v)
			}
		}
		slices.Sort(want)
		must(t, s.Scan(prefix, func(k string, v []byte) error {
			got = append(got, k+"="+string(v))
			one, ok, err := s.Get(k)
			if err != nil || !ok || !bytes.Equal(one, v) {
				t.Fatalf("Get(%q) = %q, %v, %v", k, one, ok, err)
			}
			return nil
		}))
		if !slices.Equal(got, want) {
			t.Fatalf("prefix %q: got %q, want %q", prefix, got, want)
		}
		if len(want) > 1 {
			seen := 0
			must(t, s.Scan(prefix, func(string, []byte) error { seen++; return kv.Stop }))
			if seen != 1 {
				t.Fatalf("a stopped scan visited %d", seen)
			}
		}
	}
}

func TestReopenNeedsTheKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "odd name?#%.db")
	secret := []byte("the plain text of a message")
	db, err := Open(path, [KeySize]byte{7})
	must(t, err)
	must(t, db.Update(func(tx *Tx) error { return tx.Put("k", secret) }))
	must(t, db.Close())
	if err := db.Update(func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}

	if _, err := Open(path, [KeySize]byte{8}); !errors.Is(err, ErrKey) || fault.KindOf(err) != fault.Denied {
		t.Fatalf("wrong key: %v", err)
	}
	db, err = Open(path, [KeySize]byte{7})
	must(t, err)
	defer db.Close()
	if got := content(t, db, ""); !slices.Equal(got, []string{"k=" + string(secret)}) {
		t.Fatal(got)
	}
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + suffix)
		if err != nil {
			continue
		}
		if bytes.Contains(raw, secret) || bytes.Contains(raw, []byte("SQLite format")) {
			t.Fatalf("%q is readable without the key", suffix)
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v", info.Mode())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	db, err := Open(filepath.Join(b.TempDir(), "a.db"), [KeySize]byte{1})
	must(b, err)
	defer db.Close()
	value := make([]byte, 512)
	for rows := range slices.Values([]int{1, 8}) {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			n := 0
			for b.Loop() {
				must(b, db.Update(func(tx *Tx) error {
					for range rows {
						n++
						tx.Put(fmt.Sprintf("bench/%d/%016x", rows, n), value)
					}
					return nil
				}))
			}
		})
	}
}
