package group

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-im/parley/account/key"
)

// party is one member's device in a simulation.
type party struct {
	key key.Private
	g   Group
}

// letter is an update under way.
type letter struct {
	from, to key.Public
	id       string
	events   [][]byte
}

// world is a group whose members act at the same time over a network that
// reorders, repeats and loses.
type world struct {
	t       *testing.T
	r       *rand.Rand
	parties []*party
	flying  []letter
	lost    []letter
	all     bool             // everybody is told, member or not
	parsed  map[string]Event // signatures are checked once per world
	forged  int
	time    uint64
}

func newWorld(t *testing.T, seed uint64, n int, all bool) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), all: all, parsed: map[string]Event{}}
	for _, k := range people(n) {
		w.parties = append(w.parties, &party{key: k})
	}
	first := w.parties[0]
	members := publics(people(n)[1:]...)
	if !all {
		members = members[:1+w.r.IntN(n-1)]
	}
	g, _, err := Create(first.key, "start", "#000000", members, start, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	// With several admins there is more to be at odds about.
	if g, _, err = g.AddAdmins(first.key, members[:(len(members)+1)/2], start+2); err != nil {
		t.Fatal(err)
	}
	w.send(first, g)
	first.g = g
	return w
}

func (w *world) party(k key.Public) *party {
	for _, p := range w.parties {
		if p.key.Public() == k {
			return p
		}
	}
	return nil
}

// send sends the update that leads p to g, after p acted.
func (w *world) send(p *party, g Group) {
	u := g.Update()
	recipients := g.Recipients(p.g, p.key.Public())
	if w.all {
		recipients = nil
		for _, q := range w.parties {
			if q != p {
				recipients = append(recipients, q.key.Public())
			}
		}
	}
	for _, to := range recipients {
		w.flying = append(w.flying, letter{from: p.key.Public(), to: to, id: u.ID, events: u.Events})
	}
}

// deliver does what Receive does, with signatures remembered.
func (w *world) deliver(l letter) bool {
	p := w.party(l.to)
	if p == nil {
		return false // the stranger was made an admin, and came in
	}
	var fresh []Event
	for _, raw := range l.events {
		e, ok := w.parsed[string(raw)]
		if !ok {
			var err error
			if e, err = ParseEvent(l.id, raw); err != nil {
				w.forged++
				continue
			}
			w.parsed[string(raw)] = e
		}
		if checkClock(e.Clock, now) == nil {
			fresh = append(fresh, e)
		}
	}
	before := p.g
	after := p.g.with(l.id, fresh)
	if after.Created == 0 || !p.g.WasMember(l.from) && !after.WasMember(l.from) || p.g.IsZero() && !after.WasMember(p.key.Public()) {
		return false
	}
	p.g = after
	if after.inform(l.events, l.from, l.to) {
		w.flying = append(w.flying, letter{from: l.to, to: l.from, id: l.id, events: after.Update().Events})
	}
	return len(after.Events) != len(before.Events) || len(after.Refused) != len(before.Refused)
}

// act lets somebody do something, perhaps something they have no right to.
func (w *world) act() {
	p := w.parties[w.r.IntN(len(w.parties))]
	if p.g.IsZero() || !p.g.IsMember(p.key.Public()) {
		return
	}
	// The time of the wall, a little off; everybody's goes on, heard or not.
	w.time++
	clock := max(p.g.Clock()+1, start+w.time+uint64(w.r.IntN(3)))
	other := w.parties[w.r.IntN(len(w.parties))].key
	text := fmt.Sprintf("name %d", w.r.IntN(1000))
	color := fmt.Sprintf("#%06x", w.r.IntN(1<<24))
	var g Group
	var err error
	switch w.r.IntN(18) {
	case 0:
		g, _, err = p.g.Rename(p.key, text, clock)
	case 1:
		g, _, err = p.g.SetColor(p.key, color, clock)
	case 2:
		g, _, err = p.g.SetImage(p.key, []byte(text), clock)
	case 3, 16, 17:
		g, _, err = p.g.AddMembers(p.key, publics(other), clock)
	case 4:
		g, _, err = p.g.Join(p.key, clock)
	case 5:
		if w.r.IntN(4) > 0 {
			return
		}
		g, _, err = p.g.Leave(p.key, clock)
	case 6, 12, 13, 14, 15:
		g, _, err = p.g.Remove(p.key, other.Public(), clock)
	case 7, 8:
		g, _, err = p.g.AddAdmins(p.key, publics(other), clock)
	case 9:
		g, _, err = p.g.StepDown(p.key, clock)
	case 10: // what any member of a deployed client can do
		g, err = w.unasked(p, clock, MembersAdded, targets(other))
	case 11:
		g, err = w.unasked(p, clock, NameChanged, Event{Name: text})
	}
	if err == nil {
		w.send(p, g)
		p.g = g
	}
}

