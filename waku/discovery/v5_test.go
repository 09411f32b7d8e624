package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
)

const patience = eventually.Patience

var relays = Capabilities{Relay: true}

// plain describes a relay with an address that nobody listens on.
func plain(cluster uint16, shards ...uint16) Description {
	return Description{Capabilities: relays, Cluster: cluster, Shards: shards, Multiaddrs: []string{"/ip4/127.0.0.1/tcp/30303"}}
}

func listenV5(t testing.TB, seed byte, cfg V5Config) *V5 {
	t.Helper()
	cfg.Key, _ = nodeKey(t, seed)
	cfg.ping = 20 * time.Millisecond
	v, err := ListenV5(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func parse(t testing.TB, text string) *Record {
	t.Helper()
	r, err := ParseENR(text)
	if err != nil {
		t.Fatal(err)
	}
	if size := encodedSize(t, text); size > MaxRecord {
		t.Fatalf("a record of %d bytes", size)
	}
	return r
}

// find ranges over what v finds until all that are wanted came.
func find(t testing.TB, v *V5, want Want, all ...*V5) map[peer.ID]*Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	missing := make(map[peer.ID]bool)
	for _, other := range all {
		missing[parse(t, other.Record()).PeerID] = true
	}
	found := make(map[peer.ID]*Record)
	for r := range v.Find(ctx, want) {
		found[r.PeerID] = r
		if delete(missing, r.PeerID); len(missing) == 0 {
			return found
		}
	}
	t.Fatalf("%d nodes not found", len(missing))
	return nil
}

// TestV5Finds: nodes that know one other node find each other, and only those
// of their cluster and shards.
func TestV5Finds(t *testing.T) {
	t.Parallel()
	boot := listenV5(t, 10, V5Config{Describe: plain(16, 32, 64)})
	start := func(seed byte, d Description) *V5 {
		return listenV5(t, seed, V5Config{Describe: d, Bootstrap: []string{boot.Record()}})
	}
	a := start(11, plain(16, 32))
	b := start(12, plain(16, 32, 128))
	storing := plain(16, 32)
	storing.Capabilities.Store = true
	s := start(13, storing)
	elsewhere := start(14, plain(16, 128))
	other := start(15, plain(1, 32))
	// A look-up comes by the nodes that do not belong as well.
	for _, v := range []*V5{b, s, elsewhere, other} {
		one, other := parse(t, a.Record()), parse(t, v.Record())
		eventually.True(t, "they met", func() bool { return v.Meet(one) == nil && a.Meet(other) == nil })
	}

	found := find(t, a, Want{}, boot, b, s)
	if len(found) != 3 {
		t.Errorf("found %d nodes, %v", len(found), found)
	}
	for id, r := range found {
		if *r.Cluster != 16 || !slices.Contains(r.Shards, 32) || len(r.Multiaddrs) == 0 {
			t.Errorf("found %s: %+v", id, r)
		}
	}
	if found := find(t, a, Want{Shards: []uint16{128}}, b, elsewhere); len(found) != 2 {
		t.Errorf("of shard 128: %v", found)
	}
	if found := find(t, a, Want{Capabilities: Capabilities{Store: true}}, s); len(found) != 1 {
		t.Errorf("stores: %v", found)
	}
	known := 0
	for _, bucket := range a.udp.Nodes() {
		known += len(bucket)
	}
	if known < 5 {
		t.Errorf("%d nodes known", known)
	}
}

// TestV5Accept sorts out what the caller does not want.
func TestV5Accept(t *testing.T) {
	t.Parallel()
	boot := listenV5(t, 20, V5Config{Describe: plain(16, 1)})
	not := parse(t, boot.Record()).PeerID
	a := listenV5(t, 21, V5Config{Describe: plain(16, 1), Bootstrap: []string{boot.Record()}, Accept: func(r *Record) bool { return r.PeerID != not }})
	b := listenV5(t, 22, V5Config{Describe: plain(16, 1), Bootstrap: []string{boot.Record()}})
	if found := find(t, a, Want{}, b); len(found) != 1 {
		t.Errorf("found %v", found)
	}
}

// TestV5Update: what changes in a record is seen by others, by its greater
// sequence number.
func TestV5Update(t *testing.T) {
	t.Parallel()
	a := listenV5(t, 30, V5Config{Describe: plain(16, 1, 7)})
	b := listenV5(t, 31, V5Config{Describe: plain(16, 1), Bootstrap: []string{a.Record()}})
	before := find(t, b, Want{}, a)[parse(t, a.Record()).PeerID]

	same := a.Record()
	if err := a.Update(plain(16, 7, 1)); err != nil || a.Record() != same {
		t.Errorf("nothing new: %v, %s", err, a.Record())
	}
	for _, bad := range []Description{
		plain(16, 1024),
		{Cluster: 16, Shards: []uint16{1}},
		{Capabilities: relays, Multiaddrs: []string{"nonsense"}},
	} {
		if err := a.Update(bad); !errors.Is(err, ErrRecord) || a.Record() != same {
			t.Errorf("%+v: %v, %s", bad, err, a.Record())
		}
	}

	next := plain(16, 1, 2)
	next.Capabilities.Filter = true
	next.Multiaddrs = append(next.Multiaddrs, "/dns4/node.example.org/tcp/443/wss")
	if err := a.Update(next); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for r := range b.Find(ctx, Want{Shards: []uint16{2}}) {
		if r.Seq <= before.Seq || !slices.Equal(r.Shards, []uint16{1, 2}) || !r.Capabilities.Filter || len(r.Multiaddrs) != 2 {
			t.Errorf("%+v after %+v", r, before)
		}
		return
	}
	t.Fatal("the change was not seen")
}

// TestV5UpdateFields: the shards' field goes by their number, and no stale one
// stays.
func TestV5UpdateFields(t *testing.T) {
	t.Parallel()
	v := listenV5(t, 35, V5Config{Describe: plain(16, 1)})
	var last uint64
	for _, count := range []int{63, 64, 1024, 128, 1} {
		d := plain(16)
		for i := range count {
			d.Shards = append(d.Shards, uint16(i))
		}
		for i := range 10 {
			d.Multiaddrs = append(d.Multiaddrs, fmt.Sprintf("/dns4/node-%d.example.org/tcp/443/wss", i))
		}
		if err := v.Update(d); err != nil {
			t.Fatal(err)
		}
		r := parse(t, v.Record())
		if !slices.Equal(r.Shards, d.Shards) || r.Seq <= last || r.TCP != 30303 || r.IP != "127.0.0.1" || r.UDP == 0 {
			t.Errorf("%d shards: %+v", count, r)
		}
		last = r.Seq
		var list, vector []byte
		isList, isVector := r.node.Load(enr.WithEntry("rs", &list)) == nil, r.node.Load(enr.WithEntry("rsv", &vector)) == nil
		if isList != (count <= 63) || isVector == isList {
			t.Errorf("%d shards: rs %v, rsv %v", count, isList, isVector)
		}
		if count == 1 && len(r.Multiaddrs) < 4 {
			t.Errorf("room for more than %q", r.Multiaddrs)
		}
	}
}

// TestV5KeepsRoom: whatever address and port others see the node at, its
// record is one that can be signed.
func TestV5KeepsRoom(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 63, 64, 1024} {
		d := plain(65535)
		for i := range count {
			d.Shards = append(d.Shards, uint16(1023-i))
		}
		d.Multiaddrs = []string{"/ip4/192.0.2.1/tcp/65535"}
		for i := range 20 { // whatever is left is used
			d.Multiaddrs = append(d.Multiaddrs, fmt.Sprintf("/dns4/%s/tcp/65535/wss", strings.Repeat("a", i+1)))
		}
		v := listenV5(t, 40, V5Config{Describe: d, Listen: "0.0.0.0:0"})
		for _, endpoint := range []string{"255.255.255.255:65535", "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65534"} {
			for i := range 20 {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 9000)
				v.local.UDPEndpointStatement(from, netip.MustParseAddrPort(endpoint))
			}
			parse(t, v.Record()) // signing panics where there is no room
		}
		if r := parse(t, v.Record()); r.IP != "255.255.255.255" || r.UDP != 65535 || r.TCP != 65535 {
			t.Errorf("%d shards: %+v", count, r)
		}
		_ = v.Close()
	}
}

