package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

const contentTopic = "/parley/1/service-test/proto"

var pubsub32 = topic.Pubsub(16, 32)

// newConfig is that of a node on loopback.
func newConfig(t *testing.T) Config {
	t.Helper()
	k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Cluster: 16, Shards: []uint16{32}, Key: k, Version: "test"}
}

// start starts a node on loopback that is closed at the end of the test.
func start(t *testing.T, change func(c *Config)) *Service {
	t.Helper()
	c := newConfig(t)
	if change != nil {
		change(&c)
	}
	return startWith(t, c, OpenArchive)
}

// startWith starts a node whose archive is opened by open.
func startWith(t *testing.T, c Config, open func(ctx context.Context, url string) (store.Maintainer, error)) *Service {
	t.Helper()
	s, err := startOn(t.Context(), c, open)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connected(a, b *Service) bool {
	return slices.Contains(a.Host().Network().Peers(), b.Host().ID())
}

func meshed(a *Service) bool { return a.Status().Relay[pubsub32].Mesh > 0 }

// publish publishes n messages and returns their hashes.
func publish(t *testing.T, s *Service, n int) (hashes []message.Hash) {
	t.Helper()
	for i := range n {
		m := message.New(fmt.Append(nil, i), contentTopic, time.Now(), false)
		if _, err := s.Publish(t.Context(), pubsub32, m); err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, message.HashOf(pubsub32, m))
	}
	return hashes
}

// has says whether an archive has all messages.
func has(t *testing.T, s *Service, hashes []message.Hash) bool {
	t.Helper()
	page, err := s.archive.Query(t.Context(), &store.Query{Hashes: hashes})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Messages) == len(hashes)
}

// Nodes find each other in the discovery network by one of them, relay, keep
// what the others publish, and tell light clients of each other.
func TestNodesFindEachOther(t *testing.T) {
	t.Parallel()
	first := start(t, func(c *Config) { c.Discv5 = "127.0.0.1:0" })
	join := func(c *Config) { c.Discv5, c.Bootstrap = "127.0.0.1:0", []string{first.ENR()} }
	second, third := start(t, join), start(t, join)
	eventually.True(t, "connections", func() bool {
		return connected(first, second) && connected(first, third) && meshed(first) && meshed(second) && meshed(third)
	})
	hashes := publish(t, second, 3)
	eventually.True(t, "the messages in all archives", func() bool {
		return has(t, first, hashes) && has(t, second, hashes) && has(t, third, hashes)
	})
	client, err := node.New(node.Config{Mode: node.Light, Cluster: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Dial(t.Context(), peer.AddrInfo{ID: third.Host().ID(), Addrs: third.Host().Addrs()}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "records of the others", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		records, err := peerexchange.Request(ctx, client.Host(), third.Host().ID(), 10)
		return err == nil && slices.ContainsFunc(records, func(r *discovery.Record) bool { return r.PeerID == first.Host().ID() })
	})
}

// A node that was away, or is new, gets what it missed from another store.
func TestResume(t *testing.T) {
	t.Parallel()
	neighbour := start(t, nil)
	old := start(t, func(c *Config) { c.Peers = neighbour.Addrs() })
	eventually.True(t, "a mesh", func() bool { return meshed(old) })
	hashes := publish(t, old, 150)
	eventually.True(t, "the messages in the archive", func() bool { return has(t, old, hashes[:100]) && has(t, old, hashes[100:]) })
	late := start(t, func(c *Config) { c.Peers = old.Addrs() })
	eventually.True(t, "the gap filled", func() bool { return has(t, late, hashes[:100]) && has(t, late, hashes[100:]) })
}

// What was learnt about peers outlives the node.
func TestPeersAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := start(t, nil)
	keep := func(c *Config) { c.DataDir, c.Archive = dir, "sqlite:"+filepath.Join(dir, "archive") }
	s := start(t, func(c *Config) { keep(c); c.Bootstrap = other.Addrs() })
	eventually.True(t, "a mesh", func() bool { return meshed(s) })
	hashes := publish(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, keep) // nobody tells it of anyone
	if !has(t, again, hashes) {
		t.Error("messages are gone")
	}
	eventually.True(t, "the connection is back", func() bool { return connected(again, other) })
}

