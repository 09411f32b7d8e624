package stack

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// StoreNodes is what a Transport is besides when it can tell its store nodes
// apart, so that they can be compared. Without it all of them are one.
type StoreNodes interface {
	// StoreNodes names the nodes to ask about a pubsub topic, the best first.
	StoreNodes(pubsubTopic string) []string
	// QueryNode asks one of them for one page.
	QueryNode(ctx context.Context, node string, q *store.Query) (*store.Page, error)
}

const (
	// panelMost is how many store nodes take turns at most.
	panelMost = 6
	// A node that fails is left alone for pauseFailed, doubling up to
	// pauseFailedMost; one that lies for pauseLied, up to pauseLiedMost. When
	// nobody else is there it is asked all the same.
	pauseFailed, pauseFailedMost = time.Minute, time.Hour
	pauseLied, pauseLiedMost     = 10 * time.Minute, 6 * time.Hour
)

var errNoNode = errors.New("no store node is known")

// panel chooses the store nodes to ask, in turn.
type panel struct {
	transport Transport
	book      *storeBook
	clock     func() time.Time
	round     int
}

func newPanel(t Transport, book *storeBook, clock func() time.Time) panel {
	return panel{transport: t, book: book, clock: clock}
}

// turn makes other nodes come first.
func (p *panel) turn() { p.round++ }

// choose returns the nodes to ask about a pubsub topic, the one whose turn it
// is first; those that are left alone only when there are no others.
func (p *panel) choose(pubsub string) []string {
	nodes, ok := p.transport.(StoreNodes)
	if !ok {
		return []string{""}
	}
	all := nodes.StoreNodes(pubsub)
	all = all[:min(len(all), panelMost)]
	now := p.clock()
	ready := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return p.book.paused(n, now) })
	if len(ready) == 0 {
		ready = slices.Clone(all)
	}
	if len(ready) == 0 {
		return nil
	}
	first := p.round % len(ready)
	return slices.Concat(ready[first:], ready[:first])
}

// query asks one node for one page.
func (p *panel) query(ctx context.Context, node string, q *store.Query) (*store.Page, error) {
	asked := *q
	if nodes, ok := p.transport.(StoreNodes); ok {
		return nodes.QueryNode(ctx, node, &asked)
	}
	return p.transport.Query(ctx, &asked)
}

// StoreHealth is what is known of a store node since the start, by comparing
// it with what is here and with others.
type StoreHealth struct {
	// Node is its name, a peer id; empty where they cannot be told apart.
	Node string `json:"node"`
	// Answers is how many listings it has answered, and Hashes how many hashes
	// were in them.
	Answers int `json:"answers"`
	Hashes  int `json:"hashes"`
	// Missing is how many of those were not here; Lacking how many others
	// listed that it did not.
	Missing int `json:"missing"`
	Lacking int `json:"lacking"`
	// Withheld is how many it listed and did not give, Wrong how many it gave
	// that were not asked for, or were not what they were said to be.
	Withheld int `json:"withheld"`
	Wrong    int `json:"wrong"`
	// Last is when it answered last, PausedUntil until when it is left alone,
	// in milliseconds.
	Last        int64 `json:"last,omitempty"`
	PausedUntil int64 `json:"paused_until,omitempty"`
	// Error is why it did not answer, the last time.
	Error string `json:"error,omitempty"`
}

// Reconciliation is how comparing with store nodes has gone since the start.
type Reconciliation struct {
	// Rounds is how many comparisons there were, and Last when the last one
	// was, in milliseconds.
	Rounds int   `json:"rounds"`
	Last   int64 `json:"last,omitempty"`
	// Repaired is how many messages for us were missing and were fetched,
	// large ones on shards of their own not counted.
	Repaired int `json:"repaired"`
	// Error is why the last one is not complete.
	Error string `json:"error,omitempty"`
	// Stores are the nodes that were asked.
	Stores []StoreHealth `json:"stores"`
}

// Reconciliation returns how comparing with store nodes has gone.
func (s *Stack) Reconciliation() Reconciliation { return s.stores.report() }

