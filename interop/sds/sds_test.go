// Package sds tests reliability/sds against @waku/sds, the JavaScript
// implementation, which runs in Node behind a pipe that loses, repeats and
// reorders. It needs the packages of interop/js; run it in this folder:
//
//	(cd ../js && npm ci --ignore-scripts)
//	go test ./...
package sds

import (
	"cmp"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/reliability/sds"
)

var seeds = flag.Uint64("seeds", 3, "how many seeds are played of each profile")

const (
	// messages is how many each participant says, within span.
	messages = 15
	span     = 10 * time.Minute
	// loss and duplicate are chances of each copy of a broadcast, which takes
	// up to delay.
	loss, duplicate = 0.15, 0.10
	delay           = 3 * time.Second
	// archiveFrom is when a store node can be asked. @waku/sds asks for a
	// repair once, and if the request or its answer is lost, only that is left.
	archiveFrom = 20 * time.Minute
	// limit is the simulated time by which all must be the same.
	limit = 6 * time.Hour
	// patience bounds the real time of everything here, be the machine as
	// slow as it may.
	patience = 5 * time.Minute
)

// world is a simulated network in its own time. The same seed has the same
// history.
type world struct {
	rng     *rand.Rand
	start   time.Time
	now     time.Time
	events  []event // ascending
	order   int
	names   []string
	all     []participant
	archive map[string]frame
	sent    int
	// arrived, delivered and acknowledged count messages for each participant.
	arrived, delivered, acknowledged []map[string]int
	left                             int // deliveries and acknowledgements to come
	// repaired counts what a participant lacked until an answer to a repair
	// request brought it, by who answered whom; fetched what the store gave.
	repaired map[string]int
	fetched  int
	lost     int
}

type event struct {
	at    time.Time
	order int
	do    func() error
}

func (w *world) after(d time.Duration, do func() error) {
	w.order++
	e := event{w.now.Add(d), w.order, do}
	at, _ := slices.BinarySearchFunc(w.events, e, func(a, b event) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order))
	})
	w.events = slices.Insert(w.events, at, e)
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

func newWorld(t *testing.T, js *theirs, c sds.Config, seed uint64) *world {
	t.Helper()
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		archive: map[string]frame{}, repaired: map[string]int{}, names: []string{"alice", "bob", "javascript"}}
	w.now = w.start
	for i, name := range w.names[:2] {
		channel, err := sds.New("channel", name, c)
		if err != nil {
			t.Fatal(err)
		}
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], seed*2+uint64(i))
		w.all = append(w.all, &ours{channel, kv.NewMemory(), rand.NewChaCha8(key)})
	}
	if err := js.open(w.now, "channel", w.names[2], seed); err != nil {
		t.Fatal(err)
	}
	w.all = append(w.all, js)
	for i := range w.all {
		w.arrived = append(w.arrived, map[string]int{})
		w.delivered = append(w.delivered, map[string]int{})
		w.acknowledged = append(w.acknowledged, map[string]int{})
		for n := range messages {
			w.after(w.upTo(span), func() error {
				w.sent++
				e, err := w.all[i].say(w.now, fmt.Append(nil, w.names[i], " says ", n))
				return w.apply(i, e, err)
			})
		}
		w.after(w.upTo(time.Second), func() error { return w.due(i) })
	}
	w.left = len(w.all) * messages * len(w.all) // to each other one, and an acknowledgement
	return w
}

func (w *world) due(i int) error {
	e, next, err := w.all[i].due(w.now)
	w.after(next.Sub(w.now), func() error { return w.due(i) })
	return w.apply(i, e, err)
}

// apply does what a participant wants, and counts what happened to it.
func (w *world) apply(i int, e effect, err error) error {
	if err != nil {
		return fmt.Errorf("%s after %s: %w", w.names[i], w.now.Sub(w.start), err)
	}
	for _, list := range []struct {
		ids   []string
		count map[string]int
		what  string
	}{{e.delivered, w.delivered[i], "got"}, {e.acknowledged, w.acknowledged[i], "had acknowledged"}} {
		for _, id := range list.ids {
			if list.count[id]++; list.count[id] > 1 {
				return fmt.Errorf("%s %s %s twice", w.names[i], list.what, id)
			}
			w.left--
		}
	}
	for _, f := range e.send {
		w.archive[string(hintOf(f.data))] = f
		for to := range w.all {
			if to != i {
				w.transmit(i, to, f)
			}
		}
	}
	if w.now.Sub(w.start) >= archiveFrom {
		for _, hint := range e.missing {
			if f, ok := w.archive[string(hint)]; ok && w.rng.Float64() >= loss {
				w.after(w.upTo(delay), func() error { return w.arrive(-1, i, f) })
			}
		}
	}
	return nil
}

