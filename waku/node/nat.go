package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	relayservice "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// NAT is how a node deals with address translation between it and others.
// Its zero value does nothing about it: the node takes itself for one that
// can be dialled.
type NAT struct {
	// Detect finds out from other nodes whether this one can be dialled, and
	// under which address (AutoNAT), and answers when they ask the same.
	Detect bool
	// Private says that it cannot be dialled, without finding out.
	Private bool
	// PortMap asks the router for a port (UPnP, NAT-PMP).
	PortMap bool
	// HolePunch makes connections that came through a relay direct ones
	// (DCUtR), where the routers in between let it.
	HolePunch bool
	// RelayService lets others be reached through this node: connections of two
	// minutes and 128 kB, enough to punch a hole (circuit relay v2).
	RelayService bool
	// Relays are the nodes through which this one is reached while it cannot be
	// dialled.
	Relays []peer.AddrInfo
	// RelaySource gives such nodes, at most num, when they are needed; not used
	// where Relays are given. It closes the channel.
	RelaySource func(ctx context.Context, num int) <-chan peer.AddrInfo
}

// check says what is wrong with n.
func (n NAT) check() error {
	switch {
	case n.Detect && n.Private:
		return fmt.Errorf("%w: to find out whether the node can be dialled, when it is known not to be", ErrConfig)
	case (len(n.Relays) > 0 || n.RelaySource != nil) && !n.Detect && !n.Private:
		return fmt.Errorf("%w: relays for a node that takes itself for one that can be dialled", ErrConfig)
	case n.RelayService && n.Private:
		return fmt.Errorf("%w: a node that cannot be dialled is no relay for others", ErrConfig)
	}
	return nil
}

// relayBackoff is how long a relay that gave no reservation is not asked
// again.
const relayBackoff = time.Minute

// natOptions configure the host. The host's pointer is filled in later.
func natOptions(n NAT, h *atomic.Pointer[host.Host]) []libp2p.Option {
	var opts []libp2p.Option
	switch {
	case n.Private:
		opts = append(opts, libp2p.ForceReachabilityPrivate())
	case !n.Detect:
		opts = append(opts, libp2p.ForceReachabilityPublic()) // keeps AutoNAT from probing
	}
	if n.Detect {
		opts = append(opts, libp2p.EnableAutoNATv2(), libp2p.EnableNATService())
	}
	if !n.Detect && !n.HolePunch {
		opts = append(opts, libp2p.DisableIdentifyAddressDiscovery())
	}
	if n.PortMap {
		opts = append(opts, libp2p.NATPortMap())
	}
	relayed := len(n.Relays) > 0 || n.RelaySource != nil
	if relayed || n.HolePunch {
		opts = append(opts, libp2p.EnableRelay())
	} else {
		opts = append(opts, libp2p.DisableRelay())
	}
	if n.HolePunch {
		opts = append(opts, libp2p.EnableHolePunching())
	}
	if n.RelayService {
		opts = append(opts, libp2p.EnableRelayService(
			relayservice.WithReservationAddressFilter(func(a multiaddr.Multiaddr) bool { return reachable(a, h.Load()) })))
	}
	fast := []autorelay.Option{autorelay.WithBootDelay(0), autorelay.WithBackoff(relayBackoff)}
	switch {
	case len(n.Relays) > 0:
		opts = append(opts, libp2p.EnableAutoRelayWithStaticRelays(n.Relays, fast...))
	case n.RelaySource != nil:
		opts = append(opts, libp2p.EnableAutoRelayWithPeerSource(n.RelaySource, fast...))
	}
	return opts
}

// reachable says whether a relay tells others of an address of its own: of
// public ones, and where it has none, in a network of one's own, of all.
func reachable(a multiaddr.Multiaddr, h *host.Host) bool {
	if manet.IsPublicAddr(a) || h == nil {
		return true
	}
	for _, own := range (*h).Addrs() {
		if manet.IsPublicAddr(own) {
			return false
		}
	}
	return true
}
