package peers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

func dialledIDs(a Actions) (out []peer.ID) {
	for _, i := range a.Dial {
		out = append(out, i.ID)
	}
	return out
}

// TestRelayTarget: each shard gets as many relay peers as wanted, and no more
// are dialled.
func TestRelayTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(3, 32, 64))
	for i := range 40 {
		w.book.Found(info(t, i), relayFacts([]uint16{32, 64, 128}[i%3]), epoch)
	}
	w.up = func(id peer.ID) (Conn, bool) {
		k, _ := w.book.Peer(id)
		return Conn{Capabilities: Relay, Shards: k.Shards}, true
	}
	w.run(10*time.Minute, 15*time.Second)
	per := map[uint16]int{}
	for _, c := range w.conns {
		per[c.Shards[0]]++
	}
	if per[32] != 3 || per[64] != 3 || per[128] != 0 {
		t.Errorf("peers per shard: %v", per)
	}
	if len(w.last.Lacking) != 0 || len(w.last.Keep) != 6 || len(w.last.Drop) != 0 {
		t.Errorf("actions %+v", w.last)
	}
}

// TestOrderOfNeeds: with one dial to spend, a shard without relay peers comes
// before one with some, and that before a service.
func TestOrderOfNeeds(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	want := relayWant(2, 32, 64)
	want.Services = map[Capability]int{Store: 1}
	b.Found(info(t, 1), Facts{Shards: []uint16{32}, Capabilities: Store, Source: DNS}, epoch)
	b.Found(info(t, 2), relayFacts(64), epoch)
	b.Found(info(t, 3), relayFacts(32), epoch)
	conns := []Conn{{ID: peerID(9), Since: epoch, Judged: true, Capabilities: Relay, Shards: []uint16{64}}}
	for i, next := range []int{3, 2, 1} {
		a := b.Plan(epoch, State{Conns: conns, Dials: 1}, want, newRand(uint64(i)))
		if !slices.Equal(dialledIDs(a), []peer.ID{peerID(next)}) {
			t.Fatalf("dial %d: %v, want peer %d", i, a.Dial, next)
		}
	}
	a := b.Plan(epoch, State{Conns: conns, Dials: 1}, want, newRand(1))
	if len(a.Dial) != 0 {
		t.Errorf("dials %v again", a.Dial)
	}
	// What no one known can fill is told: one more relay on 32, a store on 64.
	lacking := []Need{{Relay, 32, 1}, {Store, 64, 1}}
	if !slices.Equal(a.Lacking, lacking) {
		t.Errorf("lacking %v, want %v", a.Lacking, lacking)
	}
}

// TestLightNode wants service peers, per shard, and no relay for its own sake.
func TestLightNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, Want{Cluster: 16, Shards: []uint16{32}, Services: LightServices()})
	kinds := []Capability{Relay, Filter | Lightpush | Relay, Store | Relay, Filter, Lightpush}
	for i := range 50 {
		f := relayFacts(uint16(32 + i/25*32)) // half of them on another shard
		f.Capabilities = kinds[i%len(kinds)]
		w.book.Found(info(t, i), f, epoch)
	}
	w.up = func(id peer.ID) (Conn, bool) {
		k, _ := w.book.Peer(id)
		return Conn{Capabilities: k.Capabilities, Shards: k.Shards}, true
	}
	w.run(5*time.Minute, 15*time.Second)
	count := map[Capability]int{}
	for _, c := range w.conns {
		if !slices.Equal(c.Shards, []uint16{32}) || c.Capabilities == Relay {
			t.Errorf("connected %+v", c)
		}
		for s := range LightServices() {
			if c.Capabilities.Has(s) {
				count[s]++
			}
		}
	}
	for s, n := range LightServices() {
		if count[s] < n {
			t.Errorf("%d peers for %s, want %d", count[s], s, n)
		}
	}
	if len(w.conns) > 5 {
		t.Errorf("%d connections", len(w.conns))
	}
	// A service that fails is replaced.
	var bad peer.ID
	for _, c := range w.conns {
		if c.Capabilities.Has(Store) {
			bad = c.ID
		}
	}
	for range 5 {
		w.book.Served(bad, Store, false, time.Second, w.now)
	}
	w.step(time.Second)
	if !slices.ContainsFunc(w.conns, func(c Conn) bool { return c.ID != bad && c.Capabilities.Has(Store) }) {
		t.Error("no second store")
	}
}

