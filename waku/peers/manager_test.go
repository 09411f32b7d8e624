package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
)

// TestProtocols: the protocols known here are those of their packages.
func TestProtocols(t *testing.T) {
	t.Parallel()
	for p, want := range map[protocol.ID]Capability{
		relay.ProtocolID: Relay, store.ProtocolID: Store, filter.SubscribeID: Filter,
		lightpush.ProtocolV2: Lightpush, lightpush.ProtocolV3: Lightpush, filter.PushID: 0,
	} {
		if got := CapabilityOf(p); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
	if got := CapabilitiesOf([]protocol.ID{relay.ProtocolID, "/x", store.ProtocolID}); got != Relay|Store {
		t.Error(got)
	}
}

// town is a simulated network of hosts that speak protocols and tell shards.
type town struct {
	t      testing.TB
	net    mocknet.Mocknet
	hosts  []host.Host // the first is the manager's
	mu     sync.Mutex
	shards map[peer.ID][]uint16
	dials  map[peer.ID][]time.Time
}

func newTown(t testing.TB) *town {
	tw := &town{t: t, net: mocknet.New(), shards: map[peer.ID][]uint16{}, dials: map[peer.ID][]time.Time{}}
	tw.add(nil)
	t.Cleanup(tw.close)
	return tw
}

// add builds a host in a subnet of its own, linked to the first.
func (tw *town) add(shards []uint16, protocols ...protocol.ID) host.Host {
	tw.t.Helper()
	i := len(tw.hosts)
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)))
	if err != nil {
		tw.t.Fatal(err)
	}
	h, err := tw.net.AddPeer(key, addr(tw.t, fmt.Sprintf("/ip4/20.0.%d.1/tcp/60000", i)))
	if err != nil {
		tw.t.Fatal(err)
	}
	for _, p := range protocols {
		h.SetStreamHandler(p, func(s network.Stream) { _ = s.Reset() })
	}
	tw.hosts = append(tw.hosts, h)
	tw.shards[h.ID()] = shards
	if i > 0 {
		tw.link(h)
	}
	return h
}

func (tw *town) link(h host.Host) {
	if _, err := tw.net.LinkPeers(tw.hosts[0].ID(), h.ID()); err != nil {
		tw.t.Fatal(err)
	}
}

// kill cuts a host off.
func (tw *town) kill(p peer.ID) {
	if err := tw.net.UnlinkPeers(tw.hosts[0].ID(), p); err != nil {
		tw.t.Fatal(err)
	}
	_ = tw.hosts[0].Network().ClosePeer(p)
}

// counting notes the dials of a host.
type counting struct {
	host.Host
	tw *town
}

func (c counting) Connect(ctx context.Context, info peer.AddrInfo) error {
	c.tw.mu.Lock()
	c.tw.dials[info.ID] = append(c.tw.dials[info.ID], time.Now())
	c.tw.mu.Unlock()
	return c.Host.Connect(ctx, info)
}

// attempts are the times at which a peer was dialled.
func (tw *town) attempts(p peer.ID) []time.Time {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	return slices.Clone(tw.dials[p])
}

func (tw *town) manager(path string, want Want, log *slog.Logger) *Manager {
	tw.t.Helper()
	m, err := New(Config{
		Host: counting{tw.hosts[0], tw}, Path: path, Want: func() Want { return want },
		Shards: func(p peer.ID) ([]uint16, bool) { s, ok := tw.shards[p]; return s, ok },
		Rand:   newRand(1), Logger: log,
	})
	if err != nil {
		tw.t.Fatal(err)
	}
	tw.t.Cleanup(func() { _ = m.Close() })
	return m
}

func (tw *town) tell(m *Manager) {
	for _, h := range tw.hosts[1:] {
		m.Found(peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}, Facts{Cluster: cluster(16), Source: Discv5, Shards: tw.shards[h.ID()], Capabilities: Relay})
	}
}

// perShard counts the relay peers of each shard.
func (tw *town) perShard() map[uint16]int {
	out := map[uint16]int{}
	for _, p := range tw.hosts[0].Network().Peers() {
		for _, s := range tw.shards[p] {
			out[s]++
		}
	}
	return out
}

