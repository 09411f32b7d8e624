package sds

import (
	"bytes"
	stdheap "container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

var (
	seeds = flag.Int("seeds", 25, "how many seeds TestSeeds plays")
	seed  = flag.Int64("seed", -1, "the one seed that TestSeeds plays")
)

// scenario is what happens to a simulated channel.
type scenario struct {
	participants int
	// messages is how many each sends, within span.
	messages int
	span     time.Duration
	// loss and duplicate are chances of each copy of a broadcast on its link,
	// which takes from least to most.
	loss, duplicate float64
	least, most     time.Duration
	// partitions is how often the participants fall into two parts, each for
	// up to apart; crashes how often one loses the step it is in and stays
	// away for up to down.
	partitions, crashes int
	apart, down         time.Duration
	// skew is how far clocks are off at most.
	skew time.Duration
	// store is the chance that a seed has a store node, in one of the parts,
	// which misses as much as everybody else.
	store float64
	// config changes the default configuration.
	config func(*Config)
	// limit is the time by which all must be the same.
	limit time.Duration
}

// faults is the scenario of the property test.
var faults = scenario{
	participants: 20, messages: 4, span: 10 * time.Minute,
	loss: 0.05, duplicate: 0.05, least: 20 * time.Millisecond, most: 3 * time.Second,
	partitions: 2, apart: 4 * time.Minute, crashes: 3, down: 3 * time.Minute,
	skew: 2 * time.Second, store: 0.5, limit: 12 * time.Hour,
}

// world is a discrete simulation in its own time. The same seed has the same
// history.
type world struct {
	scenario
	seed     int64
	settings Config
	rng      *rand.Rand
	bytes    io.Reader
	now      time.Time
	events   events
	order    int
	nodes    []*node
	// side is the part of each node, the store's last.
	side    []bool
	archive map[string][]byte
	hasNode bool // a store node
	// sent has the causal history of every message.
	sent    map[string][]Entry
	missing int // deliveries to come
	// counts of what went over the air.
	broadcasts, air  int
	reasons, bytesOf map[Reason]int
	// requests counts repair requests, asking the sync messages with some.
	requests, asking int
	// trace is what arrived at the first node, if it is to be kept.
	trace *[]arrival
}

// node is a participant whose whole state is its store: the channel is made
// anew for every call, so it restarts at every step.
type node struct {
	name string
	st   *kv.Memory
	skew time.Duration
	down bool
	// crash says that the next step is lost.
	crash     bool
	wake      time.Time // planned
	delivered []Delivery
	count     map[string]int
	lost      map[string]bool
}

type event struct {
	at    time.Time
	order int // of equal times
	do    func() error
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].order < h[j].order
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func newWorld(s scenario, seed int64) *world {
	w := &world{
		scenario: s, seed: seed, rng: rand.New(rand.NewPCG(uint64(seed), 1)), bytes: chacha(uint64(seed)), now: start,
		side: make([]bool, s.participants+1), archive: map[string][]byte{}, sent: map[string][]Entry{}, reasons: map[Reason]int{}, bytesOf: map[Reason]int{},
		settings: Default(),
	}
	if s.config != nil {
		s.config(&w.settings)
	}
	w.hasNode = w.rng.Float64() < s.store
	for i := range s.participants {
		w.nodes = append(w.nodes, &node{
			name: fmt.Sprintf("participant-%02d", i), st: kv.NewMemory(), skew: w.upTo(2*s.skew) - s.skew,
			count: map[string]int{}, lost: map[string]bool{},
		})
		for n := range s.messages {
			w.after(w.upTo(s.span), func() error { return w.say(i, n) })
		}
	}
	w.missing = s.participants * s.participants * s.messages
	for p := range s.partitions { // one after the other
		slot := s.span / time.Duration(s.partitions)
		w.after(slot*time.Duration(p)+w.upTo(slot/2), func() error { w.split(); return nil })
	}
	for range s.crashes {
		w.after(w.upTo(s.span), func() error { w.nodes[w.rng.IntN(len(w.nodes))].crash = true; return nil })
	}
	return w
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d) + 1)) }

