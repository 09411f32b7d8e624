package filter

import (
	"slices"
	"sync"
	"time"
)

// Bounds of what waits to be pushed to one peer: a peer that takes nothing
// costs no more than that, and the frames of one message are shared by all
// who wait for it.
const (
	MaxQueue      = 1000
	MaxQueueBytes = 16 << 20
)

// frame is a message to push, as it goes over the wire, and when it was given
// to the service.
type frame struct {
	data []byte
	at   time.Time
}

// queue holds the frames to push to one peer, oldest first.
type queue struct {
	mu     sync.Mutex
	frames []frame
	bytes  int
	paused bool
	wake   chan struct{} // holds a token when there may be something to take
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// put appends a frame, unless the queue is full.
func (q *queue) put(f frame) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames) >= MaxQueue || q.bytes+len(f.data) > MaxQueueBytes {
		return false
	}
	q.frames = append(q.frames, f)
	q.bytes += len(f.data)
	q.signal()
	return true
}

// back puts frames taken from the queue to its front again.
func (q *queue) back(frames ...frame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.frames = append(slices.Clone(frames), q.frames...)
	for _, f := range frames {
		q.bytes += len(f.data)
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
func (q *queue) next() (frame, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.paused || len(q.frames) == 0 {
		return frame{}, false
	}
	f := q.frames[0]
	q.frames[0] = frame{}
	q.frames = q.frames[1:]
	q.bytes -= len(f.data)
	return f, true
}

// load returns how many frames wait, and their bytes.
func (q *queue) load() (frames, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.frames), q.bytes
}
