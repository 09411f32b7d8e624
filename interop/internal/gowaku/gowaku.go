// Package gowaku starts nodes of go-waku, the implementation that Parley is
// tested and measured against.
package gowaku

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/waku-org/go-waku/waku/persistence"
	"github.com/waku-org/go-waku/waku/persistence/sqlite"
	"github.com/waku-org/go-waku/waku/v2/node"
	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/filter"
	"github.com/waku-org/go-waku/waku/v2/protocol/lightpush"
	"github.com/waku-org/go-waku/waku/v2/protocol/relay"
	"github.com/waku-org/go-waku/waku/v2/utils"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/time/rate"
)

// Node is a running node of go-waku.
type Node struct {
	*node.WakuNode
	cluster uint16
}

// Option is one of go-waku's own.
type Option = node.WakuNodeOption

// quiet sets up go-waku's loggers, which are global and made on first use
// without a lock.
var quiet = sync.OnceFunc(func() {
	utils.InitLogger("console", "file:/dev/null", "gowaku", zapcore.FatalLevel)
	for _, name := range []string{"relay", "filter", "lightpush"} {
		utils.MessagesLogger(name)
	}
})

// Start starts a node of a cluster that listens on a TCP address of an
// interface; port 0 is a free one. A node that relays takes part in the topics
// of its shards at once.
func Start(ctx context.Context, listen *net.TCPAddr, cluster uint16, shards []uint16, opts ...Option) (*Node, error) {
	quiet()
	n, err := node.New(append([]Option{
		node.WithHostAddress(listen),
		node.WithClusterID(cluster),
		node.WithShards(shards),
		node.WithPrometheusRegisterer(prometheus.NewRegistry()),
		// All nodes of a test are on one address.
		node.WithMaxConnectionsPerIP(1000),
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("making a go-waku node: %w", err)
	}
	if err := n.Start(ctx); err != nil {
		n.Stop()
		return nil, fmt.Errorf("starting a go-waku node: %w", err)
	}
	started := &Node{n, cluster}
	if n.Relay().PubSub() == nil {
		return started, nil
	}
	for _, shard := range shards {
		filter := protocol.NewContentFilter(started.Topic(shard))
		if _, err := n.Relay().Subscribe(ctx, filter, relay.WithoutConsumer()); err != nil {
			n.Stop()
			return nil, fmt.Errorf("relaying shard %d: %w", shard, err)
		}
	}
	return started, nil
}

// MaxFrame is what the node of go-waku's command line takes unless told
// otherwise, "150KB": the largest GossipSub frame, in bytes. The library alone
// takes more.
const MaxFrame = 150_000

// Relay is relay with frames up to a size, also for a node that is alone.
func Relay(maxFrame int) Option {
	return join(
		node.WithWakuRelayAndMinPeers(0, pubsub.WithMaxMessageSize(maxFrame)),
		node.WithMaxMsgSize(maxFrame),
	)
}

// Services are filter and lightpush as deployed: each client may ask once a
// second.
func Services() Option { return join(node.WithWakuFilterFullNode(), node.WithLightPush()) }

// Unlimited are filter and lightpush without limits on what a client may ask
// for, as far as go-waku has options for it.
func Unlimited() Option {
	return join(
		node.WithMaxPeerConnections(1000),
		node.WithWakuFilterFullNode(filter.WithMaxSubscribers(1000), filter.WithFullNodeRateLimiter(rate.Inf, 1)),
		node.WithLightPush(lightpush.WithRateLimiter(rate.Inf, 1)),
	)
}

// Archive is the legacy store service over a SQLite database: a file, or
// ":memory:".
func Archive(database string) (Option, error) {
	quiet()
	db, err := sqlite.NewDB(database, zap.NewNop())
	if err != nil {
		return nil, fmt.Errorf("opening the archive %s: %w", database, err)
	}
	store, err := persistence.NewDBStore(prometheus.NewRegistry(), zap.NewNop(),
		persistence.WithDB(db), persistence.WithMigrations(sqlite.Migrations))
	if err != nil {
		return nil, fmt.Errorf("preparing the archive %s: %w", database, err)
	}
	return join(node.WithWakuStore(), node.WithMessageProvider(store)), nil
}

// join makes one option of several.
func join(opts ...Option) Option {
	return func(params *node.WakuNodeParameters) error {
		for _, opt := range opts {
			if err := opt(params); err != nil {
				return err
			}
		}
		return nil
	}
}

// Topic is the pubsub topic of a shard of the node's cluster.
func (n *Node) Topic(shard uint16) string {
	return fmt.Sprintf("/waku/2/rs/%d/%d", n.cluster, shard)
}

// ID is the node's peer id.
func (n *Node) ID() peer.ID { return n.Host().ID() }

// TCP is the node's address for plain TCP, with its peer id.
func (n *Node) TCP() string {
	for _, a := range n.ListenAddresses() {
		if _, err := a.ValueForProtocol(multiaddr.P_TCP); err == nil && !strings.Contains(a.String(), "/ws") {
			return a.String()
		}
	}
	return ""
}