func (w *world) after(d time.Duration, do func() error) {
	w.order++
	stdheap.Push(&w.events, event{w.now.Add(d), w.order, do})
}

func (w *world) split() {
	for i := range w.side {
		w.side[i] = w.rng.IntN(2) == 0
	}
	w.after(w.upTo(w.apart), func() error { clear(w.side); return nil })
}

// channel makes a participant's channel anew.
func (w *world) channel(n *node) *Channel { return &Channel{"channel", n.name, w.settings} }

// act runs a step of a node, unless it is down or crashes in it, and brings
// what it has to say on the air. It reports whether the step was done.
func (w *world) act(i int, step func(c *Channel, st kv.Store, now time.Time) (Result, error)) (bool, error) {
	n := w.nodes[i]
	if n.down {
		return false, nil
	}
	now := w.now.Add(n.skew)
	st := n.st
	if n.crash {
		st = st.Copy() // dropped
	}
	c := w.channel(n)
	r, err := step(c, st, now)
	if err != nil {
		return false, err
	}
	if n.crash {
		n.crash, n.down = false, true
		w.after(w.upTo(w.down), func() error { n.down = false; return w.plan(i) })
		return false, nil
	}
	for _, d := range r.Delivered {
		n.delivered = append(n.delivered, d)
		if n.count[d.ID]++; n.count[d.ID] > 1 {
			return false, fmt.Errorf("%s got %s twice", n.name, d.ID)
		}
		w.missing--
	}
	for _, l := range r.Lost {
		n.lost[l.ID] = true
	}
	if len(r.Failed)+len(r.Stale)+len(r.Evicted) > 0 {
		return false, fmt.Errorf("%s gave up %v, dropped %v and %v", n.name, r.Failed, r.Stale, r.Evicted)
	}
	for _, o := range r.Send {
		if err := w.broadcast(i, o); err != nil {
			return false, err
		}
	}
	for _, f := range r.Fetch {
		w.fetch(i, f)
	}
	return true, w.plan(i)
}

// plan wakes a node when something is due.
func (w *world) plan(i int) error {
	n := w.nodes[i]
	at, ok, err := w.channel(n).Next(n.st, w.now.Add(n.skew))
	if err != nil || !ok {
		return err
	}
	at = at.Add(-n.skew)
	if at.Before(w.now) {
		return fmt.Errorf("next is %s in the past", w.now.Sub(at))
	}
	if n.wake.After(w.now) && !n.wake.After(at) {
		return nil
	}
	n.wake = at
	w.after(at.Sub(w.now), func() error {
		if !n.wake.Equal(w.now) {
			return nil // planned for earlier since
		}
		n.wake = time.Time{}
		_, err := w.act(i, func(c *Channel, st kv.Store, now time.Time) (Result, error) {
			r, err := c.Due(st, now, w.bytes)
			if err != nil {
				return Result{}, err
			}
			return *r, nil
		})
		return err
	})
	return nil
}

// say sends a message of a node; one that is down says it later.
func (w *world) say(i, n int) error {
	var id string
	var history []Entry
	done, err := w.act(i, func(c *Channel, st kv.Store, now time.Time) (Result, error) {
		// Everybody says the same thing, unless that makes one message of it.
		text := "hello"
		if c.Config.IDs == ContentID {
			text = fmt.Sprint(n, " of ", i)
		}
		out, err := c.Send(st, now, w.bytes, []byte(text))
		if err != nil {
			return Result{}, err
		}
		id, history = out.ID, decoded(out.Data).History
		hint := hintOf(out.Data)
		return Result{Send: []Outgoing{*out}}, c.SetHint(st, id, hint)
	})
	if err != nil {
		return err
	}
	if !done {
		w.after(time.Second+w.upTo(10*time.Second), func() error { return w.say(i, n) })
		return nil
	}
	if _, ok := w.sent[id]; ok {
		return fmt.Errorf("id %s comes twice", id)
	}
	w.sent[id] = history
	w.missing--
	return nil
}

