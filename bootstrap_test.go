package parley_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/peerexchange"
)

// openAt opens a client that knows nothing but its first nodes.
func openAt(t testing.TB, acc *account.Account, dir string, mode parley.Mode, bootstrap ...string) *parley.Client {
	t.Helper()
	client, err := parley.Open(t.Context(), parley.Config{
		Account: acc, DataDir: dir, Network: localNetwork(t), Mode: mode, Bootstrap: bootstrap,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// say sends a text and waits until it is there.
func say(t testing.TB, from, to *parley.Client, text string) {
	t.Helper()
	if _, err := from.Send(t.Context(), to.Self().String(), text, parley.SendOptions{}); err != nil {
		t.Fatal(err)
	}
	wait(t, to, text, func(parley.Event) bool { return slices.Contains(texts(t, to), text) })
}

// Clients that know the address of one node talk, and after a restart they
// need not even that: what is known of peers is kept, for its owner alone.
func TestBootstrapOnly(t *testing.T) {
	t.Parallel()
	service := serve(t)
	dir := t.TempDir()
	acc := newAccount(t, dir, "Alice")
	alice := openAt(t, acc, dir, parley.Full, service.Addrs()...)
	bobby := openAt(t, newAccount(t, t.TempDir(), "Bobby"), "", parley.Light, service.Addrs()...)
	eventually.True(t, "connections", func() bool { return relayed(t, alice) && active(t, bobby) == 1 })
	say(t, alice, bobby, "hello")
	if err := alice.Close(); err != nil {
		t.Fatal(err)
	}
	book := filepath.Join(filepath.Dir(parley.DatabaseFile(dir, acc.ID)), "peers")
	if info, err := os.Stat(book); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	alice = openAt(t, acc, dir, parley.Full, "none")
	eventually.True(t, "a connection", func() bool { return relayed(t, alice) })
	say(t, bobby, alice, "hello again")
	say(t, alice, bobby, "here I am")
}

// A light client that knows one service node learns of another one from it
// and is served by both.
func TestPeerExchange(t *testing.T) {
	t.Parallel()
	network := localNetwork(t)
	known := serve(t)
	k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := parley.Serve(parley.ServiceConfig{Cluster: network.Cluster, Shards: network.AllShards(), Key: k, Peers: known.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	text, err := discovery.BuildENR(k, discovery.Description{
		Seq: 1, Capabilities: discovery.Capabilities{Relay: true, Store: true, Filter: true, Lightpush: true},
		Cluster: network.Cluster, Shards: network.AllShards(), Multiaddrs: other.Addrs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	record, err := discovery.ParseENR(text)
	if err != nil {
		t.Fatal(err)
	}
	cache := peerexchange.NewCache(peerexchange.CacheConfig{Cluster: network.Cluster})
	cache.Add(record)
	exchange := peerexchange.NewService(known.Host(), cache, peerexchange.ServiceConfig{})
	t.Cleanup(func() { exchange.Close() })

	alice := openAt(t, newAccount(t, t.TempDir(), "Alice"), "", parley.Light, known.Addrs()...)
	bobby := openAt(t, newAccount(t, t.TempDir(), "Bobby"), "", parley.Light, known.Addrs()...)
	for _, c := range []*parley.Client{alice, bobby} {
		eventually.True(t, "two that push", func() bool { return active(t, c) == 2 })
	}
	say(t, alice, bobby, "hello")
	if err := known.Close(); err != nil {
		t.Fatal(err)
	}
	say(t, alice, bobby, "and on")
}

// relayed says whether a full client has a relay peer on each of its topics.
func relayed(t testing.TB, c *parley.Client) bool {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range s.Node.Relay {
		if topic.Peers == 0 {
			return false
		}
	}
	return len(s.Node.Relay) > 0
}

// active is the number of nodes that push to a light client.
func active(t testing.TB, c *parley.Client) (n int) {
	t.Helper()
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Node.Filter.Peers {
		if p.State == "active" {
			n++
		}
	}
	return n
}