// TestV5Endpoint: the record has the address listened on, announced or, where
// neither says, that of the node's plain TCP address.
func TestV5Endpoint(t *testing.T) {
	t.Parallel()
	public := Description{Capabilities: relays, Multiaddrs: []string{
		"/ip4/10.0.0.5/tcp/1000", "/ip4/192.0.2.7/tcp/2000", "/ip6/2001:db8::7/tcp/3000", "/ip4/0.0.0.0/tcp/4000"}}
	for name, c := range map[string]struct {
		listen, announce string
		ip               string
		tcp, udp         int // udp 0 is the one listened on
		rest             int
	}{
		"one address": {"127.0.0.1:0", "", "127.0.0.1", 0, 0, 3},
		"all":         {"0.0.0.0:0", "", "192.0.2.7", 2000, 0, 2},
		"announced":   {"0.0.0.0:0", "10.0.0.5", "10.0.0.5", 1000, 0, 2},
		"with port":   {"127.0.0.1:0", "203.0.113.9:9999", "203.0.113.9", 0, 9999, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := listenV5(t, 50, V5Config{Describe: public, Listen: c.listen, Announce: c.announce})
			for i := range 20 { // what others see counts where nothing is settled
				v.local.UDPEndpointStatement(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 1), netip.MustParseAddrPort("[2001:db8::1]:1"))
			}
			r := parse(t, v.Record())
			if r.IP != c.ip || r.TCP != c.tcp || c.udp != 0 && r.UDP != c.udp || r.UDP == 0 {
				t.Errorf("%+v", r)
			}
			if own := r.TCP != 0; len(r.Multiaddrs) != c.rest+map[bool]int{true: 1}[own] {
				t.Errorf("addresses %q", r.Multiaddrs)
			}
		})
	}
}

