package peers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func TestFound(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	if b.Found(info(t, -1, "/ip4/1.2.3.4/tcp/1"), Facts{}, epoch) {
		t.Error("knows itself")
	}
	if b.Found(peer.AddrInfo{ID: peerID(0)}, Facts{}, epoch) || b.Found(peer.AddrInfo{Addrs: info(t, 0).Addrs}, Facts{}, epoch) {
		t.Error("knows a peer without address or id")
	}
	if !b.Found(info(t, 1, "/ip4/1.2.3.4/tcp/1"), Facts{Source: PeerExchanged, Shards: []uint16{64, 32, 32, 1024}}, epoch) {
		t.Fatal("not known")
	}
	// The same address, with the id in it, and another.
	b.Found(info(t, 1, "/ip4/1.2.3.4/tcp/1/p2p/"+peerID(1).String(), "/ip4/1.2.3.4/tcp/2"), relayFacts(1), epoch.Add(time.Hour))
	k, ok := b.Peer(peerID(1))
	if !ok || len(k.Addrs) != 2 || k.Source != Discv5 || *k.Cluster != 16 || k.Capabilities != Relay || !slices.Equal(k.Shards, []uint16{1}) {
		t.Errorf("known as %+v", k)
	}
	// A less trusted source does not overrule.
	b.Found(info(t, 1), Facts{Source: PeerExchanged, Cluster: cluster(1), Shards: []uint16{9}}, epoch)
	if k, _ := b.Peer(peerID(1)); *k.Cluster != 16 || !slices.Equal(k.Shards, []uint16{1}) || k.Source != Discv5 {
		t.Errorf("known as %+v", k)
	}
	// Nor does any overrule the peer itself.
	b.Spoken(peerID(1), Store, []uint16{2}, epoch)
	b.Found(info(t, 1), Facts{Source: DNS, Shards: []uint16{9}, Capabilities: Filter}, epoch)
	if k, _ := b.Peer(peerID(1)); k.Capabilities != Store || !slices.Equal(k.Shards, []uint16{2}) {
		t.Errorf("known as %+v", k)
	}
	if b.Len() != 1 {
		t.Errorf("%d peers", b.Len())
	}
}

func TestAddressLimits(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	var many []multiaddr.Multiaddr
	for i := range MaxAddrs + 1 {
		many = append(many, addr(t, "/ip4/1.2.3.4/tcp/"+string(rune('1'+i))))
	}
	b.Found(peer.AddrInfo{ID: peerID(1), Addrs: many[:MaxAddrs]}, Facts{}, epoch)
	b.Connected(peerID(1), false, many[3], epoch)
	b.Found(peer.AddrInfo{ID: peerID(1), Addrs: many[MaxAddrs:]}, Facts{}, epoch)
	k, _ := b.Peer(peerID(1))
	if len(k.Addrs) != MaxAddrs || !k.Addrs[0].Equal(many[3]) || !k.Addrs[1].Equal(many[MaxAddrs]) {
		t.Errorf("addresses %v", k.Addrs)
	}
	long := func(n int) peer.AddrInfo {
		name := make([]byte, n-3)
		for i := range name {
			name[i] = 'a'
		}
		return info(t, n, "/dns/"+string(name))
	}
	if a := long(MaxAddrSize).Addrs[0]; len(a.Bytes()) != MaxAddrSize {
		t.Fatalf("address of %d bytes", len(a.Bytes()))
	}
	if !b.Found(long(MaxAddrSize), Facts{}, epoch) || b.Found(long(MaxAddrSize+1), Facts{}, epoch) {
		t.Error("limit of an address")
	}
}

func TestPublicOnly(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	b.PublicOnly = true
	list := []string{"/ip4/192.168.1.2/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip6/::ffff:10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1", "/dns4/node.example/tcp/1"}
	for i, c := range []struct {
		source Source
		want   int
	}{{PeerExchanged, 2}, {Discv5, 2}, {DNS, 2}, {Identified, 2}, {MDNS, 6}, {Static, 6}} {
		b.Found(info(t, i, list...), Facts{Source: c.source}, epoch)
		if k, _ := b.Peer(peerID(i)); len(k.Addrs) != c.want {
			t.Errorf("%s: %v", c.source, k.Addrs)
		}
	}
	if b.Found(info(t, 9, list[:4]...), Facts{Source: Discv5}, epoch) {
		t.Error("known by private addresses alone")
	}
}