func hintOf(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// broadcast puts a message on the links of a node.
func (w *world) broadcast(from int, o Outgoing) error {
	w.broadcasts++
	w.air += len(o.Data)
	w.reasons[o.Reason]++
	w.bytesOf[o.Reason] += len(o.Data)
	m, _, err := Decode(o.Data)
	if err != nil {
		return err
	}
	if n := len(m.Requests); o.Reason == First || o.Reason == Idling {
		w.requests += n
		if n > 0 && o.Reason == Idling {
			w.asking++
		}
	}
	hint := hintOf(o.Data)
	for to := range w.nodes {
		if to == from {
			continue
		}
		copies := 1
		if w.rng.Float64() < w.duplicate {
			copies++
		}
		for range copies {
			if w.side[from] == w.side[to] && w.rng.Float64() >= w.loss {
				w.after(w.least+w.upTo(w.most-w.least), func() error { return w.arrive(to, o.Data, hint) })
			}
		}
	}
	if w.hasNode && w.side[from] == w.side[len(w.nodes)] && w.rng.Float64() >= w.loss {
		w.archive[string(hint)] = o.Data
	}
	return nil
}

func (w *world) arrive(to int, data, hint []byte) error {
	_, err := w.act(to, func(c *Channel, st kv.Store, now time.Time) (Result, error) {
		in, err := c.Receive(st, now, w.bytes, data, hint)
		if err != nil {
			return Result{}, err
		}
		if w.trace != nil && to == 0 {
			*w.trace = append(*w.trace, arrival{now, data, hint})
		}
		return in.Result, nil
	})
	return err
}

// fetch asks the store node.
func (w *world) fetch(i int, f Fetch) {
	if !w.hasNode || w.side[i] != w.side[len(w.nodes)] {
		return
	}
	for _, hint := range f.Hints {
		if data, ok := w.archive[string(hint)]; ok && w.rng.Float64() >= w.loss {
			w.after(2*w.least+w.upTo(w.most), func() error { return w.arrive(i, data, hint) })
		}
	}
}

// run plays until everybody has everything.
func (w *world) run() error {
	for w.missing > 0 {
		if len(w.events) == 0 {
			return errors.New("nothing happens any more")
		}
		if err := w.next(); err != nil {
			return err
		}
	}
	return w.same()
}

// next plays the next event.
func (w *world) next() error {
	next := stdheap.Pop(&w.events).(event)
	if w.now = next.at; w.now.Sub(start) > w.limit {
		return fmt.Errorf("%d deliveries are missing after %s", w.missing, w.limit)
	}
	return next.do()
}

// same checks that all have one history: everything that was sent, in one
// order, each message once and not before what it depends on.
func (w *world) same() error {
	var first []byte
	for _, n := range w.nodes {
		log, err := w.channel(n).Log(n.st)
		if err != nil {
			return err
		}
		chain := sha256.Sum256(nil)
		var before Logged
		for i, l := range log {
			if i > 0 && (l.Lamport < before.Lamport || l.Lamport == before.Lamport && l.ID <= before.ID) {
				return fmt.Errorf("%s has %s after %s", n.name, l.ID, before.ID)
			}
			if _, ok := w.sent[l.ID]; !ok {
				return fmt.Errorf("%s has %s, which nobody sent", n.name, l.ID)
			}
			before = l
			chain = sha256.Sum256(fmt.Append(chain[:], l.Lamport, l.ID))
		}
		if len(log) != len(w.sent) {
			return fmt.Errorf("%s has %d messages of %d", n.name, len(log), len(w.sent))
		}
		if first == nil {
			first = chain[:]
		}
		if !bytes.Equal(first, chain[:]) {
			return fmt.Errorf("%s has another order", n.name)
		}
		if err := w.causal(n); err != nil {
			return err
		}
		if err := checkStore(w.channel(n), n.st); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
	}
	return nil
}

// causal checks that what a node delivered came after what it depends on.
func (w *world) causal(n *node) error {
	place := map[string]int{}
	for i, d := range n.delivered {
		place[d.ID] = i
	}
	for i, d := range n.delivered {
		for _, h := range w.sent[d.ID] {
			if at, ok := place[h.ID]; ok && at > i && !n.lost[h.ID] {
				return fmt.Errorf("%s got %s before %s, on which it depends", n.name, d.ID, h.ID)
			}
		}
	}
	return nil
}

// TestMain gives the simulations, which make much garbage, room for it.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// In a channel of 20 with lossy links that reorder and duplicate, that falls
// apart twice and whose participants crash three times, everybody ends with
// the same messages in the same order, none lost and none twice. A failing
// seed is played again alone by the command it prints.
func TestSeeds(t *testing.T) {
	t.Parallel()
	first, last := int64(0), int64(*seeds)-1
	if *seed >= 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			t.Parallel()
			w := newWorld(faults, s)
			if err := w.run(); err != nil {
				t.Fatalf("%v\nagain: go test ./reliability/sds -run 'TestSeeds$' -seed %d", err, s)
			}
			if testing.Verbose() {
				t.Logf("%s after the first message, %d broadcasts of %d bytes (%d again, %d answers, %d sync)", w.now.Sub(start).Round(time.Second),
					w.broadcasts, w.air/w.broadcasts, w.reasons[Again], w.reasons[Answer], w.reasons[Idling])
			}
		})
	}
}

