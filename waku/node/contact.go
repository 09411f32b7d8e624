package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// ErrUnreachable means that a peer could not be dialled or did not answer.
var ErrUnreachable = errors.New("node: peer not reached")

// Dial connects to a peer, now, whatever happened to earlier attempts. The
// connection is not kept up; for that there is Keep. Errors: ErrUnreachable.
func (n *Node) Dial(ctx context.Context, p peer.AddrInfo) error {
	n.h.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.TempAddrTTL)
	clearBackoff(n.h.Network(), p.ID)
	if err := n.h.Connect(ctx, peer.AddrInfo{ID: p.ID}); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// Disconnect closes all connections to a peer, which is not kept connected
// any more if it was.
func (n *Node) Disconnect(p peer.ID) error {
	n.peers.remove(p)
	if err := n.h.Network().ClosePeer(p); err != nil {
		return fmt.Errorf("node: disconnecting: %w", err)
	}
	return nil
}

// Ping measures the time to a peer and back; it dials none. Errors:
// ErrUnreachable.
func (n *Node) Ping(ctx context.Context, p peer.ID) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(network.WithNoDial(ctx, "ping"), pingTimeout)
	defer cancel()
	result, ok := <-ping.Ping(ctx, n.h, p)
	switch {
	case !ok && ctx.Err() != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
	case !ok:
		return 0, ErrUnreachable
	case result.Error != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnreachable, result.Error)
	}
	return result.RTT, nil
}

// clearBackoff has a peer dialled at once although it failed lately.
func clearBackoff(n network.Network, p peer.ID) {
	if s, ok := n.(*swarm.Swarm); ok {
		s.Backoff().Clear(p)
	}
}
