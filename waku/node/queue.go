package node

import (
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

// Envelope is a message received live.
type Envelope struct {
	PubsubTopic string
	Message     *wakupb.WakuMessage
	Hash        message.Hash
}

// maxQueueBytes bounds the messages kept for a slow reader beside their
// number.
const maxQueueBytes = 64 << 20

// queue hands envelopes to a reader without ever making the sender wait.
type queue struct {
	out  chan Envelope
	wake chan struct{} // capacity 1: there is something new
	stop chan struct{}

	mu    sync.Mutex
	items []Envelope
	bytes int
	limit int
}

func newQueue(limit int) *queue {
	return &queue{
		out:   make(chan Envelope),
		wake:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		limit: limit,
	}
}

// push queues an envelope and reports whether there was room.
func (q *queue) push(e Envelope) bool {
	size := proto.Size(e.Message)
	q.mu.Lock()
	ok := len(q.items) < q.limit && (len(q.items) == 0 || q.bytes+size <= maxQueueBytes)
	if ok {
		q.items = append(q.items, e)
		q.bytes += size
	}
	q.mu.Unlock()
	if ok {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return ok
}

// pop takes the oldest envelope.
func (q *queue) pop() (Envelope, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return Envelope{}, false
	}
	e := q.items[0]
	q.items[0] = Envelope{}
	q.items = q.items[1:]
	if len(q.items) == 0 {
		q.items = nil
	}
	q.bytes -= proto.Size(e.Message)
	return e, true
}

// run moves envelopes to the reader until stop is closed; then it closes
// out.
func (q *queue) run() {
	defer close(q.out)
	for {
		e, ok := q.pop()
		if !ok {
			select {
			case <-q.wake:
				continue
			case <-q.stop:
				return
			}
		}
		select {
		case q.out <- e:
		case <-q.stop:
			return
		}
	}
}

// gaps tells a reader since when it may have missed messages. Gaps not read
// yet melt into one that starts with the earliest.
type gaps struct {
	out chan time.Time // capacity 1

	mu     sync.Mutex
	closed bool
}

func newGaps() *gaps { return &gaps{out: make(chan time.Time, 1)} }

func (g *gaps) add(since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	select {
	case old := <-g.out:
		if old.Before(since) {
			since = old
		}
	default:
	}
	g.out <- since // cannot block: only add sends, and there is room now
}

func (g *gaps) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		close(g.out)
	}
}

// seen remembers the last envelopes by hash: at least half of its limit, at
// most all of it.
type seen struct {
	mu          sync.Mutex
	limit       int
	old, recent map[message.Hash]struct{}
}

// seenLimit is far more than a day of a busy network brings back twice.
const seenLimit = 1 << 16

func newSeen(limit int) *seen {
	return &seen{limit: limit, recent: make(map[message.Hash]struct{})}
}

// add remembers h and reports whether it was new.
func (s *seen) add(h message.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.recent[h]; ok {
		return false
	}
	if _, ok := s.old[h]; ok {
		return false
	}
	if len(s.recent) >= s.limit/2 {
		s.old, s.recent = s.recent, make(map[message.Hash]struct{})
	}
	s.recent[h] = struct{}{}
	return true
}

// remove forgets h: what was to be done with it failed.
func (s *seen) remove(h message.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.recent, h)
	delete(s.old, h)
}
