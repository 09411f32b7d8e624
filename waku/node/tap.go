package node

import (
	"sync"
	"sync/atomic"
)

// TapStatus tells of the taps.
type TapStatus struct {
	// Open taps there are now.
	Open int `json:"open"`
	// Dropped messages found a tap's buffer full, since the start.
	Dropped uint64 `json:"dropped"`
}

// Tap gives every message that is relayed or published on a pubsub topic, or
// on any one for "", whatever its content topic and whoever published it,
// this node included; each once. Messages beyond the buffer, of at least 1,
// are dropped and counted in Status: a slow reader holds up nobody. Stop ends
// the tap and closes the channel, as does the end of the node.
func (n *Node) Tap(pubsubTopic string, buffer int) (messages <-chan Envelope, stop func()) {
	t := &tap{topic: pubsubTopic, out: make(chan Envelope, max(1, buffer))}
	n.taps.add(t)
	return t.out, sync.OnceFunc(func() { n.taps.remove(t) })
}

type tap struct {
	topic string
	out   chan Envelope
}

// taps are those who listen in. The zero value is ready.
type taps struct {
	mu      sync.RWMutex
	open    map[*tap]struct{}
	closed  bool
	dropped atomic.Uint64
}

func (ts *taps) add(t *tap) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		close(t.out)
		return
	}
	if ts.open == nil {
		ts.open = make(map[*tap]struct{})
	}
	ts.open[t] = struct{}{}
}

func (ts *taps) remove(t *tap) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if _, ok := ts.open[t]; ok {
		delete(ts.open, t)
		close(t.out)
	}
}

// give hands an envelope to the taps on its pubsub topic.
func (ts *taps) give(e Envelope) {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	for t := range ts.open {
		if t.topic != "" && t.topic != e.PubsubTopic {
			continue
		}
		select {
		case t.out <- e:
		default:
			ts.dropped.Add(1)
		}
	}
}

func (ts *taps) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.closed = true
	for t := range ts.open {
		close(t.out)
	}
	ts.open = nil
}

func (ts *taps) status() TapStatus {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return TapStatus{Open: len(ts.open), Dropped: ts.dropped.Load()}
}
