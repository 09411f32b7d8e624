package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/security/noise"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/topic"
)

const (
	relayInFlight     = 32
	lightpushInFlight = 16
	// patience is how long nothing may arrive before the rest counts as lost.
	patience = 5 * time.Second
	// settle bounds the wait for a mesh or a subscription.
	settle = 30 * time.Second
)

// client is a host that the node lets stay: one that answers metadata.
type client struct {
	host.Host
	meta *metadata.Checker
}

func (b *bench) client(ctx context.Context, relays bool) (*client, error) {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.Security(noise.ID, noise.New), libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, err
	}
	own := metadata.Info{Cluster: b.cluster, HasCluster: true}
	if relays {
		_, shard, err := topic.ParsePubsub(b.pubsub)
		if err != nil {
			return nil, err
		}
		own.Shards = []uint16{shard}
	}
	c := &client{Host: h}
	if c.meta, err = metadata.NewChecker(h, metadata.Config{Own: func() metadata.Info { return own }}); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *client) connect(ctx context.Context, b *bench) error {
	return c.Connect(ctx, b.node)
}

func (c *client) close() { _ = errors.Join(c.meta.Close(), c.Close()) }

// relayer is a client that relays.
type relayer struct {
	*client
	*relay.Relay
}

func (b *bench) relayer(ctx context.Context, deliver func(relay.Delivery)) (*relayer, error) {
	c, err := b.client(ctx, true)
	if err != nil {
		return nil, err
	}
	if deliver == nil {
		deliver = func(relay.Delivery) {}
	}
	r, err := relay.New(c, relay.Config{Deliver: deliver})
	if err != nil {
		return nil, err
	}
	if err := r.Subscribe(b.pubsub); err != nil {
		return nil, err
	}
	if err := c.connect(ctx, b); err != nil {
		return nil, err
	}
	return &relayer{c, r}, until(ctx, "a mesh with the node", func() bool { return len(r.Mesh(b.pubsub)) > 0 })
}

func (r *relayer) close() { _ = r.Relay.Close(); r.client.close() }

// until waits for a condition.
func until(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// message makes the n-th message: its payload begins with its number and when
// it was made, the rest cannot be compressed.
func (b *bench) message(n int, contentTopic string) *wakupb.WakuMessage {
	payload := make([]byte, max(b.payload, 16))
	_, _ = rand.Read(payload[16:])
	now := time.Now()
	binary.BigEndian.PutUint64(payload, uint64(n))
	binary.BigEndian.PutUint64(payload[8:], uint64(now.UnixNano()))
	return message.New(payload, contentTopic, now, false)
}

// arrivals counts messages and their time on the way.
type arrivals struct {
	mu   sync.Mutex
	took []time.Duration
	last time.Time
	room chan struct{} // one for each message that may be under way
}

func newArrivals(inFlight int) *arrivals {
	return &arrivals{room: make(chan struct{}, inFlight), last: time.Now()}
}

func (a *arrivals) note(payload []byte) {
	if len(payload) < 16 {
		return
	}
	now := time.Now()
	sent := time.Unix(0, int64(binary.BigEndian.Uint64(payload[8:])))
	a.mu.Lock()
	a.took, a.last = append(a.took, now.Sub(sent)), now
	a.mu.Unlock()
	select {
	case <-a.room:
	default:
	}
}

func (a *arrivals) count() (n int, last time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.took), a.last
}