// TestUnknownPeersAreTried when nobody known claims what is needed.
func TestUnknownPeersAreTried(t *testing.T) {
	t.Parallel()
	b, want := NewBook(peerID(-1)), relayWant(1, 32)
	b.Found(info(t, 1), Facts{Source: MDNS}, epoch)
	b.Found(info(t, 2), Facts{Source: DNS, Capabilities: Store}, epoch)
	b.Found(info(t, 3), Facts{Source: DNS, Cluster: cluster(1)}, epoch)
	b.Found(info(t, 4), Facts{Source: DNS, Shards: []uint16{5}}, epoch)
	b.Found(info(t, 6), Facts{Source: DNS}, epoch)
	b.Spoken(peerID(6), 0, nil, epoch) // a client
	a := b.Plan(epoch, State{Dials: 8}, want, newRand(1))
	if !slices.Equal(dialledIDs(a), []peer.ID{peerID(1)}) {
		t.Errorf("dials %v", dialledIDs(a))
	}
	b.Found(info(t, 5), relayFacts(32), epoch)
	b.Failed(peerID(1), Failure{Refused: true}, epoch, newRand(1))
	a = b.Plan(epoch.Add(time.Hour), State{Dials: 8}, want, newRand(1))
	if !slices.Equal(dialledIDs(a), []peer.ID{peerID(5)}) {
		t.Errorf("dials %v", dialledIDs(a))
	}
}

// TestClaimsFirst: who is said to serve what is needed goes before who may.
func TestClaimsFirst(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		b := NewBook(peerID(-1))
		for i := range 3 {
			b.Found(info(t, i), Facts{Source: DNS}, epoch)
			b.entries[peerID(i)].credit(epoch)
		}
		b.Found(info(t, 3), relayFacts(32), epoch)
		a := b.Plan(epoch, State{Dials: 1}, relayWant(1, 32), newRand(seed))
		if !slices.Equal(dialledIDs(a), []peer.ID{peerID(3)}) {
			t.Fatalf("dials %v", dialledIDs(a))
		}
	}
}

// TestSubnetLimit: so many peers of a subnet are dialled and not one more,
// and those connected count.
func TestSubnetLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		addr    string // %d is the peer
		limited bool
	}{
		"IPv4":      {"/ip4/8.8.8.%d/tcp/1", true},
		"two nets":  {"/ip4/8.8.%d.1/tcp/1", false},
		"IPv6":      {"/ip6/2600:1:2:%d::1/tcp/1", true},
		"two nets6": {"/ip6/2600:1:%d::1/tcp/1", false},
		"private":   {"/ip4/192.168.1.%d/tcp/1", false},
		"this":      {"/ip4/127.0.0.1/tcp/%d", false},
		"name":      {"/dns4/node-%d.example/tcp/1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, relayWant(10, 32))
			w.want.SubnetLimit = 3
			w.relays([]uint16{32}, func(peer.ID) bool { return true })
			for i := range 10 {
				w.book.Found(info(t, i, fmt.Sprintf(c.addr, i+1)), relayFacts(32), epoch)
			}
			w.run(5*time.Minute, 15*time.Second)
			want := 10
			if c.limited {
				want = 3
			}
			if len(w.conns) != want {
				t.Errorf("%d connected, want %d", len(w.conns), want)
			}
		})
	}
}

