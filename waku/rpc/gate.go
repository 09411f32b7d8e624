package rpc

import (
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Gate bounds the streams that each peer has open. The zero value bounds
// nothing.
type Gate struct {
	// Max is the number of streams a peer may have; 0 is any number.
	Max int

	mu     sync.Mutex
	open   map[peer.ID]int
	total  int
	turned uint64
	closed bool
	inside sync.WaitGroup
}

// Enter lets a stream of p in, which must Leave, unless p has Max of them or
// the gate is closed.
func (g *Gate) Enter(p peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	if g.Max > 0 && g.open[p] >= g.Max {
		g.turned++
		return false
	}
	if g.open == nil {
		g.open = make(map[peer.ID]int)
	}
	g.open[p]++
	g.total++
	g.inside.Add(1)
	return true
}

// Leave takes a stream of p out.
func (g *Gate) Leave(p peer.ID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[p]--; g.open[p] == 0 {
		delete(g.open, p)
	}
	g.total--
	g.inside.Done()
}

// Open returns the number of streams inside.
func (g *Gate) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.total
}

// Refused returns how many streams were refused because their peer had Max.
func (g *Gate) Refused() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.turned
}

// Close lets nobody in any more and waits until all have left.
func (g *Gate) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
}
