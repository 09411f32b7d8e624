package peers

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// Book is what a node knows of its peers. It is not safe for concurrent use.
type Book struct {
	// PublicOnly leaves out addresses of private networks and of this machine
	// that others tell: on a public network, dialling them would knock at
	// machines of this one. Static peers and those of mDNS may have them.
	PublicOnly bool

	self    peer.ID
	entries map[peer.ID]*entry
	// list has the entries in an order that does not depend on chance.
	list []*entry
	// alone says that nobody was connected at the last Plan.
	alone     bool
	lastAlone time.Time // the last dials in spite of back-off
	// starts are those of the latest runs, at most FreeStarts+1 of them; nobody
	// is dialled before held.
	starts []time.Time
	held   time.Time
}

// NewBook returns an empty book of the node self, which is never in it.
func NewBook(self peer.ID) *Book {
	return &Book{self: self, entries: make(map[peer.ID]*entry)}
}

// Len is the number of peers known.
func (b *Book) Len() int { return len(b.list) }

// Found notes a peer that somebody told of, and reports whether it is known
// now: not this node itself, nor one without an address, nor one worth less
// than all others when the book is full, or than those of its subnet.
func (b *Book) Found(info peer.AddrInfo, f Facts, now time.Time) bool {
	if info.ID == b.self || info.ID.Validate() != nil || f.Source > Static {
		return false
	}
	addrs := info.Addrs
	if b.PublicOnly && f.Source < MDNS {
		addrs = slices.DeleteFunc(slices.Clone(addrs), func(a multiaddr.Multiaddr) bool {
			ip := addrIP(a)
			return ip.IsValid() && private(ip)
		})
	}
	if e := b.entries[info.ID]; e != nil {
		e.addAddrs(addrs)
		e.claim(f)
		e.lastFound = now
		return true
	}
	e := &entry{id: info.ID, firstFound: now, lastFound: now}
	e.addAddrs(addrs)
	e.claim(f)
	return len(e.addrs) > 0 && b.insert(e, now)
}

// insert adds a peer, in place of the worst when there are too many.
func (b *Book) insert(e *entry, now time.Time) bool {
	if e.source != Static {
		if !e.proven() && b.crowded(e) {
			return false
		}
		for len(b.list) >= MaxPeers {
			worst := slices.MinFunc(b.list, func(x, y *entry) int { return cmp.Compare(x.worth(now), y.worth(now)) })
			if worst.source == Static { // nothing but static peers
				break
			}
			if worst.worth(now) >= e.worth(now) || !worst.dialling.IsZero() || !worst.connected.IsZero() {
				return false
			}
			b.remove(worst)
		}
	}
	e.index = len(b.list)
	b.list = append(b.list, e)
	b.entries[e.id] = e
	return true
}

// crowded says whether a subnet of e has as many untried peers as it may.
func (b *Book) crowded(e *entry) bool {
	for _, s := range e.subnets {
		n := 0
		for _, other := range b.list {
			if !other.proven() && other.connected.IsZero() && slices.Contains(other.subnets, s) {
				n++
			}
		}
		if n >= MaxUntriedPerSubnet {
			return true
		}
	}
	return false
}

func (b *Book) remove(e *entry) {
	last := b.list[len(b.list)-1]
	b.list[e.index], last.index = last, e.index
	b.list = b.list[:len(b.list)-1]
	delete(b.entries, e.id)
}

// forget drops the peers that gave no sign of life for too long.
func (b *Book) forget(now time.Time) {
	for i := 0; i < len(b.list); {
		if e := b.list[i]; e.forgettable(now) {
			b.remove(e)
		} else {
			i++
		}
	}
}

// Connected notes a new connection. The address is the remote one.
func (b *Book) Connected(id peer.ID, inbound bool, a multiaddr.Multiaddr, now time.Time) {
	e := b.entries[id]
	if e == nil {
		return
	}
	if e.connected.IsZero() {
		e.connected, e.credited, e.ours = now, false, false
	}
	e.lastSeen = now
	if inbound {
		return
	}
	if !e.dialling.IsZero() {
		e.ours, e.dialling = true, time.Time{}
	}
	e.worked(a, now)
}

// rejoin ends a time without any connection. What failed in it failed by this
// node's own network rather than by the peers': it is forgotten, and they are
// due again within the minimal back-off.
func (b *Book) rejoin(now time.Time, r *rand.Rand) {
	b.alone = false
	for _, e := range b.list {
		for i := range e.addrs {
			e.addrs[i].aside = time.Time{}
		}
		if e.alone == 0 {
			continue
		}
		e.failures -= e.alone
		e.alone = 0
		soon := now.Add(time.Duration(r.Int64N(int64(MinBackoff))))
		if e.failures > 0 {
			soon = e.attempted.Add(e.backoff(r))
		}
		if e.next.After(soon) {
			e.next = soon
		}
	}
}

// Disconnected notes that the last connection of a peer is gone. One that
// this node dialled and that did not hold is a failed attempt.
func (b *Book) Disconnected(id peer.ID, now time.Time, r *rand.Rand) {
	e := b.entries[id]
	if e == nil || e.connected.IsZero() {
		return
	}
	held := now.Sub(e.connected) >= SteadyAfter
	switch {
	case e.ours && held && !e.credited:
		e.credit(now)
	case e.ours && !held:
		e.failed(now, false, r)
	}
	e.left = now
	e.wait(now.Add(ReconnectWait))
	e.connected, e.ours, e.credited = time.Time{}, false, false
}