// Other channels, other networks: everybody ends with the same history there
// too.
func TestScenarios(t *testing.T) {
	t.Parallel()
	with := func(change func(*scenario)) scenario { s := faults; s.participants = 6; change(&s); return s }
	for name, s := range map[string]scenario{
		"perfect": with(func(s *scenario) {
			s.loss, s.duplicate, s.most, s.partitions, s.crashes = 0, 0, s.least, 0, 0
		}),
		"two":         with(func(s *scenario) { s.participants, s.messages = 2, 30 }),
		"alone":       with(func(s *scenario) { s.participants, s.partitions = 1, 0 }),
		"half lost":   with(func(s *scenario) { s.loss, s.store = 0.5, 0 }),
		"no store":    with(func(s *scenario) { s.store = 0 }),
		"always down": with(func(s *scenario) { s.crashes, s.messages = 60, 10 }),
		"slow":        with(func(s *scenario) { s.most = 90 * time.Second }),
		// Longer apart than it takes to call something lost.
		"long apart": with(func(s *scenario) { s.apart, s.span, s.messages, s.store = 3*time.Hour, 6*time.Hour, 15, 0 }),
		"clocks off": with(func(s *scenario) { s.skew = 2 * time.Minute }),
		"groups": with(func(s *scenario) {
			s.participants, s.config = 20, func(c *Config) { c.Repair.Groups = 2 }
		}),
		"interop": with(func(s *scenario) {
			s.config = func(c *Config) { *c = Interop() }
		}),
		"nim":       with(func(s *scenario) { s.config = func(c *Config) { *c = InteropNim() } }),
		"no filter": with(func(s *scenario) { s.config = func(c *Config) { c.Filter = Filter{} } }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range int64(3) {
				w := newWorld(s, seed)
				if err := w.run(); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				t.Logf("%s, %d broadcasts", w.now.Sub(start).Round(time.Second), w.broadcasts)
			}
		})
	}
}

// The same seed has the same history.
func TestSeedIsDeterministic(t *testing.T) {
	t.Parallel()
	var first []byte
	for range 2 {
		w := newWorld(faults, 7)
		if err := w.run(); err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		for _, n := range w.nodes {
			all := contents(n.st)
			keys := make([]string, 0, len(all))
			for k := range all {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(k))))
				h.Write([]byte(k))
				h.Write([]byte(all[k]))
			}
		}
		if first == nil {
			first = h.Sum(nil)
		}
		if !bytes.Equal(first, h.Sum(nil)) {
			t.Error("the second run differs")
		}
	}
}
