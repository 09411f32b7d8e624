package finder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/peers"
)

// Two nodes that know a third one's record find each other in the discovery
// network, and have records to tell of.
func TestDiscv5(t *testing.T) {
	t.Parallel()
	join := func(boot ...string) (*member, *Finder, *peerexchange.Cache, *tally) {
		m, cache, found := newMember(t, node.Full), peerexchange.NewCache(peerexchange.CacheConfig{Cluster: 16}), new(tally)
		f := find(t, Config{
			Node: m, Want: relays(2), Bootstrap: boot, Discv5: "127.0.0.1:0", Key: m.key, Describe: m.describe,
			Records: cache, Found: found.found,
		})
		return m, f, cache, found
	}
	first, f, _, _ := join()
	if f.ENR() == "" {
		t.Fatal("no record")
	}
	second, _, cache2, found := join(f.ENR())
	third, _, cache3, _ := join(f.ENR())
	eventually.True(t, "all know each other", func() bool {
		return first.connected(second) && first.connected(third) && second.connected(third)
	})
	eventually.True(t, "records of the others", func() bool { return cache2.Len() == 2 && cache3.Len() == 2 })
	if found.get("discv5") == 0 || found.get("dns") != 0 {
		t.Errorf("found %v", found.of)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
}

// Who is on a list in DNS is found and used, and so is who is named by record
// or address.
func TestBootstrap(t *testing.T) {
	t.Parallel()
	listed, recorded, named := newMember(t, node.Full), newMember(t, node.Full), newMember(t, node.Full)
	url, dns := publish(t, "nodes.example", listed.record(t))
	light, found := newMember(t, node.Light), new(tally)
	f := find(t, Config{
		Node: light, Want: filters(3), Bootstrap: []string{"none", url, recorded.record(t).ENR(), named.Addrs()[0]},
		Resolver: dns, Found: found.found,
	})
	eventually.True(t, "connections", func() bool {
		return light.connected(listed) && light.connected(recorded) && light.connected(named)
	})
	eventually.True(t, "all counted", func() bool { return found.get("dns") == 3 })
	if f.ENR() != "" {
		t.Error("a record without discv5")
	}
	for _, k := range f.Manager().Peers() {
		if k.ID == listed.id() && (k.Cluster == nil || *k.Cluster != 16 || !k.Capabilities.Has(peers.Filter)) {
			t.Errorf("of the one listed is known %+v", k)
		}
	}
}

// A light node that knows one service node learns of a second one from it, and
// gets its messages from both.
func TestPeerExchange(t *testing.T) {
	t.Parallel()
	known, other := newMember(t, node.Full), newMember(t, node.Full)
	cache := peerexchange.NewCache(peerexchange.CacheConfig{Cluster: 16})
	cache.Add(other.record(t))
	service := peerexchange.NewService(known.Host(), cache, peerexchange.ServiceConfig{})
	t.Cleanup(func() { _ = service.Close() })
	light, found := newMember(t, node.Light), new(tally)
	if err := light.Subscribe(t.Context(), map[string][]string{shard32: {content}}); err != nil {
		t.Fatal(err)
	}
	f := find(t, Config{
		Node: light, Want: filters(2), Bootstrap: known.Addrs(), Prompt: true, Choice: &light.choice, Found: found.found,
	})
	want := []string{known.id().String(), other.id().String()}
	slices.Sort(want)
	eventually.True(t, "two that push", func() bool { return slices.Equal(light.active(), want) })
	if n := found.get("peer-exchange"); n != 1 {
		t.Errorf("%d found", n)
	}
	m := message.New([]byte("here"), content, time.Now(), false)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := light.PublishLightpush(ctx, shard32, m); err == nil {
		t.Error("published without a relay peer")
	}
	eventually.True(t, "nothing lacking", func() bool { return len(f.Manager().Status().Lacking) == 0 })
}

// Static peers are kept connected, those that are named later too, and the
// manager does not count on them for anything else.
func TestStatic(t *testing.T) {
	t.Parallel()
	one, two, m := newMember(t, node.Full), newMember(t, node.Full), newMember(t, node.Full)
	f := find(t, Config{Node: m, Want: relays(0), Static: []peer.AddrInfo{one.info()}, Bootstrap: []string{"none"}})
	f.Keep(two.info())
	eventually.True(t, "connections", func() bool { return m.connected(one) && m.connected(two) })
	if n := f.Manager().Status().BySource[peers.Static]; n != 2 {
		t.Errorf("%d static peers", n)
	}
	if err := m.Host().Network().ClosePeer(one.id()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the connection is back", func() bool { return m.connected(one) })
}

// What was learnt outlives a Finder, and a prompt one makes use of it at once.
func TestKept(t *testing.T) {
	t.Parallel()
	dir, other := t.TempDir(), newMember(t, node.Full)
	m := newMember(t, node.Light)
	f := find(t, Config{Node: m, Want: filters(1), Bootstrap: other.Addrs(), Prompt: true, Dir: dir})
	eventually.True(t, "a connection", func() bool { return m.connected(other) })
	eventually.True(t, "it is known for what it serves", func() bool {
		return len(m.choice.best(filter.SubscribeID, "")) == 0 && len(f.Manager().Best(filter.SubscribeID, 32)) == 1
	})
	if err := errors.Join(f.Close(), m.Close()); err != nil {
		t.Fatal(err)
	}
	putOff(t, filepath.Join(dir, "peers"), time.Now().Add(time.Hour))
	again := newMember(t, node.Light)
	f = find(t, Config{Node: again, Want: filters(1), Prompt: true, Dir: dir, Choice: &again.choice})
	for _, k := range f.Manager().Peers() {
		if k.ID == other.id() && time.Until(k.Next) <= 0 {
			t.Error("the manager would not wait, so this shows nothing")
		}
	}
	eventually.True(t, "the connection is back", func() bool { return again.connected(other) })
	eventually.True(t, "the node's choice", func() bool {
		return slices.Equal(again.choice.best(filter.SubscribeID, shard32), []peer.ID{other.id()})
	})
	again.choice.served(other.id(), filter.SubscribeID, nil, time.Millisecond)
	if got := again.choice.best(filter.SubscribeID, ""); !slices.Equal(got, []peer.ID{other.id()}) {
		t.Errorf("whatever the shard: %v", got)
	}
}

// putOff has the peers of a manager's file back off until a time.
func putOff(t testing.TB, file string, until time.Time) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var book map[string]any
	if err := json.Unmarshal(raw, &book); err != nil {
		t.Fatal(err)
	}
	for _, p := range book["peers"].([]any) {
		p.(map[string]any)["next"] = until.Unix()
	}
	if raw, err = json.Marshal(book); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What makes no sense is refused, and nothing is left behind.
func TestRefused(t *testing.T) {
	t.Parallel()
	m := newMember(t, node.Full)
	ed, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Node: m, Want: relays(1), Discv5: "127.0.0.1:0", Key: m.key, Describe: m.describe, Dir: t.TempDir()}
	for name, c := range map[string]struct {
		change func(*Config)
		is     error // nil for any
	}{
		"no node":        {func(c *Config) { c.Node = nil }, nil},
		"no want":        {func(c *Config) { c.Want = nil }, nil},
		"list":           {func(c *Config) { c.Bootstrap = []string{"enrtree://nodes.example"} }, discovery.ErrEntry},
		"record":         {func(c *Config) { c.Bootstrap = []string{"enr:-nonsense"} }, discovery.ErrEntry},
		"address":        {func(c *Config) { c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/1"} }, discovery.ErrEntry},
		"discv5 address": {func(c *Config) { c.Discv5 = "nowhere" }, discovery.ErrV5},
		"no key":         {func(c *Config) { c.Key = nil }, nil},
		"wrong key":      {func(c *Config) { c.Key = ed }, nil},
		"no description": {func(c *Config) { c.Describe = nil }, nil},
	} {
		config := good
		c.change(&config)
		f, err := New(config)
		if err == nil {
			f.Close()
			t.Errorf("%s: accepted", name)
		} else if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	find(t, good)
}
