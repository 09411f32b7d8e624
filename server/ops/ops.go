// Package ops is what the operator of a service node sees of it: Prometheus
// metrics under the names that dashboards for nwaku use where the meaning is
// the same, health checks with the state of every protocol, and a page that
// tells how much the node serves and when its disk is full.
//
// It holds no logic of the node: what happens is told to a Recorder, what is
// is asked for when somebody looks.
package ops

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
)

// Config says where the state of a node is read.
type Config struct {
	// Version of the program.
	Version string
	// Status is the node's.
	Status func() node.Status
	// Stats are the counts of the node's protocols; nil has none.
	Stats func() node.Stats
	// Archive counts what is kept; nil without a store.
	Archive func(ctx context.Context) (store.Stats, error)
	// Probe asks the archive for something small; nil asks nothing. What it
	// says decides whether the store is ready.
	Probe func(ctx context.Context) error
	// Trouble says what keeps the archive from keeping messages and what to do
	// about it; empty, or nil, is nothing known.
	Trouble func() string
	// Retention is what the archive is pruned to; nil is nothing.
	Retention func() store.Retention
	// Disk tells the free and the total bytes of where the archive lies; nil
	// where nobody knows.
	Disk func() (free, total uint64, err error)
	// Known is the number of peers the node has heard of; nil is unknown.
	Known func() int
	// Recorder is what happened.
	Recorder *Recorder
	// Now is the clock; nil is the real one.
	Now func() time.Time
	Log *slog.Logger
}

// Server answers for one node.
type Server struct {
	cfg      Config
	stats    *statsCache
	prober   *prober // nil without a probe
	registry *prometheus.Registry
}

// New returns the server of a node.
func New(cfg Config) (*Server, error) {
	if cfg.Status == nil || cfg.Recorder == nil {
		return nil, errors.New("ops: a status and a recorder are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Retention == nil {
		cfg.Retention = func() store.Retention { return store.Retention{} }
	}
	if cfg.Trouble == nil {
		cfg.Trouble = func() string { return "" }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: cfg, registry: cfg.Recorder.registry}
	if cfg.Archive != nil {
		s.stats = &statsCache{ask: cfg.Archive, now: cfg.Now}
	}
	if cfg.Probe != nil {
		s.prober = &prober{ask: cfg.Probe, now: cfg.Now, log: cfg.Log}
	}
	if err := s.registry.Register(&collector{s}); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler serves /metrics, /healthz, /readyz, and the capacity page at
// /capacity and, as JSON, at /capacity.json. Nothing in it is secret and
// nothing can be changed; whom it is shown to is a matter of where it listens.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn),
	}))
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /capacity", s.capacityPage)
	mux.HandleFunc("GET /capacity.json", s.capacityJSON)
	mux.Handle("GET /{$}", http.RedirectHandler("/capacity", http.StatusFound))
	return mux
}
