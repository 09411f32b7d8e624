package filter

import (
	"slices"
	"sync"
)

// Bounds of what waits to be pushed to one peer: a peer that takes nothing
// costs no more than that,
// and the frames of one message are shared by all who wait for it.
const (
	MaxQueue      = 1000
	MaxQueueBytes = 16 << 20
)

// queue holds the frames to push to one peer, oldest first.
type queue struct {
	mu     sync.Mutex
	frames [][]byte
	bytes  int
	paused bool
	wake   chan struct{} // holds a token when there may be something to take
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put appends a frame, unless the queue is full.
func (q *queue) put(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames) >= MaxQueue || q.bytes+len(frame) > MaxQueueBytes {
		return false
	}
	q.frames = append(q.frames, frame)
	q.bytes += len(frame)
	q.signal()
	return true
}

// back puts frames taken from the queue to its front again.
func (q *queue) back(frames ...[]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.frames = append(slices.Clone(frames), q.frames...)
	for _, frame := range frames {
		q.bytes += len(frame)
	}
	q.signal()
}

// pause withholds or gives out what waits.
func (q *queue) pause(paused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused = paused
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// next takes the oldest frame, if there is one to be given out.
func (q *queue) next() ([]byte, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.paused || len(q.frames) == 0 {
		return nil, false
	}
	frame := q.frames[0]
	q.frames[0] = nil
	q.frames = q.frames[1:]
	q.bytes -= len(frame)
	return frame, true
}
