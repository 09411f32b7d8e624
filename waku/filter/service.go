package filter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

const (
	// DefaultMaxPeers is the number of subscribers a service takes when its
	// configuration names none.
	DefaultMaxPeers = 1000
	// MaxStreams bounds the streams one peer has open here. JavaScript
	// clients open one ahead of need and leave it idle.
	MaxStreams = 64
	// IdleTimeout is how long a stream may wait for the first byte of its
	// request, RequestTimeout how long request and response may take from
	// there, each.
	IdleTimeout    = time.Hour
	RequestTimeout = 10 * time.Second
	// SubscriptionTimeout ends the subscription of a peer that makes no
	// request. Deployed clients ping every minute.
	SubscriptionTimeout = 5 * time.Minute
	// ReconnectGrace is how long a subscription outlives the connection;
	// what matches meanwhile waits. 12/WAKU2-FILTER recommends one minute.
	ReconnectGrace = time.Minute
	// PushTimeout bounds one push, MaxPushFailures the pushes that may fail
	// in a row before the subscription ends.
	PushTimeout     = 10 * time.Second
	MaxPushFailures = 3
	// expireInterval is how often subscriptions are looked through.
	expireInterval = 10 * time.Second
)

// ServiceConfig are the parameters of a Service.
type ServiceConfig struct {
	// MaxPeers bounds the subscribers; 0 is DefaultMaxPeers.
	MaxPeers int
	// Serves says whether messages of a pubsub topic are pushed here, which
	// is so for those the node relays; nil serves every one. It must not
	// block.
	Serves func(pubsubTopic string) bool
	// Rate is the number of requests a second that one peer may make, Burst
	// how many of them at once. There is no limit when Rate is 0.
	Rate  float64
	Burst int
	// PushRate and PushBurst pace the pushes to each peer in the same way.
	// Deployed go-waku light clients refuse what exceeds 15 a second after 20
	// at once; without a pace that is pushed again.
	PushRate  float64
	PushBurst int
	// Observe, when given, is told of each request once it is over, OnPush
	// of each push. They are called from several goroutines at a time and
	// must not block.
	Observe func(rpc.Exchange)
	OnPush  func(Push)
	// Logger may be nil.
	Logger *slog.Logger
}

// Service keeps the subscriptions of light clients and pushes to them.
type Service struct {
	h      host.Host
	cfg    ServiceConfig
	log    *slog.Logger
	limit  *rpc.Limiter
	server *rpc.Server
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	notify *network.NotifyBundle

	count counters

	mu  sync.RWMutex
	reg registry
}

// NewService mounts the filter service on h.
func NewService(h host.Host, cfg ServiceConfig) *Service {
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = DefaultMaxPeers
	}
	s := &Service{h: h, cfg: cfg, log: cfg.Logger, limit: rpc.NewLimiter(rpc.Rate{PerSecond: cfg.Rate, Burst: cfg.Burst})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.reg = registry{
		maxPeers: cfg.MaxPeers, serves: cfg.Serves, start: s.start,
		peers: make(map[peer.ID]*subscriber), index: make(map[criterion]map[peer.ID]*subscriber),
	}
	changed := func(_ network.Network, c network.Conn) { s.connectedness(c.RemotePeer()) }
	s.notify = &network.NotifyBundle{ConnectedF: changed, DisconnectedF: changed}
	h.Network().Notify(s.notify)
	s.wg.Go(s.expireLoop)
	s.server = rpc.Serve(h, SubscribeID, rpc.Config{
		MaxRequest: MaxRequest, MaxStreams: MaxStreams,
		Idle: IdleTimeout, Timeout: RequestTimeout,
		Observe: cfg.Observe, Logger: s.log,
	}, s.serve)
	return s
}

// Close unmounts the service and ends all subscriptions.
func (s *Service) Close() error {
	s.server.Close()
	s.h.Network().StopNotify(s.notify)
	s.cancel()
	s.wg.Wait()
	return nil
}

