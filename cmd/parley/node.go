package main

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/multiformats/go-multiaddr"
	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/discovery"
)

// nodeFlags are the flags of `parley node`.
type nodeFlags struct {
	relay, store, filter, lightpush, peerExchange bool

	network string
	cluster uint16
	shards  []uint
	peers   []string
	addrs   []string
	ws      string

	storeURL, storeRetention, rest, metrics, keyFile string
}

func (a *app) nodeCommand() *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{
		Use:   "node",
		Short: "Run a service node: relay, store, filter and lightpush for others",
		Long: `Run a Waku node without an account, until it is stopped by ctrl-c: it relays
messages, keeps them for those who were away, and serves light clients.

Without --shard, --cluster and --network it relays every shard of the known
networks. Without --nodekey-file it is another node at every start; without
--store-url what it keeps is in memory and gone when it stops. It is reachable
from this machine alone, unless --listen or --ws say otherwise.

One line of JSON is printed when the node is ready: its peer id, addresses and
node record (ENR).`,
		Example: `  parley node
  parley node --listen /ip4/0.0.0.0/tcp/30303 --nodekey-file node.key --store-url sqlite:history.db
  parley node --cluster 16 --shard 32,64 --ws :8000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.node(cmd, f)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&f.relay, "relay", true, "relay messages; always on in this version")
	flags.BoolVar(&f.store, "store", true, "keep messages and answer queries for them")
	flags.BoolVar(&f.filter, "filter", true, "push messages to light clients; always on in this version")
	flags.BoolVar(&f.lightpush, "lightpush", true, "publish messages for light clients; always on in this version")
	flags.BoolVar(&f.peerExchange, "peer-exchange", false, "tell others of peers; not in this version yet")
	flags.StringVar(&f.network, "network", "", "take cluster and shards from status.prod, status.staging, local or the JSON file of a network")
	flags.Uint16Var(&f.cluster, "cluster", 16, "number of the network")
	flags.UintSliceVar(&f.shards, "shard", nil, "shard to relay; may be repeated (default: all of the known networks)")
	flags.StringSliceVar(&f.peers, "peer", nil, "multiaddr of a node to stay connected to; may be repeated")
	flags.StringSliceVar(&f.addrs, "listen", nil, "multiaddr to listen on; may be repeated (default: a free TCP port of this machine alone)")
	flags.StringVar(&f.ws, "ws", "", "listen for WebSocket connections too, at host:port or :port")
	flags.StringVar(&f.storeURL, "store-url", "", "where messages are kept: sqlite:PATH, or memory (the default)")
	flags.StringVar(&f.storeRetention, "store-retention", "", "how long or how much to keep; not in this version yet")
	flags.StringVar(&f.rest, "rest", "", "address of a REST API; not in this version yet")
	flags.StringVar(&f.metrics, "metrics", "", "address of metrics; not in this version yet")
	flags.StringVar(&f.keyFile, "nodekey-file", "", "file with the node's key, made if absent")
	return c
}

// unsupported refuses what this version cannot do, rather than ignoring it.
func (f nodeFlags) unsupported() error {
	for _, s := range []struct {
		flag   string
		absent bool
	}{{"relay", !f.relay}, {"filter", !f.filter}, {"lightpush", !f.lightpush}} {
		if s.absent {
			return fault.New(fault.Usage, "this version cannot leave %s out", s.flag).WithHint("leave --%s out of the command line", s.flag)
		}
	}
	for _, s := range []struct {
		flag  string
		asked bool
	}{
		{"peer-exchange", f.peerExchange}, {"store-retention", f.storeRetention != ""},
		{"rest", f.rest != ""}, {"metrics", f.metrics != ""},
	} {
		if s.asked {
			return fault.New(fault.Usage, "this version has no --%s yet", s.flag).WithHint("leave it out")
		}
	}
	return nil
}

// nodeReady is what `parley node` prints once it can be used.
type nodeReady struct {
	PeerID     string   `json:"peer_id"`
	Multiaddrs []string `json:"multiaddrs"`
	ENR        string   `json:"enr"`
	// REST is the URL of the REST API, empty when there is none.
	REST string `json:"rest"`
}

func (a *app) node(cmd *cobra.Command, f nodeFlags) (err error) {
	log, err := a.logger()
	if err != nil {
		return err
	}
	config, err := f.config(cmd, log)
	if err != nil {
		return err
	}
	if config.Key, err = nodeKey(f.keyFile); err != nil {
		return err
	}
	n, err := parley.Serve(config)
	if err != nil {
		return fault.Wrap(cmp.Or(kindOf(err), fault.Internal), "starting the node", err)
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	s := n.Status()
	enr, err := discovery.BuildENR(config.Key, discovery.Description{
		Seq:          uint64(time.Now().UnixMilli()),
		Capabilities: discovery.Capabilities{Relay: f.relay, Store: f.store, Filter: f.filter, Lightpush: f.lightpush},
		Cluster:      config.Cluster,
		Shards:       config.Shards,
		Multiaddrs:   publicFirst(s.Addrs),
	})
	if err != nil {
		return fault.Wrap(fault.Internal, "describing the node", err)
	}
	if err := a.printJSON(nodeReady{PeerID: s.PeerID, Multiaddrs: s.Addrs, ENR: enr}); err != nil {
		return err
	}
	<-cmd.Context().Done()
	return nil
}

// kindOf is the kind of an error that has one, else nothing.
func kindOf(err error) fault.Kind {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Kind
	}
	return ""
}

func (f nodeFlags) config(cmd *cobra.Command, log *slog.Logger) (c parley.ServiceConfig, err error) {
	if err := f.unsupported(); err != nil {
		return c, err
	}
	c = parley.ServiceConfig{Cluster: f.cluster, Peers: f.peers, Listen: f.addrs, NoStore: !f.store, Log: log}
	if err := checkListen(f.addrs); err != nil {
		return c, err
	}
	if c.Shards, err = f.relayed(); err != nil {
		return c, err
	}
	if f.network != "" {
		network, err := parley.LoadNetwork(f.network)
		if err != nil {
			return c, err
		}
		if !cmd.Flags().Changed("cluster") {
			c.Cluster = network.Cluster
		}
		c.MaxFrame = network.MaxFrame
		if len(c.Shards) == 0 {
			c.Shards = network.AllShards()
		}
	} else if err := f.known(&c); err != nil {
		return c, err
	}
	if c.Archive, err = f.archive(); err != nil {
		return c, err
	}
	if f.ws != "" {
		address, err := wsAddress(f.ws)
		if err != nil {
			return c, err
		}
		if len(c.Listen) == 0 {
			c.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
		}
		c.Listen = append(c.Listen, address)
	}
	return c, nil
}

// known fills in what the networks known by name say: all their shards where
// none is given, and the largest frame of those of the cluster.
func (f nodeFlags) known(c *parley.ServiceConfig) error {
	var all []uint16
	for _, name := range []string{"status.prod", "local"} {
		network, err := parley.LoadNetwork(name)
		if err != nil {
			return err
		}
		all = append(all, network.AllShards()...)
		if network.Cluster == c.Cluster {
			c.MaxFrame = max(c.MaxFrame, network.MaxFrame)
		}
	}
	if len(c.Shards) == 0 {
		slices.Sort(all)
		c.Shards = slices.Compact(all)
	}
	return nil
}

// checkListen checks the multiaddrs of --listen.
func checkListen(addrs []string) error {
	for _, a := range addrs {
		if _, err := multiaddr.NewMultiaddr(a); err != nil {
			return &fault.Error{Kind: fault.Usage, Op: "--listen " + a, Err: err, Hint: "give a multiaddr like /ip4/0.0.0.0/tcp/30303"}
		}
	}
	return nil
}

// relayed are the shards of --shard.
func (f nodeFlags) relayed() (shards []uint16, err error) {
	for _, s := range f.shards {
		if s > 1023 {
			return nil, fault.New(fault.Usage, "--shard %d does not exist, the last one is 1023", s)
		}
		shards = append(shards, uint16(s))
	}
	return shards, nil
}

// archive is the file of --store-url, empty for memory.
func (f nodeFlags) archive() (path string, err error) {
	scheme, rest, _ := strings.Cut(f.storeURL, ":")
	switch {
	case f.storeURL == "" || f.storeURL == "memory":
		return "", nil
	case !f.store:
		return "", fault.New(fault.Usage, "--store-url needs --store")
	case scheme == "sqlite" && strings.TrimPrefix(rest, "//") != "":
		return strings.TrimPrefix(rest, "//"), nil
	case scheme == "postgres" || scheme == "postgresql":
		return "", fault.New(fault.Usage, "this version keeps messages in SQLite alone").WithHint("give --store-url sqlite:PATH")
	}
	return "", fault.New(fault.Usage, "--store-url %q is not sqlite:PATH", f.storeURL)
}

// wsAddress turns host:port into a multiaddr for WebSocket; without a host it
// is every IPv4 address.
func wsAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", &fault.Error{Kind: fault.Usage, Op: "--ws", Err: err, Hint: "give an address like :8000 or 127.0.0.1:8000"}
	}
	if host == "" {
		host = "0.0.0.0"
	}
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return "", fault.New(fault.Usage, "--ws %q: the host is not an IP address", address)
	case ip.To4() != nil:
		return fmt.Sprintf("/ip4/%s/tcp/%s/ws", ip, port), nil
	}
	return fmt.Sprintf("/ip6/%s/tcp/%s/ws", ip, port), nil
}

// nodeKey reads a node's key, 32 bytes in hexadecimal, and makes it where there
// is none. Node records are signed with secp256k1 keys, so it is one.
func nodeKey(path string) (crypto.PrivKey, error) {
	const op = "--nodekey-file"
	if path == "" {
		k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
		return k, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
		if err != nil {
			return nil, err
		}
		secret, err := k.Raw()
		if err != nil {
			return nil, err
		}
		return k, writeNew(path, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, hex.EncodeToString(secret))
			return err
		})
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	secret, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(raw)), "0x"))
	if err == nil && len(secret) != 32 {
		err = errors.New("wrong length")
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "%s: %s does not hold a key of 32 bytes in hexadecimal", op, path)
	}
	k, err := crypto.UnmarshalSecp256k1PrivateKey(secret)
	return k, fault.Wrap(fault.Usage, op, err)
}

// publicFirst puts addresses of this machine alone behind those that others
// can dial.
func publicFirst(addrs []string) []string {
	addrs = slices.Clone(addrs)
	local := func(a string) int {
		if strings.HasPrefix(a, "/ip4/127.") || strings.HasPrefix(a, "/ip6/::1/") {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(addrs, func(a, b string) int { return local(a) - local(b) })
	return addrs
}
