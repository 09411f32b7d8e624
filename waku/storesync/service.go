package storesync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/store"
)

// DefaultRate is how often one peer may begin a session.
var DefaultRate = rpc.Rate{PerSecond: 0.5, Burst: 20}

// Config are the parameters of a Service. Zero values are the defaults.
type Config struct {
	Archive Archive
	// PubsubTopics returns what this node stores. It may change.
	PubsubTopics func() []string
	// Window and Offset say what is synchronized periodically: what is at
	// least Offset and at most Offset and Window old.
	Window, Offset time.Duration
	// Interval is the time between two synchronizations begun here, each with
	// one peer at random; negative begins none. The first one comes sooner.
	Interval time.Duration
	// Peers returns those with which synchronization is worth a try: connected
	// store nodes. None is begun without.
	Peers func() []peer.ID
	// Allow says with whom; nil is with everybody. What a peer sends is
	// checked to be a message as it was announced, not to be true: WAKU-SYNC
	// trusts its peers.
	Allow func(peer.ID) bool
	// Reach is how far back others may compare, and send what is missing
	// here; no more than the archive keeps.
	Reach time.Duration
	// Rate bounds the sessions one peer begins.
	Rate rpc.Rate
	// Observe, if set, is told of each session and each transfer begun by
	// another node; Done of the outcome of each session, whoever began it.
	// They must not block.
	Observe func(rpc.Exchange)
	Done    func(peer.ID, Report, error)
	// Logger may be nil.
	Logger *slog.Logger
}

// Report is the outcome of a synchronization.
type Report struct {
	// Sent and Received are messages, Missing those that the peer listed and
	// did not send; in a session that the peer began, those it is yet to send.
	Sent, Received, Missing int
	// Sessions is the number of reconciliations, Rounds that of payloads read
	// in them.
	Sessions, Rounds int
	// BytesIn and BytesOut are those of payloads; BytesSent those of messages
	// sent.
	BytesIn, BytesOut, BytesSent int
	// Partial says that a bound was met; another synchronization finds the
	// rest.
	Partial bool
}

// add sums up what two sessions did.
func (r *Report) add(o Report) {
	r.Sent += o.Sent
	r.Received += o.Received
	r.Sessions += o.Sessions
	r.Rounds += o.Rounds
	r.BytesIn += o.BytesIn
	r.BytesOut += o.BytesOut
	r.BytesSent += o.BytesSent
}

// Service synchronizes an archive with those of other nodes. It is safe for
// concurrent use.
type Service struct {
	h   host.Host
	cfg Config
	log *slog.Logger

	ctx    context.Context
	cancel context.CancelFunc
	loop   sync.WaitGroup

	limit     *rpc.Limiter
	streams   rpc.Gate // all that others open
	sessions  rpc.Gate // reconciliations begun by others
	sends     rpc.Gate // transfers after them
	transfers rpc.Gate
	own       rpc.Gate // begun here
	slots     chan struct{}
	sending   chan struct{}
	ledger    ledger

	mu    sync.Mutex
	forms map[peer.ID]Form // those that peers understood
}

const (
	// maxOfPeer bounds the reconciliations that one peer has begun at a time:
	// one, and one that follows when the first is over for the peer and not
	// quite for this node.
	maxOfPeer = 2
	// maxSends bounds the transfers to one peer at a time.
	maxSends = 2
)

// maxForms bounds the peers whose form is remembered.
const maxForms = 1024

// NewService mounts both protocols on h and begins to synchronize. The archive
// stays the caller's to close, after the service.
func NewService(h host.Host, cfg Config) *Service {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Window, DefaultWindow)
	def(&cfg.Offset, DefaultOffset)
	def(&cfg.Interval, DefaultInterval)
	def(&cfg.Reach, DefaultReach)
	if cfg.Rate == (rpc.Rate{}) {
		cfg.Rate = DefaultRate
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		h: h, cfg: cfg, log: cfg.Logger,
		limit:    rpc.NewLimiter(cfg.Rate),
		sessions: rpc.Gate{Max: maxOfPeer}, sends: rpc.Gate{Max: maxSends}, transfers: rpc.Gate{Max: 2}, own: rpc.Gate{Max: 1},
		slots: make(chan struct{}, MaxSessions), sending: make(chan struct{}, MaxSending),
		forms: make(map[peer.ID]Form),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	h.SetStreamHandler(ReconcileID, s.serve)
	h.SetStreamHandler(TransferID, s.receive)
	if cfg.Interval > 0 && cfg.Peers != nil {
		s.loop.Go(s.run)
	}
	return s
}

