package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/storesync"
)

// noon is the time of all tests: half of a day has passed.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

func day(ago int) time.Time { return noon.Truncate(24*time.Hour).AddDate(0, 0, -ago) }

const topic32 = "/waku/2/rs/16/32"

// healthy is a node that has everything.
func healthy() node.Status {
	return node.Status{
		PeerID: "16Uiu2HAm", Cluster: 16, Shards: []uint16{32},
		Protocols: []string{string(relay.ProtocolID), string(filter.SubscribeID), string(lightpush.ProtocolV3), string(store.ProtocolID)},
		Relay:     map[string]node.TopicStatus{topic32: {Peers: 2, Mesh: 1}},
		Peers: []node.PeerStatus{
			{ID: "a", Direction: "Inbound", Agent: "nwaku-v0.36", Protocols: []string{string(relay.ProtocolID), "/ipfs/id/1.0.0"}, Shards: []uint16{32, 64}},
			{ID: "b", Direction: "Outbound", Agent: "0xevil\" name", Protocols: []string{string(relay.ProtocolID)}, Shards: []uint16{32}},
		},
	}
}

func stats(context.Context) (store.Stats, error) {
	return store.Stats{
		Messages: 3000, Bytes: 6000, Oldest: day(3), Newest: noon,
		Days: []store.DayStats{
			{Day: day(2), PubsubTopic: topic32, Messages: 1000, Bytes: 1000},
			{Day: day(1), PubsubTopic: topic32, Messages: 500, Bytes: 500},
			{Day: day(1), PubsubTopic: "/waku/2/rs/16/64", Messages: 500, Bytes: 500},
			{Day: day(0), PubsubTopic: topic32, Messages: 1000, Bytes: 1000},
		},
	}, nil
}

func serve(t *testing.T, cfg Config) (*Server, *httptest.Server) {
	t.Helper()
	if cfg.Recorder == nil {
		cfg.Recorder = NewRecorder(clock)
	}
	if cfg.Status == nil {
		cfg.Status = healthy
	}
	cfg.Version, cfg.Now = "v1.2.3", clock
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return s, web
}

