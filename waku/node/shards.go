package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/topic"
)

// JoinShard relays a pubsub topic from now on, beside the configured shards
// and what Subscribe names. To join twice is to join once. Errors:
// ErrSubscription.
func (n *Node) JoinShard(pubsubTopic string) error {
	n.subscribe.Lock()
	defer n.subscribe.Unlock()
	switch {
	case n.relay == nil:
		return fmt.Errorf("%w: this node does not relay", ErrSubscription)
	case pubsubTopic == "":
		return fmt.Errorf("%w: empty topic", ErrSubscription)
	case n.ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrSubscription, n.ctx.Err())
	}
	if !n.relays(pubsubTopic) && n.ownShard(pubsubTopic) && len(n.shards()) >= MaxShards {
		return fmt.Errorf("%w: more than %d shards", ErrSubscription, MaxShards)
	}
	if err := n.startRelaying(pubsubTopic); err != nil {
		return err
	}
	n.joined[pubsubTopic] = struct{}{}
	return nil
}

// LeaveShard ends what JoinShard began. A topic that Subscribe names is
// relayed on. Errors: ErrSubscription for one that was not joined; a
// configured shard is never left.
func (n *Node) LeaveShard(pubsubTopic string) error {
	n.subscribe.Lock()
	defer n.subscribe.Unlock()
	if _, ok := n.joined[pubsubTopic]; !ok {
		if n.isShard(pubsubTopic) {
			return fmt.Errorf("%w: %s is a configured shard", ErrSubscription, pubsubTopic)
		}
		return fmt.Errorf("%w: %s was not joined", ErrSubscription, pubsubTopic)
	}
	delete(n.joined, pubsubTopic)
	return n.stopRelaying(pubsubTopic)
}

// RelayTopics are the pubsub topics relayed now, sorted.
func (n *Node) RelayTopics() []string {
	if n.relay == nil {
		return nil
	}
	return n.relay.Topics()
}

// startRelaying joins a pubsub topic; n.subscribe is held.
func (n *Node) startRelaying(pubsubTopic string) error {
	if n.relays(pubsubTopic) {
		return nil
	}
	if len(n.relay.Peers(pubsubTopic)) == 0 {
		n.lapses.begin(pubsubTopic, time.Now())
	}
	if err := n.relay.Subscribe(pubsubTopic); err != nil {
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	return nil
}

// stopRelaying leaves a pubsub topic that nobody needs any more; n.subscribe
// is held.
func (n *Node) stopRelaying(pubsubTopic string) error {
	if _, wanted := (*n.want.Load())[pubsubTopic]; wanted || n.isShard(pubsubTopic) {
		return nil
	}
	if _, joined := n.joined[pubsubTopic]; joined {
		return nil
	}
	if err := n.relay.Unsubscribe(pubsubTopic); err != nil {
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	n.lapses.end(pubsubTopic)
	return nil
}

// ownShard says whether a pubsub topic is a shard of the node's cluster.
func (n *Node) ownShard(pubsubTopic string) bool {
	cluster, _, err := topic.ParsePubsub(pubsubTopic)
	return err == nil && cluster == n.cfg.Cluster
}

// isShard says whether a pubsub topic is one of the configured shards.
func (n *Node) isShard(pubsubTopic string) bool {
	cluster, shard, err := topic.ParsePubsub(pubsubTopic)
	return err == nil && cluster == n.cfg.Cluster && slices.Contains(n.cfg.Shards, shard)
}

// RelayPeers are the connected peers that relay a pubsub topic, MeshPeers those
// of them that exchange full messages with this node; none where it does not
// relay.
func (n *Node) RelayPeers(pubsubTopic string) []peer.ID {
	if n.relay == nil {
		return nil
	}
	return n.relay.Peers(pubsubTopic)
}

// MeshPeers is documented at RelayPeers.
func (n *Node) MeshPeers(pubsubTopic string) []peer.ID {
	if n.relay == nil {
		return nil
	}
	return n.relay.Mesh(pubsubTopic)
}
