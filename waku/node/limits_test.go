package node

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/rpc"
)

func TestLimitsConfig(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]Limits{
		"conns":         {MaxConns: -1},
		"few conns":     {MaxConns: MinMaxConns - 1},
		"per IP":        {ConnsPerIP: -1},
		"streams":       {StreamsPerPeer: -1},
		"memory":        {Memory: -1},
		"negative rate": {Store: rpc.Rate{PerSecond: -1, Burst: 1}},
		"no number":     {Filter: rpc.Rate{PerSecond: math.NaN(), Burst: 1}},
		"no end":        {Filter: rpc.Rate{PerSecond: math.Inf(1), Burst: 1}},
		"no burst":      {Lightpush: rpc.Rate{PerSecond: 1}},
		"burst alone":   {Lightpush: rpc.Rate{Burst: 1}},
	} {
		if _, err := (Config{Mode: Light, Limits: l}).complete(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for m, want := range map[Mode]Limits{
		Light:   {MaxConns: DefaultMaxConns, ConnsPerIP: DefaultConnsPerIP, StreamsPerPeer: DefaultStreamsPerPeer},
		Service: {MaxConns: DefaultServiceMaxConns, ConnsPerIP: DefaultServiceConnsPerIP, StreamsPerPeer: DefaultStreamsPerPeer},
	} {
		if got, err := (Limits{}).complete(m); err != nil || got != want {
			t.Errorf("%s: %+v, %v", m, got, err)
		}
	}
	old := lightpush.RateLimit{PerSecond: 3, Burst: 4}
	if got, err := (Config{Mode: Light, LightpushLimit: old}).complete(); err != nil || got.Limits.Lightpush != old {
		t.Errorf("the former name of the lightpush limit: %+v, %v", got.Limits, err)
	}
}

// TestResources: connections in all, of one address and of one peer are
// bounded, and so are streams and memory; what the node dials itself still
// goes when others took all they may.
func TestResources(t *testing.T) {
	t.Parallel()
	l, err := Limits{MaxConns: 80, ConnsPerIP: 10, StreamsPerPeer: 20, Memory: 1 << 30}.complete(Service)
	if err != nil {
		t.Fatal(err)
	}
	if low, high := l.marks(); low != 60 || high != 72 {
		t.Errorf("marks %d, %d", low, high)
	}
	m, err := l.resources()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	// admit opens a connection of a peer of its own.
	serial := 0
	admit := func(dir network.Direction, ip string) bool {
		serial++
		c, err := m.OpenConnection(dir, true, multiaddr.StringCast("/ip4/"+ip+"/tcp/4000"))
		if err == nil {
			err = c.SetPeer(peer.ID(fmt.Sprint("peer ", serial)))
		}
		return err == nil
	}
	count := func(n int, f func(i int) bool) (ok int) {
		for i := range n {
			if f(i) {
				ok++
			}
		}
		return ok
	}
	if n := count(50, func(int) bool { return admit(network.DirInbound, "8.8.8.8") }); n != 10 {
		t.Errorf("%d connections of one address", n)
	}
	if n := count(100, func(i int) bool { return admit(network.DirInbound, fmt.Sprintf("9.9.9.%d", i)) }); n != 60 {
		t.Errorf("%d more connections of others", n) // 80 - 80/8 in all
	}
	if n := count(50, func(i int) bool { return admit(network.DirOutbound, fmt.Sprintf("7.7.7.%d", i)) }); n != 10 {
		t.Errorf("%d connections of our own", n)
	}
	if n := count(50, func(int) bool {
		s, err := m.OpenStream("greedy", network.DirInbound)
		return err == nil && s.SetProtocol("/some/protocol") == nil
	}); n != 20 {
		t.Errorf("%d streams of one peer", n)
	}
	if n := count(50, func(int) bool {
		s, err := m.OpenStream("another", network.DirInbound)
		return err == nil && s.SetProtocol("/some/protocol") == nil
	}); n != 20 {
		t.Errorf("%d streams of another peer", n)
	}
	took := 0
	for i := range 100 {
		if err := m.ViewPeer(peer.ID(fmt.Sprint("peer ", i)), func(s network.PeerScope) error {
			span, err := s.BeginSpan()
			if err != nil {
				return err
			}
			return span.ReserveMemory(peerMemory, network.ReservationPriorityAlways)
		}); err == nil {
			took++
		}
	}
	if took != 1<<30/peerMemory {
		t.Errorf("%d peers reserved %d bytes each", took, peerMemory)
	}
}

// TestLoopbackIsNotCounted: a proxy on the machine brings all clients from
// one address.
func TestLoopbackIsNotCounted(t *testing.T) {
	t.Parallel()
	l, err := Limits{ConnsPerIP: 1}.complete(Service)
	if err != nil {
		t.Fatal(err)
	}
	m, err := l.resources()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	for i := range 50 {
		c, err := m.OpenConnection(network.DirInbound, true, multiaddr.StringCast("/ip4/127.0.0.1/tcp/4000"))
		if err == nil {
			err = c.SetPeer(peer.ID(fmt.Sprint(i)))
		}
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}

// unfriendly is a gater that refuses some peers.
type unfriendly struct {
	dial, accept map[peer.ID]bool
	asked        func(string)
}

func (u unfriendly) InterceptPeerDial(p peer.ID) bool {
	u.asked("peer dial")
	return !u.dial[p]
}

func (u unfriendly) InterceptAddrDial(peer.ID, multiaddr.Multiaddr) bool {
	u.asked("address dial")
	return true
}

func (u unfriendly) InterceptAccept(network.ConnMultiaddrs) bool {
	u.asked("accept")
	return true
}

func (u unfriendly) InterceptSecured(d network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	u.asked("secured")
	return d == network.DirOutbound || !u.accept[p]
}

func (u unfriendly) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) {
	u.asked("upgraded")
	return true, 0
}

// TestGater: the caller's gater is asked about every connection.
func TestGater(t *testing.T) {
	t.Parallel()
	undialled, unwelcome, friend := start(t, Config{Mode: Light}), start(t, Config{Mode: Light}), start(t, Config{Mode: Light})
	var asked sync.Map
	s := start(t, Config{Mode: Service, Gater: unfriendly{
		dial: map[peer.ID]bool{undialled.h.ID(): true}, accept: map[peer.ID]bool{unwelcome.h.ID(): true},
		asked: func(what string) { asked.Store(what, true) },
	}})
	if err := s.Dial(t.Context(), info(undialled.h)); !errors.Is(err, ErrUnreachable) {
		t.Errorf("dialled: %v", err)
	}
	if err := s.Dial(t.Context(), info(friend.h)); err != nil {
		t.Error(err)
	}
	if err := undialled.Dial(t.Context(), info(s.h)); err != nil {
		t.Errorf("it may come by itself: %v", err)
	}
	_ = unwelcome.Dial(t.Context(), info(s.h))
	eventually.True(t, "the unwelcome one gone", func() bool {
		return unwelcome.h.Network().Connectedness(s.h.ID()) != network.Connected
	})
	for _, what := range []string{"peer dial", "address dial", "accept", "secured", "upgraded"} {
		if _, ok := asked.Load(what); !ok {
			t.Errorf("not asked about %s", what)
		}
	}
}