// TestBounded: the book holds MaxPeers, static ones beyond, and a full one
// keeps what is worth most.
func TestBounded(t *testing.T) {
	t.Parallel()
	b, r := NewBook(peerID(-1)), newRand(1)
	for i := range MaxPeers {
		if !b.Found(info(t, i), relayFacts(1), epoch) {
			t.Fatal(i)
		}
	}
	prove := func(i int) {
		b.entries[peerID(i)].dialling = epoch
		b.Connected(peerID(i), false, info(t, i).Addrs[0], epoch)
		b.Disconnected(peerID(i), epoch.Add(time.Hour), r)
	}
	prove(0)
	for i := 1; i <= 3; i++ {
		b.Failed(peerID(i), Failure{Refused: true}, epoch, r)
	}
	now := epoch.Add(time.Hour)
	for i := MaxPeers; i < 3*MaxPeers; i++ {
		b.Found(info(t, i), relayFacts(1), now)
	}
	if b.Len() != MaxPeers {
		t.Errorf("%d peers", b.Len())
	}
	for i := 1; i <= 3; i++ {
		if _, ok := b.Peer(peerID(i)); ok {
			t.Errorf("the failing peer %d is known still", i)
		}
	}
	for _, i := range []int{0, 4, MaxPeers - 1, MaxPeers, MaxPeers + 2} {
		if _, ok := b.Peer(peerID(i)); !ok {
			t.Errorf("peer %d is not known", i)
		}
	}
	if _, ok := b.Peer(peerID(MaxPeers + 3)); ok {
		t.Error("a newcomer displaced one found the same day")
	}
	if !b.Found(info(t, -7, "/ip4/9.9.9.9/tcp/1"), Facts{Source: Static}, now) || b.Len() != MaxPeers+1 {
		t.Errorf("static: %d peers", b.Len())
	}
	for i := range b.list {
		if b.list[i].index != i || b.entries[b.list[i].id] != b.list[i] {
			t.Fatal("list and map differ")
		}
	}
}

func TestUntriedPerSubnet(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		addr    string
		limited bool
	}{
		"IPv4":    {"/ip4/8.8.8.8/tcp/1", true},
		"IPv6":    {"/ip6/2600:1:2:3::4/tcp/1", true},
		"private": {"/ip4/10.1.1.1/tcp/1", false},
		"this":    {"/ip4/127.0.0.1/tcp/1", false},
		"name":    {"/dns4/node.example/tcp/1", false},
	} {
		b := NewBook(peerID(-1))
		for i := range MaxUntriedPerSubnet {
			if !b.Found(info(t, i, c.addr), Facts{}, epoch) {
				t.Errorf("%s: peer %d is not known", name, i)
			}
		}
		if b.Found(info(t, 1000, c.addr), Facts{}, epoch) == c.limited {
			t.Errorf("%s: limited is not %v", name, c.limited)
		}
		if !b.Found(info(t, 1001, c.addr), Facts{Source: Static}, epoch) {
			t.Errorf("%s: a static peer is limited", name)
		}
	}
}