// Close unmounts the protocols, ends what is under way and waits for it. Neither
// Observe nor Done is called any more.
func (s *Service) Close() error {
	s.h.RemoveStreamHandler(ReconcileID)
	s.h.RemoveStreamHandler(TransferID)
	s.cancel()
	s.loop.Wait()
	s.streams.Close()
	s.own.Close()
	return nil
}

// Window is what is synchronized periodically, at now.
func (s *Service) Window(now time.Time) store.Span {
	end := now.Add(-s.cfg.Offset)
	return store.Span{Start: end.Add(-s.cfg.Window).UnixNano(), End: end.UnixNano(), PubsubTopics: s.cfg.PubsubTopics()}
}

// run synchronizes periodically, for the first time as soon as what was missed
// in a short absence is old enough to be synchronized: a restart leaves a hole
// that nobody else looks for. The times differ by a tenth, so that nodes
// started together do not stay together.
func (s *Service) run() {
	first := min(s.cfg.Interval, s.cfg.Offset+firstMargin)
	for wait := first; ; {
		jitter := time.Duration(rand.Int64N(int64(wait)/5+1)) - wait/10
		select {
		case <-time.After(wait + jitter):
		case <-s.ctx.Done():
			return
		}
		if s.once() {
			wait = s.cfg.Interval
		}
	}
}

// firstMargin is what a node is given to find its peers before it synchronizes
// for the first time, beside the age that messages must have.
const firstMargin = 10 * time.Second

// maxTries is the number of peers tried in one interval.
const maxTries = 5

// once synchronizes with one peer at random, the first one with which it
// works. It returns whether there was any to try.
func (s *Service) once() (tried bool) {
	peers := slices.Clone(s.cfg.Peers())
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	for _, p := range peers[:min(len(peers), maxTries)] {
		if s.ctx.Err() != nil {
			return true
		}
		if p == s.h.ID() || s.cfg.Allow != nil && !s.cfg.Allow(p) {
			continue
		}
		tried = true
		report, err := s.Sync(s.ctx, p, s.Window(time.Now()))
		if err == nil {
			s.log.Debug("store synchronized", "peer", p, "report", report)
			return true
		}
		s.log.Debug("store not synchronized", "peer", p, "cause", err)
	}
	return tried
}

// serve is a session that another node begins.
func (s *Service) serve(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	if !s.streams.Enter(p) {
		_ = stream.Reset()
		return
	}
	defer s.streams.Leave(p)
	c, report, err := s.admit(stream, p)
	if c == nil {
		_ = stream.Reset()
		s.log.Debug("store sync refused", "peer", p)
		return
	}
	if err == nil && len(c.found.Have) > 0 {
		// What a session that failed has found may be no difference.
		err = s.give(p, c.found.Have, &report)
	}
	s.done(p, report, err)
}

// admit holds the reconciliation of serve; none when the peer has one already
// or too many, or everybody together has.
func (s *Service) admit(stream network.Stream, p peer.ID) (c *conversation, r Report, err error) {
	if !s.sessions.Enter(p) {
		return nil, r, nil
	}
	defer s.sessions.Leave(p)
	start := time.Now()
	if s.cfg.Allow != nil && !s.cfg.Allow(p) || !s.limit.Allow(p, start) || !enter(s.slots) {
		s.observe(ReconcileID, p, start, 0, 0)
		return nil, r, nil
	}
	defer func() { <-s.slots }()
	c = &conversation{}
	a := s.ledger.begin(p, start)
	err = s.answer(stream, c)
	asked := s.ledger.end(a, c.found.Want, false, time.Now())
	s.observe(ReconcileID, p, start, c.in, c.out)
	return c, Report{
		Sessions: 1, Rounds: c.rounds, BytesIn: c.in, BytesOut: c.out,
		Missing: asked, Partial: c.partial(asked),
	}, err
}

