package storage

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

type record struct {
	Name string
	List []int `json:",omitempty"`
}

func TestRecords(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		a, b := record{"a", []int{1}}, record{Name: "b"}
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(PutRecord(tx, Groups, "g/b", b), PutRecord(tx, Groups, "g/a", a), PutRecord(tx, Groups, "h", a), PutRecord(tx, Settings, "g/a", 7))
		}, func(tx *Tx) error {
			got, ok, err := GetRecord[record](tx, Groups, "g/a")
			equal(t, "record", []any{got, ok}, []any{a, true})
			n, ok, err2 := GetRecord[int](tx, Settings, "g/a")
			equal(t, "setting", []any{n, ok}, []any{7, true})
			_, ok, err3 := GetRecord[record](tx, Groups, "g")
			equal(t, "unknown", ok, false)
			all, err4 := Records[record](tx, Groups, "g/")
			equal(t, "records", all, []Record[record]{{"g/a", a}, {"g/b", b}})
			if _, _, err := GetRecord[int](tx, Groups, "h"); !errors.Is(err, ErrCorrupt) {
				t.Errorf("another type: %v", err)
			}
			return errors.Join(err, err2, err3, err4)
		})
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(DeleteRecord(tx, Groups, "g/a"), DeleteRecord(tx, Groups, "nothing"))
		}, func(tx *Tx) error {
			all, err := Records[record](tx, Groups, "")
			equal(t, "records", all, []Record[record]{{"g/b", b}, {"h", a}})
			return err
		})
	})
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		d := Draft{Text: "t", ReplyTo: "0x01", Time: time.Unix(5, 0).UTC()}
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(tx.PutDraft("a", d), tx.PutDraft("b", d), tx.PutDraft("b", Draft{Time: d.Time}))
		}, func(tx *Tx) error {
			got, ok, err := tx.Draft("a")
			equal(t, "draft", []any{got, ok}, []any{d, true})
			_, ok, err2 := tx.Draft("b")
			equal(t, "emptied", ok, false)
			return errors.Join(err, err2)
		})
	})
}

func TestReactionsAndPins(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		one, two, three := message.ID{1}, message.ID{2}, message.ID{3}
		p, q := someone(t, 1), someone(t, 2)
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(
				tx.PutMessage(textMessage(t, "a", 1, 0, 1, "x")), // its id is {0, 1, 0}
				PutReaction(tx, one, p, "love", "p loves"), PutReaction(tx, one, q, "love", "q loves"), PutReaction(tx, one, p, "sad", "p is sad"),
				PutReaction(tx, two, p, "love", "p again"), PutReaction(tx, one, p, "love", "p loves more"),
				PutReaction(tx, two, q, "sad", "gone"), DeleteReaction(tx, two, q, "sad"), DeleteReaction(tx, three, q, "sad"),
				PutPin(tx, "a", message.ID{0, 1, 0}, "pinned"), PutPin(tx, "a", three, "of no message"), PutPin(tx, "ab", message.ID{0, 1, 0}, "elsewhere"),
			)
		}, func(tx *Tx) error {
			all, err := ReactionsTo[string](tx, []message.ID{two, one, three})
			if len(all) != 2 || len(all[one]) != 3 || len(all[two]) != 1 || all[two][0] != "p again" {
				t.Errorf("%v", all)
			}
			got, ok, err2 := GetReaction[string](tx, one, p, "love")
			equal(t, "reaction", []any{got, ok}, []any{"p loves more", true})
			_, ok, err3 := GetReaction[string](tx, two, q, "sad")
			equal(t, "deleted", ok, false)
			pins, err4 := Pins[string](tx, "a")
			equal(t, "pins", pins, []string{"pinned"})
			pin, ok, err5 := GetPin[string](tx, "a", three)
			equal(t, "pin", []any{pin, ok}, []any{"of no message", true})
			return errors.Join(err, err2, err3, err4, err5)
		})
		inAndAfter(t, db, func(tx *Tx) error {
			must(t, PutReaction(tx, message.ID{0, 1, 0}, p, "love", "x"))
			return errors.Join(tx.DeleteMessage(message.ID{0, 1, 0}), tx.DeleteMessage(message.ID{99}), DeletePin(tx, "a", three))
		}, func(tx *Tx) error {
			for _, prefix := range []string{familyPin + "a\x00", familyReaction + string([]byte{0, 1, 0})} {
				must(t, tx.Scan(prefix, func(k string, _ []byte) error { t.Errorf("%q is left", k); return nil }))
			}
			return nil
		})
	})
}

func TestPictures(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		p, q := someone(t, 1), someone(t, 2)
		small, large := Picture{1, []byte("small")}, Picture{1 << 60, []byte("large")}
		inAndAfter(t, db, func(tx *Tx) error {
			return errors.Join(tx.PutPicture(p, "thumbnail", small), tx.PutPicture(p, "large", large), tx.PutPicture(q, "large", small), tx.DeletePicture(q, "large"), tx.PutPicture(q, "none", Picture{Clock: 3}))
		}, func(tx *Tx) error {
			got, ok, err := tx.Picture(p, "large")
			equal(t, "picture", []any{got, ok}, []any{large, true})
			_, ok, err2 := tx.Picture(q, "large")
			equal(t, "deleted", ok, false)
			all, err3 := tx.Pictures(p)
			equal(t, "pictures", all, map[string]Picture{"thumbnail": small, "large": large})
			gone, ok, err4 := tx.Picture(q, "none")
			if !ok || gone.Clock != 3 || len(gone.Data) != 0 {
				t.Errorf("%+v, %v", gone, ok)
			}
			return errors.Join(err, err2, err3, err4)
		})
	})
}

