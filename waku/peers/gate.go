package peers

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// Limits of a Gate that are used where none are given.
const (
	DefaultPerHost   = 10
	DefaultPerSubnet = 50
)

const (
	// hostBits6 is what one host commonly has of IPv6.
	hostBits6 = 64
	// handshakeTime is how long a connection that was let in counts without
	// having become one; libp2p gives handshakes 15 seconds.
	handshakeTime = 20 * time.Second
	// maxHandshakes is the number of such connections of all addresses.
	maxHandshakes = 4096
)

// GateConfig are the limits of a Gate.
type GateConfig struct {
	// PerHost bounds the inbound connections of one IPv4 address, or of one
	// /64 of IPv6; PerSubnet those of a /24 or a /48, private networks aside.
	// 0 stands for DefaultPerHost and DefaultPerSubnet.
	PerHost, PerSubnet int
	// Exempt lists networks that no limit applies to. Nil stands for this
	// machine itself, which a reverse proxy's clients all seem to be.
	Exempt []netip.Prefix
}

// Gate bounds the inbound connections of each address and subnet. It is a
// connection gater for a host alone or after another; one that is asked after
// it may refuse what it let in, which then counts for some seconds.
//
// Connections count from the moment they are let in, and are released when
// they close: Watch must be called with the network of the host. It is safe
// for concurrent use.
type Gate struct {
	cfg GateConfig

	mu      sync.Mutex
	hosts   map[netip.Prefix]int
	subnets map[netip.Prefix]int
	// shaking are let in but no connections yet, the oldest first.
	shaking []shaking
	conns   map[string]netip.Addr // by connection id
	refused uint64
}

type shaking struct {
	ip    netip.Addr
	until time.Time
}

var _ connmgr.ConnectionGater = (*Gate)(nil)

// NewGate returns a gate that nobody has passed yet.
func NewGate(cfg GateConfig) *Gate {
	if cfg.PerHost == 0 {
		cfg.PerHost = DefaultPerHost
	}
	if cfg.PerSubnet == 0 {
		cfg.PerSubnet = DefaultPerSubnet
	}
	if cfg.Exempt == nil {
		cfg.Exempt = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return &Gate{
		cfg: cfg, hosts: make(map[netip.Prefix]int), subnets: make(map[netip.Prefix]int),
		conns: make(map[string]netip.Addr),
	}
}

// Watch counts the connections of a network from now on, until stop is
// called.
func (g *Gate) Watch(n network.Network) (stop func()) {
	notify := &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			if c.Stat().Direction == network.DirInbound {
				g.opened(c.ID(), addrIP(c.RemoteMultiaddr()), time.Now())
			}
		},
		DisconnectedF: func(_ network.Network, c network.Conn) { g.closed(c.ID()) },
	}
	n.Notify(notify)
	return func() { n.StopNotify(notify) }
}

// InterceptAccept lets an inbound connection in unless its address or its
// subnet has as many as it may.
func (g *Gate) InterceptAccept(c network.ConnMultiaddrs) bool {
	return g.accept(addrIP(c.RemoteMultiaddr()), time.Now())
}

func (g *Gate) accept(ip netip.Addr, now time.Time) bool {
	if g.exempt(ip) {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(now)
	if len(g.shaking) >= maxHandshakes || g.hosts[hostOf(ip)] >= g.cfg.PerHost ||
		!private(ip) && g.subnets[subnetOf(ip)] >= g.cfg.PerSubnet {
		g.refused++
		return false
	}
	g.count(ip, 1)
	g.shaking = append(g.shaking, shaking{ip, now.Add(handshakeTime)})
	return true
}

// opened counts an established connection, which most likely is one that was
// let in.
func (g *Gate) opened(id string, ip netip.Addr, now time.Time) {
	if g.exempt(ip) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(now)
	if _, ok := g.conns[id]; ok {
		return
	}
	g.conns[id] = ip
	if i := slices.IndexFunc(g.shaking, func(s shaking) bool { return s.ip == ip }); i >= 0 {
		g.shaking = slices.Delete(g.shaking, i, i+1)
		return
	}
	g.count(ip, 1)
}

func (g *Gate) closed(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ip, ok := g.conns[id]; ok {
		delete(g.conns, id)
		g.count(ip, -1)
	}
}

// expire releases what was let in and became no connection in time.
func (g *Gate) expire(now time.Time) {
	n := 0
	for n < len(g.shaking) && !now.Before(g.shaking[n].until) {
		g.count(g.shaking[n].ip, -1)
		n++
	}
	g.shaking = slices.Delete(g.shaking, 0, n)
}

func (g *Gate) count(ip netip.Addr, by int) {
	add := func(m map[netip.Prefix]int, p netip.Prefix) {
		if m[p] += by; m[p] <= 0 {
			delete(m, p)
		}
	}
	add(g.hosts, hostOf(ip))
	if !private(ip) {
		add(g.subnets, subnetOf(ip))
	}
}

// exempt says whether no limit applies: also to what has no IP address, such
// as connections through a relay, which the relay bounds.
func (g *Gate) exempt(ip netip.Addr) bool {
	return !ip.IsValid() || slices.ContainsFunc(g.cfg.Exempt, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// hostOf is what one host has of addresses.
func hostOf(ip netip.Addr) netip.Prefix {
	size := hostBits6
	if ip.Is4() {
		size = ip.BitLen()
	}
	p, _ := ip.WithZone("").Prefix(size)
	return p
}

// GateStatus is how many a gate holds and refused.
type GateStatus struct {
	// Inbound are the connections counted now, handshakes included.
	Inbound int
	// Hosts and Subnets they come from.
	Hosts, Subnets int
	// Refused since the start.
	Refused uint64
}

// Status returns what the gate counts now.
func (g *Gate) Status() GateStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expire(time.Now())
	return GateStatus{
		Inbound: len(g.conns) + len(g.shaking), Hosts: len(g.hosts), Subnets: len(g.subnets), Refused: g.refused,
	}
}

// The rest of the gater's interface refuses nothing.

// InterceptPeerDial allows all.
func (*Gate) InterceptPeerDial(peer.ID) bool { return true }

// InterceptAddrDial allows all.
func (*Gate) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool { return true }

// InterceptSecured allows all: who comes is counted by where from.
func (*Gate) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool { return true }

// InterceptUpgraded allows all.
func (*Gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
