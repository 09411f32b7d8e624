package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// limitedHost opens streams on relayed connections too, which libp2p refuses
// otherwise because they are short-lived. It is for metadata: a peer must not
// be parted from before the hole to it is punched.
type limitedHost struct{ host.Host }

func (h limitedHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	return h.Host.NewStream(network.WithAllowLimitedConn(ctx, "metadata"), p, ids...)
}

// requests are the requests under way at a service, so that it can end
// without one of them unanswered.
type requests struct {
	mu      sync.Mutex
	idle    map[*request]struct{} // opened, nothing read yet
	busy    int
	closed  bool
	settled chan struct{} // closed when closed and nothing is busy
	// late are the peers whose requests were answered since it closed.
	late []peer.ID
}

func newRequests() *requests {
	return &requests{idle: make(map[*request]struct{}), settled: make(chan struct{})}
}

// on is h for a service whose requests are to be counted.
func (r *requests) on(h host.Host) host.Host { return servingHost{h, r} }

type servingHost struct {
	host.Host
	requests *requests
}

// SetStreamHandler wraps the streams given to handler, which returns when the
// request is answered.
func (h servingHost) SetStreamHandler(id protocol.ID, handler network.StreamHandler) {
	h.Host.SetStreamHandler(id, func(s network.Stream) {
		q := &request{Stream: s, peer: s.Conn().RemotePeer(), all: h.requests}
		if !h.requests.enter(q) {
			_ = s.Reset()
			return
		}
		defer h.requests.leave(q)
		handler(q)
	})
}

// request is the stream of one request.
type request struct {
	network.Stream
	peer peer.ID
	all  *requests
	busy bool // something was read; guarded by all.mu
}

// Read implements io.Reader.
func (q *request) Read(b []byte) (int, error) {
	n, err := q.Stream.Read(b)
	if n > 0 {
		q.all.begin(q)
	}
	return n, err
}

func (r *requests) enter(q *request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.idle[q] = struct{}{}
	return true
}

// begin notes that a request has come.
func (r *requests) begin(q *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.idle[q]; ok {
		delete(r.idle, q)
		q.busy = true
		r.busy++
	}
}

func (r *requests) leave(q *request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.idle, q)
	if !q.busy {
		return
	}
	if r.closed {
		r.late = append(r.late, q.peer)
	}
	if r.busy--; r.busy == 0 && r.closed {
		close(r.settled)
	}
}

// drain lets no request in any more and waits for the end of those under way,
// or of ctx.
func (r *requests) drain(ctx context.Context) {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		for q := range r.idle {
			_ = q.Reset()
		}
		clear(r.idle)
		if r.busy == 0 {
			close(r.settled)
		}
	}
	r.mu.Unlock()
	select {
	case <-r.settled:
	case <-ctx.Done():
	}
}

// farewell returns when the peers that were answered last have their answers,
// or ctx ends. A connection that is closed earlier takes them with it; what
// comes after an answer and is echoed tells that the answer has come.
func (r *requests) farewell(ctx context.Context, h host.Host) {
	r.mu.Lock()
	late := slices.Clone(r.late)
	r.mu.Unlock()
	slices.Sort(late)
	var group sync.WaitGroup
	for _, p := range slices.Compact(late) {
		group.Go(func() {
			ctx, cancel := context.WithCancel(network.WithNoDial(ctx, "farewell"))
			defer cancel()
			<-ping.Ping(ctx, h, p)
		})
	}
	group.Wait()
}

// writes notes when something is written on the streams that a host opens.
type writes struct {
	mu    sync.Mutex
	under int
	last  time.Time
}

// on is h for a protocol whose writes are to be noted.
func (w *writes) on(h host.Host) host.Host { return writingHost{h, w} }

type writingHost struct {
	host.Host
	writes *writes
}

// NewStream wraps the streams it opens.
func (h writingHost) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (network.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return &writingStream{s, h.writes}, nil
}

type writingStream struct {
	network.Stream
	writes *writes
}

// Write implements io.Writer.
func (s *writingStream) Write(b []byte) (int, error) {
	s.writes.count(1)
	defer s.writes.count(-1)
	return s.Stream.Write(b)
}

func (w *writes) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under += n
	w.last = time.Now()
}

// quiet returns when nothing has been written for a while, or ctx ends. What
// was queued to be written has gone then.
func (w *writes) quiet(ctx context.Context, d time.Duration) {
	for {
		w.mu.Lock()
		rest := d - time.Since(w.last)
		if w.under > 0 {
			rest = d
		}
		w.mu.Unlock()
		if rest <= 0 {
			return
		}
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
	}
}
