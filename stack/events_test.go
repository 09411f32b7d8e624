package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/storage"
)

// note appends an event.
func note(t testing.TB, s *Stack, text string) {
	t.Helper()
	if err := s.update(func(t *step) error { return t.event("note", text) }); err != nil {
		t.Error(err)
	}
}

func numbers(t testing.TB, s *Stack, since uint64) (all []uint64) {
	t.Helper()
	err := s.Events(t.Context(), since, false, func(e storage.Event) error {
		all = append(all, e.Seq)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func count(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

// Events that many write at once, among failing transactions, have numbers
// without gaps, and reading begins after any of them.
func TestEventNumbers(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	const writers, each = 8, 100
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				note(t, s, fmt.Sprint(w, i))
				err := s.update(func(t *step) error {
					if err := t.event("lost", nil); err != nil {
						return err
					}
					return errors.New("rolled back")
				})
				if err == nil {
					t.Error("the error is lost")
				}
				err = s.update(func(t *step) error {
					t.try(func(t *step) error { t.event("lost", nil); return errors.New("dropped") })
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	const total = writers * each
	if last, err := s.LastEvent(); err != nil || last != total {
		t.Fatalf("last is %d, %v", last, err)
	}
	for _, since := range []uint64{0, 1, eventPage - 1, eventPage, eventPage + 1, 2 * eventPage, total - 1, total} {
		if got := numbers(t, s, since); !slices.Equal(got, count(since+1, total)) {
			t.Errorf("since %d: %d events", since, len(got))
		}
	}
	if got := numbers(t, s, total+5); len(got) != 0 {
		t.Errorf("from the future on: %v", got)
	}
}

// Who follows is woken for every event, however slowly they read, and stops
// with the context; several follow independently.
func TestFollowEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(40)
		alice := n.person(t, "Alice", 0)
		synctest.Wait()
		begin, err := alice.LastEvent()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		got := map[string][]uint64{}
		done := make(chan error, 2)
		for name, pause := range map[string]time.Duration{"quick": 0, "slow": time.Minute} {
			go func() {
				done <- alice.Events(ctx, begin, true, func(e storage.Event) error {
					<-time.After(pause)
					mu.Lock()
					defer mu.Unlock()
					got[name] = append(got[name], e.Seq)
					return nil
				})
			}()
		}
		const many = eventPage + 50
		read := func(name string) int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(got[name])
		}
		for i := range many {
			note(t, alice.Stack, fmt.Sprint(i))
			if i%100 == 0 {
				pass(time.Second)
				if n := read("quick"); n != i+1 {
					t.Fatalf("%d read of %d", n, i+1)
				}
			}
		}
		pass((many + 1) * time.Minute)
		for _, name := range []string{"quick", "slow"} {
			if read(name) != many || !slices.Equal(got[name], count(begin+1, begin+many)) {
				t.Errorf("%s: %d of %d", name, len(got[name]), many)
			}
		}
		cancel()
		for range 2 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v", err)
			}
		}
	})
}

// Reading ends with the error of its reader, with a context that has ended,
// and in the middle of many pages too.
func TestEventsEnd(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	for i := range 3 * eventPage {
		note(t, s, fmt.Sprint(i))
	}
	enough, read := errors.New("enough"), 0
	err := s.Events(t.Context(), 0, true, func(storage.Event) error {
		if read++; read == 7 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || read != 7 {
		t.Errorf("%d read, %v", read, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	read = 0
	err = s.Events(ctx, 0, false, func(storage.Event) error {
		if read++; read == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || read > eventPage {
		t.Errorf("%d read, %v", read, err)
	}
}

// An event of the past is there after a restart, under its number.
func TestEventsSurvive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(41)
		alice := n.person(t, "Alice", 0)
		note(t, alice.Stack, "kept")
		synctest.Wait()
		before := numbers(t, alice.Stack, 0)
		alice.crash()
		synctest.Wait()
		note(t, alice.Stack, "next")
		after := numbers(t, alice.Stack, 0)
		if len(after) <= len(before) || !slices.Equal(after, count(1, uint64(len(after)))) {
			t.Errorf("before %v, after %v", before, after)
		}
	})
}
