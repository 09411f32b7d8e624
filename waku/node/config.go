package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
)

// Mode is what a node does for itself and for others.
type Mode string

// The modes. Full and light are the specification's resource modes; a
// service node is a full node that also keeps history for others.
const (
	// Full relays, and serves filter and lightpush on the topics it relays.
	Full Mode = "full"
	// Light subscribes by filter and publishes by lightpush.
	Light Mode = "light"
	// Service is Full with an archive that others query.
	Service Mode = "service"
)

// relays says whether the mode mounts relay.
func (m Mode) relays() bool { return m == Full || m == Service }

const (
	// DefaultListen is where a node listens when nothing is said.
	DefaultListen = "/ip4/127.0.0.1/tcp/0"
	// MaxShards is the most shards a node relays: deployed nodes read
	// metadata of at most 1024 bytes.
	MaxShards = 128
	// DefaultRedial is the first delay before a lost static peer is dialled
	// again. It doubles with each failure up to maxRedial.
	DefaultRedial = time.Second
	// filterPushBurst goes out at once where pushes are paced.
	filterPushBurst = 20
	// DefaultQueue is the number of envelopes kept for a slow reader.
	DefaultQueue = 4096
)

// ErrConfig is a configuration that makes no sense.
var ErrConfig = errors.New("node: configuration")

// Config are the parameters of a Node.
type Config struct {
	// Mode is required.
	Mode Mode
	// Cluster is the network. Peers of another one are disconnected.
	Cluster uint16
	// Shards are relayed from the start; at least one where the mode
	// relays, not used in light mode.
	Shards []uint16
	// MaxFrame is the largest GossipSub frame that the relays of the network
	// take, in bytes; zero for relay.DefaultMaxFrame.
	MaxFrame int
	// TimeWindow and Protected are the relay's rules: how far the timestamp of
	// a message may be from now, zero for no rule, and the keys by which
	// messages on some pubsub topics must be signed; see relay.Config.
	TimeWindow time.Duration
	Protected  map[string]key.Public
	// Without leaves protocols out that the mode mounts otherwise.
	Without Without
	// Listen are the multiaddresses listened on: TCP, WebSocket (…/ws), secure
	// WebSocket (…/wss or …/tls/ws, which needs TLS), QUIC (…/quic-v1),
	// WebTransport (…/quic-v1/webtransport) or WebRTC (…/webrtc-direct); all
	// of them or the node does not start. Nil stands for DefaultListen, empty
	// for none.
	Listen []string
	// TLS has the certificate of secure WebSocket; package certs makes it.
	TLS *tls.Config
	// Announce, when given, are the multiaddresses told to others in place
	// of those listened on.
	Announce []string
	// Key is the node's identity; nil makes a new one. It has nothing to do
	// with any account.
	Key crypto.PrivKey
	// Peers are kept connected, whatever happens to the connection.
	Peers []peer.AddrInfo
	// StorePeers are asked for history, first to last, before any other
	// connected store node. They are dialled when needed.
	StorePeers []peer.AddrInfo
	// NAT is how the node deals with address translation between it and
	// others.
	NAT NAT
	// Gater may refuse connections, dialled ones too; nil refuses none.
	Gater connmgr.ConnectionGater
	// Choice, when given, prefers peers for what the node asks of others.
	Choice Choice
	// Archive is what the store service answers from and relayed messages
	// go to: required in service mode, possible in full mode. The node does
	// not close it.
	Archive store.Archive
	// Limits bound what others may take.
	Limits Limits
	// LightpushLimit stands for Limits.Lightpush where that is zero.
	LightpushLimit lightpush.RateLimit
	// FilterPushRate paces what the filter service pushes to each client,
	// in messages a second; zero is as fast as the client takes them. What
	// waits is queued, and what a client refuses (deployed go-waku: above 15)
	// is pushed again.
	FilterPushRate float64
	// Redial is the first delay before a static peer is dialled again; zero
	// for DefaultRedial.
	Redial time.Duration
	// Queue is the number of envelopes kept for a slow reader; zero for
	// DefaultQueue.
	Queue int
	// Observe is told of what the node does for others.
	Observe Observer
	// Logger may be nil.
	Logger *slog.Logger
}

// Without are protocols that a full or service node leaves out.
//
// Filter and lightpush are for messages that the node relays: without relay
// they must be left out too. What is left then is a node with an archive,
// which is filled by its own filter client for what Subscribe names, or by
// others (store synchronization).
type Without struct{ Relay, Filter, Lightpush, Store bool }

