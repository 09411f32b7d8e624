package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/parley-im/parley/waku/store"
)

// ErrNoStore means that there is nobody to ask for history.
var ErrNoStore = errors.New("node: no store peer")

// storePeers are those to ask: the configured ones in their order, then the
// other connected peers that serve the protocol, those of the node's Choice
// first.
func (n *Node) storePeers(pubsubTopic string) []peer.ID {
	var out []peer.ID
	for _, p := range n.cfg.StorePeers {
		if p.ID != n.h.ID() && !slices.Contains(out, p.ID) {
			out = append(out, p.ID)
		}
	}
	for _, p := range n.cfg.Choice.first(store.ProtocolID, pubsubTopic, n.speaking(store.ProtocolID)) {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// Query asks the store peers in turn until one answers, and returns its
// page. A query that is wrong in itself (store.ErrQuery) is not asked at
// all. A page's cursor is best continued by the peer that gave it, which is
// the first to be asked again while it answers; another peer that does not
// know the cursor refuses it.
func (n *Node) Query(ctx context.Context, q *store.Query) (*store.Page, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	peers := n.storePeers(q.PubsubTopic)
	if len(peers) == 0 {
		return nil, ErrNoStore
	}
	var errs []error
	for _, p := range peers {
		page, err := n.ask(ctx, p, q)
		if err == nil {
			return page, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("node: %w", errors.Join(errs...))
}

// StorePeers are the peers to ask for history on a pubsub topic, in the order
// in which Query asks them: the configured ones, then others that are connected.
func (n *Node) StorePeers(pubsubTopic string) []peer.ID { return n.storePeers(pubsubTopic) }

// QueryPeer asks one store peer for one page, to compare it with others.
func (n *Node) QueryPeer(ctx context.Context, p peer.ID, q *store.Query) (*store.Page, error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	page, err := n.ask(ctx, p, q)
	if err != nil {
		err = fmt.Errorf("node: %w", err)
	}
	return page, err
}

// ask dials a store peer if need be and puts the query to it.
func (n *Node) ask(ctx context.Context, p peer.ID, q *store.Query) (*store.Page, error) {
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	info := peer.AddrInfo{ID: p}
	for _, s := range n.cfg.StorePeers {
		if s.ID == p {
			info.Addrs = s.Addrs
			n.h.Peerstore().AddAddrs(p, s.Addrs, peerstore.PermanentAddrTTL)
		}
	}
	start := time.Now()
	page, err := (*store.Page)(nil), n.h.Connect(dctx, info)
	if err != nil {
		err = fmt.Errorf("dialling %s: %w", p, err)
	} else {
		page, err = n.asker.Query(ctx, p, q)
	}
	if ctx.Err() == nil {
		n.cfg.Choice.served(p, store.ProtocolID, err, time.Since(start))
	}
	return page, err
}
