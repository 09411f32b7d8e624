package node

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// protectStatic is the tag under which static peers are protected.
const protectStatic = "static"

const (
	maxRedial   = time.Minute
	dialTimeout = 20 * time.Second
	// steadyAfter is how long a connection holds for its loss to be a new
	// one and not the failure of the last dial.
	steadyAfter = 30 * time.Second

	// Every connected peer is pinged in this interval; one that fails twice
	// in a row is disconnected, which makes room for a replacement.
	pingEvery    = 30 * time.Second
	pingTimeout  = 10 * time.Second
	pingFailures = 2
	pingAtOnce   = 8
	// suspendedAfter is the time between two rounds of pings that means
	// that the machine slept.
	suspendedAfter = 3 * pingEvery
)

// static is a peer that is kept connected.
type static struct {
	ctx    context.Context // until it is not kept any more
	cancel context.CancelFunc
	lost   chan struct{} // capacity 1
}

// keeper keeps static peers connected and all peers honest about being
// there.
type keeper struct {
	h      host.Host
	redial time.Duration
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	notify *network.NotifyBundle
	// suspended is told that nothing ran since a time.
	suspended func(since time.Time)

	mu   sync.Mutex
	kept map[peer.ID]*static
	miss map[peer.ID]int // pings failed in a row
}

func newKeeper(h host.Host, redial time.Duration, log *slog.Logger) *keeper {
	k := &keeper{
		h: h, redial: redial, log: log,
		kept: make(map[peer.ID]*static),
		miss: make(map[peer.ID]int),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.notify = &network.NotifyBundle{DisconnectedF: k.disconnected}
	return k
}

func (k *keeper) start(static []peer.AddrInfo) {
	k.h.Network().Notify(k.notify)
	for _, p := range static {
		k.add(p)
	}
	k.wg.Go(k.watch)
}

// Keep keeps a peer connected from now on, like those of Config.Peers.
func (n *Node) Keep(p peer.AddrInfo) { n.peers.add(p) }

// add keeps one more peer connected from now on.
func (k *keeper) add(p peer.AddrInfo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p.ID == k.h.ID() || k.ctx.Err() != nil {
		return
	}
	k.h.Peerstore().AddAddrs(p.ID, p.Addrs, peerstore.PermanentAddrTTL)
	if k.kept[p.ID] != nil {
		return
	}
	s := &static{lost: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(k.ctx)
	k.kept[p.ID] = s
	k.h.ConnManager().Protect(p.ID, protectStatic)
	k.wg.Go(func() { k.keep(p.ID, s) })
}

// remove keeps a peer connected no more.
func (k *keeper) remove(p peer.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s := k.kept[p]; s != nil {
		s.cancel()
		delete(k.kept, p)
		k.h.ConnManager().Unprotect(p, protectStatic)
	}
}

// static says whether a peer is kept connected.
func (k *keeper) static(p peer.ID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[p] != nil
}

func (k *keeper) close() {
	k.mu.Lock() // nothing is added from here on
	k.cancel()
	k.mu.Unlock()
	k.h.Network().StopNotify(k.notify)
	k.wg.Wait()
}

func (k *keeper) disconnected(n network.Network, c network.Conn) {
	p := c.RemotePeer()
	if n.Connectedness(p) == network.Connected {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.miss, p)
	if s, ok := k.kept[p]; ok {
		select {
		case s.lost <- struct{}{}:
		default:
		}
	}
}

// keep dials a static peer whenever it is not connected, with a delay that
// doubles while connections fail or do not hold.
func (k *keeper) keep(p peer.ID, s *static) {
	delay := k.redial
	for s.ctx.Err() == nil {
		since := time.Now()
		if err := k.dial(s.ctx, p); err != nil {
			k.log.Debug("static peer not reached", "peer", p, "cause", err)
		}
		for k.h.Network().Connectedness(p) == network.Connected {
			select {
			case <-s.lost:
			case <-s.ctx.Done():
				return
			}
		}
		if time.Since(since) > steadyAfter {
			delay = k.redial
		}
		select {
		// Up to half of the delay is random, so that the peers of a node
		// that restarts do not all come back at the same moment.
		case <-time.After(delay/2 + rand.N(delay/2+1)):
		case <-s.ctx.Done():
			return
		}
		delay = min(2*delay, max(maxRedial, k.redial))
	}
}

func (k *keeper) dial(ctx context.Context, p peer.ID) error {
	// The delay here takes the place of the swarm's own.
	clearBackoff(k.h.Network(), p)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return k.h.Connect(ctx, peer.AddrInfo{ID: p})
}

// watch pings all peers again and again.
func (k *keeper) watch() {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-tick.C:
		}
		last = k.noteTime(last, time.Now())
		k.pingAll()
	}
}

// noteTime tells of a suspension when too much time passed since the last
// round, by the wall clock: the monotonic one stands still meanwhile on some
// systems. It returns now for the next round.
func (k *keeper) noteTime(last, now time.Time) time.Time {
	if now.Round(0).Sub(last.Round(0)) > suspendedAfter && k.suspended != nil {
		k.suspended(last)
	}
	return now
}

func (k *keeper) pingAll() {
	slots := make(chan struct{}, pingAtOnce)
	var wg sync.WaitGroup
	for _, p := range k.h.Network().Peers() {
		known, err := k.h.Peerstore().SupportsProtocols(p, ping.ID)
		if err != nil || len(known) == 0 {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			k.ping(p)
		})
	}
	wg.Wait()
}

// ping measures the latency of a peer and disconnects it when it has not
// answered too often.
func (k *keeper) ping(p peer.ID) {
	ctx, cancel := context.WithTimeout(k.ctx, pingTimeout)
	defer cancel()
	ctx = network.WithNoDial(ctx, "ping")
	result, ok := <-ping.Ping(ctx, k.h, p)
	if k.ctx.Err() != nil {
		return
	}
	k.mu.Lock()
	if ok && result.Error == nil {
		delete(k.miss, p)
	} else if k.h.Network().Connectedness(p) == network.Connected {
		k.miss[p]++
	}
	dead := k.miss[p] >= pingFailures
	k.mu.Unlock()
	if dead {
		k.log.Info("peer disconnected", "peer", p, "cause", "no answer to pings")
		_ = k.h.Network().ClosePeer(p)
	}
}

// speaking returns the connected peers of our cluster that speak one of the
// protocols, sorted by id.
func (n *Node) speaking(protocols ...protocol.ID) []peer.ID {
	var out []peer.ID
	for _, p := range n.h.Network().Peers() {
		if n.h.Network().Connectedness(p) != network.Connected {
			continue
		}
		if _, ok := n.metadata.Info(p); !ok {
			continue
		}
		known, err := n.h.Peerstore().SupportsProtocols(p, protocols...)
		if err == nil && len(known) > 0 {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
