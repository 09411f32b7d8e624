package node

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	manager "github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/mplex"
)

// connsGrace is how long a new connection is not closed for being one too
// many.
const connsGrace = time.Minute

// newHost makes the libp2p host: Noise over TCP and WebSocket, yamux before
// mplex, QUIC and what else the addresses ask for, identify and ping, and
// what cfg.NAT says, without which nothing probes or maps the network around
// it.
//
// The gate lets nobody in before the protocols are mounted: who came earlier
// would find a node that speaks nothing, and part.
func newHost(cfg Config, g *gate) (host.Host, error) {
	limits, err := cfg.Limits.resources()
	if err != nil {
		return nil, fmt.Errorf("node: limits: %w", err)
	}
	low, high := cfg.Limits.marks()
	conns, err := manager.NewConnManager(low, high, manager.WithGracePeriod(connsGrace))
	if err != nil {
		return nil, fmt.Errorf("node: connections: %w", err)
	}
	var self atomic.Pointer[host.Host]
	opts := slices.Concat([]libp2p.Option{
		libp2p.UserAgent("parley"),
		libp2p.Security(noise.ID, noise.New),
		// The order matters: JavaScript clients take the first of the
		// remote's list they know, Go clients the first of their own.
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.Muxer(mplex.ID, mplex.Transport{}),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionGater(g),
		libp2p.ConnectionManager(conns),
		libp2p.Ping(true),
		libp2p.DisableMetrics(),
	}, transports(cfg), natOptions(cfg.NAT, &self))
	if len(cfg.Listen) == 0 {
		opts = append(opts, libp2p.NoListenAddrs)
	} else {
		opts = append(opts, libp2p.ListenAddrStrings(cfg.Listen...))
	}
	if len(cfg.Announce) > 0 {
		announce := make([]multiaddr.Multiaddr, len(cfg.Announce))
		for i, a := range cfg.Announce {
			announce[i] = multiaddr.StringCast(a) // parsed before, in complete
		}
		opts = append(opts, libp2p.AddrsFactory(func([]multiaddr.Multiaddr) []multiaddr.Multiaddr {
			return slices.Clone(announce)
		}))
	}
	if cfg.Key != nil {
		opts = append(opts, libp2p.Identity(cfg.Key))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("node: host: %w", err)
	}
	self.Store(&h)
	if err := checkListening(cfg, h); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// gate is a connection gater that refuses inbound connections until opened,
// and what another one refuses.
type gate struct {
	open atomic.Bool
	next connmgr.ConnectionGater // may be nil
}

// InterceptAccept lets inbound connections in once the gate is open.
func (g *gate) InterceptAccept(c network.ConnMultiaddrs) bool {
	return g.open.Load() && (g.next == nil || g.next.InterceptAccept(c))
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g *gate) InterceptPeerDial(p peer.ID) bool {
	return g.next == nil || g.next.InterceptPeerDial(p)
}

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g *gate) InterceptAddrDial(p peer.ID, a multiaddr.Multiaddr) bool {
	return g.next == nil || g.next.InterceptAddrDial(p, a)
}

// InterceptSecured implements connmgr.ConnectionGater.
func (g *gate) InterceptSecured(d network.Direction, p peer.ID, c network.ConnMultiaddrs) bool {
	return g.next == nil || g.next.InterceptSecured(d, p, c)
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g *gate) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	if g.next == nil {
		return true, 0
	}
	return g.next.InterceptUpgraded(c)
}
