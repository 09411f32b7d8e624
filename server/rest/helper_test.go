package rest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/topic"
)

// patience is how long anything may take that must happen.
const patience = eventually.Patience

const cluster = 16

var (
	shard32 = topic.Pubsub(cluster, 32)
	content = "/waku/1/0x00000001/rfc26"
)

// startNode runs a node on shard 32, connected to others; a service node with
// an archive of its own.
func startNode(t testing.TB, mode node.Mode, others ...*node.Node) (*node.Node, store.Archive) {
	t.Helper()
	cfg := node.Config{Mode: mode, Cluster: cluster, Redial: 20 * time.Millisecond}
	if mode != node.Light {
		cfg.Shards = []uint16{32}
	}
	if mode == node.Service {
		a, err := sqlite.Open(t.TempDir() + "/archive.db")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close() })
		cfg.Archive = a
	}
	for _, o := range others {
		cfg.Peers = append(cfg.Peers, peer.AddrInfo{ID: o.Host().ID(), Addrs: o.Host().Addrs()})
	}
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n, cfg.Archive
}

// api is a served node.
type api struct {
	t testing.TB
	*httptest.Server
	rest *Server
	node *node.Node
}

func serve(t testing.TB, cfg Config) *api {
	t.Helper()
	cfg.Cluster = cluster
	if cfg.Version == "" {
		cfg.Version = "v1.2.3"
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := &api{t: t, rest: s, Server: httptest.NewServer(s)}
	a.node, _ = cfg.Node.(*node.Node)
	t.Cleanup(func() {
		_ = s.Close()
		a.Server.Close()
	})
	return a
}

// pair is a served service node, connected to a served full node.
func pair(t testing.TB, cfg Config) (service, other *api) {
	t.Helper()
	a, archive := startNode(t, node.Service)
	b, _ := startNode(t, node.Full, a)
	first, second := cfg, cfg
	first.Node, first.Archive, second.Node = a, archive, b
	service, other = serve(t, first), serve(t, second)
	awaitRelay(t, shard32, a, b)
	return service, other
}

// awaitRelay waits until nodes know that their peers relay a topic.
func awaitRelay(t testing.TB, pubsub string, nodes ...*node.Node) {
	t.Helper()
	for _, n := range nodes {
		eventually.True(t, "a relay peer", func() bool { return n.Status().Relay[pubsub].Peers > 0 })
	}
}

// call makes a call; a body is sent as JSON.
func (a *api) call(method, path, body string) (status int, answer string) {
	a.t.Helper()
	status, answer, _ = a.do(method, path, body, http.Header{"Content-Type": {"application/json"}})
	return status, answer
}

func (a *api) do(method, path, body string, headers http.Header) (int, string, http.Header) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.URL+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header = headers
	if host := headers.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := a.Client().Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, string(raw), resp.Header
}

// expect makes a call and compares the whole answer.
func (a *api) expect(method, path, body string, status int, answer string) {
	a.t.Helper()
	if s, got := a.call(method, path, body); s != status || got != answer {
		a.t.Errorf("%s %s: %d %q, want %d %q", method, path, s, got, status, answer)
	}
}

// get reads JSON.
func get[T any](a *api, path string) (out T) {
	a.t.Helper()
	status, raw := a.call(http.MethodGet, path, "")
	if status != http.StatusOK {
		a.t.Fatalf("GET %s: %d %s", path, status, raw)
	}
	if err := json.Unmarshal([]byte(raw), &out); err != nil {
		a.t.Fatalf("GET %s: %v in %s", path, err, raw)
	}
	return out
}

// seg is a topic in a path.
func seg(topic string) string { return url.PathEscape(topic) }

// list is a JSON list of texts.
func list(items ...string) string {
	raw, _ := json.Marshal(items)
	return string(raw)
}

// wakuMessage keeps lines short.
type wakuMessage = wakupb.WakuMessage

var serial atomic.Int64

// fresh is a message like no other.
func fresh(contentTopic string) *wakupb.WakuMessage {
	n := serial.Add(1)
	return message.New(fmt.Appendf(nil, "message %d", n), contentTopic, time.Now().Add(time.Duration(n)), false)
}

// asJSON is what the relay calls show of a message made by fresh.
func asJSON(m *wakupb.WakuMessage, proof bool) string {
	out := fmt.Sprintf(`{"payload":%q,"contentTopic":%q,"version":%d,"timestamp":%d,"ephemeral":false`,
		base64.StdEncoding.EncodeToString(m.Payload), m.ContentTopic, m.GetVersion(), m.GetTimestamp())
	if proof {
		out += `,"proof":""`
	}
	return out + "}"
}

// post is the body that publishes a message made by fresh.
func post(m *wakupb.WakuMessage) string { return asJSON(m, false) }