// TestCrowdedAfterNames: what names resolve to counts once it is known.
func TestCrowdedAfterNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(3, 32))
	w.want.SubnetLimit = 2
	w.relays([]uint16{32}, func(peer.ID) bool { return true })
	for i := range 3 {
		w.book.Found(info(t, i, fmt.Sprintf("/dns4/node-%d.example/tcp/1", i)), relayFacts(32), epoch)
	}
	w.step(time.Minute)
	for i := range w.conns {
		a := addr(t, fmt.Sprintf("/ip4/8.8.8.%d/tcp/1", i))
		w.book.Connected(w.conns[i].ID, false, a, w.now)
		w.conns[i].IP = addrIP(a)
	}
	last := w.conns[2].ID
	a := w.step(time.Minute)
	if !slices.Equal(a.Drop, []Parting{{last, Crowded}}) {
		t.Errorf("drops %v", a.Drop)
	}
	w.run(time.Hour, time.Minute)
	if len(w.conns) != 2 || len(w.dialled[last]) != 1 {
		t.Errorf("%d connected, the third dialled %d times", len(w.conns), len(w.dialled[last]))
	}
}

// TestProvenFirst: a proven peer goes before an unknown one most of the time,
// and before one that fails always.
func TestProvenFirst(t *testing.T) {
	t.Parallel()
	proven := 0
	for seed := range uint64(200) {
		b, r := NewBook(peerID(-1)), newRand(seed)
		for i := range 3 {
			b.Found(info(t, i), relayFacts(32), epoch)
		}
		b.entries[peerID(0)].dialling = epoch
		b.Connected(peerID(0), false, nil, epoch)
		b.Disconnected(peerID(0), epoch.Add(time.Hour), r)
		b.Failed(peerID(1), Failure{Refused: true}, epoch, r)
		b.Failed(peerID(1), Failure{Refused: true}, epoch, r)
		a := b.Plan(epoch.Add(2*time.Hour), State{Dials: 1}, relayWant(1, 32), r)
		switch id := a.Dial[0].ID; id {
		case peerID(0):
			proven++
		case peerID(1):
			t.Error("dials one that fails first")
		}
	}
	if proven < 190 {
		t.Errorf("the proven peer comes first %d of 200 times", proven)
	}
}

// TestChance: nodes with the same book do not all choose the same peer.
func TestChance(t *testing.T) {
	t.Parallel()
	chosen := map[peer.ID]int{}
	for seed := range uint64(300) {
		b := NewBook(peerID(-1))
		for i := range 10 {
			b.Found(info(t, i), relayFacts(32), epoch)
		}
		a := b.Plan(epoch, State{Dials: 1}, relayWant(1, 32), newRand(seed))
		chosen[a.Dial[0].ID]++
	}
	for i := range 10 {
		if chosen[peerID(i)] < 10 {
			t.Errorf("peer %d chosen %d of 300 times", i, chosen[peerID(i)])
		}
	}
	// The same chance chooses the same.
	plan := func() Actions {
		b := NewBook(peerID(-1))
		for i := range 10 {
			b.Found(info(t, i), relayFacts(32), epoch)
		}
		return b.Plan(epoch, State{Dials: 4}, relayWant(4, 32), newRand(5))
	}
	if !slices.Equal(dialledIDs(plan()), dialledIDs(plan())) {
		t.Error("not repeatable")
	}
}

// TestOutboundShare: who dials in never is all there is.
func TestOutboundShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(6, 32))
	w.relays([]uint16{32}, func(peer.ID) bool { return true })
	for i := range 10 {
		w.book.Found(info(t, i), relayFacts(32), epoch)
		w.conns = append(w.conns, Conn{ID: peerID(100 + i), Inbound: true, Since: epoch, Judged: true, Capabilities: Relay, Shards: []uint16{32}})
	}
	w.run(5*time.Minute, 15*time.Second)
	outbound := 0
	for _, c := range w.conns {
		if !c.Inbound {
			outbound++
		}
	}
	if outbound != 2 {
		t.Errorf("%d outbound", outbound)
	}
}