// TestV5IPv6: a node of IPv6 says ip6 and tcp6, and nothing of IPv4 whoever
// sees it there.
func TestV5IPv6(t *testing.T) {
	t.Parallel()
	if conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback}); err != nil {
		t.Skip("no IPv6 here:", err)
	} else {
		_ = conn.Close()
	}
	d := plain(16, 1)
	d.Multiaddrs = append(d.Multiaddrs, "/ip6/::1/tcp/30304")
	for i := range 30 {
		d.Multiaddrs = append(d.Multiaddrs, fmt.Sprintf("/dns4/%s/tcp/65535/wss", strings.Repeat("a", i+1)))
	}
	a := listenV5(t, 57, V5Config{Describe: d, Listen: "[::1]:0"})
	b := listenV5(t, 58, V5Config{Describe: d, Listen: "[::1]:0", Bootstrap: []string{a.Record()}})
	for i := range 20 {
		a.local.UDPEndpointStatement(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 1), netip.MustParseAddrPort("192.0.2.1:65535"))
	}
	if r := parse(t, a.Record()); r.IP != "::1" || r.TCP != 30304 || r.UDP == 0 || len(r.Multiaddrs) < 3 {
		t.Errorf("%+v", r)
	}
	find(t, b, Want{}, a)
	d.Shards = nil
	for i := range 61 {
		d.Shards = append(d.Shards, uint16(i))
	}
	if err := a.Update(d); err != nil {
		t.Error(err)
	}
	parse(t, a.Record())
	d.Shards = append(d.Shards, 61)
	if err := a.Update(d); !errors.Is(err, ErrRecord) {
		t.Errorf("a record without room for its port: %v", err)
	}
}