// unasked signs an event without asking whether the author should send it.
func (w *world) unasked(p *party, clock uint64, typ Type, fields Event) (Group, error) {
	e := sign(w.t, p.g, p.key, clock, typ, fields)
	return p.g.with(p.g.ID, []Event{e}), nil
}

// attack lets a member send what nobody should: events without a right, back
// in time, of strangers, of another group, in the future, and rubbish.
func (w *world) attack() {
	p := w.parties[w.r.IntN(len(w.parties))]
	if p.g.IsZero() || !p.g.WasMember(p.key.Public()) {
		return
	}
	other, stranger := w.parties[w.r.IntN(len(w.parties))].key, people(len(w.parties) + 1)[len(w.parties)]
	clock := start - 5 + uint64(w.r.IntN(60))
	swapped := p.g
	swapped.ID = "x" + swapped.ID
	var e Event
	switch w.r.IntN(9) {
	case 0:
		e = sign(w.t, p.g, p.key, clock, MemberRemoved, targets(other))
	case 1:
		e = sign(w.t, p.g, p.key, clock, AdminsAdded, targets(p.key, stranger))
	case 2:
		e = sign(w.t, p.g, p.key, clock, AdminRemoved, targets(other))
	case 3:
		e = sign(w.t, p.g, p.key, clock, ChatCreated, Event{Name: "mine"})
	case 4:
		e = sign(w.t, p.g, stranger, clock, MembersAdded, targets(stranger))
	case 5:
		e = sign(w.t, swapped, p.key, clock, NameChanged, Event{Name: "swapped"})
	case 6:
		e = sign(w.t, p.g, p.key, uint64(now.UnixMilli())+1<<40, NameChanged, Event{Name: "future"})
	case 7:
		e = Event{Raw: []byte("rubbish")}
	case 8:
		e = sign(w.t, p.g, p.key, clock, ImageChanged, Event{Image: []byte{byte(w.r.IntN(256))}})
	}
	// To one member only: the others must not depend on hearing it.
	to := w.parties[w.r.IntN(len(w.parties))]
	events := append(raws(e), p.g.Update().Events...)
	w.flying = append(w.flying, letter{from: p.key.Public(), to: to.key.Public(), id: p.g.ID, events: events})
}

// network delivers, repeats or loses one of the letters under way.
func (w *world) network() {
	if len(w.flying) == 0 {
		return
	}
	i := w.r.IntN(len(w.flying))
	l := w.flying[i]
	switch w.r.IntN(6) {
	case 0:
		w.lost = append(w.lost, l)
		w.flying = slices.Delete(w.flying, i, i+1)
	case 1:
		w.deliver(l) // and it comes again
	default:
		w.flying = slices.Delete(w.flying, i, i+1)
		w.deliver(l)
	}
}

// settle sends again what was lost and delivers everything, in any order.
func (w *world) settle() {
	w.flying = append(w.flying, w.lost...)
	w.lost = nil
	w.deliverAll()
}

// deliverAll delivers in any order, answers too, and tells whether anybody
// learnt from it.
func (w *world) deliverAll() bool {
	learnt := false
	for len(w.flying) > 0 {
		letters := w.flying
		w.flying = nil
		w.r.Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
		for _, l := range letters {
			learnt = w.deliver(l) || learnt
		}
	}
	return learnt
}

// round lets every member say something, and tells whether anybody learnt from
// it.
func (w *world) round() bool {
	for _, p := range w.parties {
		if p.g.IsMember(p.key.Public()) {
			w.send(p, p.g)
		}
	}
	return w.deliverAll()
}