func TestSubnet(t *testing.T) {
	t.Parallel()
	for a, want := range map[string]string{
		"/ip4/8.8.4.4/tcp/1":                      "8.8.4.0/24",
		"/ip6/2600:1:2:3::4/udp/1/quic-v1":        "2600:1:2::/48",
		"/ip6/::ffff:8.8.4.4/tcp/1":               "8.8.4.0/24",
		"/ip4/127.0.0.1/tcp/1":                    "invalid Prefix",
		"/ip4/172.16.9.9/tcp/1":                   "invalid Prefix",
		"/ip6/::1/tcp/1":                          "invalid Prefix",
		"/ip6/fd00::1/tcp/1":                      "invalid Prefix",
		"/ip6zone/eth0/ip6/fe80::1/tcp/1":         "invalid Prefix",
		"/ip6zone/eth0/ip6/2600:1:2:3::4/tcp/1":   "2600:1:2::/48",
		"/dns4/node.example/tcp/443/wss":          "invalid Prefix",
		"/ip4/8.8.4.4/tcp/1/p2p-circuit":          "8.8.4.0/24",
		"/ip4/8.8.4.4/udp/1/quic-v1/webtransport": "8.8.4.0/24",
	} {
		if got := subnet(addrIP(addr(t, a))).String(); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

// TestBackoff: it doubles up to its bound, lower for proven peers, and never
// is below the doubled minimum.
func TestBackoff(t *testing.T) {
	t.Parallel()
	r := newRand(3)
	for failures := 1; failures < 100; failures++ {
		for _, proven := range []int{0, 1} {
			e := &entry{failures: failures, successes: proven}
			want := MaxBackoffUnproven
			if proven == 1 {
				want = MaxBackoff
			}
			if failures < 12 {
				want = min(want, MinBackoff<<(failures-1))
			}
			for range 20 {
				if d := e.backoff(r); d < want || d > want+want/4 {
					t.Fatalf("%d failures, proven %d: %s, want %s", failures, proven, d, want)
				}
			}
		}
	}
}

func TestConnectivity(t *testing.T) {
	t.Parallel()
	b, r := NewBook(peerID(-1)), newRand(1)
	b.Found(info(t, 1), Facts{}, epoch)
	is := func(want Connectivity) {
		t.Helper()
		if k, _ := b.Peer(peerID(1)); k.Connectivity != want {
			t.Errorf("%s, want %s", k.Connectivity, want)
		}
	}
	is(NotConnected)
	b.Failed(peerID(1), Failure{Refused: true}, epoch, r)
	is(CannotConnect)
	b.entries[peerID(1)].dialling = epoch
	b.Connected(peerID(1), false, nil, epoch)
	is(IsConnected)
	gone := epoch.Add(time.Hour)
	b.Disconnected(peerID(1), gone, r)
	is(CanConnect)
	k, _ := b.Peer(peerID(1))
	if !k.Disconnected.Equal(gone) || k.Successes != 1 || k.Failures != 0 {
		t.Errorf("known as %+v", k)
	}
	// 27/WAKU2-PEERS, Reconnecting peers: not within GossipSub's back-off.
	if k.Next.Before(gone.Add(time.Minute)) {
		t.Errorf("dialled again after %s", k.Next.Sub(gone))
	}
	b.Disconnected(peerID(1), gone.Add(time.Hour), r) // told twice
	if again, _ := b.Peer(peerID(1)); !again.Disconnected.Equal(gone) {
		t.Error("disconnected twice")
	}
}

// TestShortConnections: one that does not hold is a failure.
func TestShortConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		held                time.Duration
		successes, failures int
	}{{SteadyAfter - 1, 0, 1}, {SteadyAfter, 1, 0}} {
		b, r := NewBook(peerID(-1)), newRand(1)
		b.Found(info(t, 1), Facts{}, epoch)
		b.entries[peerID(1)].dialling = epoch
		b.Connected(peerID(1), false, nil, epoch)
		b.Disconnected(peerID(1), epoch.Add(c.held), r)
		if k, _ := b.Peer(peerID(1)); k.Successes != c.successes || k.Failures != c.failures {
			t.Errorf("held %s: %+v", c.held, k)
		}
	}
	// One that the peer made says nothing of how it can be reached.
	b, r := NewBook(peerID(-1)), newRand(1)
	b.Found(info(t, 1), Facts{}, epoch)
	b.Connected(peerID(1), true, nil, epoch)
	b.Disconnected(peerID(1), epoch.Add(time.Second), r)
	if k, _ := b.Peer(peerID(1)); k.Successes != 0 || k.Failures != 0 || k.LastSeen.IsZero() {
		t.Errorf("inbound: %+v", k)
	}
}

// TestStop: at the end of a run its connections are ones that held, and their
// peers are due again at once.
func TestStop(t *testing.T) {
	t.Parallel()
	b := NewBook(peerID(-1))
	b.Found(info(t, 1), Facts{}, epoch)
	b.Found(info(t, 2), Facts{}, epoch)
	b.entries[peerID(1)].dialling = epoch
	b.Connected(peerID(1), false, nil, epoch)
	end := epoch.Add(SteadyAfter)
	b.Stop(end)
	k, _ := b.Peer(peerID(1))
	if k.Connectivity != CanConnect || k.Successes != 1 || !k.Disconnected.Equal(end) || !k.LastSeen.Equal(end) || k.Next.After(end) {
		t.Errorf("known as %+v", k)
	}
	if k, _ := b.Peer(peerID(2)); k.Connectivity != NotConnected || !k.Next.IsZero() {
		t.Errorf("known as %+v", k)
	}
}