func TestV5ConfigErrors(t *testing.T) {
	t.Parallel()
	k, _ := nodeKey(t, 55)
	fine := plain(16, 1)
	for name, c := range map[string]struct {
		cfg  V5Config
		want error
	}{
		"no key":           {V5Config{Describe: fine}, ErrRecord},
		"no capability":    {V5Config{Key: k}, ErrRecord},
		"no address":       {V5Config{Key: k, Describe: fine, Listen: "here"}, ErrV5},
		"bad announcement": {V5Config{Key: k, Describe: fine, Announce: "node.example.org"}, ErrV5},
		"all announced":    {V5Config{Key: k, Describe: fine, Announce: "0.0.0.0"}, ErrV5},
		"other family":     {V5Config{Key: k, Describe: fine, Announce: "2001:db8::1"}, ErrV5},
		"no record":        {V5Config{Key: k, Describe: fine, Bootstrap: []string{"enr:x"}}, ErrRecord},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v, err := ListenV5(c.cfg); !errors.Is(err, c.want) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	// A record without a UDP address is no use, and no error either.
	v := listenV5(t, 56, V5Config{Describe: fine, Bootstrap: []string{node(t).String()}})
	if err := v.Meet(parse(t, node(t).String())); !errors.Is(err, ErrRecord) {
		t.Error(err)
	}
}

// TestV5Database: the sequence number and the nodes known outlive a restart,
// and a spoilt file does no harm.
func TestV5Database(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "discv5")
	boot := listenV5(t, 60, V5Config{Describe: plain(16, 1)})
	a := listenV5(t, 61, V5Config{Describe: plain(16, 1), Bootstrap: []string{boot.Record()}, Database: dir})
	eventually.True(t, "the bootstrap node answered", func() bool { return len(a.live()) == 1 })
	seq := parse(t, a.Record()).Seq
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = listenV5(t, 61, V5Config{Describe: plain(16, 1), Database: dir})
	if got := parse(t, a.Record()).Seq; got <= seq {
		t.Errorf("sequence number %d after %d", got, seq)
	}
	find(t, a, Want{}, boot)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil { // again
		t.Fatal(err)
	}
	for _, spoilt := range []string{"", "nonsense\nenr:\n\xff", strings.Repeat("x", maxSaved+1)} {
		if err := os.WriteFile(filepath.Join(dir, "nodes"), []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		if nodes := loadNodes(dir); len(nodes) != 0 {
			t.Errorf("%.20q: %v", spoilt, nodes)
		}
	}
}

// TestSequence: a record is newer than all those before, whether the clock went
// back or what was kept is an old copy.
func TestSequence(t *testing.T) {
	t.Parallel()
	k, _ := nodeKey(t, 63)
	private, err := recordKey(k)
	if err != nil {
		t.Fatal(err)
	}
	next := func(dir string) uint64 {
		db, local, _, err := openLocal(dir, private)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		return local.Node().Seq()
	}
	kept, old := t.TempDir(), t.TempDir()
	first := next(kept)
	synctest.Test(t, func(t *testing.T) { // in the year 2000
		if got := next(kept); got != first+1 {
			t.Errorf("%d after %d with a clock that went back", got, first)
		}
		if got := next(old); got >= first {
			t.Errorf("%d in the year 2000", got)
		}
		wait(time.Minute) // the databases' last goroutines end some time after
	})
	now := uint64(time.Now().UnixMilli())
	for _, dir := range []string{kept, old, ""} {
		if got := next(dir); got <= now || got < first+2 {
			t.Errorf("%d after %d at %d", got, first, now)
		}
	}
	if files, err := filepath.Glob(filepath.Join(old, "*")); err != nil || len(files) != 1 {
		t.Errorf("kept: %q, %v", files, err)
	}
}

// TestV5EndsFind: ending either the search or the node ends the loop.
func TestV5EndsFind(t *testing.T) {
	t.Parallel()
	v := listenV5(t, 65, V5Config{Describe: plain(16, 1)})
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for _, ctx := range []context.Context{ctx, t.Context()} {
		wg.Go(func() {
			for r := range v.Find(ctx, Want{}) {
				t.Errorf("found %v where nobody is", r)
			}
		})
	}
	cancel()
	_ = v.Close()
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the loop goes on")
	}
}

