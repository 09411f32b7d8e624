package storage

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

func TestPosition(t *testing.T) {
	t.Parallel()
	for _, p := range []Position{
		{}, {Clock: 1}, {ID: message.ID{1}}, {Clock: math.MaxUint64, ID: message.ID{31: 0xff}}, AfterClock(0), AfterClock(7), AfterClock(math.MaxUint64),
	} {
		back, err := ParsePosition(p.String())
		if err != nil || back != p || p.IsZero() != (p.String() == "") {
			t.Errorf("%+v became %q, %+v, %v", p, p.String(), back, err)
		}
		raw, err := json.Marshal(p)
		again := Position{Clock: 5}
		if err != nil || json.Unmarshal(raw, &again) != nil || again != p {
			t.Errorf("%+v became %s, %+v, %v", p, raw, again, err)
		}
	}
	good := Position{Clock: 1}.String()
	for _, bad := range []string{
		"a", good[1:], good + "A", good[:len(good)-1] + "B", good[:10] + "=" + good[11:], good[:10] + "+" + good[11:],
		strings.Repeat("A", len(good)), " " + good, good + "\n",
	} {
		if p, err := ParsePosition(bad); !errors.Is(err, ErrPosition) || !p.IsZero() {
			t.Errorf("%q is %+v, %v", bad, p, err)
		}
	}
}

// Positions sort as messages do, as values and in keys.
func TestPositionOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	clocks := []uint64{0, 1, 255, 256, 1 << 43, 1<<43 + 1, 1 << 63, math.MaxUint64}
	for range 2000 {
		a := &chat.Message{Clock: clocks[rng.IntN(len(clocks))], ID: message.ID{byte(rng.IntN(3)), 31: byte(rng.IntN(3))}}
		b := &chat.Message{Clock: clocks[rng.IntN(len(clocks))], ID: message.ID{byte(rng.IntN(3)), 31: byte(rng.IntN(3))}}
		p, q := PositionOf(a), PositionOf(b)
		if want := chat.Compare(a, b) < 0; p.before(q) != want || (p.key() < q.key()) != want {
			t.Fatalf("%+v and %+v", p, q)
		}
		if b.Clock <= a.Clock && !q.before(AfterClock(a.Clock)) && b.ID != AfterClock(0).ID || b.Clock > a.Clock && q.before(AfterClock(a.Clock)) {
			t.Fatalf("%+v and after clock %d", q, a.Clock)
		}
	}
}

// Pages stay right while messages come and go between them, whatever the
// clocks; bounds are exclusive, and limits hold.
func TestPagesAmongChanges(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		var all []*chat.Message
		must(t, db.Update(func(tx *Tx) error {
			for i := range MaxPage + 2 {
				m := textMessage(t, "a", uint64(i/2)+1, byte(i%2), 1, "x")
				all = append(all, m)
				must(t, tx.PutMessage(m))
			}
			for _, clock := range []uint64{math.MaxUint64, math.MaxUint64 - 1} {
				must(t, tx.PutMessage(&chat.Message{ID: message.ID{0xff, byte(clock)}, Chat: "far", Clock: clock, Text: "far", State: chat.Received}))
			}
			return nil
		}))
		page := func(q PageQuery) (p Page) {
			must(t, db.View(func(tx *Tx) (err error) { p, err = tx.Page(q); return err }))
			return p
		}
		for limit, want := range map[int]int{-1: DefaultPage, 0: DefaultPage, 1: 1, MaxPage: MaxPage, MaxPage + 1: MaxPage} {
			if p := page(PageQuery{Chat: "a", Limit: limit}); len(p.Messages) != want || p.Next.IsZero() {
				t.Errorf("limit %d: %d messages, next %v", limit, len(p.Messages), p.Next)
			}
		}
		// Exactly as many as there are is no reason for another page.
		if p := page(PageQuery{Chat: "a", After: PositionOf(all[9]), Before: PositionOf(all[20]), Limit: 10}); len(p.Messages) != 10 || !p.Next.IsZero() ||
			p.Messages[0].ID != all[19].ID || p.Messages[9].ID != all[10].ID {
			t.Errorf("%d messages, next %v", len(p.Messages), p.Next)
		}
		if p := page(PageQuery{Chat: "a", After: AfterClock(5), Oldest: true, Limit: 1}); len(p.Messages) != 1 || p.Messages[0].Clock != 6 {
			t.Errorf("after clock 5: %+v", p.Messages)
		}
		if p := page(PageQuery{Chat: "a", After: PositionOf(all[9]), Before: PositionOf(all[9])}); len(p.Messages) != 0 || !p.Next.IsZero() {
			t.Errorf("an empty span has %d", len(p.Messages))
		}
		if p := page(PageQuery{Chat: "far"}); len(p.Messages) != 2 || p.Messages[0].Clock != math.MaxUint64 {
			t.Errorf("far: %+v", p.Messages)
		}
		// Between two pages the message that the second begins at goes, and
		// another comes before and behind it.
		first := page(PageQuery{Chat: "a", Limit: 5})
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.DeleteMessage(first.Messages[4].ID))
			must(t, tx.PutMessage(textMessage(t, "a", 10_000, 9, 1, "new")))
			return nil
		}))
		second := page(PageQuery{Chat: "a", Limit: 5, Before: first.Next})
		if want := all[len(all)-6]; second.Messages[0].ID != want.ID {
			t.Errorf("the second page begins with %+v", second.Messages[0])
		}
		back := page(PageQuery{Chat: "a", Limit: 5, After: PositionOf(second.Messages[0]), Oldest: true})
		if got := back.Messages; len(got) != 5 || got[0].Text != "new" || got[4].ID != all[len(all)-4].ID {
			t.Errorf("going back: %d messages", len(got))
		}
	})
}

// A page of large messages is shorter, and goes on.
func TestLargePage(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		const messages = 6
		text := strings.Repeat("x", maxPageBytes/3)
		must(t, db.Update(func(tx *Tx) error {
			for i := range messages {
				must(t, tx.PutMessage(textMessage(t, "a", uint64(i)+1, 1, 1, text)))
			}
			return nil
		}))
		var clocks []uint64
		pages := 0
		must(t, db.View(func(tx *Tx) error {
			for q := (PageQuery{Chat: "a"}); ; {
				p, err := tx.Page(q)
				must(t, err)
				pages++
				for _, m := range p.Messages {
					clocks = append(clocks, m.Clock)
				}
				if q.Before = p.Next; p.Next.IsZero() {
					return nil
				}
			}
		}))
		if !slices.Equal(clocks, []uint64{6, 5, 4, 3, 2, 1}) || pages != 2 {
			t.Errorf("%d pages: %v", pages, clocks)
		}
	})
}

// Whatever is read as a position is written the same.
func FuzzParsePosition(f *testing.F) {
	f.Add("")
	f.Add(Position{Clock: 1, ID: message.ID{2}}.String())
	f.Add(AfterClock(math.MaxUint64).String())
	f.Add(strings.Repeat("A", 54))
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err != nil {
			if !errors.Is(err, ErrPosition) || !p.IsZero() {
				t.Fatalf("%+v, %v", p, err)
			}
			return
		}
		if p.String() != s {
			t.Fatalf("%q is written %q", s, p.String())
		}
	})
}
