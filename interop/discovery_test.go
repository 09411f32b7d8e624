package interop

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/waku-org/go-waku/waku/v2/node"
	"github.com/waku-org/go-waku/waku/v2/protocol/peer_exchange"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// discovering starts a node of go-waku that takes part in the discovery
// network, known there by others or through others.
func discovering(t *testing.T, bootstrap ...*enode.Node) *gowaku.Node {
	t.Helper()
	n := startWaku(t, []uint16{shard}, gowaku.Relay(frame), node.WithDiscoveryV5(freeUDP(t), bootstrap, true))
	if err := n.DiscV5().Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// freeUDP is a UDP port that nobody has at the moment.
func freeUDP(t *testing.T) uint {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint(c.LocalAddr().(*net.UDPAddr).Port)
}

// record reads our node's record as go-waku reads it.
func (p *parley) record() *enode.Node {
	p.t.Helper()
	r, err := enode.Parse(enode.ValidSchemes, p.ENR)
	if err != nil {
		p.t.Fatalf("%s: %v", p.ENR, err)
	}
	return r
}

// discoveringParley is a node of ours in the discovery network.
func discoveringParley(t *testing.T, bootstrap ...string) *parley {
	t.Helper()
	args := []string{"--discv5", "127.0.0.1:0"}
	for _, r := range bootstrap {
		args = append(args, "--bootstrap", r)
	}
	return startParley(t, args...)
}

// A node of go-waku finds one of ours by our record and connects, and one of
// ours finds one of go-waku by its.
func TestDiscv5(t *testing.T) {
	t.Parallel()
	t.Run("go-waku finds Parley", func(t *testing.T) {
		t.Parallel()
		p := discoveringParley(t)
		n := discovering(t, p.record())
		wait(t, "the connection", func() bool { return connected(n, p.id()) && p.isConnected(n.ID()) })
		meshed(t, n, p)
	})
	t.Run("Parley finds go-waku", func(t *testing.T) {
		t.Parallel()
		n := discovering(t)
		p := discoveringParley(t, n.ENR().String())
		wait(t, "the connection", func() bool { return connected(n, p.id()) && p.isConnected(n.ID()) })
		meshed(t, n, p)
	})
}

// Nodes of ours find each other through one of go-waku, and nodes of go-waku
// through one of ours: records are stored, asked for and given across.
func TestDiscv5Through(t *testing.T) {
	t.Parallel()
	t.Run("through go-waku", func(t *testing.T) {
		t.Parallel()
		n := discovering(t)
		a, b := discoveringParley(t, n.ENR().String()), discoveringParley(t, n.ENR().String())
		wait(t, "the connection of both of ours", func() bool { return a.isConnected(b.id()) && b.isConnected(a.id()) })
	})
	t.Run("through Parley", func(t *testing.T) {
		t.Parallel()
		p := discoveringParley(t)
		a, b := discovering(t, p.record()), discovering(t, p.record())
		wait(t, "the connection of both of go-waku's", func() bool { return connected(a, b.ID()) && connected(b, a.ID()) })
	})
}

// go-waku's client of peer exchange gets from ours what ours has found in the
// discovery network, and connects with it.
func TestPeerExchange(t *testing.T) {
	t.Parallel()
	found := discoveringParley(t)
	p := discoveringParley(t, found.ENR)
	wait(t, "discovery", func() bool { return p.isConnected(found.id()) })
	n := startWaku(t, []uint16{shard}, node.WithWakuFilterLightNode(), node.WithPeerExchange())
	dial(t, n, p)
	wait(t, "peer exchange in identify", func() bool {
		ids, err := n.Host().Peerstore().SupportsProtocols(p.id(), peer_exchange.PeerExchangeID_v20alpha1)
		return err == nil && len(ids) == 1
	})
	var asked time.Time
	wait(t, "the peer that ours has named", func() bool {
		// Ours may not know of it yet, and answers once a second.
		if time.Since(asked) > 1100*time.Millisecond {
			asked = time.Now()
			if err := n.PeerExchange().Request(within(t), 10, peer_exchange.WithPeer(p.id())); err != nil {
				t.Error("peer exchange:", err)
			}
		}
		for _, a := range n.Host().Peerstore().Addrs(found.id()) {
			if strings.HasPrefix(found.tcp(), a.String()+"/p2p/") {
				return true
			}
		}
		return false
	})
}
