package node

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/x/rate"

	"github.com/parley-im/parley/waku/rpc"
)

// Limits bound what others may take of a node. Zero values stand for the
// defaults of the node's mode.
type Limits struct {
	// MaxConns is the number of connections, of which an eighth is kept for
	// those that the node makes itself. Above nine tenths of it the least
	// useful ones are closed, down to three quarters.
	MaxConns int
	// ConnsPerIP is the number of connections with one IPv4 address or one /56
	// of IPv6. Loopback is not counted: proxies are there.
	ConnsPerIP int
	// StreamsPerPeer is the number of streams one peer may have open.
	StreamsPerPeer int
	// Memory is what connections and streams may reserve together, in bytes.
	// A stream reserves 256 KiB, and more as its window grows; most of it is
	// never used.
	Memory int64
	// Store, Filter and Lightpush are the requests that each peer may make of
	// a service. Zero is no limit for Store and Filter, and
	// lightpush.DefaultRateLimit for Lightpush.
	Store, Filter, Lightpush rpc.Rate
}

// The defaults. A service node holds the connections of its clients.
const (
	DefaultMaxConns        = 320
	DefaultServiceMaxConns = 1200
	// MinMaxConns is the least a node can work with.
	MinMaxConns = 16

	DefaultConnsPerIP        = 8
	DefaultServiceConnsPerIP = 32

	DefaultStreamsPerPeer = 256
	// MinMemory is what is allowed at least to be reserved when nothing is
	// said; an eighth of the machine's when that is more.
	MinMemory = 1 << 30
)

// peerMemory is what one peer may reserve.
const peerMemory = 64 << 20

// complete fills in the defaults of a mode.
func (l Limits) complete(m Mode) (Limits, error) {
	for _, n := range []int64{int64(l.MaxConns), int64(l.ConnsPerIP), int64(l.StreamsPerPeer), l.Memory} {
		if n < 0 {
			return l, fmt.Errorf("%w: a limit of %d", ErrConfig, n)
		}
	}
	for name, r := range map[string]rpc.Rate{"store": l.Store, "filter": l.Filter, "lightpush": l.Lightpush} {
		if !(r.PerSecond >= 0) || math.IsInf(r.PerSecond, 0) || r.Burst < 0 || (r.Burst > 0) != (r.PerSecond > 0) {
			return l, fmt.Errorf("%w: a %s rate of %v a second, %d at once", ErrConfig, name, r.PerSecond, r.Burst)
		}
	}
	set := func(n *int, other, service int) {
		if *n == 0 {
			if *n = other; m == Service {
				*n = service
			}
		}
	}
	set(&l.MaxConns, DefaultMaxConns, DefaultServiceMaxConns)
	set(&l.ConnsPerIP, DefaultConnsPerIP, DefaultServiceConnsPerIP)
	set(&l.StreamsPerPeer, DefaultStreamsPerPeer, DefaultStreamsPerPeer)
	if l.MaxConns < MinMaxConns {
		return l, fmt.Errorf("%w: %d connections, at least %d", ErrConfig, l.MaxConns, MinMaxConns)
	}
	return l, nil
}

// marks are the numbers of connections to which and from which on the least
// useful ones are closed.
func (l Limits) marks() (low, high int) { return l.MaxConns * 3 / 4, l.MaxConns - l.MaxConns/10 }

// resources makes the resource manager: the library's limits, scaled to the
// machine, with those in the way of many clients widened and those on one
// peer set.
func (l Limits) resources() (network.ResourceManager, error) {
	base := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&base)
	auto := base.AutoScale()
	memory := l.Memory
	if memory == 0 {
		memory = max(MinMemory, int64(auto.ToPartialLimitConfig().System.Memory))
	}
	inbound := l.MaxConns - l.MaxConns/8
	streams := func(in, total int) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			StreamsInbound: rcmgr.LimitVal(in), StreamsOutbound: rcmgr.LimitVal(in), Streams: rcmgr.LimitVal(total),
		}
	}
	system := streams(32*l.MaxConns, 64*l.MaxConns)
	system.Conns, system.ConnsOutbound, system.ConnsInbound = rcmgr.LimitVal(l.MaxConns), rcmgr.LimitVal(l.MaxConns), rcmgr.LimitVal(inbound)
	system.Memory = rcmgr.LimitVal64(memory)
	// Connections and streams before it is known whose or what they are.
	transient := streams(max(128, l.MaxConns/2), max(256, l.MaxConns))
	half := rcmgr.LimitVal(max(64, l.MaxConns/4))
	transient.Conns, transient.ConnsInbound, transient.ConnsOutbound = half, half, half
	transient.Memory = rcmgr.LimitVal64(max(32<<20, memory/16))
	one := streams(l.StreamsPerPeer, l.StreamsPerPeer)
	one.Memory = peerMemory
	// One protocol, all peers: some streams for each of them.
	all := streams(8*l.MaxConns, 16*l.MaxConns)
	// What every connection begins with.
	each := streams(max(64, l.MaxConns), max(128, 2*l.MaxConns))
	partial := rcmgr.PartialLimitConfig{
		System: system, Transient: transient, PeerDefault: one,
		ProtocolDefault: all, ProtocolPeerDefault: one,
		Service:  map[string]rcmgr.ResourceLimits{identify.ServiceName: each, ping.ServiceName: each},
		Protocol: map[protocol.ID]rcmgr.ResourceLimits{identify.ID: each, identify.IDPush: each, ping.ID: each},
	}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(partial.Build(auto)), rcmgr.WithMetricsDisabled(),
		rcmgr.WithConnRateLimiters(l.arrivals()),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: l.ConnsPerIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: l.ConnsPerIP}, {PrefixLength: 48, ConnCount: 8 * l.ConnsPerIP}},
		))
}

// arrivals bounds how often one address connects: all it may have at once,
// twice, and then one a second.
func (l Limits) arrivals() *rate.Limiter {
	one := rate.Limit{RPS: 1, Burst: 2 * l.ConnsPerIP}
	return &rate.Limiter{
		NetworkPrefixLimits: []rate.PrefixLimit{ // without limit
			{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")},
		},
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: one}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: one}},
			GracePeriod:      time.Minute,
		},
	}
}
