package peers

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/waku/topic"
)

// address is one way to reach a peer.
type address struct {
	addr multiaddr.Multiaddr
	ip   netip.Addr // not valid for names
	// good is when a connection over it was last made from here.
	good time.Time
	// aside is until when it is not counted on.
	aside time.Time
}

// entry is what is known of one peer.
type entry struct {
	id    peer.ID
	index int // in Book.list

	addrs   []address
	subnets []netip.Prefix // of addrs and ip
	ip      netip.Addr     // of the last connection made from here

	source     Source
	cluster    uint16
	hasCluster bool
	shards     []uint16 // sorted
	caps       Capability
	// spoken says that the peer itself told its capabilities.
	spoken bool

	firstFound, lastFound time.Time
	lastSuccess           time.Time // connection that held
	lastSeen              time.Time // connection of any kind
	attempted, left       time.Time
	next                  time.Time // nothing is tried before
	successes             int
	failures              int // in a row
	alone                 int // those of them while nobody was connected

	quality [capabilities]quality

	// Of the present connection, not kept.
	dialling  time.Time
	connected time.Time
	ours      bool // dialled by the plan or for it
	credited  bool // already counted as a success
}

func (e *entry) proven() bool { return e.successes > 0 }

// fresh says whether the peer may be tried at now, its addresses aside.
func (e *entry) fresh(now time.Time) bool { return !now.Before(e.next) }

// backoff is the wait after the failures so far.
func (e *entry) backoff(r *rand.Rand) time.Duration {
	longest := MaxBackoffUnproven
	if e.proven() {
		longest = MaxBackoff
	}
	d := min(MinBackoff<<min(max(e.failures-1, 0), 10), longest)
	return d + time.Duration(r.Int64N(int64(d/4)+1))
}

// failed counts a failure at now.
func (e *entry) failed(now time.Time, alone bool, r *rand.Rand) {
	e.failures++
	if alone {
		e.alone++
	}
	e.wait(now.Add(e.backoff(r)))
}

// wait puts the next attempt off until t, never forward.
func (e *entry) wait(t time.Time) {
	if t.After(e.next) {
		e.next = t
	}
}

// credit counts a connection that held.
func (e *entry) credit(now time.Time) {
	e.successes++
	e.failures, e.alone = 0, 0
	e.lastSuccess, e.credited = now, true
}

// usable returns the addresses to dial at now, the proven ones first.
func (e *entry) usable(now time.Time, asideToo bool) []multiaddr.Multiaddr {
	out := make([]multiaddr.Multiaddr, 0, len(e.addrs))
	for _, a := range e.addrs {
		if asideToo || !now.Before(a.aside) {
			out = append(out, a.addr)
		}
	}
	return out
}

func (e *entry) anyUsable(now time.Time) bool {
	return slices.ContainsFunc(e.addrs, func(a address) bool { return !now.Before(a.aside) })
}

// addAddrs adds addresses not known yet, in the place of those that never
// worked and were told first.
func (e *entry) addAddrs(addrs []multiaddr.Multiaddr) {
	var added []address
	for _, a := range addrs {
		if len(added) == MaxAddrs {
			break
		}
		if a == nil || len(a.Bytes()) > MaxAddrSize || len(a.Bytes()) == 0 {
			continue
		}
		a, _ = peer.SplitAddr(a)
		known := func(k address) bool { return k.addr.Equal(a) }
		if a == nil || slices.ContainsFunc(added, known) {
			continue
		}
		if i := slices.IndexFunc(e.addrs, known); i >= 0 {
			if e.addrs[i].good.IsZero() { // moves with those just told
				added = append(added, e.addrs[i])
				e.addrs = slices.Delete(e.addrs, i, i+1)
			}
			continue
		}
		added = append(added, address{addr: a, ip: addrIP(a)})
	}
	// Those that worked stay in front, but not so many that nothing new has
	// room.
	worked := 0
	for worked < min(len(e.addrs), MaxAddrs/2) && !e.addrs[worked].good.IsZero() {
		worked++
	}
	e.addrs = slices.Insert(e.addrs, worked, added...)
	e.addrs = e.addrs[:min(len(e.addrs), MaxAddrs)]
	e.setSubnets()
}

