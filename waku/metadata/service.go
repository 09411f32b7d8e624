package metadata

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

// Config are the parameters of a Checker.
type Config struct {
	// Own returns what this node says of itself. Its cluster is the one
	// peers must be of. It is called often and must not block.
	Own func() Info
	// OnPeer is told of each peer that passed, and again when a peer that
	// passed speaks other protocols than before; may be nil.
	OnPeer func(peer.ID, Info)
	// Patience is how long a peer that dialled may take to ask by itself
	// before it is asked; zero for DefaultPatience.
	Patience time.Duration
	// Limit bounds the requests of one peer; zero for DefaultLimit. What
	// exceeds it is reset, for the protocol has no code to say so.
	Limit rpc.Rate
	// Observe, when given, is told of each request once it is over; answers
	// count as 200. It is called from several goroutines at a time and must
	// not block.
	Observe func(rpc.Exchange)
	// Logger may be nil.
	Logger *slog.Logger
}

// DefaultPatience is some round trips over a slow network. Deployed clients
// ask as soon as they are connected.
const DefaultPatience = 3 * time.Second

// DefaultLimit is far above what deployed clients ask, which is once or twice
// for each connection; they part from a node that does not answer.
var DefaultLimit = rpc.Rate{PerSecond: 5, Burst: 30}

// Checker answers metadata requests and asks every newly connected peer,
// closing connections to those that fail: no metadata protocol, a failed
// exchange, no cluster, or another one.
type Checker struct {
	h      host.Host
	cfg    Config
	log    *slog.Logger
	limit  *rpc.Limiter
	server *rpc.Server
	sub    event.Subscription
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	notify *network.NotifyBundle

	mu       sync.Mutex
	known    map[peer.ID]Info
	rejected uint64
}

// NewChecker mounts the protocol on h and starts asking.
func NewChecker(h host.Host, cfg Config) (*Checker, error) {
	sub, err := h.EventBus().Subscribe(
		[]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed), new(event.EvtPeerProtocolsUpdated)},
		eventbus.Name("waku-metadata"), eventbus.BufSize(256))
	if err != nil {
		return nil, err
	}
	c := &Checker{h: h, cfg: cfg, log: cfg.Logger, sub: sub, known: make(map[peer.ID]Info)}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.cfg.Patience == 0 {
		c.cfg.Patience = DefaultPatience
	}
	if c.cfg.Limit == (rpc.Rate{}) {
		c.cfg.Limit = DefaultLimit
	}
	c.limit = rpc.NewLimiter(c.cfg.Limit)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.notify = &network.NotifyBundle{DisconnectedF: func(n network.Network, conn network.Conn) {
		if n.Connectedness(conn.RemotePeer()) != network.Connected {
			c.forget(conn.RemotePeer())
		}
	}}
	h.Network().Notify(c.notify)
	c.server = rpc.Serve(h, ProtocolID, rpc.Config{
		MaxRequest: MaxSize, MaxStreams: MaxStreams,
		Idle: IdleTimeout, Timeout: exchangeTimeout,
		Observe: cfg.Observe, Logger: c.log,
	}, c.serve)
	c.wg.Go(c.watch)
	return c, nil
}

// Close unmounts the protocol and waits for exchanges under way.
func (c *Checker) Close() error {
	c.cancel()
	c.server.Close()
	c.h.Network().StopNotify(c.notify)
	err := c.sub.Close()
	c.wg.Wait()
	return err
}

// Stats is how much a Checker has to do now and refused since it started.
type Stats struct {
	// Known is the number of connected peers that passed.
	Known int
	// Streams are open, those that wait for their request among them.
	Streams int
	// Limited requests exceeded their peer's rate, RefusedStreams the streams
	// a peer may have open, and Rejected connections were closed for what
	// their peer said or did not say.
	Limited, RefusedStreams, Rejected uint64
}