func get(t *testing.T, url string) (code int, body string) {
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

// busy is a recorder that has seen one of everything.
func busy() *Recorder {
	r := NewRecorder(clock)
	for i := range 3 {
		r.Exchange(rpc.Exchange{Protocol: store.ProtocolID, Peer: peer.ID(fmt.Sprint(i % 2)), Status: 200, Took: time.Duration(i+1) * 4 * time.Millisecond, In: 100, Out: 2000})
	}
	r.Exchange(rpc.Exchange{Protocol: lightpush.ProtocolV3, Peer: "c", Status: 429, In: 50, Out: 10})
	r.Exchange(rpc.Exchange{Protocol: lightpush.ProtocolV3, Peer: "c", Err: rpc.ErrLimited})
	r.Exchange(rpc.Exchange{Protocol: lightpush.ProtocolV3, Peer: "c", Err: rpc.ErrStreams})
	r.Archived(5, 3*time.Millisecond, nil)
	r.Archived(5, time.Second, errors.New("disk full"))
	r.Discovered("discv5")
	r.Pushed(filter.Push{Took: time.Millisecond})
	r.Pushed(filter.Push{Err: filter.ErrQueueFull})
	r.Synced("d", storesync.Report{Sent: 3, Received: 4, Rounds: 2, BytesIn: 10, BytesOut: 20, BytesSent: 30}, nil)
	return r
}

func full() Config {
	return Config{
		Recorder: busy(), Archive: stats, Known: func() int { return 17 },
		Disk: func() (free, total uint64, err error) { return 4_000_000, 10_000_000, nil },
		Stats: func() node.Stats {
			return node.Stats{
				Relay: &relay.Stats{Topics: map[string]relay.TopicStats{topic32: {
					Delivered: 7, Duplicates: 3, BytesIn: 1000, BytesNew: 700, BytesOut: 1400,
					Rejected: map[relay.Reason]uint64{relay.TooLarge: 2},
				}}},
				Filter:  &filter.Stats{Subscribers: 4, Criteria: 9, Pushed: 70, Dropped: 1},
				Archive: &node.ArchiveStatus{Queued: 11, Lost: 1},
			}
		},
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	_, web := serve(t, full())
	code, text := get(t, web.URL+"/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	for _, line := range []string{
		`waku_version{version="v1.2.3"} 1`,
		`libp2p_peers 2`,
		`waku_peer_store_size 17`,
		`waku_connected_peers{direction="Inbound",protocol="/vac/waku/relay/2.0.0"} 1`,
		`waku_connected_peers_per_shard{shard="32"} 2`,
		`waku_connected_peers_per_agent{agent="nwaku"} 1`,
		`waku_connected_peers_per_agent{agent="other"} 1`,
		`libp2p_gossipsub_peers_per_topic_mesh{topic="/waku/2/rs/16/32"} 1`,
		`waku_node_messages_total{type="relay"} 7`,
		`waku_relay_network_bytes_total{direction="in",topic="/waku/2/rs/16/32",type="net"} 700`,
		`waku_relay_network_bytes_total{direction="out",topic="/waku/2/rs/16/32",type="gross"} 1400`,
		`parley_relay_rejected_total{reason="too_large",topic="/waku/2/rs/16/32"} 2`,
		`waku_filter_subscriptions 4`,
		`waku_filter_errors_total{type="queue_full"} 1`,
		`waku_service_requests_total{service="/vac/waku/store-query/3.0.0",state="served"} 3`,
		`waku_service_requests_total{service="/vac/waku/lightpush/3.0.0",state="rejected"} 3`,
		`waku_service_network_bytes_total{direction="out",service="/vac/waku/store-query/3.0.0"} 6000`,
		`waku_archive_query_duration_seconds_count 3`,
		`waku_archive_insert_duration_seconds_count 1`,
		`waku_archive_errors_total 1`,
		`waku_archive_messages{type="stored"} 3000`,
		`waku_archive_messages_per_shard{shard="64"} 500`,
		`parley_archive_bytes 6000`,
		`parley_disk_free_bytes 4e+06`,
		`parley_service_clients{service="/vac/waku/store-query/3.0.0"} 2`,
		`parley_ready{protocol="relay"} 1`,
		`parley_discovered_total{source="discv5"} 1`,
		`waku_filter_handle_message_duration_seconds_count 1`,
		`parley_archive_queued 11`,
		`parley_archive_lost_total 1`,
		`reconciliation_differences_sum 7`,
		`total_transfer_messages_exchanged_total{direction="in"} 4`,
		`total_bytes_exchanged_total{direction="out",protocol="transfer"} 30`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("no %s", name)
		}
	}
	if strings.Contains(text, "0xevil") {
		t.Error("a stranger's name is a label")
	}
}

// The dashboard asks for no metric that there is none of.
func TestDashboard(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../deploy/grafana/parley-node.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(raw, &dashboard); err != nil {
		t.Fatal(err)
	}
	_, web := serve(t, full())
	_, text := get(t, web.URL+"/metrics")
	names := map[string]bool{}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			names[name] = true
		}
	}
	metric := regexp.MustCompile(`[a-z][a-z0-9_]*\{`)
	asked := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			for _, name := range metric.FindAllString(target.Expr, -1) {
				asked++
				name = strings.TrimSuffix(name, "{")
				if !names[name] && !names[strings.TrimSuffix(name, "_bucket")] {
					t.Errorf("%s: there is no metric %s; there are %v", p.Title, name, slices.Sorted(maps.Keys(names)))
				}
			}
		}
	}
	if asked < 30 {
		t.Errorf("the dashboard asks for %d metrics", asked)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	trouble := ""
	for _, c := range []struct {
		name   string
		change func(s *node.Status)
		ready  bool
		why    map[string]string
	}{
		{"all there", func(*node.Status) {}, true, nil},
		{"no relay peer", func(s *node.Status) { s.Relay["/waku/2/rs/16/64"] = node.TopicStatus{} }, false, map[string]string{
			"relay": "no relay peer on /waku/2/rs/16/64", "filter": "relay is not ready", "lightpush": "relay is not ready",
		}},
		{"no topic", func(s *node.Status) { s.Relay = nil }, false, map[string]string{
			"relay": "no topic is relayed", "filter": "relay is not ready", "lightpush": "relay is not ready",
		}},
		{"archive away", func(s *node.Status) { s.Archive = &node.ArchiveStatus{Failing: true} }, false, map[string]string{
			"store": "messages cannot be written; the log says why",
		}},
		{"archive full", func(s *node.Status) { s.Archive = &node.ArchiveStatus{Failing: true}; trouble = "make room" }, false, map[string]string{
			"store": "make room",
		}},
		{"no store", func(s *node.Status) {
			s.Protocols, trouble = s.Protocols[:3], "make room"
		}, true, nil},
		{"store alone", func(s *node.Status) { s.Protocols, s.Relay = []string{string(store.ProtocolID)}, nil }, true, nil},
	} {
		status := healthy()
		trouble = ""
		c.change(&status)
		said := trouble
		_, web := serve(t, Config{Status: func() node.Status { return status }, Trouble: func() string { return said }})
		code, body := get(t, web.URL+"/readyz")
		var h Health
		if err := json.Unmarshal([]byte(body), &h); err != nil {
			t.Fatal(err)
		}
		if h.Ready != c.ready || (code == http.StatusOK) != c.ready {
			t.Errorf("%s: %d, %+v", c.name, code, h)
		}
		for _, p := range h.Protocols {
			if p.Why != c.why[p.Protocol] || p.Ready != (p.Mounted && p.Why == "") {
				t.Errorf("%s: %+v", c.name, p)
			}
		}
		if code, _ := get(t, web.URL+"/healthz"); code != http.StatusOK {
			t.Errorf("%s: alive: %d", c.name, code)
		}
	}
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	_, web := serve(t, full())
	code, body := get(t, web.URL+"/capacity.json")
	var c Capacity
	if err := json.Unmarshal([]byte(body), &c); err != nil || code != http.StatusOK {
		t.Fatalf("%d, %v", code, err)
	}
	want := []ServiceUse{
		{Protocol: string(lightpush.ProtocolV3), RateLimited: 2},
		{Protocol: string(store.ProtocolID), Clients: 2},
	}
	if !slices.Equal(c.Services, want) {
		t.Errorf("services %+v", c.Services)
	}
	if q := c.Queries; q.Count != 3 || q.P50 != .01 || q.P95 != .025 || q.P99 != .025 {
		t.Errorf("queries %+v", q)
	}
	// Two complete days added 2000 bytes of messages, and a byte of messages
	// takes two on disk.
	a := c.Archive
	if a == nil || a.BytesPerDay != 2000 || a.DiskFree != 4_000_000 || a.DaysUntilFull == nil || *a.DaysUntilFull != 2000 {
		t.Fatalf("archive %+v", a)
	}
	code, page := get(t, web.URL+"/capacity")
	for _, part := range []string{"2000 days", "shard 64", "2026-11-19", "/vac/waku/lightpush/3.0.0", "95 % within 25 ms"} {
		if code != http.StatusOK || !strings.Contains(page, part) {
			t.Errorf("%d: the page lacks %q", code, part)
		}
	}
}