func (tw *town) close() {
	if err := tw.net.Close(); err != nil {
		tw.t.Error(err)
	}
	synctest.Wait()
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestManager: the target is reached on each shard, a peer that dies is
// replaced and not dialled more often than its back-off says, and all comes
// back after a restart with nothing but the file.
func TestManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.json")
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		for i := range 12 {
			tw.add([]uint16{[]uint16{32, 64, 128}[i%3]}, relay.ProtocolID)
		}
		m := tw.manager(path, relayWant(2, 32, 64), nil)
		tw.tell(m)
		wait(5 * time.Minute)
		if got := tw.perShard(); got[32] != 2 || got[64] != 2 || got[128] != 0 {
			t.Fatalf("peers per shard: %v", got)
		}
		if s := m.Status(); s.Known != 12 || s.Outbound != 4 || s.Inbound != 0 || s.Dialling != 0 || s.BySource[Discv5] != 12 || s.Proven != 4 || len(s.Lacking) != 0 {
			t.Errorf("status %+v", s)
		}
		best := m.Best(relay.ProtocolID, 32)
		if len(best) != 2 || len(m.Best(relay.ProtocolID, AnyShard)) != 4 || len(m.Best(store.ProtocolID, 32)) != 0 {
			t.Errorf("best %v", best)
		}

		dead := best[0]
		tw.kill(dead)
		wait(time.Minute)
		if got := tw.perShard(); got[32] != 2 {
			t.Errorf("peers per shard after one died: %v", got)
		}
		// All others of the shard die too: they are tried again and again.
		for _, h := range tw.hosts[1:] {
			if slices.Equal(tw.shards[h.ID()], []uint16{32}) && h.ID() != dead {
				tw.kill(h.ID())
			}
		}
		wait(8 * time.Hour)
		if n := len(tw.attempts(dead)); n < 8 || n > 16 {
			t.Errorf("the dead peer was dialled %d times", n)
		}
		checkBackoff(t, tw.attempts(dead)[1:])
		if s := m.Status(); s.BackedOff != 4 || !slices.Equal(s.Lacking, []Need{{Relay, 32, 2}}) {
			t.Errorf("status %+v", s)
		}
		if err := errors.Join(m.Close(), m.Close()); err != nil {
			t.Fatal(err)
		}
		if b, err := readBook(path, tw.hosts[0].ID(), time.Now()); err != nil || !slices.ContainsFunc(b.Peers(), func(k Known) bool { return k.Disconnected.Equal(time.Now().Truncate(time.Second)) }) {
			t.Errorf("the file does not say who was connected at the end: %v", err)
		}
		for _, p := range tw.hosts[0].Network().Peers() {
			_ = tw.hosts[0].Network().ClosePeer(p)
		}

		// Nobody tells of any peer.
		m = tw.manager(path, relayWant(2, 64), nil)
		wait(5 * time.Minute)
		if got := tw.perShard(); got[64] != 2 {
			t.Errorf("peers per shard after a restart: %v", got)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if m.Found(peer.AddrInfo{ID: tw.hosts[1].ID(), Addrs: tw.hosts[1].Addrs()}, Facts{}) {
			t.Error("found after the end")
		}
	})
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", s, err)
	}
}