// relays, filters, pushes and stores say which services a node has.
func (cfg Config) relays() bool  { return cfg.Mode.relays() && !cfg.Without.Relay }
func (cfg Config) filters() bool { return cfg.relays() && !cfg.Without.Filter }
func (cfg Config) pushes() bool  { return cfg.relays() && !cfg.Without.Lightpush }
func (cfg Config) stores() bool  { return cfg.Archive != nil }

// checkServices says what is wrong with a choice of protocols.
func (cfg Config) checkServices() error {
	w := cfg.Without
	switch {
	case cfg.Mode == Light && w != Without{}:
		return fmt.Errorf("%w: a light node serves nothing that could be left out", ErrConfig)
	case w.Relay && !(w.Filter && w.Lightpush):
		return fmt.Errorf("%w: filter and lightpush serve what is relayed: without relay, leave them out too", ErrConfig)
	case w.Relay && (w.Store || cfg.Archive == nil):
		return fmt.Errorf("%w: without relay a node needs an archive, or it does nothing", ErrConfig)
	case w.Store && cfg.Archive != nil:
		return fmt.Errorf("%w: an archive, and no store that answers from it", ErrConfig)
	case cfg.Mode == Service && cfg.Archive == nil && !w.Store:
		return fmt.Errorf("%w: a service node needs an archive", ErrConfig)
	case cfg.Mode == Light && cfg.Archive != nil:
		return fmt.Errorf("%w: a light node keeps no archive", ErrConfig)
	}
	return nil
}

// complete returns cfg with its defaults filled in, or what is wrong with
// it.
func (cfg Config) complete() (Config, error) {
	if !slices.Contains([]Mode{Full, Light, Service}, cfg.Mode) {
		return cfg, fmt.Errorf("%w: mode %q", ErrConfig, cfg.Mode)
	}
	switch {
	case cfg.Mode.relays() && len(cfg.Shards) == 0:
		return cfg, fmt.Errorf("%w: a %s node has at least one shard", ErrConfig, cfg.Mode)
	case len(cfg.Shards) > MaxShards:
		return cfg, fmt.Errorf("%w: %d shards, at most %d", ErrConfig, len(cfg.Shards), MaxShards)
	case cfg.MaxFrame != 0 && cfg.MaxFrame < relay.DefaultMaxFrame || cfg.MaxFrame > relay.MaxFrame:
		return cfg, fmt.Errorf("%w: frames of at most %d bytes, not between %d and %d", ErrConfig, cfg.MaxFrame, relay.DefaultMaxFrame, relay.MaxFrame)
	case cfg.TimeWindow < 0:
		return cfg, fmt.Errorf("%w: negative time window", ErrConfig)
	case !cfg.relays() && (cfg.TimeWindow != 0 || len(cfg.Protected) > 0):
		return cfg, fmt.Errorf("%w: rules of a relay, and no relay", ErrConfig)
	case cfg.Redial < 0 || cfg.Queue < 0 || cfg.FilterPushRate < 0:
		return cfg, fmt.Errorf("%w: negative redial delay, queue or push rate", ErrConfig)
	}
	for _, s := range cfg.Shards {
		if s > metadata.MaxShard {
			return cfg, fmt.Errorf("%w: shard %d, at most %d", ErrConfig, s, metadata.MaxShard)
		}
	}
	cfg.Shards = slices.Compact(slices.Sorted(slices.Values(cfg.Shards)))
	if cfg.Listen == nil {
		cfg.Listen = []string{DefaultListen}
	}
	for _, list := range [][]string{cfg.Listen, cfg.Announce} {
		for _, a := range list {
			if _, err := multiaddr.NewMultiaddr(a); err != nil {
				return cfg, fmt.Errorf("%w: address %q: %w", ErrConfig, a, err)
			}
		}
	}
	if err := cfg.checkServices(); err != nil {
		return cfg, err
	}
	if err := cfg.checkTransports(); err != nil {
		return cfg, err
	}
	err := cfg.NAT.check()
	if err != nil {
		return cfg, err
	}
	if cfg.Limits.Lightpush == (lightpush.RateLimit{}) {
		cfg.Limits.Lightpush = cfg.LightpushLimit
	}
	if cfg.Limits, err = cfg.Limits.complete(cfg.Mode); err != nil {
		return cfg, err
	}
	for _, list := range [][]peer.AddrInfo{cfg.Peers, cfg.StorePeers, cfg.NAT.Relays} {
		for _, p := range list {
			if p.ID.Validate() != nil || len(p.Addrs) == 0 {
				return cfg, fmt.Errorf("%w: peer %q needs an id and an address", ErrConfig, p.ID)
			}
		}
	}
	if cfg.MaxFrame == 0 {
		cfg.MaxFrame = relay.DefaultMaxFrame
	}
	if cfg.Redial == 0 {
		cfg.Redial = DefaultRedial
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}
