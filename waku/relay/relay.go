// Package relay implements 11/WAKU2-RELAY: GossipSub under its own protocol
// id, without signatures and authors, carrying WakuMessages on pubsub
// topics. Parameters follow 29/WAKU2-CONFIG.
//
// What a relayed message must be is in [Decode]. The timestamp rule of
// 64/WAKU2-NETWORK (20 seconds either way) is applied only where Config says
// so: it belongs to the network with rate limiting proofs, deployed relays of
// Status do not have it, and a relay stricter than its neighbours punishes
// honest ones. On protected pubsub topics messages are signed ([Sign]).
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

// ProtocolID is the protocol id of 11/WAKU2-RELAY, the only one spoken.
const ProtocolID protocol.ID = "/vac/waku/relay/2.0.0"

// deliveryQueue is the number of messages of one topic that wait for
// Config.Deliver before further ones are dropped.
const deliveryQueue = 1024

// Errors of publishing and subscribing.
var (
	// ErrNoPeers: no connected peer relays the topic. Nothing was done; the
	// same message can be published later.
	ErrNoPeers = errors.New("relay: no peer relays this pubsub topic")
	// ErrClosed: the relay was closed.
	ErrClosed = errors.New("relay: closed")
	// ErrConfig: a configuration that makes no sense.
	ErrConfig = errors.New("relay: configuration")
)

// Delivery is a message that came on a subscribed pubsub topic.
type Delivery struct {
	PubsubTopic string
	Message     *wakupb.WakuMessage
	Hash        message.Hash
	// From is the neighbour it came from; this node's own id for messages
	// it published.
	From peer.ID
}

// Config are the parameters of a Relay. The functions may be nil.
type Config struct {
	// Deliver is given every message of the subscribed topics, one at a
	// time for each topic. While it blocks up to deliveryQueue messages
	// wait; further ones are lost to Deliver (never to the network).
	Deliver func(Delivery)
	// Lost is told that a message of a topic was lost to Deliver. It must
	// not block.
	Lost func(pubsubTopic string)
	// PeersChanged is told how many connected peers relay a subscribed
	// topic whenever that changes.
	PeersChanged func(pubsubTopic string, peers int)
	// MaxFrame is the largest GossipSub frame sent or read, in bytes; zero for
	// DefaultMaxFrame, at most MaxFrame. All relays of a network should agree.
	MaxFrame int
	// TimeWindow is how far the timestamp of a message may be from now: one
	// without, and one beyond it, is neither relayed nor published.
	// 64/WAKU2-NETWORK has message.MaxSkew. Zero accepts every time, and none.
	TimeWindow time.Duration
	// Protected names the key by which each message on a pubsub topic must be
	// signed ([Sign]); the other topics are open to all.
	Protected map[string]key.Public
	// Now is the clock of these two; nil for time.Now.
	Now func() time.Time
	// Logger may be nil.
	Logger *slog.Logger
}

// Relay is a Waku relay on a host.
type Relay struct {
	h          host.Host
	cfg        Config
	rules      rules
	ps         *pubsub.PubSub
	mesh       *meshTracer
	notify     *network.NotifyBundle
	neighbours *announced
	ctx        context.Context
	cancel     context.CancelFunc

	mu     sync.Mutex
	topics map[string]*joined
	closed bool
}