// TestManagerRestarts: a run dials who was connected at the end of the one
// before within two seconds, and one too many within a short time waits. That
// the runs end in order or crash is no difference.
func TestManagerRestarts(t *testing.T) {
	for name, crash := range map[string]bool{"in order": false, "by a crash": true} {
		path := filepath.Join(t.TempDir(), "peers.json")
		simnet.Test(t, func(t *testing.T) {
			tw := newTown(t)
			h := tw.add([]uint16{32}, relay.ProtocolID)
			m := tw.manager(path, relayWant(1, 32), nil)
			tw.tell(m)
			wait(saveEvery + time.Minute) // crashes lose what is not written
			for i, most := range []time.Duration{2 * time.Second, 2 * time.Second, RestartWait + DefaultInterval, RestartWait + DefaultInterval} {
				left, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				if crash {
					if err := os.WriteFile(path, left, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				_ = tw.hosts[0].Network().ClosePeer(h.ID())
				before := len(tw.attempts(h.ID()))
				start := time.Now()
				m = tw.manager(path, relayWant(1, 32), nil)
				wait(most)
				times := tw.attempts(h.ID())
				if len(times) != before+1 || len(tw.hosts[0].Network().Peers()) != 1 {
					t.Fatalf("%s, restart %d: %d dials within %s", name, i, len(times)-before, most)
				}
				if took := times[before].Sub(start); i > 1 && took < RestartWait {
					t.Errorf("%s, restart %d: dialled after %s", name, i, took)
				}
			}
		})
	}
}

// checkBackoff: the waits between failed attempts double up to an hour.
func checkBackoff(t *testing.T, times []time.Time) {
	t.Helper()
	least := MinBackoff
	for i := 1; i < len(times); i++ {
		if gap := times[i].Sub(times[i-1]); gap < least {
			t.Errorf("attempt %d came %s after the one before, not %s", i, gap, least)
		}
		least = min(2*least, MaxBackoff)
	}
}

// TestManagerAlone: one dead peer is all there is.
func TestManagerAlone(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		h := tw.add([]uint16{32}, relay.ProtocolID)
		tw.kill(h.ID())
		m := tw.manager("", relayWant(1, 32), nil)
		tw.tell(m)
		wait(6 * time.Hour)
		if n, most := len(tw.attempts(h.ID())), int(6*time.Hour/AloneBackoff)+3; n > most || n < most/2 {
			t.Errorf("dialled %d times, at most %d", n, most)
		}
		tw.link(h)
		wait(AloneBackoff + time.Minute)
		if len(tw.hosts[0].Network().Peers()) != 1 {
			t.Error("alone still")
		}
	})
}

// TestManagerServices: a light node's manager finds its services, knows peers
// that come by themselves, and gives the best first.
func TestManagerServices(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		for range 4 {
			tw.add([]uint16{32}, relay.ProtocolID, store.ProtocolID, filter.SubscribeID, lightpush.ProtocolV3)
		}
		m := tw.manager("", Want{Cluster: 16, Shards: []uint16{32}, Services: LightServices()}, nil)
		for _, h := range tw.hosts[1:3] {
			m.Found(peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}, Facts{Source: DNS}) // nothing but where
		}
		wait(2 * time.Minute)
		if n := len(m.Best(filter.SubscribeID, 32)); n != 2 {
			t.Fatalf("%d filter peers", n)
		}
		if len(m.Best(lightpush.ProtocolV3, 32)) != 2 || len(m.Best(lightpush.ProtocolV2, 32)) != 0 || len(m.Best(filter.SubscribeID, 64)) != 0 {
			t.Error("best of a protocol or shard nobody serves")
		}
		if kept := m.Kept(); len(kept) != 2 || !tw.hosts[0].ConnManager().IsProtected(kept[0], keepTag) && !noConnManager(tw.hosts[0]) {
			t.Errorf("kept %v", kept)
		}
		// A third dials in, and is known by what it says.
		in := tw.hosts[3]
		if err := in.Connect(t.Context(), peer.AddrInfo{ID: tw.hosts[0].ID(), Addrs: tw.hosts[0].Addrs()}); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		i := slices.IndexFunc(m.Peers(), func(k Known) bool { return k.ID == in.ID() })
		if i < 0 || m.Peers()[i].Source != Identified || !m.Peers()[i].Capabilities.Has(Store|Relay) || m.Peers()[i].Connectivity != IsConnected {
			t.Errorf("known: %+v", m.Peers())
		}
		best := m.Best(store.ProtocolID, 32)
		if len(best) != 3 {
			t.Fatalf("%d stores", len(best))
		}
		for range 5 {
			m.Served(best[0], store.ProtocolID, errors.New("no answer"), time.Second)
			m.Served(best[1], store.ProtocolID, context.Canceled, time.Second)
			m.Served(best[2], store.ProtocolID, nil, 10*time.Millisecond)
		}
		if got := m.Best(store.ProtocolID, 32); !slices.Equal(got, []peer.ID{best[2], best[1], best[0]}) {
			t.Errorf("best %v after %v", got, best)
		}
	})
}

// noConnManager says whether a host protects nobody, as simulated ones do.
func noConnManager(h host.Host) bool {
	h.ConnManager().Protect("x", "x")
	return !h.ConnManager().IsProtected("x", "x")
}

