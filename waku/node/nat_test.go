package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/metadata"
)

func TestNATConfig(t *testing.T) {
	t.Parallel()
	someone, err := peer.AddrInfoFromString("/ip4/127.0.0.1/tcp/1/p2p/16Uiu2HAmPLe7Mzm8TsYUubgCAW1aJoeFScxrLj8ppHFivPo97bUZ")
	if err != nil {
		t.Fatal(err)
	}
	relays := []peer.AddrInfo{*someone}
	source := func(context.Context, int) <-chan peer.AddrInfo { return nil }
	for name, n := range map[string]NAT{
		"known and detected":            {Detect: true, Private: true},
		"relays for a public node":      {Relays: relays},
		"source for a public node":      {RelaySource: source},
		"private relay":                 {Private: true, RelayService: true},
		"relay without id and address ": {Private: true, Relays: []peer.AddrInfo{{}}},
	} {
		if _, err := (Config{Mode: Light, NAT: n}).complete(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, n := range map[string]NAT{
		"everything":  {Detect: true, PortMap: true, HolePunch: true, RelayService: true, Relays: relays},
		"private":     {Private: true, HolePunch: true, RelaySource: source},
		"punch alone": {HolePunch: true},
	} {
		if _, err := (Config{Mode: Light, NAT: n}).complete(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// through are the addresses of p behind a relay. A node tells others of those
// by public addresses of a relay alone, which there are none of on loopback.
func through(relay, p *Node) peer.AddrInfo {
	circuit := multiaddr.StringCast("/p2p/" + relay.h.ID().String() + "/p2p-circuit")
	out := peer.AddrInfo{ID: p.h.ID()}
	for _, a := range relay.h.Addrs() {
		out.Addrs = append(out.Addrs, a.Encapsulate(circuit))
	}
	return out
}

// TestRelayedConnection: a node that cannot be dialled reserves a place at a
// service node and is reached through it; the peers learn of each other's
// shards that way, and the connection stays.
func TestRelayedConnection(t *testing.T) {
	t.Parallel()
	for name, nat := range map[string]func(*Node) NAT{
		"given relays": func(r *Node) NAT { return NAT{Private: true, HolePunch: true, Relays: infos(r)} },
		"relays found": func(r *Node) NAT {
			return NAT{Private: true, HolePunch: true, RelaySource: func(context.Context, int) <-chan peer.AddrInfo {
				found := make(chan peer.AddrInfo, 1)
				found <- info(r.h)
				close(found)
				return found
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, Config{Mode: Service, NAT: NAT{RelayService: true}})
			hidden := start(t, Config{Mode: Full, Shards: []uint16{32, 64}, Listen: []string{}, NAT: nat(r)})
			visitor := start(t, Config{Mode: Light, NAT: NAT{HolePunch: true}})
			eventually.True(t, "a connection through the relay", func() bool {
				return visitor.Dial(t.Context(), through(r, hidden)) == nil
			})
			ctx := network.WithAllowLimitedConn(t.Context(), "test")
			in, err := metadata.Request(ctx, visitor.h, hidden.h.ID(), visitor.ownMetadata())
			if err != nil || len(in.Shards) != 2 {
				t.Fatalf("metadata %+v, error %v", in, err)
			}
			if c := visitor.h.Network().Connectedness(hidden.h.ID()); c != network.Limited {
				t.Errorf("the connection is %s", c)
			}
		})
	}
}

// TestNoRelayUnasked: a node relays no connections that is not to.
func TestNoRelayUnasked(t *testing.T) {
	t.Parallel()
	r := start(t, Config{Mode: Service})
	hidden := start(t, Config{Mode: Full, NAT: NAT{Private: true, Relays: infos(r)}})
	awaitPeer(t, hidden, r.h.ID())
	visitor := start(t, Config{Mode: Light, NAT: NAT{HolePunch: true}})
	if err := visitor.Dial(t.Context(), through(r, hidden)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("error %v", err)
	}
}

// TestLimitedPeersAreNotParted: who dials over a relay asks over it, and keeps
// a peer that answers.
func TestLimitedPeersAreNotParted(t *testing.T) {
	t.Parallel()
	r := start(t, Config{Mode: Service, NAT: NAT{RelayService: true}})
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(),
		libp2p.ForceReachabilityPrivate(), libp2p.EnableAutoRelayWithStaticRelays(infos(r)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	visitor := start(t, Config{Mode: Light, NAT: NAT{HolePunch: true}})
	asked := make(chan bool, 16)
	h.SetStreamHandler(metadata.ProtocolID, func(s network.Stream) {
		answerMetadata(s, 16)
		if s.Conn().RemotePeer() == visitor.h.ID() {
			asked <- s.Conn().Stat().Limited
		}
	})
	hidden := through(r, &Node{h: h})
	eventually.True(t, "a connection through the relay", func() bool { return visitor.Dial(t.Context(), hidden) == nil })
	select {
	case limited := <-asked:
		if !limited {
			t.Error("asked over another connection")
		}
	case <-time.After(patience):
		t.Fatal("never asked")
	}
	if _, err := metadata.Request(network.WithAllowLimitedConn(t.Context(), "test"), h, visitor.h.ID(),
		metadata.Info{Cluster: 16, HasCluster: true}); err != nil {
		t.Errorf("after the check: %v", err)
	}
}

// TestDetection runs beside the node without harm where nobody can tell it
// anything.
func TestDetection(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, NAT: NAT{Detect: true, PortMap: true, HolePunch: true, RelayService: true}})
	f := full(t, s)
	m := text("detecting")
	publish(t, s, m)
	expect(t, f, m)
}