// TestStart: a run dials at once, but for one too many within a short time, as
// of a node that crashes: that dials nobody at first, whoever it hears of and
// though it is alone.
func TestStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		every time.Duration // between the starts
		waits []bool
	}{
		{"in a loop", time.Second, []bool{false, false, true, true, true}},
		{"at the limit", RestartWindow / 2, []bool{false, false, false, false}},
		{"just within it", RestartWindow/2 - time.Second, []bool{false, false, true, true}},
		{"now and then", time.Hour, []bool{false, false, false, false}},
	} {
		b, r, want := NewBook(peerID(-1)), newRand(1), relayWant(1, 32)
		b.Found(info(t, 1), relayFacts(32), epoch)
		b.Found(info(t, 2), relayFacts(32), epoch)
		// One was given up long ago: who is alone tries it all the same.
		for range 8 {
			b.Failed(peerID(2), Failure{Refused: true}, epoch, r)
		}
		now := epoch.Add(AloneBackoff + time.Second)
		for i, wait := range c.waits {
			now = now.Add(c.every)
			data, err := b.Encode() // as a crash leaves it
			if err != nil {
				t.Fatal(err)
			}
			if b, err = DecodeBook(data, peerID(-1), now); err != nil {
				t.Fatal(err)
			}
			b.Start(now)
			if data, err = b.Encode(); err != nil {
				t.Fatal(err)
			}
			// News of another peer do not make a difference.
			b.Found(info(t, 3), relayFacts(32), now)
			if a := b.Plan(now.Add(RestartWait-1), State{Dials: 8}, want, r); (len(a.Dial) == 0) != wait {
				t.Errorf("%s: start %d dials %d", c.name, i, len(a.Dial))
			}
			if wait {
				if a := b.Plan(now.Add(RestartWait), State{Dials: 8}, want, r); len(a.Dial) == 0 {
					t.Errorf("%s: start %d does not dial after its wait", c.name, i)
				}
			}
			if b, err = DecodeBook(data, peerID(-1), now); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestUnreachableFamily: an address whose network this host cannot reach is
// set aside, and the peer is dialled at its others.
func TestUnreachableFamily(t *testing.T) {
	t.Parallel()
	b, r, want := NewBook(peerID(-1)), newRand(1), relayWant(1, 1)
	b.Found(info(t, 1, "/ip6/2600::1/tcp/1", "/ip4/8.8.8.8/tcp/1"), relayFacts(1), epoch)
	b.Found(info(t, 2, "/ip6/2600:9::1/tcp/1"), relayFacts(1), epoch)
	company := []Conn{{ID: peerID(99), Inbound: true, Since: epoch}}
	now, dialled := epoch, map[peer.ID]int{}
	for now.Before(epoch.Add(SetAside)) {
		a := b.Plan(now, State{Conns: company, Dials: 8}, want, r)
		for _, d := range a.Dial {
			dialled[d.ID]++
			for _, a := range d.Addrs {
				if !addrIP(a).Is4() && dialled[d.ID] > 1 {
					t.Errorf("dialled %s again", a)
				}
			}
			b.Failed(d.ID, Failure{
				Unreachable: slices.DeleteFunc(slices.Clone(d.Addrs), func(a multiaddr.Multiaddr) bool { return addrIP(a).Is4() }),
				Refused:     d.ID == peerID(1),
			}, now, r)
		}
		now = now.Add(time.Second)
	}
	if dialled[peerID(1)] < 2 || dialled[peerID(2)] != 1 {
		t.Errorf("dialled %v times", dialled)
	}
	if k, _ := b.Peer(peerID(2)); k.Failures != 0 {
		t.Errorf("%d failures of a peer that nobody tried", k.Failures)
	}
	a := b.Plan(now.Add(time.Minute), State{Conns: company, Dials: 8}, want, r)
	if !slices.ContainsFunc(a.Dial, func(i peer.AddrInfo) bool { return i.ID == peerID(2) }) {
		t.Error("set aside for ever")
	}
}

func TestQuality(t *testing.T) {
	t.Parallel()
	b, r := NewBook(peerID(-1)), newRand(1)
	ids := []peer.ID{peerID(0), peerID(1), peerID(2), peerID(3)}
	for i := range ids {
		b.Found(info(t, i), Facts{}, epoch)
	}
	for range 10 {
		b.Served(ids[0], Store, true, 2*time.Second, epoch)
		b.Served(ids[1], Store, true, 100*time.Millisecond, epoch)
		b.Served(ids[2], Store, false, time.Second, epoch)
		b.Served(ids[3], Filter, false, time.Second, epoch) // another service
		b.Served(peerID(77), Store, true, 0, epoch)         // not known
		b.Served(ids[2], Store|Filter, true, 0, epoch)      // not one service
	}
	want := []peer.ID{ids[1], ids[0], ids[3], ids[2]}
	if got := b.Rank(ids, Store, epoch, r); !slices.Equal(got, want) {
		t.Errorf("rank %v, want %v", got, want)
	}
	if !b.entries[ids[2]].poorAt(Store, epoch) || b.entries[ids[3]].poorAt(Store, epoch) {
		t.Error("poor service not seen")
	}
	// It is tried again some time.
	if b.entries[ids[2]].poorAt(Store, epoch.Add(2*qualityHalfLife)) {
		t.Error("poor for ever")
	}
	// Equals come in any order.
	first := map[peer.ID]bool{}
	for range 100 {
		first[b.Rank(ids, Lightpush, epoch, r)[0]] = true
	}
	if len(first) != len(ids) {
		t.Errorf("%d of %d equals come first", len(first), len(ids))
	}
}

func TestCapabilityNames(t *testing.T) {
	t.Parallel()
	if s := (Relay | PeerExchange).String(); s != "relay,peer-exchange" {
		t.Error(s)
	}
	for _, s := range Sources() {
		if sourceNamed(s.String()) != s {
			t.Errorf("source %s", s)
		}
	}
	if sourceNamed("x") != Saved || Source(200).String() != "unknown" {
		t.Error("foreign source")
	}
}

// TestBookProperty: whatever is told in whatever order, the book keeps its
// bounds and its plans make sense.
func TestBookProperty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		r := newRand(seed)
		b, now := NewBook(peerID(-1)), epoch
		some := func() peer.ID { return peerID(r.IntN(60)) }
		var conns []Conn
		for range 400 {
			now = now.Add(time.Duration(r.Int64N(int64(10 * time.Minute))))
			id := some()
			switch r.IntN(8) {
			case 0, 1, 2:
				b.Found(info(t, r.IntN(60)), Facts{
					Cluster: cluster(uint16(15 + r.IntN(3))), Shards: []uint16{uint16(r.IntN(1100)), 32},
					Capabilities: Capability(r.IntN(64)), Source: Source(r.IntN(sources + 1)),
				}, now)
			case 3:
				b.Connected(id, r.IntN(2) == 0, nil, now)
			case 4:
				b.Disconnected(id, now, r)
			case 5:
				b.Failed(id, Failure{Refused: r.IntN(2) == 0}, now, r)
			case 6:
				b.Served(id, Capability(r.IntN(256)), r.IntN(2) == 0, time.Duration(r.Int64())-1<<62, now)
			case 7:
				conns = conns[:0]
				for range r.IntN(10) {
					c := Conn{ID: some(), Inbound: r.IntN(2) == 0, Since: now.Add(-time.Duration(r.IntN(200)) * time.Second), Judged: r.IntN(2) == 0, Capabilities: Capability(r.IntN(64)), Shards: []uint16{32}}
					if !slices.ContainsFunc(conns, func(k Conn) bool { return k.ID == c.ID }) {
						conns = append(conns, c)
					}
				}
			}
			checkPlan(t, b, conns, now, r)
		}
	}
}

