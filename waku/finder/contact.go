package finder

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/parley-im/parley/waku/peers"
)

const (
	// A node that is alone dials contactDials peers at the same time, the next
	// ones after minContact, doubling up to maxContact, part of which is
	// random.
	contactDials   = 3
	minContact     = time.Second
	maxContact     = time.Minute
	contactTimeout = 10 * time.Second
)

// startContact makes a connection whenever there is none at all, without the
// manager's patience; the manager does the rest once there is one.
func (f *Finder) startContact() {
	lost := make(chan struct{}, 1)
	notify := &network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { signal(lost) }}
	f.h.Network().Notify(notify)
	f.wg.Go(func() {
		defer f.h.Network().StopNotify(notify)
		f.contact(lost)
	})
}

func (f *Finder) contact(lost <-chan struct{}) {
	delay, turn := minContact, 0
	for {
		if f.alone() {
			turn += f.dialSome(turn)
		}
		since := time.Now()
		for !f.alone() {
			select {
			case <-lost:
			case <-f.ctx.Done():
				return
			}
		}
		if time.Since(since) >= peers.SteadyAfter {
			delay = minContact
		}
		select {
		case <-time.After(delay/2 + rand.N(delay/2)):
		case <-f.news:
		case <-f.ctx.Done():
			return
		}
		delay = min(2*delay, maxContact)
	}
}

// alone says whether nobody is connected.
func (f *Finder) alone() bool { return len(f.h.Network().Peers()) == 0 }

// tell has a node that is alone look for whom to dial now.
func (f *Finder) tell() { signal(f.news) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// dialSome dials the peers whose turn it is, until one is connected, and
// returns how many.
func (f *Finder) dialSome(turn int) int {
	known := f.contacts()
	ctx, cancel := context.WithTimeout(f.ctx, contactTimeout)
	defer cancel()
	n := min(len(known), contactDials)
	var wg sync.WaitGroup
	for i := range n {
		p := known[(turn+i)%len(known)]
		wg.Go(func() {
			if s, ok := f.h.Network().(*swarm.Swarm); ok {
				s.Backoff().Clear(p.ID)
			}
			if err := f.h.Connect(ctx, p); err != nil {
				f.log.Debug("first node not reached", "peer", p.ID, "cause", err)
				return
			}
			f.manager.Adopt(p.ID)
			cancel()
		})
	}
	wg.Wait()
	return n
}

// contacts are the peers that may be dialled by a node that is alone: those of
// the best sources, and those that were connected before, who were it last
// first.
func (f *Finder) contacts() (all []peer.AddrInfo) {
	cluster := f.cfg.Want().Cluster
	known := slices.DeleteFunc(f.manager.Peers(), func(k peers.Known) bool {
		return k.Source == peers.Static || len(k.Addrs) == 0 || k.Cluster != nil && *k.Cluster != cluster ||
			k.Source < peers.DNS && k.LastSeen.IsZero()
	})
	slices.SortStableFunc(known, func(x, y peers.Known) int {
		return cmp.Or(y.LastSeen.Compare(x.LastSeen), cmp.Compare(y.Source, x.Source))
	})
	for _, k := range known {
		all = append(all, peer.AddrInfo{ID: k.ID, Addrs: k.Addrs})
	}
	return all
}
