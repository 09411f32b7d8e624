package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/service"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/node/certs"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// nodeFlags are the flags of `parley node`.
type nodeFlags struct {
	relay, store, filter, lightpush, peerExchange, storeSync bool

	network   string
	cluster   uint16
	shards    []uint
	numShards uint16
	window    time.Duration
	protected []string

	addrs, announce        []string
	ws, wss                string
	certFile, certKeyFile  string
	acmeDomains            []string
	acmeEmail              string
	nat, natRelays         []string
	maxConns               int
	storeRate, filterRate  float64
	lightpushRate          float64
	peers, bootstrap       []string
	discv5                 string
	mdns                   bool
	storeURL, retention    string
	rest, metrics, keyFile string
	restAdmin              bool
	allowOrigin, restHosts []string
	printConfig            bool
}

func (f *nodeFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.relay, "relay", true, "relay messages")
	flags.BoolVar(&f.store, "store", true, "keep messages and answer queries for them")
	flags.BoolVar(&f.filter, "filter", true, "push messages to light clients")
	flags.BoolVar(&f.lightpush, "lightpush", true, "publish messages for light clients")
	flags.BoolVar(&f.peerExchange, "peer-exchange", true, "tell light clients of other nodes")
	flags.BoolVar(&f.storeSync, "store-sync", true, "compare the store with those of other nodes and exchange what is missing")

	flags.StringVar(&f.network, "network", "", "take cluster, shards and first nodes from status.prod, status.staging, local or the JSON file of a network")
	flags.Uint16Var(&f.cluster, "cluster", 16, "number of the network")
	flags.UintSliceVar(&f.shards, "shard", nil, "shard to relay; may be repeated (default: all of the known networks)")
	flags.Lookup("shard").DefValue = "" // not []
	flags.Uint16Var(&f.numShards, "num-shards", 0, "number of shards of a network with autosharding (0: static shards)")
	flags.DurationVar(&f.window, "time-window", 0, "relay only messages whose timestamp is at most so far from now (0: all)")
	flags.StringSliceVar(&f.protected, "protected-shard", nil, "SHARD:PUBLICKEY, relay only what this key has signed on the shard; may be repeated")

	flags.StringSliceVar(&f.addrs, "listen", nil, "multiaddr to listen on: TCP, …/ws, …/tls/ws, …/quic-v1, …/quic-v1/webtransport, …/webrtc-direct; may be repeated (default: a free TCP port of this machine alone)")
	flags.StringSliceVar(&f.announce, "announce", nil, "multiaddr to tell others instead; may be repeated")
	flags.StringVar(&f.ws, "ws", "", "listen for WebSocket connections too, at host:port or :port")
	flags.StringVar(&f.wss, "wss", "", "listen for secure WebSocket connections too, at host:port or :port; needs a certificate")
	flags.StringVar(&f.certFile, "tls-cert", "", "file with the certificate of secure WebSocket; read again when it changes")
	flags.StringVar(&f.certKeyFile, "tls-key", "", "file with the key of --tls-cert")
	flags.StringSliceVar(&f.acmeDomains, "acme-domain", nil, "obtain the certificate for this domain from Let's Encrypt; may be repeated")
	flags.StringVar(&f.acmeEmail, "acme-email", "", "address told to Let's Encrypt")
	flags.StringSliceVar(&f.nat, "nat", nil, "what to do about a router in between: detect, portmap, holepunch, relay (for others); may be repeated")
	flags.StringSliceVar(&f.natRelays, "nat-relay", nil, "multiaddr of a node to be reached through; may be repeated")

	flags.IntVar(&f.maxConns, "max-connections", 0, fmt.Sprintf("most connections (0: %d)", node.DefaultServiceMaxConns))
	flags.Float64Var(&f.storeRate, "store-rate", 0, "store queries a second of each client (0: any number)")
	flags.Float64Var(&f.filterRate, "filter-rate", 0, "filter requests a second of each client (0: any number)")
	flags.Float64Var(&f.lightpushRate, "lightpush-rate", lightpush.DefaultRateLimit.PerSecond, "lightpush requests a second of each client (0: any number)")

	flags.StringSliceVar(&f.peers, "peer", nil, "multiaddr of a node to stay connected to; may be repeated")
	flags.StringSliceVar(&f.bootstrap, "bootstrap", nil, "where to find others first, instead of the network's: enrtree://…, enr:…, multiaddr, or none; may be repeated")
	flags.StringVar(&f.discv5, "discv5", "", "UDP address of the discovery network, like 0.0.0.0:9000 (default: not joined)")
	flags.BoolVar(&f.mdns, "mdns", true, "find nodes of the local network, when listening on more than this machine")

	flags.StringVar(&f.storeURL, "store-url", "", "where messages are kept: sqlite:PATH, postgres://… or memory (default: in the data directory if one is given, else memory)")
	flags.StringVar(&f.retention, "store-retention", "30d", "how long or how much to keep: an age like 30d, a size like 10GB, a number of messages, or several of them; none keeps all")
	flags.StringVar(&f.rest, "rest", "", "address of the REST API, like 127.0.0.1:8645")
	flags.BoolVar(&f.restAdmin, "rest-admin", true, "serve the calls of the REST API under /admin, which can change the node")
	flags.StringSliceVar(&f.allowOrigin, "rest-allow-origin", nil, "web site that may use the REST API; may be repeated")
	flags.StringSliceVar(&f.restHosts, "rest-host", nil, "host name by which a proxy on this machine calls the REST API; may be repeated")
	flags.StringVar(&f.metrics, "metrics", "", "address of metrics, health checks and the capacity page, like 127.0.0.1:9090")
	flags.BoolVar(&f.printConfig, "print-config", false, "print a config file with all settings, and exit")
	flags.StringVar(&f.keyFile, "nodekey-file", "", "file with the node's key, made if absent (default: in the data directory if one is given, else a new key)")
}

