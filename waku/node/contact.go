package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// ErrUnreachable means that a peer could not be dialled.
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

// clearBackoff has a peer dialled at once although it failed lately.
func clearBackoff(n network.Network, p peer.ID) {
	if s, ok := n.(*swarm.Swarm); ok {
		s.Backoff().Clear(p)
	}
}