func TestDropInbound(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	b.Found(info(t, 0), Facts{Source: Static}, epoch)
	want := relayWant(2, 32)
	var conns []Conn
	for i := range 6 {
		conns = append(conns, Conn{ID: peerID(i), Inbound: true, Since: epoch.Add(time.Duration(i) * time.Second), Judged: true, Shards: []uint16{32}})
	}
	conns[5].Capabilities = Relay
	now := epoch.Add(time.Hour)
	for _, c := range []struct {
		most int
		drop []int
	}{{0, nil}, {6, nil}, {5, []int{4}}, {3, []int{4, 3, 2}}, {1, []int{4, 3, 2, 1, 5}}} {
		want.MaxInbound = c.most
		a := b.Plan(now, State{Conns: slices.Clone(conns)}, want, newRand(1))
		var expected []Parting
		for _, i := range c.drop {
			expected = append(expected, Parting{peerID(i), TooMany})
		}
		if !slices.Equal(a.Drop, expected) {
			t.Errorf("at most %d: drops %v, want %v", c.most, a.Drop, expected)
		}
	}
}

// TestUseless: a dialled peer that turns out to serve nothing needed is
// parted from, once it had the time to say what it is; one that others
// dialled, or that is static, is not.
func TestUseless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(2, 32))
	w.relays([]uint16{5}, func(peer.ID) bool { return true })
	for i := range 2 {
		w.book.Found(info(t, i), relayFacts(32), epoch)
	}
	w.book.Found(info(t, 2), Facts{Source: Static}, epoch)
	w.conns = []Conn{{ID: peerID(2), Since: epoch, Judged: true}, {ID: peerID(3), Since: epoch, Judged: true}}
	w.run(Settling, Settling/4)
	if len(w.conns) != 4 {
		t.Fatalf("%d connected", len(w.conns))
	}
	a := w.step(time.Second)
	if len(a.Drop) != 2 || a.Drop[0].Why != Useless || len(w.conns) != 2 {
		t.Errorf("drops %v", a.Drop)
	}
	w.run(UselessWait/2, time.Minute)
	if len(w.dialled[peerID(0)]) != 1 {
		t.Error("dialled again")
	}
}

// TestRoomIsMade for what is missing when as many as may are dialled, at the
// cost of what there is too much of.
func TestRoomIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, relayWant(4, 32))
	w.want.MaxOutbound = 4
	w.up = func(id peer.ID) (Conn, bool) {
		k, _ := w.book.Peer(id)
		return Conn{Capabilities: Relay, Shards: k.Shards}, true
	}
	for i := range 8 {
		w.book.Found(info(t, i), relayFacts([]uint16{32, 64}[i/4]), epoch)
	}
	w.run(10*time.Minute, time.Minute)
	if len(w.conns) != 4 {
		t.Fatalf("%d connected", len(w.conns))
	}
	w.want = relayWant(2, 32, 64)
	w.want.MaxOutbound = 4
	w.run(10*time.Minute, time.Minute)
	per := map[uint16]int{}
	for _, c := range w.conns {
		per[c.Shards[0]]++
	}
	if per[32] != 2 || per[64] != 2 {
		t.Errorf("per shard %v", per)
	}
	w.want.MaxOutbound = 0
	w.want.RelayPeers = 3
	w.run(10*time.Minute, time.Minute)
	w.want = relayWant(1, 32)
	w.want.MaxOutbound = 1
	w.run(10*time.Minute, time.Minute)
	if len(w.conns) != 1 || w.conns[0].Shards[0] != 32 {
		t.Errorf("connected %+v", w.conns)
	}
}

func TestForbidden(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	for i := range 4 {
		b.Found(info(t, i), relayFacts(32), epoch)
	}
	b.Found(info(t, 3), Facts{Source: Static}, epoch)
	s := State{
		Conns:   []Conn{{ID: peerID(0), Since: epoch}, {ID: peerID(8), Inbound: true, Since: epoch}, {ID: peerID(3), Since: epoch}},
		Dials:   8,
		Allowed: func(id peer.ID) bool { return id == peerID(2) },
	}
	a := b.Plan(epoch, s, relayWant(8, 32), newRand(1))
	if !slices.Equal(dialledIDs(a), []peer.ID{peerID(2)}) || !slices.Equal(a.Drop, []Parting{{peerID(0), Forbidden}, {peerID(8), Forbidden}}) {
		t.Errorf("actions %+v", a)
	}
}