// TestManagerCorruptFile: a warning, an empty book, and a good file at the end.
func TestManagerCorruptFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "peers.json")
	if err := os.WriteFile(path, []byte(`{"version":1,"peers":[`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	h := newHost(t, nil)
	m, err := New(Config{Host: h, Path: path, Want: func() Want { return Want{} }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Status(); s.Known != 0 {
		t.Errorf("status %+v", s)
	}
	m.Found(info(t, 1), Facts{})
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log.Bytes(), []byte("level=WARN")) {
		t.Errorf("log: %s", log.Bytes())
	}
	if b, err := readBook(path, h.ID(), time.Now()); err != nil || b.Len() != 1 {
		t.Errorf("the file after it: %v", err)
	}
	if _, err := New(Config{Host: h}); err == nil {
		t.Error("a manager that wants nothing")
	}
}

// TestManagerOnSockets: real hosts, one of them found at an address where
// nobody listens too, and one that is gone.
func TestManagerOnSockets(t *testing.T) {
	t.Parallel()
	h, other, gone := newHost(t, nil), newHost(t, nil), newHost(t, nil)
	other.SetStreamHandler(relay.ProtocolID, func(s network.Stream) { _ = s.Reset() })
	toGone := peer.AddrInfo{ID: gone.ID(), Addrs: gone.Addrs()}
	_ = gone.Close()
	m, err := New(Config{Host: h, Want: func() Want { return relayWant(2, 32) }, DialTimeout: eventually.Patience})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Found(toGone, relayFacts(32))
	m.Found(peer.AddrInfo{ID: other.ID(), Addrs: append(other.Addrs(), toGone.Addrs...)}, relayFacts(32))
	eventually.True(t, "one connected, one backed off", func() bool {
		s := m.Status()
		return s.Outbound == 1 && s.BackedOff == 1 && s.Dialling == 0 && len(m.Kept()) == 1
	})
	if !h.ConnManager().IsProtected(other.ID(), keepTag) && !noConnManager(h) {
		t.Error("not protected")
	}
	if best := m.Best(relay.ProtocolID, 32); !slices.Equal(best, []peer.ID{other.ID()}) {
		t.Errorf("best %v", best)
	}
	_ = other.Close()
	eventually.True(t, "disconnected", func() bool { return m.Status().Outbound == 0 && len(m.Kept()) == 0 })
}

// TestFoundFromEverywhere at once: the book stays bounded.
func TestFoundFromEverywhere(t *testing.T) {
	t.Parallel()
	m, err := New(Config{Host: newHost(t, nil), Want: func() Want { return Want{} }})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range MaxPeers / 2 {
				m.Found(info(t, w*MaxPeers+i), relayFacts(32))
			}
		})
	}
	wg.Wait()
	if s := m.Status(); s.Known != MaxPeers || s.BySource[Discv5] != MaxPeers {
		t.Errorf("status %+v", s)
	}
}

func TestFailureOf(t *testing.T) {
	t.Parallel()
	v4, v6 := addr(t, "/ip4/8.8.8.8/tcp/1"), addr(t, "/ip6/2600::1/tcp/1")
	unreachable := &os.SyscallError{Syscall: "connect", Err: syscall.ENETUNREACH}
	refused := &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}
	dial := func(on4, on6 error) error {
		e := &swarm.DialError{Cause: swarm.ErrAllDialsFailed}
		for _, d := range []swarm.TransportError{{Address: v4, Cause: on4}, {Address: v6, Cause: on6}} {
			if d.Cause != nil {
				e.DialErrors = append(e.DialErrors, d)
			}
		}
		return fmt.Errorf("failed to dial: %w", e)
	}
	for name, c := range map[string]struct {
		err     error
		aside   []multiaddr.Multiaddr
		refused bool
	}{
		"other":            {errors.New("x"), nil, true},
		"time":             {context.DeadlineExceeded, nil, true},
		"refused":          {dial(refused, refused), nil, true},
		"no IPv6":          {dial(refused, unreachable), []multiaddr.Multiaddr{v6}, true},
		"IPv6 only":        {dial(nil, unreachable), []multiaddr.Multiaddr{v6}, false},
		"no transport":     {dial(swarm.ErrNoTransport, nil), []multiaddr.Multiaddr{v4}, false},
		"own limit":        {dial(network.ErrResourceLimitExceeded, nil), nil, false},
		"own gate, no one": {dial(swarm.ErrGaterDisallowedConnection, refused), nil, true},
	} {
		f := failureOf(c.err)
		if f.Refused != c.refused || !slices.EqualFunc(f.Unreachable, c.aside, multiaddr.Multiaddr.Equal) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
