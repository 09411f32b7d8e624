package peers

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/simnet"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestGateLimits: as many as may come in of an address and of a subnet, not
// one more, and one for each that leaves.
func TestGateLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ip   string // %d is the connection
		want int    // let in of 100
	}{
		"one IPv4 host":     {"8.8.8.8", 10},
		"an IPv4 subnet":    {"8.8.8.%d", 50},
		"many IPv4 subnets": {"8.8.%d.8", 100},
		"one IPv6 host":     {"2600:1:2:3::%d", 10},
		"an IPv6 subnet":    {"2600:1:2:%d::1", 50},
		"many IPv6 subnets": {"2600:1:%d::1", 100},
		"a private host":    {"192.168.1.1", 10},
		"a private subnet":  {"192.168.1.%d", 100},
		"this machine":      {"127.0.0.1", 100},
		"this machine 6":    {"::1", 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewGate(GateConfig{})
			address := func(i int) netip.Addr {
				if strings.Contains(c.ip, "%d") {
					return ip(fmt.Sprintf(c.ip, i))
				}
				return ip(c.ip)
			}
			in := 0
			for i := range 100 {
				if g.accept(address(i), epoch) {
					g.opened(fmt.Sprint(in), address(i), epoch)
					in++
				}
			}
			if in != c.want {
				t.Fatalf("%d let in, want %d", in, c.want)
			}
			if in == 100 {
				return
			}
			// All are connections, which time does not release.
			late := epoch.Add(time.Hour)
			if g.accept(address(99), late) {
				t.Error("one more let in")
			}
			g.closed("0")
			g.closed("0")
			if !g.accept(address(99), late) || g.accept(address(99), late) {
				t.Error("not exactly one more after one left")
			}
			for i := range in {
				g.closed(fmt.Sprint(i))
			}
			g.expire(late.Add(handshakeTime))
			if len(g.hosts)+len(g.subnets)+len(g.conns)+len(g.shaking) != 0 {
				t.Errorf("something is left: %+v", g)
			}
		})
	}
}

// TestGateHandshakes: who is let in and never becomes a connection is
// released after the time for handshakes.
func TestGateHandshakes(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		g := NewGate(GateConfig{PerHost: 2, PerSubnet: 3})
		for i, want := range []bool{true, true, false} {
			if g.InterceptAccept(from(t, "/ip4/8.8.8.8/tcp/1")) != want {
				t.Errorf("connection %d", i)
			}
		}
		if s := g.Status(); s != (GateStatus{Inbound: 2, Hosts: 1, Subnets: 1, Refused: 1}) {
			t.Errorf("status %+v", s)
		}
		<-time.After(handshakeTime - 1)
		if g.InterceptAccept(from(t, "/ip4/8.8.8.8/tcp/1")) {
			t.Error("released early")
		}
		<-time.After(1)
		if !g.InterceptAccept(from(t, "/ip4/8.8.8.8/tcp/1")) {
			t.Error("not released")
		}
		for i := range maxHandshakes - 1 {
			if !g.InterceptAccept(from(t, fmt.Sprintf("/ip4/9.%d.%d.1/tcp/1", i/256, i%256))) {
				t.Fatalf("handshake %d", i)
			}
		}
		if g.InterceptAccept(from(t, "/ip4/7.7.7.7/tcp/1")) {
			t.Error("any number of handshakes")
		}
		// What has no address is not counted.
		if !g.InterceptAccept(from(t, "/dns4/node.example/tcp/1")) {
			t.Error("refused without an address")
		}
	})
}

type remote struct{ addr multiaddr.Multiaddr }

func (r remote) LocalMultiaddr() multiaddr.Multiaddr  { return nil }
func (r remote) RemoteMultiaddr() multiaddr.Multiaddr { return r.addr }

func from(t testing.TB, a string) network.ConnMultiaddrs { return remote{addr(t, a)} }

// TestGateConcurrently: nothing is lost when all happens at once.
func TestGateConcurrently(t *testing.T) {
	t.Parallel()
	g := NewGate(GateConfig{PerHost: 1000, PerSubnet: 1000})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 200 {
				id, a := fmt.Sprint(i, k), ip(fmt.Sprintf("8.8.8.%d", k%4))
				g.accept(a, epoch)
				g.opened(id, a, epoch)
				g.closed(id)
			}
		})
	}
	wg.Wait()
	if len(g.hosts)+len(g.subnets)+len(g.conns)+len(g.shaking) != 0 {
		t.Errorf("something is left: %+v", g)
	}
}

// newHost is a host on loopback, behind a gate if given.
func newHost(t testing.TB, g connmgr.ConnectionGater) host.Host {
	t.Helper()
	opts := []libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics()}
	if g != nil {
		opts = append(opts, libp2p.ConnectionGater(g))
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// TestGateOnSockets: the count goes with real connections.
func TestGateOnSockets(t *testing.T) {
	t.Parallel()
	g := NewGate(GateConfig{PerHost: 2, Exempt: []netip.Prefix{}})
	h := newHost(t, g)
	defer g.Watch(h.Network())()
	to := peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()}
	var clients []host.Host
	for range 3 {
		clients = append(clients, newHost(t, nil))
	}
	for _, c := range clients[:2] {
		if err := c.Connect(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "two connections", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.conns) == 2 && len(g.shaking) == 0
	})
	if err := clients[2].Connect(t.Context(), to); err == nil {
		t.Fatal("a third connection")
	}
	_ = clients[0].Network().ClosePeer(h.ID())
	eventually.True(t, "one connection", func() bool { return g.Status().Inbound == 1 })
	third := newHost(t, nil)
	if err := third.Connect(t.Context(), to); err != nil {
		t.Errorf("in place of the one that left: %v", err)
	}
}