// noLimit is a rate that nobody exceeds.
const noLimit = 1e9

// config is what the flags say, with all that can be refused refused. dir is
// the node's data directory, empty for none.
func (f nodeFlags) config(changed func(flag string) bool, dir string, log *slog.Logger) (c service.Config, err error) {
	c = service.Config{
		Cluster: f.cluster, NumShards: f.numShards, TimeWindow: f.window,
		Listen: f.addrs, Announce: f.announce, Peers: f.peers, Bootstrap: f.bootstrap,
		Discv5: f.discv5, DataDir: dir, REST: f.rest, Metrics: f.metrics, Admin: f.restAdmin, AllowOrigin: f.allowOrigin, Hosts: f.restHosts,
		Without:        node.Without{Relay: !f.relay, Filter: !f.filter || !f.relay, Lightpush: !f.lightpush || !f.relay, Store: !f.store},
		NoPeerExchange: !f.peerExchange, NoSync: !f.storeSync,
		Origin: service.Origin{
			Key: f.keyFile, Certificate: f.certFile, CertificateKey: f.certKeyFile,
			ACMEDomains: f.acmeDomains, ACMEEmail: f.acmeEmail,
		},
		Version: buildVersion().Version, Log: log,
	}
	for _, part := range []func(*service.Config) error{
		func(c *service.Config) error { return f.places(c, changed) },
		f.addresses, f.rules, f.limits, f.nats, f.archive,
	} {
		if err := part(&c); err != nil {
			return c, err
		}
	}
	c.MDNS = f.mdns && discovery.BeyondLoopback(c.Listen)
	return c, nil
}

