package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

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
	// Listen are the multiaddresses listened on: TCP, WebSocket (…/ws) or
	// QUIC (…/quic-v1). Nil stands for DefaultListen, empty for none.
	Listen []string
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
	// Archive is what the store service answers from and relayed messages
	// go to: required in service mode, possible in full mode. The node does
	// not close it.
	Archive store.Archive
	// LightpushLimit bounds the requests of each client of the lightpush
	// service; zero for lightpush.DefaultRateLimit.
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
	// Logger may be nil.
	Logger *slog.Logger
}

// complete returns cfg with its defaults filled in, or what is wrong with
// it.
func (cfg Config) complete() (Config, error) {
	if !slices.Contains([]Mode{Full, Light, Service}, cfg.Mode) {
		return cfg, fmt.Errorf("%w: mode %q", ErrConfig, cfg.Mode)
	}
	switch {
	case cfg.Mode.relays() && len(cfg.Shards) == 0:
		return cfg, fmt.Errorf("%w: a %s node relays at least one shard", ErrConfig, cfg.Mode)
	case len(cfg.Shards) > MaxShards:
		return cfg, fmt.Errorf("%w: %d shards, at most %d", ErrConfig, len(cfg.Shards), MaxShards)
	case cfg.MaxFrame != 0 && cfg.MaxFrame < relay.DefaultMaxFrame || cfg.MaxFrame > relay.MaxFrame:
		return cfg, fmt.Errorf("%w: frames of at most %d bytes, not between %d and %d", ErrConfig, cfg.MaxFrame, relay.DefaultMaxFrame, relay.MaxFrame)
	case cfg.Mode == Service && cfg.Archive == nil:
		return cfg, fmt.Errorf("%w: a service node needs an archive", ErrConfig)
	case cfg.Mode == Light && cfg.Archive != nil:
		return cfg, fmt.Errorf("%w: a light node keeps no archive", ErrConfig)
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
	for _, list := range [][]peer.AddrInfo{cfg.Peers, cfg.StorePeers} {
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
