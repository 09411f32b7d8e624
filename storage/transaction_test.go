package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/parley-im/parley/internal/kv"
)

var keys = []string{"", "a", "a/", "a/b", "a/b\x00", "a/\xff", "a/\xff\xff", "b", "\xff", "\xff\xff\xff"}

// rangeEqualsMap compares a range, stopped after so many visits unless 0, with
// that of a map.
func rangeEqualsMap(t *testing.T, tx kv.Ranger, model map[string]string, r kv.Range, stop int) {
	t.Helper()
	var got, want []string
	must(t, tx.Range(r, func(key string, value []byte) error {
		if r.KeysOnly {
			value = []byte(model[key])
		}
		got = append(got, key+"="+string(value))
		if len(got) == stop {
			return kv.Stop
		}
		return nil
	}))
	all := slices.Sorted(maps.Keys(model))
	if r.Reverse {
		slices.Reverse(all)
	}
	for _, key := range all {
		if key >= r.From && (r.To == "" || key < r.To) && (stop == 0 || len(want) < stop) {
			want = append(want, key+"="+model[key])
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v stopping after %d: %q, not %q", r, stop, got, want)
	}
}

// script runs operations written as bytes on a transaction and on a map, and
// compares what they read. It returns the bytes that are left.
func script(t *testing.T, tx *Tx, model map[string]string, ops []byte, depth int) []byte {
	for len(ops) >= 2 {
		op, arg := ops[0], ops[1]
		ops = ops[2:]
		// Keys that are prefixes of each other, empty, and of high bytes.
		k := keys[arg%10]
		switch op % 6 {
		case 0, 1:
			value := fmt.Sprint(op, arg)
			if op == 0 {
				value = ""
			}
			must(t, tx.Put(k, []byte(value)))
			model[k] = value
		case 2:
			must(t, tx.Delete(k))
			delete(model, k)
		case 3:
			got, ok, err := tx.Get(k)
			want, has := model[k]
			if err != nil || ok != has || string(got) != want {
				t.Fatalf("Get(%q) = %q, %v, %v, not %q, %v", k, got, ok, err, want, has)
			}
		case 4:
			var got, want []string
			stop := int(op / 6) // visits
			must(t, tx.Scan(k, func(key string, value []byte) error {
				got = append(got, key+"="+string(value))
				if len(got) == stop {
					return kv.Stop
				}
				return nil
			}))
			for _, key := range slices.Sorted(maps.Keys(model)) {
				if len(key) >= len(k) && key[:len(k)] == k && (stop == 0 || len(want) < stop) {
					want = append(want, key+"="+model[key])
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("Scan(%q) stopping after %d: %q, not %q", k, stop, got, want)
			}
			rangeEqualsMap(t, tx, model, kv.Range{From: k, To: keys[int(op/6)%len(keys)], Reverse: arg&16 != 0, KeysOnly: arg&32 != 0, Expect: int(arg >> 6)}, stop)
		case 5:
			if depth == 3 {
				continue
			}
			draft := maps.Clone(model)
			fail := errors.New("fail")
			err := tx.Try(func(inner *Tx) error {
				ops = script(t, inner, draft, ops, depth+1)
				if arg%2 == 0 {
					return fail
				}
				return nil
			})
			if (err != nil) != (arg%2 == 0) {
				t.Fatalf("Try: %v", err)
			}
			if err == nil {
				clear(model)
				maps.Copy(model, draft)
			}
		}
		if op >= 250 && depth > 0 {
			return ops
		}
	}
	return ops
}

// Whatever is written, deleted, read, scanned, tried and taken back, in one
// transaction after the other: both back ends equal a map.
func FuzzTransaction(f *testing.F) {
	f.Add([]byte{0, 0, 1, 3, 4, 0, 3, 3, 2, 3, 4, 1}, false)
	f.Add([]byte{1, 1, 5, 0, 2, 1, 4, 0, 255, 1, 4, 0, 3, 1}, true)
	f.Add([]byte{1, 1, 1, 3, 1, 7, 5, 1, 2, 3, 1, 5, 4, 31, 10, 33, 46, 171, 58, 20}, true)
	f.Add([]byte{1, 1, 1, 3, 1, 7, 5, 1, 2, 3, 1, 5, 4, 31, 10, 33, 46, 171, 58, 20}, false)
	f.Add([]byte{1, 8, 1, 9, 4, 8, 10, 8, 5, 1, 5, 0, 1, 2, 252, 2, 4, 0}, true)
	f.Add(bytes.Repeat([]byte{1, 4, 1, 5, 5, 3, 2, 4, 4, 2, 16, 1}, 8), false)
	file, err := Open(filepath.Join(f.TempDir(), "a.db"), [KeySize]byte{1})
	must(f, err)
	f.Cleanup(func() { file.Close() })
	f.Fuzz(func(t *testing.T, ops []byte, sqlite bool) {
		db := NewMemory()
		if sqlite {
			db = file
			must(t, db.Update(func(tx *Tx) error {
				var all []string
				must(t, tx.Scan("", func(k string, _ []byte) error { all = append(all, k); return nil }))
				for _, k := range all {
					must(t, tx.Delete(k))
				}
				return nil
			}))
		}
		model := map[string]string{}
		for part := range slices.Chunk(ops, 40) {
			draft := maps.Clone(model)
			fail := part[0]%5 == 4
			err := db.Update(func(tx *Tx) error {
				script(t, tx, draft, part, 0)
				if fail {
					return errors.New("fail")
				}
				return nil
			})
			if (err != nil) != fail {
				t.Fatal(err)
			}
			if !fail {
				model = draft
			}
			must(t, db.View(func(tx *Tx) error {
				got := map[string]string{}
				must(t, tx.Scan("", func(k string, v []byte) error { got[k] = string(v); return nil }))
				if !maps.Equal(got, model) {
					t.Fatalf("committed %q, not %q", got, model)
				}
				return nil
			}))
		}
	})
}

// A panic in the middle of a transaction leaves nothing, and the database
// works on.
func TestPanicLeavesNothing(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error { return tx.Put("a", []byte("1")) }))
		panics := func(run func()) (value any) {
			defer func() { value = recover() }()
			run()
			return nil
		}
		if panics(func() {
			db.Update(func(tx *Tx) error {
				tx.Put("a", []byte("2"))
				tx.Try(func(tx *Tx) error { tx.Put("b", nil); panic("boom") })
				return nil
			})
		}) != "boom" {
			t.Fatal("the panic is lost")
		}
		if panics(func() { db.View(func(*Tx) error { panic("boom") }) }) != "boom" {
			t.Fatal("the panic is lost")
		}
		if got := content(t, db, ""); !slices.Equal(got, []string{"a=1"}) {
			t.Fatal(got)
		}
		must(t, db.Update(func(tx *Tx) error { return tx.Put("c", []byte("3")) }))
		if got := content(t, db, ""); !slices.Equal(got, []string{"a=1", "c=3"}) {
			t.Fatal(got)
		}
	})
}

