package discovery

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/p2p/enode"
)

const (
	// asked is the number of nodes found that are asked at the same time
	// whether they are there.
	asked = 4
	// againAfter is when a record found before is of interest again although
	// it has not changed.
	againAfter = 5 * time.Minute
	// silentFor is when one that did not answer is asked again.
	silentFor = 30 * time.Second
	// maxSeen bounds the nodes remembered as found by one Find.
	maxSeen = 4096
)

// Find looks for nodes at random until ctx ends or v is closed, as fast as it
// is ranged over but for a pause between look-ups. It yields records that
// Serve the own cluster as want has it, those of at least one of the node's
// own shards when want names none, and that V5Config.Accept takes. Each comes
// from a node that answered just now with its newest record; unless that
// changed it does not come again for some minutes.
func (v *V5) Find(ctx context.Context, want Want) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		defer context.AfterFunc(v.ctx, cancel)()
		found := make(chan *Record)
		wg.Go(func() { v.search(ctx, want, found) })
		for {
			select {
			case r := <-found:
				if !yield(r) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// search puts what it finds into found until ctx ends.
func (v *V5) search(ctx context.Context, want Want, found chan<- *Record) {
	var wg sync.WaitGroup
	defer wg.Wait()
	candidates := v.udp.RandomNodes()
	defer context.AfterFunc(ctx, candidates.Close)()
	seen := make(memory)
	var mu sync.Mutex // of seen
	places := make(chan struct{}, asked)
	for candidates.Next() {
		n := candidates.Node()
		if v.wanted(n, want) == nil {
			continue
		}
		mu.Lock()
		news := seen.unknown(n, time.Now())
		mu.Unlock()
		if !news {
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-places }()
			newest, err := v.udp.RequestENR(n)
			if err != nil {
				mu.Lock()
				seen.silent(n, time.Now())
				mu.Unlock()
				return
			}
			if r := v.wanted(newest, want); r != nil {
				select {
				case found <- r:
				case <-ctx.Done():
				}
			}
		})
	}
}

// wanted reads the record of n; nil when it is not what is looked for.
func (v *V5) wanted(n *enode.Node, want Want) *Record {
	if n.ID() == v.local.ID() {
		return nil
	}
	r, err := fromNode(n)
	if err != nil {
		return nil
	}
	v.mu.Lock()
	own := v.own
	v.mu.Unlock()
	if want.Shards == nil && len(own.Shards) > 0 {
		want.Shards = own.Shards
	}
	if !r.Serves(own.Cluster, want) || v.cfg.Accept != nil && !v.cfg.Accept(r) {
		return nil
	}
	return r
}

// memory is what was found already.
type memory map[enode.ID]sighting

type sighting struct {
	seq uint64
	at  time.Time
}

// unknown reports whether n is news at now and remembers it.
func (m memory) unknown(n *enode.Node, now time.Time) bool {
	s, ok := m[n.ID()]
	if ok && n.Seq() <= s.seq && now.Sub(s.at) < againAfter {
		return false
	}
	if !ok && len(m) >= maxSeen {
		clear(m)
	}
	m[n.ID()] = sighting{n.Seq(), now}
	return true
}

// silent remembers that n did not answer at now.
func (m memory) silent(n *enode.Node, now time.Time) {
	if s, ok := m[n.ID()]; ok {
		m[n.ID()] = sighting{s.seq, now.Add(silentFor - againAfter)}
	}
}
