package filter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

const (
	// DefaultRedundancy is the number of peers kept subscribed.
	DefaultRedundancy = 2
	// DefaultPingInterval is well within the time after which deployed
	// services forget a subscription, five minutes.
	DefaultPingInterval = time.Minute
	// MinRetry and MaxRetry bound the time before a peer that failed is
	// tried again; it doubles with each failure in a row.
	MinRetry = 5 * time.Second
	MaxRetry = 2 * time.Minute
	// pollInterval is how often Peers is asked while peers are missing.
	pollInterval = 15 * time.Second
)

// ErrCriteria is a wanted set larger than a peer takes.
var ErrCriteria = errors.New("filter: too many content topics")

// ErrDisconnected is why a peer is left that is not connected any more.
var ErrDisconnected = errors.New("filter: peer is disconnected")

// ClientConfig are the parameters of a Client. The functions are called from
// goroutines of the client, and OnMessage from several at a time.
type ClientConfig struct {
	// Peers returns candidates, the preferred ones first.
	Peers func() []peer.ID
	// OnMessage is given each message pushed by a subscribed peer that
	// matches what is wanted; the same message comes from every peer.
	OnMessage func(pubsubTopic string, m *wakupb.WakuMessage)
	// OnGap is told, as soon as at least one peer is subscribed to all that
	// is wanted, that messages since a time may have been missed: no peer
	// was certainly subscribed from then on. It is also called after the
	// first subscription and after topics were added. May be nil.
	OnGap func(since time.Time)
	// Redundancy is the number of peers to subscribe at; 0 is
	// DefaultRedundancy.
	Redundancy int
	// PingInterval is the time between pings; 0 is DefaultPingInterval.
	PingInterval time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// Client keeps a wanted set of topics subscribed at several peers.
type Client struct {
	h      host.Host
	cfg    ClientConfig
	log    *slog.Logger
	call   caller
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	gate   rpc.Gate // of pushes
	events event.Subscription
	kick   chan struct{} // holds a token when peers are to be looked at

	gapMu sync.Mutex // held while OnGap runs

	mu       sync.Mutex
	wanted   criteria // never changed in place
	changes  int      // of wanted
	sessions map[peer.ID]*session
	retries  map[peer.ID]retry
	cover    coverage
}

// retry is when a peer that failed is tried again.
type retry struct {
	at       time.Time
	failures int
	err      error
}

// NewClient mounts the receiving side of pushes on h. Nothing is wanted until
// SetSubscriptions.
func NewClient(h host.Host, cfg ClientConfig) (*Client, error) {
	events, err := h.EventBus().Subscribe(
		[]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerConnectednessChanged)},
		eventbus.Name("waku-filter"), eventbus.BufSize(256))
	if err != nil {
		return nil, fmt.Errorf("starting the filter client: %w", err)
	}
	c := newClient(h, cfg, streamCaller(h))
	c.events = events
	h.SetStreamHandler(PushID, c.receive)
	c.wg.Go(func() { c.run(events.Out()) })
	return c, nil
}