// Retention that takes hold before the disk is full keeps it from being so.
func TestDaysUntilFull(t *testing.T) {
	t.Parallel()
	use := func() *ArchiveUse {
		return &ArchiveUse{Stats: store.Stats{Bytes: 1000, Messages: 100}, BytesPerDay: 100, DiskFree: 500}
	}
	for _, c := range []struct {
		r    store.Retention
		days float64
		ok   bool
	}{
		{store.Retention{}, 5, true},
		{store.Retention{Bytes: 1500}, 0, false},
		{store.Retention{Bytes: 1501}, 5, true},
		{store.Retention{Age: 15 * 24 * time.Hour}, 0, false},
		{store.Retention{Age: 16 * 24 * time.Hour}, 5, true},
		{store.Retention{Messages: 150}, 0, false},
		{store.Retention{Messages: 151}, 5, true},
	} {
		if days, ok := untilFull(use(), c.r); ok != c.ok || days != c.days {
			t.Errorf("%+v: %v, %v", c.r, days, ok)
		}
	}
	still := use()
	still.BytesPerDay = 0
	if _, ok := untilFull(still, store.Retention{}); ok {
		t.Error("what does not grow does not fill up")
	}
}

// An archive that cannot be counted costs neither the other metrics nor the
// page.
func TestArchiveFails(t *testing.T) {
	t.Parallel()
	cfg := full()
	cfg.Archive = func(context.Context) (store.Stats, error) { return store.Stats{}, errors.New("connection refused") }
	_, web := serve(t, cfg)
	code, text := get(t, web.URL+"/metrics")
	if code != http.StatusOK || !strings.Contains(text, "\nparley_scrape_errors 1\n") || !strings.Contains(text, "\nlibp2p_peers 2\n") {
		t.Errorf("%d", code)
	}
	if code, page := get(t, web.URL+"/capacity"); code != http.StatusOK || !strings.Contains(page, "cannot be counted") || strings.Contains(page, "connection refused") {
		t.Errorf("%d %s", code, page)
	}
	if code, _ := get(t, web.URL+"/capacity.json"); code != http.StatusServiceUnavailable {
		t.Errorf("%d", code)
	}
}