// wait waits for n arrivals, or until nothing has come for too long.
func (a *arrivals) wait(ctx context.Context, n int) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got, last := a.count()
		if got >= n || time.Since(last) > patience {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// enter takes a place, or gives up on one that was lost.
func (a *arrivals) enter(ctx context.Context) {
	select {
	case a.room <- struct{}{}:
	case <-time.After(patience):
	case <-ctx.Done():
	}
}

// relay measures messages from one relay peer through the node to another.
func (b *bench) relay(ctx context.Context) ([]Measurement, error) {
	to := newArrivals(relayInFlight)
	receiver, err := b.relayer(ctx, func(d relay.Delivery) {
		if d.Message.GetContentTopic() == b.contentTopic("relay", 0) {
			to.note(d.Message.GetPayload())
		}
	})
	if err != nil {
		return nil, err
	}
	defer receiver.close()
	sender, err := b.relayer(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer sender.close()
	g := b.begin()
	for n := range b.messages {
		to.enter(ctx)
		if _, err := sender.Publish(ctx, b.pubsub, b.message(n, b.contentTopic("relay", 0))); err != nil {
			return nil, err
		}
	}
	to.wait(ctx, b.messages)
	m := g.end("relay, 32 in flight", len(to.took), to.took)
	m.Lost = b.messages - m.Count
	return []Measurement{m}, nil
}

// lightpush measures requests of one client, with a relay peer beside it.
func (b *bench) lightpush(ctx context.Context) ([]Measurement, error) {
	// The node must have somebody to relay to.
	neighbour, err := b.relayer(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer neighbour.close()
	c, err := b.client(ctx, false)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.connect(ctx, b); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var took []time.Duration
	var refused atomic.Int64
	var next atomic.Int64
	var group sync.WaitGroup
	g := b.begin()
	for range lightpushInFlight {
		group.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1))
				if n > b.messages/2 {
					return
				}
				m := b.message(n, b.contentTopic("lightpush", 0))
				at := time.Now()
				if _, err := lightpush.Push(ctx, c, b.node.ID, b.pubsub, m); err != nil {
					refused.Add(1)
					continue
				}
				mu.Lock()
				took = append(took, time.Since(at))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	m := g.end("lightpush, 16 at a time", len(took), took)
	m.Refused = int(refused.Load())
	return []Measurement{m}, nil
}

// filter measures pushes to subscribers of messages that come by relay.
func (b *bench) filter(ctx context.Context) (all []Measurement, err error) {
	for _, subscribers := range []int{1, 10, 20} {
		m, err := b.filterTo(ctx, subscribers)
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
	return all, nil
}

func (b *bench) filterTo(ctx context.Context, subscribers int) (m Measurement, err error) {
	sender, err := b.relayer(ctx, nil)
	if err != nil {
		return m, err
	}
	defer sender.close()
	contentTopic := b.contentTopic("filter", subscribers)
	to := newArrivals(relayInFlight * subscribers)
	for range subscribers {
		c, err := b.client(ctx, false)
		if err != nil {
			return m, err
		}
		defer c.close()
		c.SetStreamHandler(filter.PushID, func(s network.Stream) {
			defer s.Close()
			// A node may push one message on a stream, or many.
			for r := bufio.NewReader(s); ; {
				var push wakupb.MessagePush
				if err := wire.Read(r, filter.MaxPush, &push); err != nil {
					return
				}
				to.note(push.GetWakuMessage().GetPayload())
			}
		})
		if err := c.connect(ctx, b); err != nil {
			return m, err
		}
		if err := b.subscribe(ctx, c, contentTopic); err != nil {
			return m, err
		}
	}
	messages := max(100, b.messages/(2*subscribers))
	g := b.begin()
	for n := range messages {
		for range subscribers {
			to.enter(ctx)
		}
		if _, err := sender.Publish(ctx, b.pubsub, b.message(n, contentTopic)); err != nil {
			return m, err
		}
	}
	to.wait(ctx, messages*subscribers)
	m = g.end(fmt.Sprintf("filter deliveries, %d subscribers", subscribers), len(to.took), to.took)
	m.Lost = messages*subscribers - m.Count
	return m, nil
}

func (b *bench) subscribe(ctx context.Context, c *client, contentTopic string) error {
	kind := wakupb.FilterSubscribeRequest_SUBSCRIBE
	req := &wakupb.FilterSubscribeRequest{
		RequestId: fmt.Sprint(time.Now().UnixNano()), FilterSubscribeType: kind,
		PubsubTopic: &b.pubsub, ContentTopics: []string{contentTopic},
	}
	// A node may allow a subscription a second.
	for try := 0; ; try++ {
		resp := new(wakupb.FilterSubscribeResponse)
		_, err := rpc.Do(ctx, c, b.node.ID, rpc.Call{Protocol: filter.SubscribeID, Request: req, Response: resp, MaxResponse: 1 << 16})
		if err != nil {
			return fmt.Errorf("%w: filter: %w", errUnsupported, err)
		}
		if resp.GetStatusCode() < 300 {
			return nil
		}
		if try == 10 {
			return fmt.Errorf("filter refuses: %d %s", resp.GetStatusCode(), resp.GetStatusDesc())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(1100 * time.Millisecond):
		}
	}
}