// give sends p what it was found to lack. With too many transfers under way
// that is left to a later session.
func (s *Service) give(p peer.ID, have []store.ID, r *Report) (err error) {
	if !s.sends.Enter(p) {
		r.Partial = true
		return nil
	}
	defer s.sends.Leave(p)
	if !enter(s.sending) {
		r.Partial = true
		return nil
	}
	defer func() { <-s.sending }()
	r.Sent, r.BytesSent, err = s.transfer(s.ctx, p, have)
	return err
}

// enter takes a place, if there is one.
func enter(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

// partial says whether a bound was met.
func (c *conversation) partial(asked int) bool {
	return c.found.Dense > 0 || len(c.found.Have) > MaxWanted || asked < len(c.found.Want)
}

func (s *Service) observe(id protocol.ID, p peer.ID, start time.Time, in, out int) {
	if s.cfg.Observe != nil {
		s.cfg.Observe(rpc.Exchange{Protocol: id, Peer: p, Took: time.Since(start), In: in, Out: out})
	}
}

func (s *Service) done(p peer.ID, r Report, err error) {
	if err != nil {
		s.log.Debug("store sync ended", "peer", p, "cause", err)
	}
	if s.cfg.Done != nil {
		s.cfg.Done(p, r, err)
	}
}

// answer is the reconciliation of serve.
func (s *Service) answer(stream network.Stream, c *conversation) (err error) {
	g := watch(s.ctx, stream)
	defer func() {
		if errors.Is(err, ErrScope) {
			g.release(nil) // answered, by nothing
			return
		}
		g.release(err)
	}()
	c.s, c.r = g, bufio.NewReader(g)
	var set *Set
	var stretches []Bounds
	floor := max(0, time.Now().Add(-s.cfg.Reach).UnixNano())
	c.prepare = func(p *Payload) (*Set, []Bounds, error) {
		p.Ranges = forgo(p.Ranges, floor)
		if set != nil {
			return set, stretches, nil
		}
		topics := s.cfg.PubsubTopics()
		common := p.common(topics)
		if len(common) == 0 {
			return nil, nil, ErrScope
		}
		c.scope = scopeOf(p.Form, topics)
		if stretches = merge(p.Ranges); len(stretches) > MaxIntervals {
			return nil, nil, fmt.Errorf("%w: %d stretches of time", ErrSnapshot, len(stretches))
		}
		var err error
		set, err = snapshot(s.ctx, s.cfg.Archive, stretches, common)
		return set, stretches, err
	}
	return c.run()
}

// forgo skips what is older than floor, which is not kept here. A range on both
// sides of it is divided; the fingerprint of its younger part is then not known
// and taken to be that of the whole.
func forgo(ranges []Range, floor int64) []Range {
	edge := store.ID{Timestamp: floor}
	out := make([]Range, 0, len(ranges)+1)
	for _, r := range ranges {
		switch {
		case r.Kind == Skip || compareIDs(r.Lower, edge) >= 0:
		case compareIDs(r.Upper, edge) <= 0:
			r = Range{Bounds: r.Bounds}
		default:
			out = append(out, Range{Bounds: Bounds{r.Lower, edge}})
			r.Lower = edge
			for len(r.Items) > 0 && compareIDs(r.Items[0], edge) < 0 {
				r.Items = r.Items[1:]
			}
		}
		out = append(out, r)
	}
	return out
}

// merge returns the stretches that the ranges cover that are not skipped.
func merge(ranges []Range) (out []Bounds) {
	for i := range ranges {
		r := &ranges[i]
		switch n := len(out); {
		case r.Kind == Skip:
		case n > 0 && out[n-1].Upper == r.Lower:
			out[n-1].Upper = r.Upper
		default:
			out = append(out, r.Bounds)
		}
	}
	return out
}