func TestFaces(t *testing.T) {
	t.Parallel()
	other := start(t, nil)
	s := start(t, func(c *Config) {
		c.REST, c.Metrics, c.Admin, c.Peers, c.Hosts = ":0", "0", true, other.Addrs(), []string{"waku.example"}
		c.Archive = "sqlite:" + filepath.Join(t.TempDir(), "archive")
	})
	eventually.True(t, "a mesh", func() bool { return meshed(s) })
	get := func(url string) (int, string) {
		t.Helper()
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(raw)
	}
	for _, url := range []string{s.REST(), s.Metrics()} {
		if !strings.HasPrefix(url, "http://127.0.0.1:") {
			t.Errorf("it listens at %s", url)
		}
	}
	hashes := publish(t, s, 1)
	eventually.True(t, "the archive", func() bool { return has(t, s, hashes) })
	if code, body := get(s.REST() + "/store/v3/messages?includeData=true"); code != http.StatusOK || !strings.Contains(body, contentTopic) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := get(s.REST() + "/admin/v1/peers"); code != http.StatusOK || !strings.Contains(body, other.Host().ID().String()) {
		t.Errorf("%d %s", code, body)
	}
	for name, want := range map[string]int{"waku.example": http.StatusOK, "evil.example": http.StatusMisdirectedRequest} {
		req, err := http.NewRequest(http.MethodGet, s.REST()+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = name
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("called %s: %s", name, resp.Status)
		}
	}
	if code, body := get(s.REST() + "/info"); code != http.StatusOK || !strings.Contains(body, s.ENR()) {
		t.Errorf("%d %s", code, body)
	}
	eventually.True(t, "the node is ready", func() bool { code, _ := get(s.Metrics() + "/readyz"); return code == http.StatusOK })
	var code int
	var body string
	eventually.True(t, "the archive is counted", func() bool {
		code, body = get(s.Metrics() + "/capacity.json")
		return code == http.StatusOK
	})
	var capacity struct {
		Archive struct {
			Messages  int64
			DiskTotal uint64 `json:"disk_total"`
		}
	}
	if err := json.Unmarshal([]byte(body), &capacity); err != nil || capacity.Archive.Messages != 1 || capacity.Archive.DiskTotal == 0 {
		t.Errorf("%d %s, %v", code, body, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(s.REST() + "/health"); err == nil {
		t.Error("the API outlives the node")
	}
}

// Who hangs in the middle of a call does not make the end a failure.
func TestEndCutsOffHangingCalls(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.REST, c.Metrics = ":0", ":0" })
	for _, url := range []string{s.REST(), s.Metrics()} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /heal"); err != nil {
			t.Fatal(err)
		}
		// The server has read it when it answers a later one.
		resp, err := http.Get(url + "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	s.faces.patience = 50 * time.Millisecond
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestArchiveURLs(t *testing.T) {
	t.Parallel()
	used := "sqlite:" + filepath.Join(t.TempDir(), "archive")
	a, err := OpenArchive(t.Context(), used)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for url, want := range map[string]fault.Kind{
		used:                        fault.Conflict,
		"sqlite:":                   fault.Usage,
		"history.db":                fault.Usage,
		"mysql://u:secret@host/db":  fault.Usage,
		"postgres://u:secret@[bad/": fault.Usage,
		"postgres://u:secret@127.0.0.1:1/db?connect_timeout=2": fault.Unreachable,
	} {
		a, err := OpenArchive(t.Context(), url)
		if err == nil {
			a.Close()
		}
		if fault.KindOf(err) != want {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), "secret") {
			t.Errorf("the password shows in %v", err)
		}
	}
}

// What makes no sense is refused, and nothing is left behind: the archive can
// be opened again.
func TestStartFails(t *testing.T) {
	t.Parallel()
	k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Cluster: 16, Shards: []uint16{32}, Key: k, Archive: "sqlite:" + filepath.Join(t.TempDir(), "archive")}
	taken := start(t, func(c *Config) { c.REST = "127.0.0.1:0" })
	for name, c := range map[string]struct {
		change func(c *Config)
		kind   fault.Kind
	}{
		"peer":      {func(c *Config) { c.Peers = []string{"/ip4/127.0.0.1/tcp/1"} }, fault.Usage},
		"bootstrap": {func(c *Config) { c.Bootstrap = []string{"enr:-nonsense"} }, fault.Usage},
		"no shard":  {func(c *Config) { c.Shards = nil }, fault.Usage},
		"discv5":    {func(c *Config) { c.Discv5 = "nowhere" }, fault.Usage},
		"no port":   {func(c *Config) { c.REST = "127.0.0.1" }, fault.Usage},
		"port":      {func(c *Config) { c.Metrics = "127.0.0.1:70000" }, fault.Usage},
		"colons":    {func(c *Config) { c.Metrics = "127.0.0.1:1:2" }, fault.Usage},
		"address":   {func(c *Config) { c.REST = strings.TrimPrefix(taken.REST(), "http://") }, fault.Conflict},
	} {
		config := good
		c.change(&config)
		s, err := Start(t.Context(), config)
		if err == nil {
			s.Close()
		}
		if fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := Start(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