func TestWaiting(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		now := time.Unix(1_700_000_000, 0)
		wait := func(tx *Tx, target, raw string, at time.Time) {
			t.Helper()
			if ok, err := tx.Wait(target, []byte(raw), at); !ok || err != nil {
				t.Errorf("%s for %s: %v, %v", raw, target, ok, err)
			}
		}
		must(t, db.Update(func(tx *Tx) error {
			wait(tx, "m", "1", now)
			wait(tx, "m", "2", now)
			wait(tx, "m", "1", now) // the same again
			wait(tx, "mm", "1", now)
			wait(tx, "old", "x", now.Add(-MaxWait))
			wait(tx, "too old", "x", now.Add(-MaxWait-time.Second))
			if err := tx.Try(func(tx *Tx) error { wait(tx, "m", "dropped", now); return errTest }); err != errTest {
				t.Error(err)
			}
			return nil
		}))
		must(t, db.Update(func(tx *Tx) error {
			if count, size, err := tx.Waiting(); count != 5 || size != 5 || err != nil {
				t.Errorf("%d entries of %d bytes, %v", count, size, err)
			}
			for target, want := range map[string]string{"m": "[1 2]", "mm": "[1]", "old": "[x]", "too old": "[]", "none": "[]"} {
				for range 2 {
					got, err := tx.TakeWaiting(target, now)
					if fmt.Sprintf("%s", got) != want || err != nil {
						t.Errorf("for %s there waits %s, %v", target, got, err)
					}
					want = "[]"
				}
			}
			return nil
		}))
		equal(t, "left", append(content(t, db, familyWaiting), content(t, db, familyWaitingTarget)...), nil0)
		must(t, db.View(func(tx *Tx) error {
			if count, size, err := tx.Waiting(); count != 0 || size != 0 || err != nil {
				t.Errorf("%d entries of %d bytes, %v", count, size, err)
			}
			return nil
		}))
	})
}

// At the limit of a target and of all, what came first goes.
func TestWaitingLimits(t *testing.T) {
	t.Parallel()
	db := NewMemory()
	now := time.Unix(1_700_000_000, 0)
	must(t, db.Update(func(tx *Tx) error {
		put := func(target, raw string, want int) {
			t.Helper()
			ok, err := tx.Wait(target, []byte(raw), now)
			count, _, _ := tx.Waiting()
			if !ok || err != nil || count != want {
				t.Fatalf("%s for %s: %v, %v, %d wait", raw, target, ok, err, count)
			}
		}
		for i := range MaxWaitingPerTarget {
			put("t", fmt.Sprint(i), i+1)
		}
		put("t", "one more", MaxWaitingPerTarget)
		got, err := tx.TakeWaiting("t", now)
		if err != nil || len(got) != MaxWaitingPerTarget || string(got[0]) != "1" || string(got[len(got)-1]) != "one more" {
			t.Fatalf("%d, the first %s, %v", len(got), got[0], err)
		}
		for i := range MaxWaiting {
			put(fmt.Sprint(i), "x", i+1)
		}
		put("one more", "x", MaxWaiting)
		for target, want := range map[string]int{"0": 0, "1": 1, "one more": 1} {
			if got, err := tx.TakeWaiting(target, now); len(got) != want || err != nil {
				t.Errorf("for %s: %s, %v", target, got, err)
			}
		}
		// By bytes: nearly the whole room at once.
		put("large", string(bytes.Repeat([]byte("l"), MaxWaitingBytes-1)), 2)
		put("small", "x", 2)
		put("smaller", "", 3)
		if ok, err := tx.Wait("too large", make([]byte, MaxWaitingBytes+1), now); ok || err != nil {
			t.Errorf("too large: %v, %v", ok, err)
		}
		return nil
	}))
	for _, test := range []struct {
		after time.Duration
		want  int
	}{{MaxWait, 0}, {MaxWait + time.Second, 3}, {MaxWait + time.Second, 0}} {
		must(t, db.Update(func(tx *Tx) error {
			n, err := tx.ExpireWaiting(now.Add(test.after))
			equal(t, "expired", n, test.want)
			return err
		}))
	}
}

// Whoever has a picture is told, and nobody else.
func TestPictured(t *testing.T) {
	t.Parallel()
	db := NewMemory()
	with, without := someone(t, 1), someone(t, 2)
	check := func(want bool) {
		t.Helper()
		if err := db.View(func(tx *Tx) error {
			all, err := tx.Pictured()
			if err != nil || all[with.Compressed()] != want || all[without.Compressed()] || len(all) > 1 {
				t.Errorf("%v, %v", all, err)
			}
			for who, has := range map[key.Public]bool{with: want, without: false} {
				if got, err := tx.HasPicture(who); err != nil || got != has {
					t.Errorf("%t, %v", got, err)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	check(false)
	for _, name := range []string{"large", "thumbnail"} {
		if err := db.Update(func(tx *Tx) error { return tx.PutPicture(with, name, Picture{1, []byte{1}}) }); err != nil {
			t.Fatal(err)
		}
		check(true)
	}
	for i, name := range []string{"large", "thumbnail"} {
		if err := db.Update(func(tx *Tx) error { return tx.DeletePicture(with, name) }); err != nil {
			t.Fatal(err)
		}
		check(i == 0)
	}
}