// newClient returns a client that does not run yet.
func newClient(h host.Host, cfg ClientConfig, call caller) *Client {
	if cfg.Redundancy <= 0 {
		cfg.Redundancy = DefaultRedundancy
	}
	if cfg.PingInterval <= 0 {
		cfg.PingInterval = DefaultPingInterval
	}
	c := &Client{
		h: h, cfg: cfg, log: cfg.Logger, call: call,
		gate: rpc.Gate{Max: MaxPushStreams}, kick: make(chan struct{}, 1),
		sessions: make(map[peer.ID]*session), retries: make(map[peer.ID]retry),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close takes leave of the peers and waits for callbacks under way. It must
// not be called from one.
func (c *Client) Close() error {
	c.h.RemoveStreamHandler(PushID)
	c.cancel()
	c.gate.Close()
	c.wg.Wait()
	if c.events == nil {
		return nil
	}
	return c.events.Close()
}

// SetSubscriptions replaces what is wanted: content topics by pubsub topic.
// Only differences are sent to the peers. More than MaxCriteria pairs are
// ErrCriteria and change nothing.
func (c *Client) SetSubscriptions(topics map[string][]string) error {
	next := criteriaOf(topics)
	if len(next) > MaxCriteria {
		return fmt.Errorf("%w: %d, at most %d", ErrCriteria, len(next), MaxCriteria)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	added, removed := next.minus(c.wanted), c.wanted.minus(next)
	if len(added)+len(removed) == 0 {
		return nil
	}
	switch {
	case len(c.wanted) == 0:
		c.cover.reset(time.Now())
	case len(added) > 0:
		c.cover.widen()
	}
	c.wanted = next
	c.changes++
	for _, s := range c.sessions {
		s.wake()
	}
	c.Notify()
	return nil
}

// Notify has the client look for peers now, as it does by itself when peers
// connect.
func (c *Client) Notify() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// State is what a client does with a peer.
type State string

// The states of a peer: requests are under way, all that is wanted is
// subscribed, or it failed and is tried again later.
const (
	Subscribing State = "subscribing"
	Active      State = "active"
	Waiting     State = "waiting"
)

// PeerStatus is how it stands with a peer.
type PeerStatus struct {
	ID    peer.ID
	State State
	// Criteria is the number of topic pairs subscribed or being subscribed.
	Criteria int
	// LastPing is when the last ping was answered, in the state Active.
	LastPing time.Time
	// Retry and Err are when a Waiting peer is tried again, and why it failed.
	Retry time.Time
	Err   error
}

// Status is how it stands with the client.
type Status struct {
	// Criteria is the number of topic pairs wanted.
	Criteria int
	// Certain is the time up to which no message can have been missed, as
	// far as peers confirmed it.
	Certain time.Time
	Peers   []PeerStatus
}

// Status returns the present state, peers in the order of their ids.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := Status{Criteria: len(c.wanted), Certain: c.cover.certain}
	for p, s := range c.sessions {
		ps := PeerStatus{ID: p, State: Subscribing, Criteria: len(s.asked), LastPing: s.lastPing}
		if s.active {
			ps.State = Active
		}
		st.Peers = append(st.Peers, ps)
	}
	for p, r := range c.retries {
		if c.sessions[p] == nil {
			st.Peers = append(st.Peers, PeerStatus{ID: p, State: Waiting, Retry: r.at, Err: r.err})
		}
	}
	slices.SortFunc(st.Peers, func(a, b PeerStatus) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return st
}

// run looks for peers whenever something changed, until the client closes.
func (c *Client) run(events <-chan any) {
	for {
		timer := time.NewTimer(c.fill(time.Now()))
		select {
		case <-c.ctx.Done():
		case <-c.kick:
		case <-timer.C:
		case e, ok := <-events:
			if !ok {
				events = nil
			}
			c.observe(e)
		}
		timer.Stop()
		if c.ctx.Err() != nil {
			return
		}
	}
}

// observe takes note of peers that come and go.
func (c *Client) observe(e any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := e.(type) {
	case event.EvtPeerIdentificationCompleted:
		// A peer that refused is left alone until its time.
		if r, ok := c.retries[e.Peer]; ok && !errors.Is(r.err, ErrStatus) {
			r.at = time.Now()
			c.retries[e.Peer] = r
		}
	case event.EvtPeerConnectednessChanged:
		if s := c.sessions[e.Peer]; s != nil && e.Connectedness == network.NotConnected {
			s.cancel(ErrDisconnected)
		}
	}
}

// fill starts sessions until there are enough, and returns when to look
// again.
func (c *Client) fill(now time.Time) time.Duration {
	candidates := c.cfg.Peers()
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, r := range c.retries {
		if now.Sub(r.at) > MaxRetry && c.sessions[p] == nil {
			delete(c.retries, p)
		}
	}
	if len(c.wanted) == 0 {
		return pollInterval
	}
	// Those that failed least come first, so that everybody has a turn.
	candidates = slices.Clone(candidates)
	slices.SortStableFunc(candidates, func(a, b peer.ID) int {
		return c.retries[a].failures - c.retries[b].failures
	})
	next := pollInterval
	for _, p := range candidates {
		if len(c.sessions) >= c.cfg.Redundancy {
			break
		}
		if p == c.h.ID() || c.sessions[p] != nil {
			continue
		}
		if wait := c.retries[p].at.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		c.start(p)
	}
	return next
}

// start begins a session with p; c.mu is held.
func (c *Client) start(p peer.ID) {
	s := &session{client: c, id: p, asked: make(criteria), woken: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	c.sessions[p] = s
	c.wg.Go(func() {
		err := s.run()
		s.cancel(nil)
		c.ended(s, err)
	})
}

// ended forgets a session; err is nil when nothing is wanted any more.
func (c *Client) ended(s *session, err error) {
	c.mu.Lock()
	delete(c.sessions, s.id)
	since, gap := c.cover.end(s.id)
	if err != nil {
		r := retry{failures: c.retries[s.id].failures + 1, err: err}
		r.at = time.Now().Add(min(MaxRetry, MinRetry<<min(r.failures-1, 10)))
		c.retries[s.id] = r
	}
	c.mu.Unlock()
	if err != nil && c.ctx.Err() == nil {
		c.log.Info("filter peer left", "peer", s.id, "cause", err)
	}
	c.report(since, gap)
	c.Notify()
}

// report tells of a gap, unless the client closes.
func (c *Client) report(since time.Time, gap bool) {
	if !gap || c.cfg.OnGap == nil || c.ctx.Err() != nil {
		return
	}
	c.gapMu.Lock()
	defer c.gapMu.Unlock()
	c.cfg.OnGap(since)
}
