package verify

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// letter is a message on its way; id is the message's own.
type letter struct {
	id message.ID
	m  Message
}

// end is one of two people: what they know, and what they sent and has not
// arrived.
type end struct {
	self, peer key.Public
	all        Requests
	clock      uint64
	out        []letter
	// waiting is what came before its request.
	waiting []letter
}

func (e *end) put(r Request) {
	for i := range e.all {
		if e.all[i].ID == r.ID {
			e.all[i] = r
			return
		}
	}
	e.all = append(e.all, r)
}

// world is two people and a network that reorders and repeats.
type world struct {
	ends [2]end
	pick func(int) int
	next byte
	log  []string
}

func newWorld(t testing.TB, pick func(int) int) *world {
	alice, bob := newKey(t, 1), newKey(t, 2)
	return &world{pick: pick, ends: [2]end{{self: alice, peer: bob}, {self: bob, peer: alice}}}
}

func (w *world) send(i int, m Message) message.ID {
	w.next++
	id := message.ID{w.next}
	w.ends[i].out = append(w.ends[i].out, letter{id, m})
	w.log = append(w.log, fmt.Sprintf("%d sends %s %d at %d", i, message.Name(m.Type), w.next, m.Clock))
	return id
}

// act does something a person can do; what is not possible does nothing.
func (w *world) act(i, action int) {
	e := &w.ends[i]
	e.clock += 1 + uint64(w.pick(3))
	if action == 0 {
		if r, m, err := e.all.Ask(e.peer, "who?", e.clock, true); err == nil {
			r.ID = w.send(i, m)
			e.put(r)
		}
		return
	}
	if len(e.all) == 0 {
		return
	}
	r := e.all[w.pick(len(e.all))]
	var m Message
	var err error
	switch action {
	case 1:
		r, m, err = r.Accept("me", e.clock, true)
	case 2:
		r, m, err = r.Decline(e.clock, true)
	case 3:
		r, m, err = r.Cancel(e.clock)
	case 4:
		if r, _, err = r.Trust(w.pick(2) == 0); err == nil {
			e.put(r)
		}
		return
	}
	if err == nil {
		w.send(i, m)
		e.put(r)
	}
}

// deliver hands one of the letters of i to the other, in any order, and
// perhaps keeps it to come again.
func (w *world) deliver(t testing.TB, i int, keep bool) {
	from, to := &w.ends[i], &w.ends[1-i]
	n := w.pick(len(from.out))
	l := from.out[n]
	if !keep {
		from.out = append(from.out[:n], from.out[n+1:]...)
	}
	to.clock = max(to.clock, l.m.Clock)
	w.log = append(w.log, fmt.Sprintf("%d gets %s %d", 1-i, message.Name(l.m.Type), l.id[0]))
	to.receive(t, l)
	waiting := to.waiting
	to.waiting = nil
	for _, l := range waiting {
		to.receive(t, l)
	}
}

func (e *end) receive(t testing.TB, l letter) {
	in := from(e.peer)
	if l.m.Type == Ask {
		changed, err := e.all.Receive(l.id, l.m, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range changed {
			e.put(r)
		}
		return
	}
	r, ok := e.all.Find(l.m.Request)
	if !ok {
		e.waiting = append(e.waiting, l)
		return
	}
	after, err := r.Receive(l.m, in)
	if err != nil {
		t.Fatal(err)
	}
	e.put(after)
}

// agree checks that both ends have the same requests in the same state, apart
// from the verdicts, which are secret.
func (w *world) agree(t testing.TB) {
	t.Helper()
	for i, e := range w.ends {
		if len(e.waiting) > 0 || len(e.all) != len(w.ends[1-i].all) {
			t.Fatalf("%d waits for %v, has %d of %d\n%v", i, e.waiting, len(e.all), len(w.ends[1-i].all), w.log)
		}
		pending := map[bool]int{}
		for _, r := range e.all {
			if r.State == Pending {
				pending[r.Own]++
			}
			other, ok := w.ends[1-i].all.Find(r.ID)
			if !ok || other.Own == r.Own || other.Challenge != r.Challenge || other.AskedClock != r.AskedClock {
				t.Fatalf("%+v here, %+v there\n%v", r, other, w.log)
			}
			state := r.State
			if state == Trusted || state == Untrustworthy {
				state = Accepted
			}
			if r.Own && (state != other.State || state == Accepted && r.Response != other.Response) {
				t.Fatalf("%+v here, %+v there\n%v", r, other, w.log)
			}
		}
		if pending[true] > 1 || pending[false] > 1 {
			t.Fatalf("%d has more than one request pending\n%v", i, w.log)
		}
	}
}

// run plays steps and then lets everything arrive.
func (w *world) run(t testing.TB, steps int) {
	for range steps {
		i := w.pick(2)
		switch n := w.pick(10); {
		case n < 5:
			w.act(i, n)
		case len(w.ends[i].out) > 0:
			w.deliver(t, i, n == 9)
		}
	}
	for i := range w.ends {
		for len(w.ends[i].out) > 0 {
			w.deliver(t, i, false)
		}
	}
	w.agree(t)
}

// Whatever two people do and whatever the order of arrival, both end with the
// same requests in the same states, and at most one of each is pending.
//
// Proves: AP-187.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	states := map[State]int{}
	for seed := range uint64(3_000) {
		r := rand.New(rand.NewPCG(seed, 7))
		w := newWorld(t, r.IntN)
		w.run(t, 40)
		for _, r := range w.ends[0].all {
			states[r.State]++
		}
	}
	for s := Pending; s <= Untrustworthy; s++ {
		if states[s] == 0 {
			t.Errorf("no request ended %s", s)
		}
	}
}

// FuzzAnyOrder lets the fuzzer choose actions and order.
func FuzzAnyOrder(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 1, 1, 5, 0, 1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 400 {
			return
		}
		n := 0
		w := newWorld(t, func(limit int) int {
			if n == len(choices) {
				return 0
			}
			n++
			return int(choices[n-1]) % limit
		})
		w.run(t, len(choices)/3)
	})
}

// FuzzParse: what is read has a canonical form that reads the same.
func FuzzParse(f *testing.F) {
	for _, m := range []Message{
		{Type: Ask, Clock: 300, Text: "who?"},
		{Type: Accept, Clock: 1, Request: message.ID{1}, Text: "me"},
		{Type: Decline, Clock: 1, Request: message.ID{1}},
		{Type: Cancel, Clock: 1, Request: message.ID{1}},
	} {
		f.Add(int32(m.Type), encode(f, m))
	}
	f.Fuzz(func(t *testing.T, typ int32, raw []byte) {
		m, err := Parse(message.Type(typ), raw)
		if err != nil {
			if m != (Message{}) {
				t.Fatalf("%+v beside %v", m, err)
			}
			return
		}
		again, err := Parse(m.Type, encode(t, m))
		if err != nil || again != m {
			t.Fatalf("%+v became %+v, %v", m, again, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	raw := encode(b, Message{Type: Accept, Clock: 1 << 40, Request: message.ID{1}, Text: "we met at sea"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(Accept, raw); err != nil {
			b.Fatal(err)
		}
	}
}
