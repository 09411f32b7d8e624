// Package rest is the REST API of a service node. It speaks what nwaku's REST
// API speaks (routes, JSON, status codes and error texts of its versions up to
// 0.37, and the forms of go-waku where a request may have either), so that the
// tools made for it work here, and adds event streams and a description by
// OpenAPI 3.1, which is made from the same table and types that serve the
// calls.
//
// The API has no password: it belongs on loopback, which is the business of
// whoever listens. A connection to a loopback address is only served under the
// name localhost or an address, and what browsers ask for on behalf of other
// web sites is refused unless Config.AllowOrigin lets it, so that no web site
// can reach the API through its reader's browser.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// Limits.
const (
	// MaxBody is the largest request body, in bytes: the largest message there
	// is in base64, and what is around it.
	MaxBody = (message.MaxSize+2)/3*4 + 64<<10
	// BodyTimeout is how long a request body may take to come.
	BodyTimeout = 30 * time.Second
	// DefaultCache is the number of messages kept for each subscription until
	// they are read, as in nwaku.
	DefaultCache = 50
	// MaxCacheBytes bounds what is kept unread for all relay subscriptions
	// together, and for all filter subscriptions; the oldest goes first.
	MaxCacheBytes = 64 << 20
	// MaxSubscriptions bounds the relay subscriptions made here, and the
	// filter subscriptions.
	MaxSubscriptions = 1000
	// DefaultKeepAlive is how often a quiet event stream shows that it is
	// there: more often than proxies and browsers lose patience.
	DefaultKeepAlive = 15 * time.Second
	// CallTimeout bounds what a call waits for from other nodes, as in nwaku.
	CallTimeout = 5 * time.Second
)

// ErrConfig is a configuration that makes no sense.
var ErrConfig = errors.New("rest: configuration")

// Node is what the API needs of a node; *node.Node has it.
type Node interface {
	Host() host.Host
	Addrs() []string
	Status() node.Status
	// RelayTopics are the pubsub topics relayed now.
	RelayTopics() []string
	// RelayPeers are the connected peers that relay a pubsub topic, MeshPeers
	// those of them in this node's mesh.
	RelayPeers(pubsubTopic string) []peer.ID
	MeshPeers(pubsubTopic string) []peer.ID
	JoinShard(pubsubTopic string) error
	LeaveShard(pubsubTopic string) error
	// Tap gives every message of a relayed pubsub topic until it is stopped.
	Tap(pubsubTopic string, buffer int) (<-chan node.Envelope, func())
	Publish(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error)
	PublishLightpush(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error)
	// Query asks the stores of other nodes.
	Query(ctx context.Context, q *store.Query) (*store.Page, error)
	Dial(ctx context.Context, p peer.AddrInfo) error
}

var _ Node = (*node.Node)(nil)

// Archive answers store queries; every store.Archive does.
type Archive interface {
	Query(ctx context.Context, q *store.Query) (*store.Page, error)
}