// union is the group of somebody who has all events that any member has: what
// only somebody outside knows is no matter of the group.
func (w *world) union() Group {
	inside := w.parties
	for {
		var g Group
		for _, p := range inside {
			if !p.g.IsZero() {
				g = g.with(p.g.ID, p.g.all(0))
			}
		}
		members := slices.DeleteFunc(slices.Clone(inside), func(p *party) bool { return !g.IsMember(p.key.Public()) })
		if w.all || len(members) == len(inside) {
			return g
		}
		inside = members
	}
}

// worlds is how many simulations a test runs; FuzzConverge runs others.
const worlds = 300

// Everybody is told of everything, in whatever order: all end in one state at
// once, and it is that of somebody who has all events.
func TestPropertyAnyOrderOneState(t *testing.T) {
	t.Parallel()
	left := 0
	for seed := range uint64(worlds) {
		left += anyOrder(t, seed)
	}
	if left < worlds/4 {
		t.Errorf("only %d events in conflict: the simulation does not try hard enough", left)
	}
}

// anyOrder returns how many events were left out.
func anyOrder(t *testing.T, seed uint64) int {
	w := newWorld(t, seed, 5, true)
	w.settle()
	for range 25 {
		w.act()
		w.act()
		w.network()
	}
	w.settle()
	want := w.union()
	for i, p := range w.parties {
		if look(p.g) != look(want) {
			t.Fatalf("seed %d, member %d:\n%s, want\n%s", seed, i, look(p.g), look(want))
		}
	}
	deployed(t, want)
	return len(want.Refused)
}

// Updates go to members only, members come and go, and some are hostile: once
// every member has said something, all members are in one state, and deployed
// clients take what any of them sends.
func TestPropertyMembersConverge(t *testing.T) {
	t.Parallel()
	refused, forged := 0, 0
	for seed := range uint64(worlds) {
		r, f := membersConverge(t, seed)
		refused += r
		forged += f
	}
	if refused < worlds || forged < worlds/4 {
		t.Errorf("%d events refused, %d forged: the simulation does not try hard enough", refused, forged)
	}
}

// maxRounds is how often everybody may have to speak; two were ever needed.
const maxRounds = 5

// membersConverge returns how many events were left out and how many could not
// be read.
func membersConverge(t *testing.T, seed uint64) (refused, forged int) {
	w := newWorld(t, seed, 6, false)
	for range 40 {
		w.act()
		if w.r.IntN(4) == 0 {
			w.attack()
		}
		w.network()
		w.network()
	}
	w.settle()
	for n := 0; w.round(); n++ {
		if n == maxRounds {
			t.Fatalf("seed %d: still changing after %d rounds", seed, n)
		}
	}
	want := w.union()
	for i, p := range w.parties {
		refused += len(p.g.Refused)
		if p.g.IsZero() {
			if want.IsMember(p.key.Public()) {
				t.Fatalf("seed %d: party %d is a member and knows nothing", seed, i)
			}
			continue
		}
		deployed(t, p.g)
		if want.IsMember(p.key.Public()) && look(p.g) != look(want) {
			t.Fatalf("seed %d, party %d:\n%s, want\n%s", seed, i, look(p.g), look(want))
		}
	}
	return refused, w.forged
}

// FuzzConverge runs simulations other than those of the tests.
func FuzzConverge(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) {
		anyOrder(t, seed)
		membersConverge(t, seed)
	})
}

// The same through the public door, with every signature checked, and every
// state stored and read back between two steps.
func TestPropertyReceive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		w := newWorld(t, 1<<32+seed, 4, true)
		for range 20 {
			w.act()
			w.network()
		}
		w.flying = append(w.flying, w.lost...)
		w.r.Shuffle(len(w.flying), func(i, j int) { w.flying[i], w.flying[j] = w.flying[j], w.flying[i] })
		for _, l := range w.flying {
			p := w.party(l.to)
			out, err := p.g.Receive(Update{ID: l.id, Events: l.events}, Incoming{Self: l.to, Sender: l.from, Allowed: true, Now: now})
			if err != nil || len(out.Dropped) > 0 {
				t.Fatalf("seed %d: %v, dropped %v", seed, err, out.Dropped)
			}
			p.g = out.Group
		}
		want := w.union()
		roundTrip(t, want)
		for i, p := range w.parties {
			if look(p.g) != look(want) {
				t.Fatalf("seed %d, member %d:\n%s, want\n%s", seed, i, look(p.g), look(want))
			}
		}
	}
}