// worked notes that a connection to an address was made from here. Names
// resolve to other addresses, of which only the subnet is noted.
func (e *entry) worked(a multiaddr.Multiaddr, now time.Time) {
	if ip := addrIP(a); ip.IsValid() {
		e.ip = ip
		defer e.setSubnets()
	}
	i := slices.IndexFunc(e.addrs, func(k address) bool { return a != nil && k.addr.Equal(a) })
	if i < 0 {
		return
	}
	good := e.addrs[i]
	good.good, good.aside = now, time.Time{}
	e.addrs = slices.Insert(slices.Delete(e.addrs, i, i+1), 0, good)
}

func (e *entry) setSubnets() {
	e.subnets = e.subnets[:0]
	add := func(ip netip.Addr) {
		if s := subnet(ip); s.IsValid() && !slices.Contains(e.subnets, s) {
			e.subnets = append(e.subnets, s)
		}
	}
	for _, a := range e.addrs {
		add(a.ip)
	}
	add(e.ip)
}

// claim takes over what is said of the peer. What it said itself outweighs
// what others say, and a better source a worse one.
func (e *entry) claim(f Facts) {
	if f.Source >= e.source && !e.spoken {
		if f.Capabilities != 0 {
			e.caps = f.Capabilities
		}
		if f.Cluster != nil {
			e.cluster, e.hasCluster = *f.Cluster, true
		}
		if f.Shards != nil {
			e.shards = validShards(f.Shards)
		}
	}
	e.source = max(e.source, f.Source)
}

// validShards sorts shards, without repetitions and those that do not exist.
func validShards(shards []uint16) []uint16 {
	out := make([]uint16, 0, min(len(shards), topic.ShardsPerCluster))
	for _, s := range shards {
		if s < topic.ShardsPerCluster {
			out = append(out, s)
		}
		if len(out) == 2*topic.ShardsPerCluster {
			break // repetitions without end
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// claims says whether the peer is said to fill a need, and may says whether
// it could for all that is known.
func (e *entry) claims(n *need) bool {
	return e.caps.Has(n.Capability) && (n.Shard == AnyShard || hasShard(e.shards, n.Shard))
}

func (e *entry) may(n *need) bool {
	return (e.caps.Has(n.Capability) || e.caps == 0 && !e.spoken) &&
		(n.Shard == AnyShard || len(e.shards) == 0 || hasShard(e.shards, n.Shard))
}

func hasShard(sorted []uint16, shard uint16) bool {
	_, ok := slices.BinarySearch(sorted, shard)
	return ok
}

// worth orders peers by whether to keep knowing them: proven ones, then those
// not tried yet by their source and by the day, then those that fail. A flood
// of news displaces nobody of the same day and source.
func (e *entry) worth(now time.Time) float64 {
	switch {
	case e.source == Static:
		return 1e6
	case !e.connected.IsZero():
		return 1e5
	case e.proven():
		return 1000 - float64(min(e.failures, 100)) - min(now.Sub(e.lastSuccess).Hours(), 400)
	case e.failures == 0:
		return 100 + 10*float64(e.source) - min(math.Floor(now.Sub(e.lastFound).Hours()/24), 9)
	}
	return -float64(e.failures)
}

// reliability is between 0 and 1: how likely a dial ends in a connection that
// holds.
func (e *entry) reliability(now time.Time) float64 {
	if !e.proven() {
		return 0.4 / float64(1+e.failures)
	}
	r := 1 / float64(1+e.failures)
	if now.Sub(e.lastSuccess) > 24*time.Hour {
		r *= 0.8
	}
	return max(r, 0.1)
}

// forgettable says whether there was no sign of life for too long.
func (e *entry) forgettable(now time.Time) bool {
	if e.source == Static || !e.connected.IsZero() || !e.dialling.IsZero() {
		return false
	}
	if e.proven() || !e.lastSeen.IsZero() {
		life := e.lastSeen
		if e.lastSuccess.After(life) {
			life = e.lastSuccess
		}
		return now.Sub(life) > ForgetAfter
	}
	if e.failures > 0 {
		return now.Sub(e.firstFound) > ForgetUnprovenAfter
	}
	return now.Sub(e.lastFound) > ForgetAfter
}
