package node

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/mplex"
)

// Connections kept: above the high mark the least useful ones are closed
// down to the low mark. A service node holds the connections of its clients.
const (
	connsLow, connsHigh               = 160, 300
	serviceConnsLow, serviceConnsHigh = 800, 1000
	connsGrace                        = time.Minute
)

// newHost makes the libp2p host: Noise over TCP and WebSocket (QUIC where an
// address asks for it), yamux before mplex, identify and ping, and nothing
// that probes or maps the network around it.
//
// The gate lets nobody in before the protocols are mounted: who came earlier
// would find a node that speaks nothing, and part.
func newHost(cfg Config, g *gate) (host.Host, error) {
	limits, err := resourceManager()
	if err != nil {
		return nil, err
	}
	low, high := connsLow, connsHigh
	if cfg.Mode == Service {
		low, high = serviceConnsLow, serviceConnsHigh
	}
	conns, err := connmgr.NewConnManager(low, high, connmgr.WithGracePeriod(connsGrace))
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{
		libp2p.UserAgent("parley"),
		libp2p.Security(noise.ID, noise.New),
		// The order matters: JavaScript clients take the first of the
		// remote's list they know, Go clients the first of their own.
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.Muxer(mplex.ID, mplex.Transport{}),
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(websocket.New),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionGater(g),
		libp2p.ConnectionManager(conns),
		libp2p.Ping(true),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.ForceReachabilityPublic(), // which keeps AutoNAT from probing
	}
	if usesQUIC(cfg) {
		opts = append(opts, libp2p.Transport(quic.NewTransport))
	}
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
	return h, nil
}

// gate is a connection gater that refuses inbound connections until opened.
type gate struct{ open atomic.Bool }

// InterceptAccept lets inbound connections in once the gate is open.
func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool { return g.open.Load() }

// The rest of the gater's interface refuses nothing.

func (*gate) InterceptPeerDial(peer.ID) bool                                           { return true }
func (*gate) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool                      { return true }
func (*gate) InterceptSecured(network.Direction, peer.ID, network.ConnMultiaddrs) bool { return true }
func (*gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason)          { return true, 0 }

func resourceManager() (network.ResourceManager, error) {
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.AutoScale()), rcmgr.WithMetricsDisabled())
}

func usesQUIC(cfg Config) bool {
	addrs := slices.Clone(cfg.Listen)
	for _, p := range slices.Concat(cfg.Peers, cfg.StorePeers) {
		for _, a := range p.Addrs {
			addrs = append(addrs, a.String())
		}
	}
	return slices.ContainsFunc(addrs, func(a string) bool { return strings.Contains(a, "/quic-v1") })
}