// Parted notes that the plan's advice to part from a peer is followed: it is
// left alone for a while without that counting against it.
func (b *Book) Parted(p Parting, now time.Time) {
	e := b.entries[p.ID]
	if e == nil {
		return
	}
	e.ours = false
	if p.Why == Useless {
		e.wait(now.Add(UselessWait))
	} else {
		e.wait(now.Add(SurplusWait))
	}
}

// Failure is why a dial led to no connection.
type Failure struct {
	// Unreachable are the addresses whose network cannot be reached from
	// here, such as IPv6 addresses on a host without IPv6. They say nothing
	// of the peer.
	Unreachable []multiaddr.Multiaddr
	// Refused says that something else failed, which is the peer's. Without
	// it nothing counts against the peer.
	Refused bool
}

// Failed notes that a dial of the plan led to no connection.
func (b *Book) Failed(id peer.ID, f Failure, now time.Time, r *rand.Rand) {
	e := b.entries[id]
	if e == nil {
		return
	}
	e.dialling = time.Time{}
	for i := range e.addrs {
		if slices.ContainsFunc(f.Unreachable, e.addrs[i].addr.Equal) {
			e.addrs[i].aside = now.Add(SetAside)
		}
	}
	if f.Refused {
		e.failed(now, b.alone, r)
		return
	}
	e.wait(now.Add(MinBackoff))
}

// Adopt notes that a connected peer was dialled for what the plan wants,
// though not by it: it is parted from like one of the plan's own.
func (b *Book) Adopt(id peer.ID) {
	if e := b.entries[id]; e != nil && !e.connected.IsZero() {
		e.ours = true
	}
}

// Reached notes that a dial of the plan ended with the peer connected.
func (b *Book) Reached(id peer.ID) {
	if e := b.entries[id]; e != nil {
		e.dialling = time.Time{}
	}
}

// Spoken notes what a peer itself told of its capabilities when it was
// connected, and of its shards where they are known.
func (b *Book) Spoken(id peer.ID, c Capability, shards []uint16, now time.Time) {
	e := b.entries[id]
	if e == nil {
		return
	}
	e.caps, e.spoken, e.lastSeen = c, true, now
	if shards != nil && !slices.Equal(shards, e.shards) {
		e.shards = validShards(shards)
	}
}

// Start notes the start of a run. There is no wait for the first dials, unless
// there were more than FreeStarts within RestartWindow: then it is RestartWait.
func (b *Book) Start(now time.Time) {
	b.starts = append(b.starts, now)
	b.starts = b.starts[max(0, len(b.starts)-FreeStarts-1):]
	if len(b.starts) > FreeStarts && now.Sub(b.starts[0]) < RestartWindow {
		b.held = now.Add(RestartWait)
	}
}

// Stop notes the end of a run: who is connected is parted from, and may be
// dialled again by the next one. The relays among them do not back off from
// this node, which does not unsubscribe at its end.
func (b *Book) Stop(now time.Time) {
	for _, e := range b.list {
		if e.connected.IsZero() {
			continue
		}
		if e.ours && !e.credited && now.Sub(e.connected) >= SteadyAfter {
			e.credit(now)
		}
		e.lastSeen, e.left = now, now
		e.connected, e.ours, e.credited = time.Time{}, false, false
	}
}

// Connectivity is the state of a peer as 27/WAKU2-PEERS names them.
type Connectivity string

// The states.
const (
	NotConnected  Connectivity = "NotConnected"
	CannotConnect Connectivity = "CannotConnect"
	CanConnect    Connectivity = "CanConnect"
	IsConnected   Connectivity = "Connected"
)

// Known is what the book says of a peer, for people to look at.
type Known struct {
	ID    peer.ID
	Addrs []multiaddr.Multiaddr
	// IP is where it was last connected from here; not valid if never.
	IP           netip.Addr
	Source       Source
	Cluster      *uint16
	Shards       []uint16
	Capabilities Capability
	Connectivity Connectivity
	FirstFound   time.Time
	LastSeen     time.Time // zero if never connected
	Disconnected time.Time // zero if never
	// Successes are the connections made from here that held, Failures the
	// attempts that failed since.
	Successes, Failures int
	// Next is the time before which it is not dialled.
	Next time.Time
}

// Peers returns all peers known, sorted by id.
func (b *Book) Peers() []Known {
	out := make([]Known, 0, len(b.list))
	for _, e := range b.list {
		out = append(out, e.known())
	}
	slices.SortFunc(out, func(x, y Known) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// Peer returns what is known of one peer.
func (b *Book) Peer(id peer.ID) (Known, bool) {
	e, ok := b.entries[id]
	if !ok {
		return Known{}, false
	}
	return e.known(), true
}

func (e *entry) known() Known {
	k := Known{
		ID: e.id, Addrs: e.usable(time.Time{}, true), IP: e.ip, Source: e.source,
		Shards: slices.Clone(e.shards), Capabilities: e.caps,
		FirstFound: e.firstFound, LastSeen: e.lastSeen, Disconnected: e.left,
		Successes: e.successes, Failures: e.failures, Next: e.next,
	}
	if e.hasCluster {
		cluster := e.cluster
		k.Cluster = &cluster
	}
	switch {
	case !e.connected.IsZero():
		k.Connectivity = IsConnected
	case e.failures > 0:
		k.Connectivity = CannotConnect
	case !e.left.IsZero():
		k.Connectivity = CanConnect
	default:
		k.Connectivity = NotConnected
	}
	return k
}
