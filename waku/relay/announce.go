package relay

import (
	"log/slog"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// MaxPeerTopics bounds the pubsub topics that one neighbour may say it
	// relays: every shard of a cluster.
	MaxPeerTopics = 1024
	// MaxTopicName is the longest name of a pubsub topic, in bytes.
	MaxTopicName = 256
)

// announced are the pubsub topics that neighbours relay, as far as they are
// remembered. The library remembers all that it hears.
type announced struct {
	log *slog.Logger

	mu    sync.Mutex
	peers map[peer.ID]map[string]struct{}
}

var _ pubsub.SubscriptionFilter = (*announced)(nil)

// CanSubscribe implements pubsub.SubscriptionFilter for this node's own
// topics.
func (a *announced) CanSubscribe(topic string) bool {
	return topic != "" && len(topic) <= MaxTopicName
}

// FilterIncomingSubscriptions returns those of a neighbour's announcements
// that are within the bounds.
func (a *announced) FilterIncomingSubscriptions(p peer.ID, subs []*pubsubpb.RPC_SubOpts) ([]*pubsubpb.RPC_SubOpts, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.peers[p]
	if known == nil {
		if a.peers == nil {
			a.peers = make(map[peer.ID]map[string]struct{})
		}
		known = make(map[string]struct{})
		a.peers[p] = known
	}
	kept := make([]*pubsubpb.RPC_SubOpts, 0, min(len(subs), MaxPeerTopics))
	refused := 0
	for _, sub := range subs {
		topic := sub.GetTopicid()
		_, had := known[topic]
		switch {
		case !a.CanSubscribe(topic), !had && !sub.GetSubscribe():
			continue
		case !had && len(known) >= MaxPeerTopics:
			refused++
			continue
		case sub.GetSubscribe():
			known[topic] = struct{}{}
		default:
			delete(known, topic)
		}
		kept = append(kept, sub)
	}
	if refused > 0 {
		a.log.Debug("announcements not remembered", "peer", p, "topics", refused, "limit", MaxPeerTopics)
	}
	return kept, nil
}

// forget forgets a neighbour that is gone.
func (a *announced) forget(p peer.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.peers, p)
}

// notify has neighbours forgotten that disconnect.
func (a *announced) notify() *network.NotifyBundle {
	return &network.NotifyBundle{DisconnectedF: func(n network.Network, c network.Conn) {
		if n.Connectedness(c.RemotePeer()) == network.NotConnected {
			a.forget(c.RemotePeer())
		}
	}}
}