// Config is what a Server needs.
type Config struct {
	Node Node
	// Archive is the node's own store, which answers queries that name no
	// peer; nil where it keeps none.
	Archive Archive
	// Cluster and NumShards are the network of autosharding; zero shards is
	// static sharding.
	Cluster   uint16
	NumShards uint16
	// MaxFrame is the largest GossipSub frame of the network, in bytes, for
	// the text that refuses a larger message; zero for relay.DefaultMaxFrame.
	MaxFrame int
	// Version is the program's.
	Version string
	// ENR gives the node's record as text; nil where it has none.
	ENR func() string
	// Health gives the node's health; nil for what HealthOf says of its
	// status.
	Health func() Health
	// Admin serves the calls under /admin.
	Admin bool
	// FilterSubscriptions gives the subscriptions at the node's filter
	// service for /admin; nil where there is no such service.
	FilterSubscriptions func() []FilterSubscription
	// LogLevel is what /admin sets; nil where it cannot be set.
	LogLevel *slog.LevelVar
	// AllowOrigin are the web origins that may use the API: *, or with or
	// without scheme and with * and ? standing for many characters and for one,
	// as in nwaku. None by default.
	AllowOrigin []string
	// Hosts are names, without port, under which a loopback address may be
	// called besides localhost.
	Hosts []string
	// Cache is the number of messages kept for each subscription; zero for
	// DefaultCache.
	Cache int
	// KeepAlive is the pause of a quiet event stream; zero for
	// DefaultKeepAlive.
	KeepAlive time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// complete returns cfg with its defaults, or what is wrong with it.
func (cfg Config) complete() (Config, error) {
	switch {
	case cfg.Node == nil:
		return cfg, fmt.Errorf("%w: no node", ErrConfig)
	case cfg.NumShards > topic.ShardsPerCluster:
		return cfg, fmt.Errorf("%w: %d shards, at most %d", ErrConfig, cfg.NumShards, topic.ShardsPerCluster)
	case cfg.Cache < 0 || cfg.KeepAlive < 0 || cfg.MaxFrame < 0:
		return cfg, fmt.Errorf("%w: negative cache size, pause or frame size", ErrConfig)
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = relay.DefaultMaxFrame
	}
	if cfg.Cache == 0 {
		cfg.Cache = DefaultCache
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = DefaultKeepAlive
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Health == nil {
		cfg.Health = func() Health { return HealthOf(cfg.Node.Status()) }
	}
	return cfg, nil
}

// Server answers the calls of the API. It implements http.Handler.
type Server struct {
	cfg     Config
	log     *slog.Logger
	routes  *routes
	handler http.Handler
	relay   *relayer
	filter  *filterer
	streams streams
	// writeTimeout is StreamTimeout but in tests.
	writeTimeout time.Duration
	// absent says why the calls of a namespace are not there.
	absent map[string]string
	closed chan struct{}
	ending sync.Once
}

// New returns a server for a node. The messages of the pubsub topics that the
// node relays are kept for readers from now on. The node must outlive it.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	origins, err := parseOrigins(cfg.AllowOrigin)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, routes: newRoutes(cfg.Version),
		absent: make(map[string]string), closed: make(chan struct{}),
		writeTimeout: StreamTimeout,
	}
	s.registerInfo()
	s.registerStore()
	s.registerLightpush()
	if cfg.Node.Status().Filter != nil {
		// A node that does not relay takes the pushes of filter services itself.
		s.absent["relay"] = "/relay endpoints are not available. Please check your configuration: --relay"
		s.absent["filter"] = "/filter endpoints are not available."
	} else {
		s.relay = newRelayer(cfg)
		s.filter = newFilterer(cfg)
		s.registerRelay()
		s.registerFilter()
	}
	if cfg.Admin {
		s.registerAdmin()
	} else {
		s.absent["admin"] = "/admin endpoints are not available. Please check your configuration: --rest-admin"
	}
	if err := s.routes.describe(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.handler = guard(http.HandlerFunc(s.dispatch), origins, cfg.Hosts)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Close ends the event streams and the subscriptions. Shards joined by calls
// stay joined. It is called before the listening server is shut down.
func (s *Server) Close() (err error) {
	s.ending.Do(func() {
		close(s.closed)
		if s.relay != nil {
			s.relay.close()
			err = s.filter.close()
		}
	})
	return err
}

// dispatch answers the calls there are, and says of others what is wrong with
// them.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	if _, pattern := s.routes.mux.Handler(r); pattern != "" && r.Method != http.MethodHead {
		s.routes.mux.ServeHTTP(w, r)
		return
	}
	allowed := s.routes.methods(r)
	root, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case len(allowed) == 0 && s.absent[root] != "":
		text(http.StatusNotFound, s.absent[root]).write(w)
		return
	case len(allowed) == 0:
		text(http.StatusNotFound, badCall).write(w)
		return
	}
	w.Header().Set("Allow", strings.Join(append(allowed, http.MethodOptions), ", "))
	if r.Method == http.MethodOptions {
		ok().write(w)
		return
	}
	text(http.StatusMethodNotAllowed, badCall).write(w)
}

const badCall = "Bad request initiated. Invalid path or method used."
