package discovery

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// MDNSService is the name under which nodes announce themselves on a LAN.
// Deployed nodes do not use mDNS; the name keeps apart those of other libp2p
// networks, which use _p2p._udp.
const MDNSService = "_waku._udp"

const (
	// maxNeighbours bounds the nodes heard of in one window that are told, and
	// maxNeighbourAddrs the addresses of each: anybody on a LAN can shout.
	maxNeighbours     = 64
	maxNeighbourAddrs = 16
	neighbourWindow   = time.Minute
)

// ErrMDNS is a host or a system that multicast does not work for: one without
// IP addresses, or a container. The node goes on without.
var ErrMDNS = errors.New("mDNS is not available")

// StartMDNS announces the host's addresses on the LAN and calls found for
// each other node there, again when it announces itself again. Calls come one
// at a time and may come from the first moment on; the last one ends before
// Close does. Who is found is anybody: only the connection tells.
func StartMDNS(h host.Host, found func(peer.AddrInfo)) (io.Closer, error) {
	n := &neighbours{found: found}
	service := mdns.NewMdnsService(h, MDNSService, n)
	if err := service.Start(); err != nil {
		_ = service.Close()
		return nil, fmt.Errorf("%w: %w", ErrMDNS, err)
	}
	return &mdnsCloser{service, n}, nil
}

type mdnsCloser struct {
	service io.Closer
	n       *neighbours
}

// Close ends announcing and listening.
func (c *mdnsCloser) Close() error {
	c.n.mu.Lock()
	c.n.closed = true
	c.n.mu.Unlock()
	return c.service.Close()
}

// neighbours hands on what mDNS found.
type neighbours struct {
	found func(peer.AddrInfo)

	mu     sync.Mutex
	closed bool
	since  time.Time // the window's beginning
	told   int       // within it
}

// HandlePeerFound implements mdns.Notifee.
func (n *neighbours) HandlePeerFound(info peer.AddrInfo) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); now.Sub(n.since) >= neighbourWindow {
		n.since, n.told = now, 0
	}
	if n.closed || len(info.Addrs) == 0 || n.told >= maxNeighbours {
		return
	}
	n.told++
	info.Addrs = info.Addrs[:min(len(info.Addrs), maxNeighbourAddrs)]
	n.found(info)
}

// BeyondLoopback says whether a node that listens on addrs, multiaddrs, can be
// reached from other machines: only then has it a local network to search.
func BeyondLoopback(addrs []string) bool {
	return slices.ContainsFunc(addrs, func(text string) bool {
		a, err := multiaddr.NewMultiaddr(text)
		return err == nil && !manet.IsIPLoopback(a)
	})
}