// An archive that hangs costs who collects metrics little, and not every time.
func TestArchiveHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := statsCache{now: time.Now, ask: func(ctx context.Context) (store.Stats, error) {
			if asked++; asked > 2 {
				return store.Stats{Messages: 7}, nil
			}
			<-ctx.Done()
			return store.Stats{}, ctx.Err()
		}}
		ended, end := context.WithCancel(t.Context())
		end()
		for i, want := range []struct {
			took  time.Duration
			asked int
		}{{statsTimeout, 1}, {0, 1}, {0, 1}, {statsTimeout, 2}, {0, 2}} {
			start := time.Now()
			if _, err := c.get(ended); err == nil || time.Since(start) != want.took || asked != want.asked {
				t.Errorf("%d: %v after %s, asked %d times", i, err, time.Since(start), asked)
			}
			if i == 2 {
				<-time.After(statsRetry)
			}
		}
		<-time.After(statsRetry)
		for range 2 {
			if got, err := c.get(ended); err != nil || got.Messages != 7 || asked != 3 {
				t.Errorf("%+v, %v, asked %d times", got, err, asked)
			}
		}
	})
}

// Clients are forgotten after a day, and never more than maxClients are known.
func TestClients(t *testing.T) {
	t.Parallel()
	now := noon
	r := NewRecorder(func() time.Time { return now })
	serve := func(n int) {
		r.Exchange(rpc.Exchange{Protocol: store.ProtocolID, Peer: peer.ID(fmt.Sprint(n)), Status: 200})
	}
	for n := range maxClients + 1 {
		serve(n)
	}
	if got := r.services()[0].Clients; got != maxClients {
		t.Errorf("%d clients", got)
	}
	now = now.Add(clientWindow)
	serve(0)
	if got := r.services()[0].Clients; got != maxClients {
		t.Errorf("%d clients at the limit of a day", got)
	}
	now = now.Add(1)
	if got := r.services()[0].Clients; got != 1 {
		t.Errorf("%d clients a day later", got)
	}
}

func TestPageOfAnEmptyNode(t *testing.T) {
	t.Parallel()
	_, web := serve(t, Config{Archive: func(context.Context) (store.Stats, error) { return store.Stats{}, nil }})
	code, page := get(t, web.URL+"/")
	for _, part := range []string{"Nobody has asked", "None yet", "Nothing is kept yet", "disk is full: not known"} {
		if code != http.StatusOK || !strings.Contains(page, part) {
			t.Errorf("%d: the page lacks %q", code, part)
		}
	}
}

func TestNewNeedsItsSources(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Recorder: NewRecorder(nil)}); err == nil {
		t.Error("no status")
	}
	if _, err := New(Config{Status: healthy}); err == nil {
		t.Error("no recorder")
	}
}