// places are cluster and shards.
func (f nodeFlags) places(c *service.Config, changed func(flag string) bool) (err error) {
	if c.Shards, err = f.relayed(); err != nil {
		return err
	}
	if f.network == "" {
		return f.known(c)
	}
	network, err := parley.LoadNetwork(f.network)
	if err != nil {
		return err
	}
	if !changed("cluster") {
		c.Cluster = network.Cluster
	}
	c.MaxFrame = network.MaxFrame
	if len(c.Shards) == 0 {
		c.Shards = network.AllShards()
	}
	if len(c.Bootstrap) == 0 {
		c.Bootstrap = network.Bootstrap
	}
	c.PublicOnly = strings.HasPrefix(network.Name, "status.")
	return nil
}

// known fills in what the networks known by name say: all their shards where
// none is given, and the largest frame of those of the cluster.
func (f nodeFlags) known(c *service.Config) error {
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

// addresses are what is listened on, and the certificate for it.
func (f nodeFlags) addresses(c *service.Config) (err error) {
	for flag, list := range map[string][]string{"--listen": f.addrs, "--announce": f.announce} {
		if err := checkAddrs(flag, list); err != nil {
			return err
		}
	}
	for _, web := range []struct{ flag, address, suffix string }{{"--ws", f.ws, "/ws"}, {"--wss", f.wss, "/tls/ws"}} {
		if web.address == "" {
			continue
		}
		address, err := webAddress(web.flag, web.address)
		if err != nil {
			return err
		}
		if len(c.Listen) == 0 {
			c.Listen = []string{node.DefaultListen}
		}
		c.Listen = append(slices.Clone(c.Listen), address+web.suffix)
	}
	secure := slices.ContainsFunc(c.Listen, func(a string) bool { return strings.Contains(a, "/tls/ws") || strings.Contains(a, "/wss") })
	switch {
	case (f.certFile == "") != (f.certKeyFile == ""):
		return fault.New(fault.Usage, "--tls-cert and --tls-key belong together")
	case f.certFile != "" && len(f.acmeDomains) > 0:
		return fault.New(fault.Usage, "--tls-cert and --acme-domain exclude each other")
	case secure && f.certFile == "" && len(f.acmeDomains) == 0:
		return fault.New(fault.Usage, "secure WebSocket needs a certificate").WithHint("give --tls-cert and --tls-key, or --acme-domain")
	case f.certFile != "":
		c.TLS, err = certs.LoadCertificate(f.certFile, f.certKeyFile)
		return fault.Wrap(fault.Usage, "--tls-cert", err)
	}
	return nil
}

// acme obtains the certificate of --acme-domain, where there is one.
func (f nodeFlags) acme(dir string, log *slog.Logger) (*tls.Config, io.Closer, error) {
	if len(f.acmeDomains) == 0 {
		return nil, nil, nil
	}
	if dir == "" {
		return nil, nil, fault.New(fault.Usage, "--acme-domain needs a place to keep the certificate").WithHint("give --data-dir")
	}
	config, closer, err := certs.Obtain(certs.ACME{Domains: f.acmeDomains, Email: f.acmeEmail, Dir: filepath.Join(dir, "acme"), Logger: log})
	return config, closer, fault.Wrap(fault.Usage, "--acme-domain", err)
}

// rules are those of the relay.
func (f nodeFlags) rules(c *service.Config) error {
	for _, p := range f.protected {
		text, public, ok := strings.Cut(p, ":")
		shard, err := strconv.ParseUint(text, 10, 16)
		if !ok || err != nil || !slices.Contains(c.Shards, uint16(shard)) {
			return fault.New(fault.Usage, "--protected-shard %s does not name a relayed shard", p).WithHint("give SHARD:PUBLICKEY")
		}
		k, err := key.ParsePublic(public)
		if err != nil {
			return fault.Wrap(fault.Usage, "--protected-shard "+p, err)
		}
		if c.Protected == nil {
			c.Protected = make(map[string]key.Public)
		}
		c.Protected[topic.Pubsub(c.Cluster, uint16(shard))] = k
	}
	if f.numShards > topic.ShardsPerCluster {
		return fault.New(fault.Usage, "--num-shards %d is more than %d", f.numShards, topic.ShardsPerCluster)
	}
	if f.window < 0 {
		return fault.New(fault.Usage, "--time-window is negative")
	}
	return nil
}

// limits are those of clients.
func (f nodeFlags) limits(c *service.Config) error {
	if f.maxConns < 0 {
		return fault.New(fault.Usage, "--max-connections is negative")
	}
	for flag, rate := range map[string]float64{"--store-rate": f.storeRate, "--filter-rate": f.filterRate, "--lightpush-rate": f.lightpushRate} {
		if !(rate >= 0 && rate <= noLimit) {
			return fault.New(fault.Usage, "%s %v is not a number of requests a second", flag, rate)
		}
	}
	c.Limits.MaxConns = f.maxConns
	rate := func(perSecond float64) rpc.Rate {
		if perSecond == 0 {
			return rpc.Rate{}
		}
		return rpc.Rate{PerSecond: perSecond, Burst: int(max(1, 5*perSecond))}
	}
	c.Limits.Store, c.Limits.Filter, c.Limits.Lightpush = rate(f.storeRate), rate(f.filterRate), rate(f.lightpushRate)
	if f.lightpushRate == 0 {
		c.Limits.Lightpush = rate(noLimit)
	}
	return nil
}

// nats is what is done about routers.
func (f nodeFlags) nats(c *service.Config) error {
	for _, what := range f.nat {
		switch what {
		case "detect":
			c.NAT.Detect = true
		case "portmap":
			c.NAT.PortMap = true
		case "holepunch":
			c.NAT.HolePunch = true
		case "relay":
			c.NAT.RelayService = true
		default:
			return fault.New(fault.Usage, "--nat %q is not detect, portmap, holepunch or relay", what)
		}
	}
	for _, a := range f.natRelays {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return &fault.Error{Kind: fault.Usage, Op: "--nat-relay " + a, Err: err, Hint: "give a multiaddr that ends in /p2p/<peer id>"}
		}
		c.NAT.Relays = append(c.NAT.Relays, *info)
	}
	return nil
}