// TestV5OtherNetwork: nodes of Ethereum's discv5 are none of this network.
func TestV5OtherNetwork(t *testing.T) {
	t.Parallel()
	v := listenV5(t, 70, V5Config{Describe: plain(16, 1)})
	k, _ := nodeKey(t, 71)
	private, err := recordKey(k)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	db, err := enode.OpenDB("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	local := enode.NewLocalNode(db, private)
	local.SetStaticIP(net.IPv4(127, 0, 0, 1))
	local.SetFallbackUDP(conn.LocalAddr().(*net.UDPAddr).Port)
	foreign, err := discover.ListenV5(conn, local, discover.Config{PrivateKey: private})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := v.Meet(parse(t, foreign.Self().String())); err == nil {
		t.Error("a node of another network answered")
	}
	if _, err := foreign.RequestENR(v.local.Node()); err == nil {
		t.Error("a node of another network was answered")
	}
}

// TestV5Hostile: what is no packet of the protocol is no trouble, and says
// nothing in the log that an operator need read.
func TestV5Hostile(t *testing.T) {
	t.Parallel()
	var lines lockedBuffer
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelInfo}))
	v := listenV5(t, 75, V5Config{Describe: plain(16, 1), Logger: log})
	at, _ := v.local.Node().UDPEndpoint()
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 500 {
		_, _ = conn.Write(bytes.Repeat([]byte{byte(i)}, i*3))
	}
	b := listenV5(t, 76, V5Config{Describe: plain(16, 1)})
	there := parse(t, v.Record())
	eventually.True(t, "a good packet among the bad ones was heard", func() bool { return b.Meet(there) == nil })
	_ = v.Close()
	if lines.String() != "" {
		t.Errorf("log:\n%s", lines.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := slog.New(quiet{slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})}).With("x", 1).WithGroup("g")
	for _, l := range []slog.Level{-8, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		log.Log(t.Context(), l, "line")
	}
	if got := strings.Count(b.String(), "level=DEBUG"); got != 3 || strings.Count(b.String(), "level=WARN") != 1 || strings.Count(b.String(), "\n") != 4 {
		t.Errorf("log:\n%s", b.String())
	}
}

// TestMemory: a record is news once, again when it changed or is forgotten,
// and what is remembered is bounded.
func TestMemory(t *testing.T) {
	t.Parallel()
	m := make(memory)
	n := node(t)
	now := time.Unix(1000, 0)
	for i, c := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {againAfter - 1, false}, {1, true}, {0, false}} {
		if now = now.Add(c.after); m.unknown(n, now) != c.want {
			t.Errorf("step %d: want %v", i, c.want)
		}
	}
	m.silent(n, now)
	if m.unknown(n, now.Add(silentFor-1)) || !m.unknown(n, now.Add(silentFor)) {
		t.Error("who was silent is not asked again in time")
	}
	m.silent(node(t), now) // never seen: nothing to remember
	for i := range maxSeen + 10 {
		var id enode.ID
		id[0], id[1] = byte(i), byte(i>>8)
		m[id] = sighting{}
		if i >= maxSeen-1 {
			m.unknown(node(t), now)
			break
		}
	}
	if len(m) != 1 {
		t.Errorf("%d nodes remembered", len(m))
	}
}
