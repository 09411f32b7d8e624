package finder

import (
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peers"
	"github.com/parley-im/parley/waku/topic"
)

// Choice has a node prefer the peers that have proven themselves. The node is
// there first: until a Finder serves the Choice, it prefers nobody. The zero
// value is ready for use.
type Choice struct{ manager atomic.Pointer[peers.Manager] }

// Node is the choice in the form that a node takes.
func (c *Choice) Node() node.Choice { return node.Choice{Best: c.best, Served: c.served} }

func (c *Choice) best(id protocol.ID, pubsubTopic string) []peer.ID {
	m := c.manager.Load()
	if m == nil {
		return nil
	}
	shard := uint16(peers.AnyShard)
	if _, n, err := topic.ParsePubsub(pubsubTopic); err == nil {
		shard = n
	}
	return m.Best(id, shard)
}

func (c *Choice) served(p peer.ID, id protocol.ID, err error, took time.Duration) {
	if m := c.manager.Load(); m != nil {
		m.Served(p, id, err, took)
	}
}