// joined is a joined pubsub topic; sub is nil when it is only published on.
type joined struct {
	t      *pubsub.Topic
	sub    *pubsub.Subscription
	events *pubsub.TopicEventHandler
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// New mounts the relay on h.
func New(h host.Host, cfg Config) (*Relay, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = DefaultMaxFrame
	}
	if cfg.TimeWindow < 0 {
		return nil, fmt.Errorf("%w: time window %v", ErrConfig, cfg.TimeWindow)
	}
	for name, pub := range cfg.Protected {
		if name == "" || pub.IsZero() {
			return nil, fmt.Errorf("%w: protected pubsub topic %q", ErrConfig, name)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Relay{
		h: h, cfg: cfg, topics: make(map[string]*joined),
		rules: rules{window: cfg.TimeWindow, protected: maps.Clone(cfg.Protected), now: cfg.Now},
	}
	r.neighbours = &announced{log: cfg.Logger}
	r.mesh = newMeshTracer(h.ID(), cfg.Lost)
	r.mesh.gone = r.neighbours.forget
	r.ctx, r.cancel = context.WithCancel(context.Background())
	ps, err := pubsub.NewGossipSub(r.ctx, skippingHost{h, cfg.MaxFrame, cfg.Logger},
		pubsub.WithLogger(slog.New(quiet{cfg.Logger.Handler()})),
		pubsub.WithRPCLogger(slog.New(quiet{cfg.Logger.Handler()})),
		pubsub.WithGossipSubProtocols([]protocol.ID{ProtocolID}, features),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(cfg.MaxFrame),
		pubsub.WithPeerOutboundQueueSize(neighbourQueue),
		pubsub.WithValidateQueueSize(validationQueue),
		pubsub.WithGossipSubParams(gossipParams()),
		pubsub.WithSeenMessagesTTL(seenTTL),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerScore(scoreParams(), scoreThresholds()),
		pubsub.WithDefaultValidator(pubsub.ValidatorEx(r.validate), pubsub.WithValidatorInline(true)),
		pubsub.WithRawTracer(r.mesh),
		pubsub.WithSubscriptionFilter(r.neighbours),
	)
	if err != nil {
		r.cancel()
		return nil, fmt.Errorf("relay: %w", err)
	}
	r.ps = ps
	r.notify = r.neighbours.notify()
	h.Network().Notify(r.notify)
	return r, nil
}

// validate is GossipSub's extended validator. The decoded message travels on
// with the raw one, and so does the cause of a rejection.
func (r *Relay) validate(_ context.Context, from peer.ID, raw *pubsub.Message) pubsub.ValidationResult {
	if _, checked := raw.ValidatorData.(*wakupb.WakuMessage); checked { // by Publish
		return pubsub.ValidationAccept
	}
	m, err := Decode(raw.GetTopic(), raw.GetData(), r.cfg.MaxFrame)
	if err == nil {
		err = r.rules.check(raw.GetTopic(), m)
	}
	if err != nil {
		raw.ValidatorData = err
		r.cfg.Logger.Debug("message rejected", "peer", from, "topic", raw.GetTopic(), "cause", err)
		return pubsub.ValidationReject
	}
	raw.ValidatorData = m
	return pubsub.ValidationAccept
}

// Subscribe joins a pubsub topic; subscribing twice changes nothing.
func (r *Relay) Subscribe(pubsubTopic string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	tp, err := r.join(pubsubTopic)
	if err != nil || tp.sub != nil {
		return err
	}
	if tp.events, err = tp.t.EventHandler(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	sub, err := tp.t.Subscribe(pubsub.WithBufferSize(deliveryQueue))
	if err != nil {
		tp.events.Cancel()
		return fmt.Errorf("relay: %w", err)
	}
	tp.sub = sub
	ctx, cancel := context.WithCancel(r.ctx)
	tp.cancel = cancel
	tp.done.Go(func() { r.deliver(ctx, pubsubTopic, tp.sub) })
	tp.done.Go(func() { r.countPeers(ctx, pubsubTopic, tp.events) })
	return nil
}

// Unsubscribe leaves a pubsub topic and returns when Deliver is not called
// for it any more; it must not be called from Deliver.
func (r *Relay) Unsubscribe(pubsubTopic string) error {
	r.mu.Lock()
	tp, ok := r.topics[pubsubTopic]
	if ok {
		delete(r.topics, pubsubTopic)
	}
	r.mu.Unlock()
	if !ok {
		return nil
	}
	return tp.leave()
}

func (tp *joined) leave() error {
	if tp.sub != nil {
		tp.cancel()
		tp.done.Wait()
		tp.sub.Cancel()
		tp.events.Cancel()
	}
	if err := tp.t.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// join returns a topic, joined when it was not.
func (r *Relay) join(pubsubTopic string) (*joined, error) {
	if r.closed {
		return nil, ErrClosed
	}
	if tp, ok := r.topics[pubsubTopic]; ok {
		return tp, nil
	}
	t, err := r.ps.Join(pubsubTopic)
	if err == nil {
		err = t.SetScoreParams(topicScoreParams())
	}
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	tp := &joined{t: t}
	r.topics[pubsubTopic] = tp
	r.mesh.counts.join(pubsubTopic)
	return tp, nil
}

func (r *Relay) deliver(ctx context.Context, pubsubTopic string, sub *pubsub.Subscription) {
	for {
		raw, err := sub.Next(ctx)
		if err != nil {
			return
		}
		m, ok := raw.ValidatorData.(*wakupb.WakuMessage)
		if !ok || r.cfg.Deliver == nil {
			continue
		}
		r.cfg.Deliver(Delivery{
			PubsubTopic: pubsubTopic,
			Message:     m,
			Hash:        message.HashOf(pubsubTopic, m),
			From:        raw.ReceivedFrom,
		})
	}
}

func (r *Relay) countPeers(ctx context.Context, pubsubTopic string, events *pubsub.TopicEventHandler) {
	peers := 0
	for {
		e, err := events.NextPeerEvent(ctx)
		if err != nil {
			return
		}
		switch e.Type {
		case pubsub.PeerJoin:
			peers++
		case pubsub.PeerLeave:
			peers--
		}
		if r.cfg.PeersChanged != nil {
			r.cfg.PeersChanged(pubsubTopic, peers)
		}
	}
}

// Publish relays m on a pubsub topic, subscribed or not, and returns the
// number of peers that relay the topic: all of them are sent the message
// (flood publishing). Errors: ErrNoPeers, and those of [Check].
//
// A message that was published or relayed in the last two minutes is not
// sent again: the same bytes are the same message to the whole network. m is
// given to Deliver, and must not be changed any more.
func (r *Relay) Publish(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error) {
	if err := Check(pubsubTopic, m, r.cfg.MaxFrame); err != nil {
		return 0, err
	}
	if err := r.rules.check(pubsubTopic, m); err != nil {
		return 0, err
	}
	data, err := proto.Marshal(m)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r.mu.Lock()
	tp, err := r.join(pubsubTopic)
	r.mu.Unlock()
	if err != nil {
		return 0, err
	}
	peers := len(tp.t.ListPeers())
	if peers == 0 {
		return 0, ErrNoPeers
	}
	if err := tp.t.Publish(ctx, data, pubsub.WithValidatorData(m)); err != nil {
		return 0, fmt.Errorf("relay: %w", err)
	}
	r.mesh.counts.of(pubsubTopic).published.Add(1)
	return peers, nil
}

// Topics returns the subscribed pubsub topics, sorted.
func (r *Relay) Topics() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, 0, len(r.topics))
	for name, tp := range r.topics {
		if tp.sub != nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Peers returns the connected peers that relay a pubsub topic.
func (r *Relay) Peers(pubsubTopic string) []peer.ID { return r.ps.ListPeers(pubsubTopic) }

// Mesh returns the peers in this node's mesh for a pubsub topic.
func (r *Relay) Mesh(pubsubTopic string) []peer.ID { return r.mesh.peers(pubsubTopic) }

// Close unmounts the relay. Neighbours are not told that topics are left:
// that would bar this node from their meshes for a while, also after a quick
// restart.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	topics := slices.Collect(maps.Values(r.topics))
	clear(r.topics)
	r.mu.Unlock()
	r.cancel()
	var errs []error
	for _, tp := range topics {
		errs = append(errs, tp.leave())
	}
	r.h.RemoveStreamHandler(ProtocolID)
	r.h.Network().StopNotify(r.notify)
	return errors.Join(errs...)
}