// storeBook keeps what is known of store nodes.
type storeBook struct {
	mu     sync.Mutex
	nodes  map[string]*bookEntry
	rounds Reconciliation
}

type bookEntry struct {
	StoreHealth
	fails, lies int
	paused      time.Time
}

// counted is what one node listed of a span.
type counted struct{ hashes, missing, lacking int }

func (b *storeBook) change(node string, change func(e *bookEntry)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.nodes[node]
	if e == nil {
		if b.nodes == nil {
			b.nodes = make(map[string]*bookEntry)
		}
		e = &bookEntry{StoreHealth: StoreHealth{Node: node}}
		b.nodes[node] = e
	}
	change(e)
}

func (b *storeBook) report() Reconciliation {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rounds
	r.Stores = []StoreHealth{}
	for _, node := range slices.Sorted(maps.Keys(b.nodes)) {
		h := b.nodes[node].StoreHealth
		if at := b.nodes[node].paused; !at.IsZero() {
			h.PausedUntil = at.UnixMilli()
		}
		r.Stores = append(r.Stores, h)
	}
	return r
}

func (b *storeBook) compared(now time.Time, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rounds.Rounds++
	b.rounds.Last = now.UnixMilli()
	b.rounds.Repaired += o.fetched
	b.rounds.Error = ""
	if o.err != nil {
		b.rounds.Error = o.err.Error()
	}
}

func (b *storeBook) listed(counts map[string]counted, now time.Time) {
	for node, c := range counts {
		b.change(node, func(e *bookEntry) {
			e.Hashes += c.hashes
			e.Missing += c.missing
			e.Lacking += c.lacking
		})
	}
}

// answered ends the patience with a node that failed.
func (b *storeBook) answered(node string, now time.Time) {
	b.change(node, func(e *bookEntry) {
		e.Answers++
		e.Last, e.Error, e.fails = now.UnixMilli(), "", 0
		if e.lies == 0 {
			e.paused = time.Time{}
		}
	})
}

func (b *storeBook) failed(node string, now time.Time, cause error) {
	b.change(node, func(e *bookEntry) {
		e.Error = cause.Error()
		e.paused = now.Add(doubled(pauseFailed, pauseFailedMost, e.fails))
		e.fails++
	})
}

func (b *storeBook) withheld(node string, many int) {
	b.change(node, func(e *bookEntry) { e.Withheld += many })
}

// withholds is withheld by a node that gave nothing of what it listed.
func (b *storeBook) withholds(node string, now time.Time, many int) {
	b.change(node, func(e *bookEntry) { e.Withheld += many; e.lied(now) })
}

func (b *storeBook) wrong(node string, now time.Time, many int) {
	b.change(node, func(e *bookEntry) { e.Wrong += many; e.lied(now) })
}

func (e *bookEntry) lied(now time.Time) {
	e.paused = now.Add(doubled(pauseLied, pauseLiedMost, e.lies))
	e.lies++
}

func (b *storeBook) paused(node string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.nodes[node]
	return e != nil && e.paused.After(now)
}

func doubled(first, most time.Duration, times int) time.Duration {
	if times >= 16 {
		return most
	}
	return min(first<<times, most)
}

// foreignMost is how many envelopes of others are remembered in memory.
const foreignMost = 8192

// foreign remembers the newest envelopes that came on our topics and are not
// for us: topics have several readers.
type foreign struct {
	mu    sync.Mutex
	known map[message.Hash]struct{}
	ring  []message.Hash
	at    int
}

func (f *foreign) note(h message.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[message.Hash]struct{})
	}
	if _, ok := f.known[h]; ok {
		return
	}
	f.known[h] = struct{}{}
	if len(f.ring) < foreignMost {
		f.ring = append(f.ring, h)
		return
	}
	delete(f.known, f.ring[f.at])
	f.ring[f.at] = h
	f.at = (f.at + 1) % foreignMost
}

func (f *foreign) has(h message.Hash) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.known[h]
	return ok
}
