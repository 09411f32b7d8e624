package parley

import (
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/finder"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peers"
	"github.com/parley-im/parley/waku/topic"
)

// relayPeers is the number of relay peers that a full client wants on each
// shard: a mesh, and two to choose from.
const relayPeers = 8

// company is what a client wants of its peers, which changes with what it
// subscribes to.
type company struct {
	mode    Mode
	cluster uint16
	// global are the shards wanted whatever is subscribed to.
	global []uint16
	shards atomic.Pointer[[]uint16]
}

func newCompany(mode Mode, n Network) *company {
	c := &company{mode: mode, cluster: n.Cluster, global: n.GlobalShards()}
	c.shards.Store(&c.global)
	return c
}

// subscribed takes over the pubsub topics of a subscription.
func (c *company) subscribed(want map[string][]string) {
	shards := slices.Clone(c.global)
	for pubsub := range want {
		if cluster, shard, err := topic.ParsePubsub(pubsub); err == nil && cluster == c.cluster {
			shards = append(shards, shard)
		}
	}
	slices.Sort(shards)
	shards = slices.Compact(shards)
	c.shards.Store(&shards)
}

// want is what there shall be on every shard: a light client uses services, a
// full one relays, and uses services for messages to itself and for history.
func (c *company) want() peers.Want {
	w := peers.Want{Cluster: c.cluster, Shards: *c.shards.Load()}
	if c.mode == Light {
		w.Services = peers.LightServices()
		return w
	}
	w.RelayPeers = relayPeers
	w.Services = map[peers.Capability]int{peers.Lightpush: 2, peers.Store: 1}
	return w
}

// startFinder finds peers for the client's node from now on. What is known of
// them is kept beside the account's database.
func (c *Client) startFinder(cfg Config, n node.Config, choice *finder.Choice, public bool) (err error) {
	dir := ""
	if cfg.DataDir != "" {
		dir = filepath.Dir(DatabaseFile(cfg.DataDir, cfg.Account.ID))
	}
	c.finder, err = finder.New(finder.Config{
		Node: c.node, Want: c.company.want, Bootstrap: cfg.Bootstrap, Static: n.Peers, Prompt: true,
		MDNS: discovery.BeyondLoopback(cfg.Listen), PublicOnly: public, Dir: dir, Choice: choice, Logger: cfg.Log,
	})
	return fault.Wrap(fault.Internal, "finding peers", err)
}

// subscribed has peers looked for on what is subscribed to.
func (c *Client) subscribed(want map[string][]string) {
	c.company.subscribed(want)
	c.finder.Manager().Woken()
}

// ownBootstrap says whether a client goes by the first nodes of one of the
// public networks, where a private address that somebody tells is none of
// theirs.
func ownBootstrap(cfg Config) bool {
	return len(cfg.Bootstrap) == 0 && strings.HasPrefix(cfg.Network.Name, "status.")
}

func parsePeers(flag string, addrs []string) ([]peer.AddrInfo, error) {
	all := make([]peer.AddrInfo, 0, len(addrs))
	for _, a := range addrs {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, &fault.Error{Kind: fault.Usage, Op: flag + " " + a, Err: err, Hint: "give a multiaddr that ends in /p2p/<peer id>"}
		}
		all = append(all, *info)
	}
	return all, nil
}