// Views see the last commit while an update runs, and stay as they were while
// others commit; what they write is dropped.
func TestViewBesideUpdate(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error { return tx.Put("k", []byte("old")) }))
		must(t, db.Update(func(tx *Tx) error {
			tx.Put("k", []byte("new"))
			if got := content(t, db, ""); !slices.Equal(got, []string{"k=old"}) {
				t.Errorf("in the middle of an update a view sees %v", got)
			}
			return nil
		}))
		must(t, db.View(func(tx *Tx) error {
			read := func() string {
				v, _, err := tx.Get("k")
				must(t, err)
				return string(v)
			}
			before := read()
			must(t, db.Update(func(tx *Tx) error { return tx.Put("k", []byte("newer")) }))
			if after := read(); before != "new" || after != before {
				t.Errorf("a view saw %q, then %q", before, after)
			}
			return tx.Put("k", []byte("from a view"))
		}))
		if got := content(t, db, ""); !slices.Equal(got, []string{"k=newer"}) {
			t.Errorf("afterwards %v", got)
		}
	})
}

// Two accounts in one database move amounts to and fro while many read: every
// view and every update sees the same sum.
func TestConcurrentReaders(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		balance := func(tx *Tx, name string) int {
			v, _, err := tx.Get(name)
			must(t, err)
			return len(v)
		}
		must(t, db.Update(func(tx *Tx) error { return errors.Join(tx.Put("a", make([]byte, 50)), tx.Put("b", make([]byte, 50))) }))
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for i := range 40 {
					err := db.Update(func(tx *Tx) error {
						a, b := balance(tx, "a"), balance(tx, "b")
						if a+b != 100 {
							t.Errorf("an update sees %d", a+b)
						}
						move := min(a, i%7)
						tx.Put("a", make([]byte, a-move))
						tx.Put("b", make([]byte, b+move))
						if i%5 == 4 {
							tx.Put("a", make([]byte, b+move))
							tx.Put("b", make([]byte, a-move))
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
			group.Go(func() {
				for range 80 {
					err := db.View(func(tx *Tx) error {
						if sum := balance(tx, "a") + balance(tx, "b"); sum != 100 {
							t.Errorf("a view sees %d", sum)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
	})
}

// What a transaction reads follows what was committed and dropped before,
// also where values are kept in memory.
func TestReadsFollowCommits(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		for i, value := range []string{"one", "two", "", "gone", "three"} {
			must(t, db.Update(func(tx *Tx) error {
				if _, _, err := tx.Get("k"); err != nil { // it may be remembered from here on
					return err
				}
				if value == "gone" {
					return tx.Delete("k")
				}
				return tx.Put("k", []byte(value))
			}))
			if err := db.Update(func(tx *Tx) error { tx.Put("k", []byte("dropped")); return errors.New("no") }); err == nil {
				t.Fatal("the error is lost")
			}
			must(t, db.Update(func(tx *Tx) error {
				got, ok, err := tx.Get("k")
				if err != nil || ok != (value != "gone") || ok && string(got) != value {
					t.Errorf("%d: %q, %v, %v, not %q", i, got, ok, err, value)
				}
				return nil
			}))
		}
	})
}

func TestLargeValues(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db, err := Open(path, [KeySize]byte{1})
	must(t, err)
	large := bytes.Repeat([]byte("large "), 2<<20)
	for _, n := range []int{0, 1, 2047, 2048, 2049, 4096, 1 << 16, len(large)} {
		must(t, db.Update(func(tx *Tx) error { return tx.Put(fmt.Sprintf("k%08d", n), large[:n]) }))
		must(t, db.Update(func(tx *Tx) error {
			v, ok, err := tx.Get(fmt.Sprintf("k%08d", n))
			if err != nil || !ok || !bytes.Equal(v, large[:n]) {
				t.Errorf("%d bytes: %d, %v, %v", n, len(v), ok, err)
			}
			return nil
		}))
	}
	must(t, db.Close())
	db, err = Open(path, [KeySize]byte{1})
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *Tx) error {
		seen := 0
		err := tx.Scan("k", func(k string, v []byte) error {
			seen++
			if fmt.Sprintf("k%08d", len(v)) != k || !bytes.Equal(v, large[:len(v)]) {
				t.Errorf("%s has %d bytes", k, len(v))
			}
			return nil
		})
		if seen != 8 {
			t.Errorf("%d values", seen)
		}
		return err
	}))
}

// A scan longer than its pages visits all, in order, and its visitor may read.
func TestLongScan(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		var want []string
		must(t, db.Update(func(tx *Tx) error {
			for i := range 3*scanPage + 5 {
				k := fmt.Sprintf("p/%05d", i)
				want = append(want, k)
				tx.Put(k, nil)
			}
			tx.Put("p", nil)
			tx.Put("q", nil)
			return nil
		}))
		must(t, db.View(func(tx *Tx) error {
			var got []string
			err := tx.Scan("p/", func(k string, _ []byte) error {
				got = append(got, k)
				if _, ok, err := tx.Get("q"); !ok || err != nil {
					t.Errorf("reading in a scan: %v, %v", ok, err)
				}
				return nil
			})
			if !slices.Equal(got, want) {
				t.Errorf("%d keys of %d", len(got), len(want))
			}
			return err
		}))
		boom := errors.New("boom")
		err := db.View(func(tx *Tx) error {
			return tx.Scan("p/", func(string, []byte) error { return boom })
		})
		if !errors.Is(err, boom) {
			t.Errorf("the visitor's error became %v", err)
		}
	})
}

// A clone is independent of its original, in both directions.
func TestClone(t *testing.T) {
	t.Parallel()
	db := NewMemory()
	must(t, db.Update(func(tx *Tx) error { return tx.Put("a", []byte("1")) }))
	clone := db.Clone()
	must(t, db.Update(func(tx *Tx) error { return tx.Put("a", []byte("2")) }))
	must(t, clone.Update(func(tx *Tx) error { return tx.Put("b", []byte("3")) }))
	if got := content(t, db, ""); !slices.Equal(got, []string{"a=2"}) {
		t.Errorf("the original has %v", got)
	}
	if got := content(t, clone, ""); !slices.Equal(got, []string{"a=1", "b=3"}) {
		t.Errorf("the clone has %v", got)
	}
	must(t, db.Update(func(tx *Tx) error {
		tx.Put("a", []byte("unfinished"))
		if got := content(t, db.Clone(), ""); !slices.Equal(got, []string{"a=2"}) {
			t.Errorf("a clone in the middle of an update has %v", got)
		}
		return nil
	}))
}
