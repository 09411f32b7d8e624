package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// busy bounds the requests of each peer that are answered at the same time.
// Others of the same peer wait, while what they sent waits in their streams:
// a peer that reads no answers has this many in memory, and slows only itself.
type busy struct {
	max int

	mu    sync.Mutex
	peers map[peer.ID]*turns
}

// turns are those of one peer.
type turns struct {
	taken chan struct{}
	users int // that hold a turn or wait for one
}

// enter waits for a turn of p, at most for so long and until ctx ends. It is
// to be left when it returns true.
func (b *busy) enter(ctx context.Context, p peer.ID, patience time.Duration) bool {
	b.mu.Lock()
	t := b.peers[p]
	if t == nil {
		if b.peers == nil {
			b.peers = make(map[peer.ID]*turns)
		}
		t = &turns{taken: make(chan struct{}, b.max)}
		b.peers[p] = t
	}
	t.users++
	b.mu.Unlock()
	select {
	case t.taken <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.taken <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	b.drop(p, t)
	return false
}

// leave gives a turn of p back.
func (b *busy) leave(p peer.ID) {
	b.mu.Lock()
	t := b.peers[p]
	b.mu.Unlock()
	<-t.taken
	b.drop(p, t)
}

func (b *busy) drop(p peer.ID, t *turns) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.users--; t.users == 0 {
		delete(b.peers, p)
	}
}