func checkPlan(t *testing.T, b *Book, conns []Conn, now time.Time, r *rand.Rand) {
	t.Helper()
	want := Want{Cluster: 16, Shards: []uint16{32, 64}, RelayPeers: r.IntN(4), Services: LightServices(), MaxOutbound: r.IntN(6), MaxInbound: r.IntN(4)}
	dials := r.IntN(5) - 1
	b.Plan(now, State{Conns: conns}, want, r) // who is back from being alone is due sooner
	before := make(map[peer.ID]Known)
	for _, k := range b.Peers() {
		before[k.ID] = k
	}
	a := b.Plan(now, State{Conns: conns, Dials: dials}, want, r)
	if len(a.Dial) > max(dials, 0) {
		t.Fatalf("%d dials, at most %d", len(a.Dial), dials)
	}
	connected := func(id peer.ID) bool { return slices.ContainsFunc(conns, func(c Conn) bool { return c.ID == id }) }
	for _, d := range a.Dial {
		k := before[d.ID]
		if connected(d.ID) || k.Source == Static || k.Cluster != nil && *k.Cluster != 16 || k.Next.After(now) && len(conns) > 0 || len(d.Addrs) == 0 {
			t.Fatalf("dials %+v", k)
		}
	}
	for _, p := range a.Drop {
		if !connected(p.ID) || slices.Contains(a.Keep, p.ID) || before[p.ID].Source == Static {
			t.Fatalf("drops %v: %s", p.ID, p.Why)
		}
	}
	for _, id := range a.Keep {
		if !connected(id) {
			t.Fatal("keeps who is not there")
		}
	}
}