// TestSettling: who has just connected counts as what is known of it, so that
// nobody is dialled in its place; who stays silent does not count for ever.
func TestSettling(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	for i := range 2 {
		b.Found(info(t, i), relayFacts(32), epoch)
	}
	s := State{Conns: []Conn{{ID: peerID(0), Since: epoch}}, Dials: 8}
	if a := b.Plan(epoch.Add(Settling-1), s, relayWant(1, 32), newRand(1)); len(a.Dial) != 0 {
		t.Errorf("dials %v", a.Dial)
	}
	if a := b.Plan(epoch.Add(Settling), s, relayWant(1, 32), newRand(1)); len(a.Dial) != 1 {
		t.Errorf("dials %v", a.Dial)
	}
}

// TestStaticCounts: static peers are neither dialled nor parted from, and
// count when they are there.
func TestStaticCounts(t *testing.T) {
	t.Parallel()
	b, want := NewBook(peerID(-1)), relayWant(1, 32)
	b.Found(info(t, 1), relayFacts(32), epoch)
	b.Found(info(t, 1), Facts{Source: Static}, epoch)
	a := b.Plan(epoch, State{Dials: 8}, want, newRand(1))
	if len(a.Dial) != 0 || !slices.Equal(a.Lacking, []Need{{Relay, 32, 1}}) || !a.Alone {
		t.Errorf("actions %+v", a)
	}
	a = b.Plan(epoch, State{Conns: []Conn{{ID: peerID(1), Since: epoch, Judged: true, Capabilities: Relay, Shards: []uint16{32}}}, Dials: 8}, want, newRand(1))
	if len(a.Dial) != 0 || len(a.Lacking) != 0 || a.Alone {
		t.Errorf("actions %+v", a)
	}
	// Never forgotten.
	b.Plan(epoch.AddDate(5, 0, 0), State{}, want, newRand(1))
	if b.Len() != 1 {
		t.Error("forgotten")
	}
}

// TestLostDial: a dial that nobody told the outcome of does not count for
// ever.
func TestLostDial(t *testing.T) {
	t.Parallel()
	b, want := NewBook(peerID(-1)), relayWant(1, 32)
	b.Found(info(t, 1), relayFacts(32), epoch)
	if a := b.Plan(epoch, State{Dials: 1}, want, newRand(1)); len(a.Dial) != 1 {
		t.Fatal("not dialled")
	}
	b.Plan(epoch.Add(lostDial+1), State{Dials: 1}, want, newRand(1))
	if k, _ := b.Peer(peerID(1)); k.Failures != 1 {
		t.Errorf("%d failures", k.Failures)
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, c := range []struct{ shards, conns int }{{3, 50}, {128, 50}, {3, 1000}, {128, 1000}} {
		b.Run(fmt.Sprintf("shards=%d/conns=%d", c.shards, c.conns), func(b *testing.B) {
			shards := c.shards
			book, r := NewBook(peerID(-1)), newRand(1)
			want := Want{Cluster: 16, RelayPeers: 6, Services: LightServices()}
			for s := range shards {
				want.Shards = append(want.Shards, uint16(s))
			}
			for i := range MaxPeers {
				f := relayFacts(uint16(i%(2*shards)), uint16(i/2%(2*shards)))
				f.Capabilities |= Capability(i % 64)
				book.Found(info(b, i), f, epoch)
			}
			var conns []Conn
			for i := range c.conns {
				conns = append(conns, Conn{ID: peerID(-2 - i), Inbound: i >= 50, Since: epoch, Judged: true, Capabilities: Relay, Shards: []uint16{uint16(i % shards)}})
			}
			b.ReportAllocs()
			for b.Loop() {
				a := book.Plan(epoch, State{Conns: conns, Dials: 8}, want, r)
				if len(a.Dial) == 0 {
					b.Fatal("nobody to dial")
				}
				for _, d := range a.Dial {
					book.Reached(d.ID)
				}
			}
		})
	}
}

func BenchmarkFoundInFullBook(b *testing.B) {
	book := NewBook(peerID(-1))
	for i := range MaxPeers {
		book.Found(info(b, i), relayFacts(32), epoch)
	}
	one := info(b, MaxPeers)
	b.ReportAllocs()
	for b.Loop() {
		book.Found(one, relayFacts(32), epoch)
	}
}
