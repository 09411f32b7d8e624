package rest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
)

// Limits of event streams.
const (
	// MaxStreams bounds the event streams that are open.
	MaxStreams = 64
	// MaxStreamQueue and MaxStreamBytes bound what waits for one reader. One
	// that falls behind further is sent away.
	MaxStreamQueue = 256
	MaxStreamBytes = 8 << 20
	// StreamTimeout is how long a reader may take for one event.
	StreamTimeout = 10 * time.Second
)

// Missed is the data of the last event of a stream whose reader fell behind,
// which has the name "missed".
type Missed struct {
	// Missed is the number of messages that the reader did not get.
	Missed uint64 `json:"missed"`
}

// stream is what waits for the reader of an event stream.
type stream struct {
	pubsub   string   // all when empty
	contents []string // all when empty

	mu     sync.Mutex
	queue  []item
	bytes  int
	missed uint64 // more than 0 once the reader fell behind
	woken  chan struct{}
}

func newStream(pubsub string, contents []string) *stream {
	return &stream{pubsub: pubsub, contents: contents, woken: make(chan struct{}, 1)}
}

// offer queues a message if the reader wants it. It never waits.
func (s *stream) offer(it item) {
	if s.pubsub != "" && s.pubsub != it.pubsub || len(s.contents) > 0 && !slices.Contains(s.contents, it.msg.GetContentTopic()) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.missed > 0:
		s.missed++
		return
	case len(s.queue) >= MaxStreamQueue || s.bytes+it.size > MaxStreamBytes:
		s.missed = uint64(len(s.queue)) + 1
		s.queue = nil
	default:
		s.queue = append(s.queue, it)
		s.bytes += it.size
	}
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// next takes the first message that waits, if one does, and says how many the
// reader missed if it fell behind.
func (s *stream) next() (it item, ok bool, missed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return item{}, false, s.missed
	}
	it, s.queue = s.queue[0], s.queue[1:]
	s.bytes -= it.size
	return it, true, 0
}

// streams counts the open ones.
type streams struct{ open atomic.Int64 }

// serveEvents answers with the messages of a feed as server-sent events, each
// with its hash as id, until the reader leaves, falls behind, or the server
// closes.
func (s *Server) serveEvents(f *feed, st *stream, show func(*wakupb.WakuMessage) Message, done func()) reply {
	if s.streams.open.Add(1) > MaxStreams {
		s.streams.open.Add(-1)
		done()
		return textf(http.StatusServiceUnavailable, "more than %d event streams", MaxStreams)
	}
	f.open(st)
	return reply{stream: func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			f.close(st)
			s.streams.open.Add(-1)
			done()
		}()
		s.writeEvents(w, r, st, show)
	}}
}

func (s *Server) writeEvents(w http.ResponseWriter, r *http.Request, st *stream, show func(*wakupb.WakuMessage) Message) {
	control := http.NewResponseController(w)
	send := func(raw []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(s.writeTimeout)) // where there is a connection
		if _, err := w.Write(raw); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if !send(alive) { // the reader knows at once that it is connected
		return
	}
	pause := time.NewTicker(s.cfg.KeepAlive)
	defer pause.Stop()
	for {
		it, ok, missed := st.next()
		switch {
		case ok:
			if !send(event("id: "+it.hash.String(), show(it.msg))) {
				return
			}
			continue
		case missed > 0:
			send(event("event: missed", Missed{missed}))
			return
		}
		select {
		case <-st.woken:
		case <-pause.C:
			if !send(alive) {
				return
			}
		case <-r.Context().Done():
			return
		case <-s.closed:
			return
		}
	}
}

var alive = []byte(": alive\n\n")

// event is one event with its data on one line.
func event(head string, data any) []byte {
	raw, _ := encode(data) // numbers, texts and truths: never fails
	return fmt.Appendf(nil, "%s\ndata: %s\n\n", head, raw)
}