// transmit puts a frame on the link between two participants.
func (w *world) transmit(from, to int, f frame) {
	copies := 1
	if w.rng.Float64() < duplicate {
		copies++
	}
	for range copies {
		if w.rng.Float64() < loss {
			w.lost++
			continue
		}
		w.after(w.upTo(delay), func() error { return w.arrive(from, to, f) })
	}
}

// arrive hands a frame to a participant; from is -1 for the store.
func (w *world) arrive(from, to int, f frame) error {
	if f.why != "sync" {
		if w.arrived[to][f.id]++; w.arrived[to][f.id] == 1 {
			switch {
			case from < 0:
				w.fetched++
			case f.why == "answer":
				w.repaired[kind(from)+" for "+kind(to)]++
			}
		}
	}
	e, err := w.all[to].hear(w.now, f.data, hintOf(f.data))
	return w.apply(to, e, err)
}

func kind(i int) string {
	if i == 2 {
		return "js"
	}
	return "go"
}

// run plays until everybody has everything and knows it.
func (w *world) run() error {
	for w.left > 0 || w.sent < len(w.all)*messages {
		next := w.events[0]
		w.events = w.events[1:]
		if w.now = next.at; w.now.Sub(w.start) > limit {
			return fmt.Errorf("after %s %d deliveries and acknowledgements are missing: %s", limit, w.left, w.counts())
		}
		if err := next.do(); err != nil {
			return err
		}
	}
	return nil
}

// counts says how far each is.
func (w *world) counts() (text string) {
	for i, name := range w.names {
		text += fmt.Sprintf(" %s got %d, had acknowledged %d;", name, len(w.delivered[i]), len(w.acknowledged[i]))
	}
	return text
}

// same checks that all have one history of everything that was said, in one
// order, with nothing left to acknowledge, and each message delivered once to
// each but its author.
func (w *world) same(t *testing.T) {
	t.Helper()
	var first []place
	for i, p := range w.all {
		list, pending, err := p.history(w.now)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = list
		}
		if len(list) != len(w.all)*messages || !slices.Equal(list, first) {
			t.Errorf("%s has %d messages, %s %d, of %d, or in another order", w.names[i], len(list), w.names[0], len(first), len(w.all)*messages)
		}
		if !slices.IsSortedFunc(list, func(a, b place) int { return cmp.Or(cmp.Compare(a.Lamport, b.Lamport), cmp.Compare(a.ID, b.ID)) }) {
			t.Errorf("%s has them in disorder", w.names[i])
		}
		if pending > 0 || len(w.acknowledged[i]) != messages {
			t.Errorf("%s had %d acknowledged, %d are pending", w.names[i], len(w.acknowledged[i]), pending)
		}
		if len(w.delivered[i]) != (len(w.all)-1)*messages {
			t.Errorf("%s got %d", w.names[i], len(w.delivered[i]))
		}
	}
}

// Two participants of Parley and one of @waku/sds end with the same history,
// all they said acknowledged and nothing delivered twice, over links that lose
// 15 % of all, repeat 10 % and reorder; and either side repairs what the other
// one lacks.
func TestExchange(t *testing.T) {
	js := start(t, patience)
	for _, profile := range []struct {
		name   string
		filter bool
	}{{"filter", true}, {"no filter", false}} {
		repaired := map[string]int{}
		for seed := range *seeds {
			t.Run(fmt.Sprint(profile.name, " ", seed), func(t *testing.T) {
				c := sds.Interop()
				if !profile.filter {
					// Acknowledgements come by causal histories alone then.
					c.Filter, c.History = sds.Filter{}, 50
				}
				w := newWorld(t, js, c, seed)
				if err := w.run(); err != nil {
					t.Fatal(err)
				}
				w.same(t)
				t.Logf("%s: %d copies lost, repaired %v, %d fetched, %d repeated by @waku/sds",
					w.now.Sub(w.start).Round(time.Second), w.lost, w.repaired, w.fetched, js.repeated)
				for what, n := range w.repaired {
					repaired[what] += n
				}
			})
		}
		for _, what := range []string{"go for js", "js for go"} {
			if repaired[what] == 0 {
				t.Errorf("%s: nothing was repaired by %s", profile.name, what)
			}
		}
	}
}
