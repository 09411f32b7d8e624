package ops

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/storesync"
)

const (
	// clientWindow is how long a client counts as served after its last
	// request.
	clientWindow = 24 * time.Hour
	// maxClients bounds the clients remembered of one protocol; beyond it the
	// count is a lower bound.
	maxClients = 100_000
	// statusLimited is the code of all services for a client that asks too
	// much.
	statusLimited = 429
)

// Recorder counts what a node does. Its methods may be called at any time from
// any goroutine.
type Recorder struct {
	registry *prometheus.Registry
	now      func() time.Time

	requests, statuses, bytes *prometheus.CounterVec
	handling                  *prometheus.HistogramVec
	inserts, queries          prometheus.Histogram
	archiveErrors             prometheus.Counter
	pushes                    prometheus.Histogram
	discovered                *prometheus.CounterVec
	roundtrips, differences   prometheus.Histogram
	syncBytes, syncedMessages *prometheus.CounterVec

	mu      sync.Mutex
	clients map[protocol.ID]map[peer.ID]time.Time // last served
	hits    map[protocol.ID]uint64                // refused for their rate
}

// NewRecorder returns a recorder that has counted nothing yet. now is the
// clock; nil is the real one.
func NewRecorder(now func() time.Time) *Recorder {
	if now == nil {
		now = time.Now
	}
	r := &Recorder{
		registry: prometheus.NewRegistry(), now: now,
		clients: make(map[protocol.ID]map[peer.ID]time.Time),
		hits:    make(map[protocol.ID]uint64),
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		r.registry.MustRegister(h)
		return h
	}
	single := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		r.registry.MustRegister(h)
		return h
	}
	r.requests = counter("waku_service_requests_total", "Requests to services, by protocol and whether they were served or rejected for their rate.", "service", "state")
	r.statuses = counter("parley_service_status_total", "Answers of services by protocol and status code; 0 is none.", "service", "status")
	r.bytes = counter("waku_service_network_bytes_total", "Bytes of requests (in) and answers (out), by protocol.", "service", "direction")
	r.handling = histogram("waku_service_request_handling_duration_seconds", "From a request's first byte to its answer's last.", seconds, "service")
	r.inserts = single("waku_archive_insert_duration_seconds", "Commits of messages to the archive.", seconds)
	r.queries = single("waku_archive_query_duration_seconds", "Store queries, from the request's first byte to the answer's last.", seconds)
	r.archiveErrors = prometheus.NewCounter(prometheus.CounterOpts{Name: "waku_archive_errors_total", Help: "Commits to the archive that failed."})
	r.registry.MustRegister(r.archiveErrors)
	r.pushes = single("waku_filter_handle_message_duration_seconds", "From a message's arrival to its push to a filter subscriber.", seconds)
	r.discovered = counter("parley_discovered_total", "Peers heard of, by the way they were found.", "source")
	r.roundtrips = single("reconciliation_roundtrips", "Round trips of a store synchronization.", []float64{1, 2, 3, 5, 8, 13})
	r.differences = single("reconciliation_differences", "Messages that differed in a store synchronization.", []float64{0, 10, 50, 100, 500, 1000, 5000})
	r.syncBytes = counter("total_bytes_exchanged_total", "Bytes of store synchronization by protocol and direction.", "protocol", "direction")
	r.syncedMessages = counter("total_transfer_messages_exchanged_total", "Messages moved by store synchronization.", "direction")
	r.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// seconds are the buckets of all durations: half a millisecond to ten seconds.
var seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Exchange counts a request to one of the services.
func (r *Recorder) Exchange(e rpc.Exchange) {
	service, state := string(e.Protocol), "served"
	if e.Status == statusLimited || e.Err != nil {
		state = "rejected"
	}
	r.requests.WithLabelValues(service, state).Inc()
	r.statuses.WithLabelValues(service, strconv.FormatUint(uint64(e.Status), 10)).Inc()
	r.bytes.WithLabelValues(service, "in").Add(float64(e.In))
	r.bytes.WithLabelValues(service, "out").Add(float64(e.Out))
	if state == "served" {
		r.handling.WithLabelValues(service).Observe(e.Took.Seconds())
	}
	if state == "served" && isStore(e.Protocol) {
		r.queries.Observe(e.Took.Seconds())
	}
	r.note(e, state == "served")
}

// Archived counts a commit of n messages to the archive.
func (r *Recorder) Archived(_ int, took time.Duration, err error) {
	if err != nil {
		r.archiveErrors.Inc()
		return
	}
	r.inserts.Observe(took.Seconds())
}

// Pushed counts a message pushed to a filter subscriber; those that were lost
// are counted by the service.
func (r *Recorder) Pushed(p filter.Push) {
	if p.Err == nil {
		r.pushes.Observe(p.Took.Seconds())
	}
}

// Synced counts the outcome of a synchronization with another store.
func (r *Recorder) Synced(_ peer.ID, s storesync.Report, err error) {
	if err == nil {
		r.roundtrips.Observe(float64(s.Rounds))
		r.differences.Observe(float64(s.Sent + s.Received))
	}
	r.syncBytes.WithLabelValues("reconciliation", "in").Add(float64(s.BytesIn))
	r.syncBytes.WithLabelValues("reconciliation", "out").Add(float64(s.BytesOut))
	r.syncBytes.WithLabelValues("transfer", "out").Add(float64(s.BytesSent))
	r.syncedMessages.WithLabelValues("in").Add(float64(s.Received))
	r.syncedMessages.WithLabelValues("out").Add(float64(s.Sent))
}

// Discovered counts a peer heard of, by the way it was found.
func (r *Recorder) Discovered(source string) { r.discovered.WithLabelValues(source).Inc() }

// note remembers a client for the capacity page.
func (r *Recorder) note(e rpc.Exchange, served bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !served {
		if limited(e) {
			r.hits[e.Protocol]++
		}
		return
	}
	seen := r.clients[e.Protocol]
	if seen == nil {
		seen = make(map[peer.ID]time.Time)
		r.clients[e.Protocol] = seen
	}
	now := r.now()
	if _, known := seen[e.Peer]; !known && len(seen) >= maxClients {
		forget(seen, now)
		if len(seen) >= maxClients {
			return
		}
	}
	seen[e.Peer] = now
}

// limited says whether a request was refused for its rate.
func limited(e rpc.Exchange) bool {
	return e.Status == statusLimited || errors.Is(e.Err, rpc.ErrLimited)
}

func isStore(id protocol.ID) bool { return id == store.ProtocolID }

// forget drops the clients that were not served for clientWindow.
func forget(seen map[peer.ID]time.Time, now time.Time) {
	for p, at := range seen {
		if now.Sub(at) > clientWindow {
			delete(seen, p)
		}
	}
}
