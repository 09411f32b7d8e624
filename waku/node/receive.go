package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/relay"
)

// ErrSubscription is a subscription that makes no sense.
var ErrSubscription = errors.New("node: subscription")

// wanted is the desired state of reception: pubsub topic to content topics.
type wanted map[string]map[string]struct{}

// has says whether a message is wanted. A pubsub topic without content
// topics wants all of them.
func (w wanted) has(pubsubTopic, contentTopic string) bool {
	content, ok := w[pubsubTopic]
	if !ok {
		return false
	}
	_, ok = content[contentTopic]
	return ok || len(content) == 0
}

// Subscribe sets what Envelopes gives: pubsub topic to content topics. It
// replaces what was set before.
//
// A full node relays the pubsub topics (beside its shards, which it always
// relays) and drops other content topics early; no content topics means all
// of them. A light node asks its filter peers for exactly the content
// topics, of which each pubsub topic needs at least one.
func (n *Node) Subscribe(ctx context.Context, want map[string][]string) error {
	next := make(wanted, len(want))
	for pubsubTopic, contentTopics := range want {
		if pubsubTopic == "" || slices.Contains(contentTopics, "") {
			return fmt.Errorf("%w: empty topic", ErrSubscription)
		}
		if len(contentTopics) == 0 && n.relay == nil {
			return fmt.Errorf("%w: no content topic on %s", ErrSubscription, pubsubTopic)
		}
		set := make(map[string]struct{}, len(contentTopics))
		for _, t := range contentTopics {
			set[t] = struct{}{}
		}
		next[pubsubTopic] = set
	}
	n.subscribe.Lock()
	defer n.subscribe.Unlock()
	if err := errors.Join(ctx.Err(), n.ctx.Err()); err != nil {
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	if n.relay != nil {
		return n.subscribeRelay(next)
	}
	return n.subscribeFilter(next)
}

func (n *Node) subscribeRelay(next wanted) error {
	for pubsubTopic := range next {
		if err := n.startRelaying(pubsubTopic); err != nil {
			return err
		}
	}
	n.want.Store(&next)
	for _, pubsubTopic := range n.relay.Topics() {
		if err := n.stopRelaying(pubsubTopic); err != nil {
			return err
		}
	}
	return nil
}

// mountFilterClient starts the filter client of a node without relay.
func (n *Node) mountFilterClient() error {
	f, err := filter.NewClient(n.h, filter.ClientConfig{
		Peers:     n.filterPeers,
		OnMessage: n.receive,
		OnGap:     n.gaps.add,
		Logger:    n.log,
	})
	if err != nil {
		return err
	}
	n.filter.Store(f)
	return nil
}

// filterPeers are the peers that the filter client may use.
func (n *Node) filterPeers() []peer.ID {
	return n.cfg.Choice.first(filter.SubscribeID, "", n.speaking(filter.SubscribeID))
}

// subscribeFilter hands the desired state to the filter client.
func (n *Node) subscribeFilter(next wanted) error {
	subs := make(map[string][]string, len(next))
	for pubsubTopic, set := range next {
		subs[pubsubTopic] = slices.Sorted(maps.Keys(set))
	}
	former := n.want.Swap(&next)
	if err := n.filter.Load().SetSubscriptions(subs); err != nil {
		n.want.Store(former)
		return fmt.Errorf("%w: %w", ErrSubscription, err)
	}
	return nil
}

// onRelay takes a message from the relay. The node's own were given to its
// services when they were published.
func (n *Node) onRelay(d relay.Delivery) {
	if d.From != n.h.ID() {
		n.take(d.PubsubTopic, d.Message, d.Hash)
	}
}

// receive takes a message from a filter peer.
func (n *Node) receive(pubsubTopic string, m *wakupb.WakuMessage) {
	n.take(pubsubTopic, m, message.HashOf(pubsubTopic, m))
}

// take gives a message that was not seen before to the node's services and
// to its reader.
func (n *Node) take(pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	if !n.seen.add(hash) {
		return
	}
	n.deliver(pubsubTopic, m, hash)
	n.serve(context.Background(), pubsubTopic, m, hash)
}

// serve gives a message to those who listen in, to filter subscribers and to
// the archive. It waits for none but an archive that is slow, until ctx ends.
func (n *Node) serve(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	n.share(pubsubTopic, m, hash)
	if n.archive != nil {
		n.archive.add(ctx, pubsubTopic, m, hash)
	}
}

// share is serve without the archive.
func (n *Node) share(pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	n.taps.give(Envelope{PubsubTopic: pubsubTopic, Message: m, Hash: hash})
	if n.pushed != nil {
		n.pushed.Push(pubsubTopic, m)
	}
}

// deliver gives a message to the reader of Envelopes if it is wanted.
func (n *Node) deliver(pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	if !n.want.Load().has(pubsubTopic, m.GetContentTopic()) {
		return
	}
	if !n.envelopes.push(Envelope{PubsubTopic: pubsubTopic, Message: m, Hash: hash}) {
		n.gaps.add(time.Now())
	}
}

// onRelayPeers follows the number of peers that relay a topic: the time
// without any is a gap.
func (n *Node) onRelayPeers(pubsubTopic string, peers int) {
	if peers == 0 {
		n.lapses.begin(pubsubTopic, time.Now())
		return
	}
	since, ok := n.lapses.end(pubsubTopic)
	if _, wanted := (*n.want.Load())[pubsubTopic]; ok && wanted {
		n.gaps.add(since)
	}
}

// lapses are the pubsub topics without a relay peer, and since when.
type lapses struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// begin notes that a topic has no peer; a lapse under way goes on.
func (l *lapses) begin(pubsubTopic string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.since[pubsubTopic]; !ok {
		l.since[pubsubTopic] = now
	}
}

// end returns since when a topic had no peer, if it had none.
func (l *lapses) end(pubsubTopic string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, ok := l.since[pubsubTopic]
	delete(l.since, pubsubTopic)
	return since, ok
}