// Stats returns the present state.
func (c *Checker) Stats() Stats {
	load := c.server.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Known: len(c.known), Streams: load.Streams,
		Limited: c.limit.Refused(), RefusedStreams: load.Refused, Rejected: c.rejected,
	}
}

// Info returns what a connected peer said last, if it was heard.
func (c *Checker) Info(p peer.ID) (Info, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in, ok := c.known[p]
	return in, ok
}

func (c *Checker) watch() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case e, ok := <-c.sub.Out():
			if !ok {
				return
			}
			switch e := e.(type) {
			case event.EvtPeerIdentificationCompleted:
				c.wg.Go(func() { c.check(e.Peer, e.Conn.Stat().Direction == network.DirInbound) })
			case event.EvtPeerIdentificationFailed:
				c.wg.Go(func() { c.unidentified(e) })
			case event.EvtPeerProtocolsUpdated:
				if in, ok := c.Info(e.Peer); ok {
					c.passed(e.Peer, in)
				}
			}
		}
	}
}

// check asks one peer and closes its connections when it does not pass. It
// asks whatever protocols the peer named: a node that has just started may
// name them later.
//
// A peer that dialled is asked only when it does not ask itself. JavaScript
// clients mistake a request that comes while they ask for the answer to
// theirs, and then take this node for one without shards.
func (c *Checker) check(p peer.ID, dialled bool) {
	if dialled && c.asks(p) {
		return
	}
	in, err := Request(network.WithNoDial(c.ctx, "metadata"), c.h, p, c.cfg.Own())
	if err == nil {
		err = in.Judge(c.cfg.Own().Cluster)
	}
	if c.ctx.Err() != nil {
		return
	}
	if err != nil {
		c.reject(p, err)
		return
	}
	c.remember(p, in)
	c.passed(p, in)
}

// unidentified parts from a peer that could not be identified on any of its
// connections: nobody would ever use it, and it is not dialled again while it
// is connected.
func (c *Checker) unidentified(e event.EvtPeerIdentificationFailed) {
	if !c.asks(e.Peer) && c.ctx.Err() == nil {
		c.reject(e.Peer, fmt.Errorf("not identified: %w", e.Reason))
	}
}

// asks gives a peer time to ask by itself and reports whether it did, or is
// gone.
func (c *Checker) asks(p peer.ID) bool {
	if _, ok := c.Info(p); !ok {
		select {
		case <-time.After(c.cfg.Patience):
		case <-c.ctx.Done():
			return true
		}
	}
	in, ok := c.Info(p)
	if ok {
		c.passed(p, in)
	}
	return ok || c.h.Network().Connectedness(p) != network.Connected
}

func (c *Checker) passed(p peer.ID, in Info) {
	if c.cfg.OnPeer != nil {
		c.cfg.OnPeer(p, in)
	}
}

func (c *Checker) reject(p peer.ID, err error) {
	c.log.Info("peer disconnected", "peer", p, "cause", err)
	c.mu.Lock()
	c.rejected++
	c.mu.Unlock()
	_ = c.h.Network().ClosePeer(p)
	c.forget(p)
}

func (c *Checker) remember(p peer.ID, in Info) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.h.Network().Connectedness(p) == network.Connected {
		c.known[p] = in
	}
}

func (c *Checker) forget(p peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, p)
}

// serve answers one request.
func (c *Checker) serve(_ context.Context, p peer.ID, receive func(proto.Message) error) (proto.Message, error) {
	if !c.limit.Allow(p, time.Now()) {
		return nil, rpc.ErrLimited
	}
	var req wakupb.WakuMetadataRequest
	if err := receive(&req); err != nil {
		return nil, err
	}
	in, err := read(req.ClusterId, &req)
	if err != nil {
		return nil, err
	}
	own := c.cfg.Own()
	// Another cluster is parted from by check, which hears the same.
	if in.Judge(own.Cluster) == nil {
		c.remember(p, in)
		c.passed(p, in)
	}
	return own.response(), nil
}
