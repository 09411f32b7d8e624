// Package node is a Waku node: a libp2p host with the Waku protocols of its
// mode mounted, its peers kept connected, and one road each way for
// messages.
//
// The modes are those of the Status protocol stack, Resource usage. A full
// node relays, and serves filter and lightpush on the topics it relays; a
// light node subscribes by filter and publishes by lightpush; a service node
// is a full node that keeps history. Self-addressed messages go by lightpush
// in every mode.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// Node is a running Waku node.
type Node struct {
	cfg    Config
	log    *slog.Logger
	h      host.Host
	gate   *gate
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed sync.Once

	metadata *metadata.Checker
	peers    *keeper
	asker    *store.Client

	// Mounted where the node relays, the services unless left out.
	relay  *relay.Relay
	pusher *lightpush.Service
	pushed *filter.Service
	// Mounted where there is an archive.
	archive *archivist
	store   *store.Service
	// Mounted where the node does not relay.
	filter atomic.Pointer[filter.Client]

	// What is under way, for an end that loses nothing.
	pushing, querying   *requests
	relayOut, filterOut *writes

	envelopes *queue
	gaps      *gaps
	seen      *seen
	taps      taps
	want      atomic.Pointer[wanted]
	subscribe sync.Mutex          // one change of what is relayed at a time
	joined    map[string]struct{} // by JoinShard; under subscribe
	lapses    lapses
	failures  failures
}

// New starts a node. It listens when New returns; its peers are dialled in
// the background.
func New(cfg Config) (*Node, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	g := &gate{next: cfg.Gater}
	h, err := newHost(cfg, g)
	if err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger, h: h, gate: g,
		pushing: newRequests(), querying: newRequests(),
		relayOut: new(writes), filterOut: new(writes),
		joined:    make(map[string]struct{}),
		asker:     store.NewClient(h),
		envelopes: newQueue(cfg.Queue),
		gaps:      newGaps(),
		seen:      newSeen(seenLimit),
		lapses:    lapses{since: make(map[string]time.Time)},
		failures:  failures{at: make(map[peer.ID]time.Time)},
	}
	n.want.Store(&wanted{})
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.wg.Go(n.envelopes.run)
	if err := n.mount(); err != nil {
		return nil, errors.Join(fmt.Errorf("node: %w", err), n.Close())
	}
	g.open.Store(true)
	n.peers.start(cfg.Peers)
	return n, nil
}

// mount starts the protocols of the mode, services before the peers that
// might use them.
func (n *Node) mount() (err error) {
	if n.cfg.stores() {
		n.archive = newArchivist(n.cfg.Archive, n.log, n.cfg.Observe.Archived)
		n.store = store.NewService(n.querying.on(n.h), n.cfg.Archive, store.ServiceConfig{
			Rate: n.cfg.Limits.Store.PerSecond, Burst: n.cfg.Limits.Store.Burst,
			Observe: n.cfg.Observe.Exchange, Logger: n.log,
		})
	}
	if n.cfg.relays() {
		if err := n.mountRelay(); err != nil {
			return err
		}
	}
	n.metadata, err = metadata.NewChecker(limitedHost{n.h}, metadata.Config{
		Own: n.ownMetadata, OnPeer: n.onPeer,
		Observe: n.cfg.Observe.Exchange, Logger: n.log,
	})
	if err != nil {
		return err
	}
	if !n.cfg.relays() {
		if err := n.mountFilterClient(); err != nil {
			return err
		}
	}
	n.peers = newKeeper(n.h, n.cfg.Redial, n.log)
	n.peers.suspended = func(since time.Time) { n.gaps.add(since) }
	return nil
}

func (n *Node) mountRelay() (err error) {
	n.relay, err = relay.New(n.relayOut.on(n.h), relay.Config{
		Deliver:      n.onRelay,
		Lost:         func(string) { n.gaps.add(time.Now()) },
		PeersChanged: n.onRelayPeers,
		MaxFrame:     n.cfg.MaxFrame,
		TimeWindow:   n.cfg.TimeWindow,
		Protected:    n.cfg.Protected,
		Logger:       n.log,
	})
	if err != nil {
		return err
	}
	if n.cfg.filters() {
		n.pushed = filter.NewService(n.filterOut.on(n.h), filter.ServiceConfig{
			Serves: n.relays,
			Rate:   n.cfg.Limits.Filter.PerSecond, Burst: n.cfg.Limits.Filter.Burst,
			PushRate: n.cfg.FilterPushRate, PushBurst: filterPushBurst,
			Observe: n.cfg.Observe.Exchange, OnPush: n.cfg.Observe.Pushed, Logger: n.log,
		})
	}
	if n.cfg.pushes() {
		n.pusher, err = lightpush.NewService(n.pushing.on(n.h), lightpush.ServiceConfig{
			Publish: n.publishFor, Limit: n.cfg.Limits.Lightpush,
			Observe: n.cfg.Observe.Exchange, Logger: n.log,
		})
		if err != nil {
			return err
		}
	}
	for _, s := range n.cfg.Shards {
		if err := n.relay.Subscribe(topic.Pubsub(n.cfg.Cluster, s)); err != nil {
			return err
		}
	}
	return nil
}

// onPeer hears of a peer that may be used from now on.
func (n *Node) onPeer(peer.ID, metadata.Info) {
	if f := n.filter.Load(); f != nil {
		f.Notify()
	}
}

// ownMetadata is what the node says of itself: the shards it relays, or whose
// history it has; none in light mode.
func (n *Node) ownMetadata() metadata.Info {
	return metadata.Info{Cluster: n.cfg.Cluster, HasCluster: true, Shards: n.shards()}
}

// shards are the shards of the cluster that are relayed now, or configured
// where the node has an archive and does not relay.
func (n *Node) shards() []uint16 {
	switch {
	case n.relay == nil && n.cfg.stores():
		return n.cfg.Shards
	case n.relay == nil:
		return nil
	}
	var out []uint16
	for _, t := range n.relay.Topics() {
		if cluster, shard, err := topic.ParsePubsub(t); err == nil && cluster == n.cfg.Cluster {
			out = append(out, shard)
		}
	}
	slices.Sort(out) // topics are in the order of their names
	return out
}

// Host is the libp2p host, for protocols mounted beside the node's.
func (n *Node) Host() host.Host { return n.h }

// Addrs are the node's multiaddresses, each complete with its peer id.
func (n *Node) Addrs() []string {
	out := make([]string, 0, len(n.h.Addrs()))
	for _, a := range n.h.Addrs() {
		out = append(out, a.String()+"/p2p/"+n.h.ID().String())
	}
	return out
}

// Envelopes gives every message received live on a subscribed pubsub topic
// with a subscribed content topic, once: repetitions are known by their
// hash. The node's own publications are not among them, whichever way they
// come back. A slow reader never holds up the network: envelopes queue up to
// a bound, and what comes beyond it is dropped and signalled as a gap.
func (n *Node) Envelopes() <-chan Envelope { return n.envelopes.out }

// Gaps gives times since when messages may have been missed: all filter
// peers lost, no relay peer on a subscribed topic, the reader too slow, the
// machine suspended. It is signalled when reception works again (for a slow
// reader: at once), and gaps not read yet melt into one. What was missed is
// in the stores.
func (n *Node) Gaps() <-chan time.Time { return n.gaps.out }
