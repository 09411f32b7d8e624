package hostile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/storesync"
	"github.com/parley-im/parley/waku/topic"
)

const (
	cluster = 16
	shard   = 32
	// patience is how long anything may take that must happen.
	patience = eventually.Patience
	// served is how long one request of the honest client may take.
	served = 20 * time.Second
	// pace is the time between rounds of the honest client: the services
	// limit the requests of each client.
	pace = 70 * time.Millisecond

	content  = "/honest/1/content/proto"
	contents = "/large/1/content/proto" // of large messages in the archive
)

var pubsub = topic.Pubsub(cluster, shard)

// world is a service node and an honest client of it.
type world struct {
	node   *node.Node
	honest *honest
}

func newWorld(t *testing.T) *world {
	t.Helper()
	archive, err := sqlite.Open(t.TempDir() + "/archive.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = archive.Close() })
	for i := range 20 {
		m := message.New(make([]byte, 40_000), contents, time.Now().Add(time.Duration(i)), false)
		if err := archive.Insert(t.Context(), store.NewEntry(pubsub, m)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := node.New(node.Config{Mode: node.Service, Cluster: cluster, Shards: []uint16{shard}, Archive: archive})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	beside(t, n, archive)
	return &world{n, newHonest(t, n.Host())}
}

// beside mounts the protocols of a service node that the node itself has not:
// peer exchange and store synchronization.
func beside(t *testing.T, n *node.Node, archive store.Maintainer) {
	t.Helper()
	exchange := peerexchange.NewService(n.Host(), peerexchange.NewCache(peerexchange.CacheConfig{Cluster: cluster}), peerexchange.ServiceConfig{})
	syncing := storesync.NewService(n.Host(), storesync.Config{
		Archive: archive, PubsubTopics: func() []string { return []string{pubsub} }, Interval: -1,
	})
	t.Cleanup(func() { _ = errors.Join(exchange.Close(), syncing.Close()) })
}

// info is how others reach a host.
func info(h host.Host) peer.AddrInfo { return peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()} }

// newHost returns a host that passes for a peer of the cluster.
func newHost(shards ...uint16) (host.Host, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.Security(noise.ID, noise.New),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, err
	}
	own := metadata.Info{Cluster: cluster, HasCluster: true, Shards: shards}
	c, err := metadata.NewChecker(h, metadata.Config{Own: func() metadata.Info { return own }})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return closing{h, c}, nil
}

// closing is a host that ends what runs on it.
type closing struct {
	host.Host
	checker *metadata.Checker
}

func (c closing) Close() error { return errors.Join(c.checker.Close(), c.Host.Close()) }

// inbox is what was received, by its payload.
type inbox struct {
	mu   sync.Mutex
	came map[string]chan struct{}
}

func newInbox() *inbox { return &inbox{came: make(map[string]chan struct{})} }

func (b *inbox) of(payload string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.came[payload] == nil {
		b.came[payload] = make(chan struct{})
	}
	return b.came[payload]
}

// take notes that a message came, of those of the honest client.
func (b *inbox) take(m *wakupb.WakuMessage) {
	if m.GetContentTopic() != content {
		return
	}
	c := b.of(string(m.GetPayload()))
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-c:
	default:
		close(c)
	}
}

func (b *inbox) await(ctx context.Context, payload string) error {
	select {
	case <-b.of(payload):
		b.mu.Lock()
		delete(b.came, payload)
		b.mu.Unlock()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// honest is a client of every service, and a relay beside it.
type honest struct {
	h, relayHost host.Host
	service      peer.ID
	pushed       *inbox            // by the filter service
	relayed      *inbox            // by the relay
	others       map[string]*inbox // of whoever else must hear
	asked        time.Time         // metadata
	round        int
}

func newHonest(t *testing.T, service host.Host) *honest {
	t.Helper()
	x := &honest{service: service.ID(), pushed: newInbox(), relayed: newInbox(), others: make(map[string]*inbox)}
	for _, h := range []*host.Host{&x.h, &x.relayHost} {
		made, err := newHost(shard)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = made.Close() })
		*h = made
	}
	r, err := relay.New(x.relayHost, relay.Config{Deliver: func(d relay.Delivery) { x.relayed.take(d.Message) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Subscribe(pubsub); err != nil {
		t.Fatal(err)
	}
	x.h.SetStreamHandler(filter.PushID, func(s network.Stream) {
		in := bufio.NewReader(s)
		var push wakupb.MessagePush
		for wire.Read(in, filter.MaxPush, &push) == nil {
			x.pushed.take(push.WakuMessage)
		}
		_ = s.Reset()
	})
	for _, h := range []host.Host{x.h, x.relayHost} {
		if err := h.Connect(t.Context(), info(service)); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "a mesh", func() bool { return len(r.Mesh(pubsub)) == 1 })
	if err := x.filter(t.Context(), wakupb.FilterSubscribeRequest_SUBSCRIBE); err != nil {
		t.Fatal(err)
	}
	return x
}

// filter makes a request of the filter service.
func (x *honest) filter(ctx context.Context, kind wakupb.FilterSubscribeRequest_FilterSubscribeType) error {
	resp := new(wakupb.FilterSubscribeResponse)
	_, err := rpc.Do(ctx, x.h, x.service, rpc.Call{
		Protocol: filter.SubscribeID, Response: resp, MaxResponse: filter.MaxResponse,
		Request: subscription(kind, content),
	})
	if err == nil && resp.StatusCode != filter.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, resp.GetStatusDesc())
	}
	return err
}

// use uses every service once: what is published must come by relay and by
// filter.
func (x *honest) use(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, served)
	defer cancel()
	x.round++
	payload := fmt.Sprint("round ", x.round)
	step := func(name string, err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	m := message.New([]byte(payload), content, time.Now(), false)
	if _, err := lightpush.Push(ctx, x.h, x.service, pubsub, m); err != nil {
		return step("lightpush", err)
	}
	if err := x.pushed.await(ctx, payload); err != nil {
		return step("filter push", err)
	}
	if err := x.relayed.await(ctx, payload); err != nil {
		return step("relay", err)
	}
	for name, b := range x.others {
		if err := b.await(ctx, payload); err != nil {
			return step(name, err)
		}
	}
	q := &store.Query{IncludeData: true, PubsubTopic: pubsub, ContentTopics: []string{content}, Limit: 5}
	if _, err := store.NewClient(x.h).Query(ctx, x.service, q); err != nil {
		return step("store", err)
	}
	if err := x.filter(ctx, wakupb.FilterSubscribeRequest_SUBSCRIBER_PING); err != nil {
		return step("filter ping", err)
	}
	if time.Since(x.asked) < time.Second {
		return nil
	}
	x.asked = time.Now()
	_, err := metadata.Request(ctx, x.h, x.service, metadata.Info{Cluster: cluster, HasCluster: true})
	return step("metadata", err)
}