// archive is where messages are kept, and how many.
func (f nodeFlags) archive(c *service.Config) (err error) {
	if f.retention != "" && f.retention != "none" {
		if c.Retention, err = store.ParseRetention(f.retention); err != nil {
			return fault.Wrap(fault.Usage, "--store-retention", err)
		}
	}
	if !f.store && f.storeURL != "" {
		return fault.New(fault.Usage, "--store-url has no use with --store=false")
	}
	if c.Archive = f.storeURL; c.Archive == "" && c.DataDir != "" {
		c.Archive = "sqlite:" + filepath.Join(c.DataDir, "archive")
	}
	return nil
}

// checkListen checks the multiaddrs of --listen.
func checkListen(addrs []string) error { return checkAddrs("--listen", addrs) }

func checkAddrs(flag string, addrs []string) error {
	for _, a := range addrs {
		if _, err := multiaddr.NewMultiaddr(a); err != nil {
			return &fault.Error{Kind: fault.Usage, Op: flag + " " + a, Err: err, Hint: "give a multiaddr like /ip4/0.0.0.0/tcp/30303"}
		}
	}
	return nil
}

// webAddress turns host:port into a multiaddr of TCP; without a host it is
// every IPv4 address.
func webAddress(flag, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", &fault.Error{Kind: fault.Usage, Op: flag, Err: err, Hint: "give an address like :8000 or 127.0.0.1:8000"}
	}
	if host == "" {
		host = "0.0.0.0"
	}
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return "", fault.New(fault.Usage, "%s %q: the host is not an IP address", flag, address)
	case ip.To4() != nil:
		return fmt.Sprintf("/ip4/%s/tcp/%s", ip, port), nil
	}
	return fmt.Sprintf("/ip6/%s/tcp/%s", ip, port), nil
}
