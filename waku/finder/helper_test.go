package finder

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peers"
	"github.com/parley-im/parley/waku/topic"
)

const content = "/parley/1/finder-test/proto"

var shard32 = topic.Pubsub(16, 32)

// member is a node of cluster 16 and its key.
type member struct {
	*node.Node
	key    crypto.PrivKey
	choice Choice
}

// newMember starts a node on loopback, on shard 32 where it relays.
func newMember(t testing.TB, mode node.Mode) *member {
	t.Helper()
	k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{key: k}
	cfg := node.Config{Mode: mode, Cluster: 16, Key: k, Choice: m.choice.Node(), Logger: logger(t)}
	if mode == node.Full {
		cfg.Shards = []uint16{32}
	}
	if m.Node, err = node.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Node.Close() })
	return m
}

func (m *member) id() peer.ID { return m.Host().ID() }

func (m *member) info() peer.AddrInfo { return peer.AddrInfo{ID: m.id(), Addrs: m.Host().Addrs()} }

// connected says whether there is a connection to another member.
func (m *member) connected(to *member) bool {
	return m.Host().Network().Connectedness(to.id()) == network.Connected
}

// describe is what the record of a full node says.
func (m *member) describe() discovery.Description {
	return discovery.Description{
		Seq: 1, Capabilities: discovery.Capabilities{Relay: true, Filter: true, Lightpush: true},
		Cluster: 16, Shards: []uint16{32}, Multiaddrs: m.Addrs(),
	}
}

func (m *member) record(t testing.TB) *discovery.Record { return record(t, m.key, m.describe()) }

func record(t testing.TB, k crypto.PrivKey, d discovery.Description) *discovery.Record {
	t.Helper()
	text, err := discovery.BuildENR(k, d)
	if err != nil {
		t.Fatal(err)
	}
	r, err := discovery.ParseENR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find starts a Finder that is closed at the end of the test.
func find(t testing.TB, cfg Config) *Finder {
	t.Helper()
	cfg.Logger = logger(t)
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// logger keeps what is logged for when the test fails.
func logger(t testing.TB) *slog.Logger {
	var (
		mu   sync.Mutex
		text bytes.Buffer
	)
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Logf("its log:\n%s", text.Bytes())
		}
	})
	write := func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	}
	return slog.New(slog.NewTextHandler(writer(write), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// relays wants n relay peers on shard 32.
func relays(n int) func() peers.Want {
	return func() peers.Want { return peers.Want{Cluster: 16, Shards: []uint16{32}, RelayPeers: n} }
}

// filters wants n peers that push what is on shard 32.
func filters(n int) func() peers.Want {
	return func() peers.Want {
		return peers.Want{Cluster: 16, Shards: []uint16{32}, Services: map[peers.Capability]int{peers.Filter: n}}
	}
}

// tally counts the peers found by each source.
type tally struct {
	mu sync.Mutex
	of map[string]int
}

func (c *tally) found(source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]int)
	}
	c.of[source]++
}

func (c *tally) get(source string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[source]
}

// zone is DNS in a map.
type zone struct {
	mu    sync.Mutex
	names map[string]string
	down  bool
}

func (z *zone) LookupTXT(ctx context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.down {
		return nil, errors.New("no way out")
	}
	if text, ok := z.names[name]; ok {
		return []string{text}, ctx.Err()
	}
	return nil, &net.DNSError{Name: name, IsNotFound: true}
}

func (z *zone) fail(down bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.down = down
}

// become makes it say what another zone says.
func (z *zone) become(other *zone) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names = other.names
}

// publish signs a list of records and puts it into a zone.
func publish(t testing.TB, domain string, records ...*discovery.Record) (url string, dns *zone) {
	t.Helper()
	var nodes []*enode.Node
	for _, r := range records {
		n, err := enode.Parse(enode.ValidSchemes, r.ENR())
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
	}
	tree, err := dnsdisc.MakeTree(1, nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ethcrypto.ToECDSA(ethcrypto.Keccak256([]byte(domain)))
	if err != nil {
		t.Fatal(err)
	}
	if url, err = tree.Sign(k, domain); err != nil {
		t.Fatal(err)
	}
	return url, &zone{names: tree.ToTXT(domain)}
}

// active are the peers that push to a light node, sorted.
func (m *member) active() (all []string) {
	for _, p := range m.Status().Filter.Peers {
		if p.State == "active" {
			all = append(all, p.ID)
		}
	}
	slices.Sort(all)
	return all
}