// Push sends a message published on a pubsub topic to its subscribers,
// whoever it came from. It does not wait for them: a peer whose queue is full
// misses the message.
func (s *Service) Push(pubsubTopic string, m *wakupb.WakuMessage) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	subs := s.reg.index[criterion{pubsubTopic, m.GetContentTopic()}]
	if len(subs) == 0 {
		return
	}
	var buf bytes.Buffer // one for all
	if err := wire.Write(&buf, &wakupb.MessagePush{WakuMessage: m, PubsubTopic: &pubsubTopic}); err != nil {
		s.log.Warn("message cannot be pushed", "cause", err)
		return
	}
	f := frame{buf.Bytes(), time.Now()}
	for _, sub := range subs {
		if !sub.queue.put(f) {
			s.dropped(sub.id, f)
		}
	}
}

func (s *Service) serve(_ context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
	var req wakupb.FilterSubscribeRequest
	err := read(&req)
	if err != nil && !errors.Is(err, rpc.ErrMalformed) {
		return nil, err
	}
	return s.answer(p, &req, err), nil
}

// answer makes the response to a request of p, which is not to be trusted
// when err says that it did not decode.
func (s *Service) answer(p peer.ID, req *wakupb.FilterSubscribeRequest, err error) *wakupb.FilterSubscribeResponse {
	now := time.Now()
	var bad *refusal
	switch {
	case !s.limit.Allow(p, now):
		bad = refuse(StatusTooMany, "too many requests")
	case err != nil:
		bad = refuse(StatusBadRequest, "%v", err)
	default:
		s.mu.Lock()
		bad = s.reg.request(p, req, now)
		s.mu.Unlock()
	}
	if bad == nil {
		bad = &refusal{StatusOK, "OK"}
	}
	return &wakupb.FilterSubscribeResponse{RequestId: req.GetRequestId(), StatusCode: bad.code, StatusDesc: &bad.text}
}

// start begins to push to a new subscriber; s.mu is held.
func (s *Service) start(sub *subscriber) {
	ctx, cancel := context.WithCancel(s.ctx)
	sub.stop = cancel
	s.settle(sub)
	s.wg.Go(func() { s.pushLoop(ctx, sub) })
}

// settle notes whether a subscriber is connected; s.mu is held. Whoever calls
// it does so after the network changed its mind, so the last call is right.
func (s *Service) settle(sub *subscriber) {
	connected := s.h.Network().Connectedness(sub.id) == network.Connected
	switch {
	case connected:
		sub.gone = time.Time{}
	case sub.gone.IsZero():
		sub.gone = time.Now()
	}
	sub.queue.pause(!connected)
}

func (s *Service) connectedness(p peer.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.reg.peers[p]; sub != nil {
		s.settle(sub)
	}
}

// pushLoop pushes to one subscriber until ctx ends or the peer fails too
// often.
func (s *Service) pushLoop(ctx context.Context, sub *subscriber) {
	p := pusher{
		h: s.h, id: sub.id, queue: sub.queue, flight: newFlight(),
		pace: rpc.NewLimiter(rpc.Rate{PerSecond: s.cfg.PushRate, Burst: s.cfg.PushBurst}),
		told: func(f frame, err error) { s.pushed(sub.id, f, err) },
	}
	defer p.ground()
	defer p.close()
	for p.failures < MaxPushFailures {
		err := p.step(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			continue
		case s.h.Network().Connectedness(sub.id) != network.Connected:
			p.giveBack()
			s.connectedness(sub.id)
			continue
		}
		p.failures++
		s.log.Debug("filter push failed", "peer", sub.id, "failures", p.failures, "cause", err)
	}
	s.log.Info("filter subscription ended: pushes fail", "peer", sub.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reg.remove(sub)
}

func (s *Service) expireLoop() {
	tick := time.NewTicker(expireInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-tick.C:
			s.mu.Lock()
			s.reg.expire(now)
			s.mu.Unlock()
		}
	}
}
