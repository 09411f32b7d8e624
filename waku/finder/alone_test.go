package finder

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/peers"
	"github.com/parley-im/parley/waku/rpc"
)

// town is a simulated network of hosts that speak filter on shard 32, and of a
// first one that looks for them.
type town struct {
	t     testing.TB
	net   mocknet.Mocknet
	keys  []crypto.PrivKey
	hosts []host.Host

	mu    sync.Mutex
	dials map[peer.ID][]time.Time
	asked map[peer.ID][]time.Time
}

func newTown(t testing.TB) *town {
	tw := &town{t: t, net: mocknet.New(), dials: make(map[peer.ID][]time.Time), asked: make(map[peer.ID][]time.Time)}
	tw.add()
	t.Cleanup(func() {
		if err := tw.net.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
	return tw
}

// add builds a host in a subnet of its own, linked to the first.
func (tw *town) add() host.Host {
	tw.t.Helper()
	i := len(tw.hosts)
	k, err := crypto.UnmarshalSecp256k1PrivateKey(ethcrypto.Keccak256(binary.BigEndian.AppendUint64(nil, uint64(i))))
	if err != nil {
		tw.t.Fatal(err)
	}
	addr, err := multiaddr.NewMultiaddr(tw.address(i))
	if err != nil {
		tw.t.Fatal(err)
	}
	h, err := tw.net.AddPeer(k, addr)
	if err != nil {
		tw.t.Fatal(err)
	}
	tw.keys, tw.hosts = append(tw.keys, k), append(tw.hosts, h)
	if i > 0 {
		h.SetStreamHandler(filter.SubscribeID, func(s network.Stream) { _ = s.Reset() })
		tw.link(i)
	}
	return h
}

func (tw *town) address(i int) string { return fmt.Sprintf("/ip4/20.0.%d.1/tcp/60000", i) }

func (tw *town) multiaddr(i int) string { return tw.address(i) + "/p2p/" + tw.hosts[i].ID().String() }

func (tw *town) record(i int) *discovery.Record {
	return record(tw.t, tw.keys[i], discovery.Description{
		Seq: 1, Capabilities: discovery.Capabilities{Relay: true, Filter: true}, Cluster: 16, Shards: []uint16{32},
		Multiaddrs: []string{tw.address(i)},
	})
}

func (tw *town) link(i int) {
	if _, err := tw.net.LinkPeers(tw.hosts[0].ID(), tw.hosts[i].ID()); err != nil {
		tw.t.Fatal(err)
	}
}

// kill cuts a host off.
func (tw *town) kill(i int) {
	if err := tw.net.UnlinkPeers(tw.hosts[0].ID(), tw.hosts[i].ID()); err != nil {
		tw.t.Fatal(err)
	}
	_ = tw.hosts[0].Network().ClosePeer(tw.hosts[i].ID())
}

// gives has a host give records of others to who asks.
func (tw *town) gives(i int, others ...int) {
	cache := peerexchange.NewCache(peerexchange.CacheConfig{Cluster: 16, Expiry: 1000 * time.Hour})
	for _, o := range others {
		cache.Add(tw.record(o))
	}
	id := tw.hosts[i].ID()
	s := peerexchange.NewService(tw.hosts[i], cache, peerexchange.ServiceConfig{Observe: func(rpc.Exchange) {
		tw.mu.Lock()
		defer tw.mu.Unlock()
		tw.asked[id] = append(tw.asked[id], time.Now())
	}})
	tw.t.Cleanup(func() { _ = s.Close() })
}

// Host, Metadata and Keep make the first host a Node.
func (tw *town) Host() host.Host { return counting{tw.hosts[0], tw} }

func (tw *town) Metadata(p peer.ID) (metadata.Info, bool) {
	return metadata.Info{Cluster: 16, HasCluster: true, Shards: []uint16{32}}, true
}

func (tw *town) Keep(peer.AddrInfo) {}

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

// of are the times noted for a host.
func (tw *town) of(times map[peer.ID][]time.Time, i int) []time.Time {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	return slices.Clone(times[tw.hosts[i].ID()])
}

func (tw *town) connected(i int) bool {
	return tw.hosts[0].Network().Connectedness(tw.hosts[i].ID()) == network.Connected
}

// wait lets time pass.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A prompt node is connected at once, and within a minute when a way to
// others is there again, however long there was none.
func TestPrompt(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		tw.add()
		find(t, Config{Node: tw, Want: filters(1), Bootstrap: []string{tw.multiaddr(1)}, Prompt: true})
		synctest.Wait()
		if !tw.connected(1) {
			t.Fatal("not connected at once")
		}
		for _, away := range []time.Duration{time.Minute, 12 * time.Hour} {
			wait(time.Hour)
			tw.kill(1)
			before := len(tw.of(tw.dials, 1))
			wait(away)
			if n := len(tw.of(tw.dials, 1)) - before; n > 10+3*int(away.Minutes()) {
				t.Errorf("%d dials within %s", n, away)
			}
			tw.link(1)
			wait(maxContact)
			if !tw.connected(1) {
				t.Errorf("not connected a minute after %s without a way", away)
			}
		}
	})
}

// A peer that a node that was alone has dialled, and that serves nothing it
// needs, does not keep it from others.
func TestUselessContact(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		tw.add().RemoveStreamHandler(filter.SubscribeID)
		find(t, Config{Node: tw, Want: filters(1), Bootstrap: []string{tw.multiaddr(1)}, Prompt: true})
		wait(peers.Settling / 2)
		if !tw.connected(1) || len(tw.of(tw.dials, 1)) != 1 {
			t.Fatal("not connected, or not for long")
		}
		wait(peers.Settling)
		if len(tw.of(tw.dials, 1)) == 1 {
			t.Error("still connected")
		}
	})
}

// One that is not prompt has the manager's patience.
func TestPatient(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		tw.add()
		find(t, Config{Node: tw, Want: filters(1), Bootstrap: []string{tw.multiaddr(1)}})
		synctest.Wait()
		if tw.connected(1) {
			t.Fatal("the manager does not wait, so the other tests show nothing")
		}
		wait(time.Hour)
		if !tw.connected(1) {
			t.Fatal("never connected")
		}
		tw.kill(1)
		before := len(tw.of(tw.dials, 1))
		wait(time.Hour)
		if n := len(tw.of(tw.dials, 1)) - before; n == 0 || n > 15 {
			t.Errorf("%d dials within an hour", n)
		}
	})
}

// A node that is alone goes from one known peer to the next, those of another
// network aside.
func TestContacts(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		var boot []string
		for i := 1; i <= 7; i++ {
			tw.add()
			tw.kill(i)
			boot = append(boot, tw.multiaddr(i))
		}
		foreign := tw.record(7)
		text, err := discovery.BuildENR(tw.keys[7], discovery.Description{
			Seq: 2, Capabilities: foreign.Capabilities, Cluster: 1, Shards: []uint16{32}, Multiaddrs: []string{tw.address(7)},
		})
		if err != nil {
			t.Fatal(err)
		}
		boot[6] = text
		find(t, Config{Node: tw, Want: filters(1), Bootstrap: boot, Prompt: true})
		synctest.Wait()
		dialled := 0
		for i := range 7 {
			dialled += len(tw.of(tw.dials, i))
		}
		if dialled != contactDials {
			t.Errorf("%d dials at once", dialled)
		}
		tw.link(6)
		wait(10 * time.Second)
		for i := 1; i <= 6; i++ {
			if len(tw.of(tw.dials, i)) == 0 {
				t.Errorf("peer %d had no turn", i)
			}
		}
		if !tw.connected(6) || len(tw.of(tw.dials, 7)) != 0 {
			t.Errorf("connected %v, foreign dials %d", tw.connected(6), len(tw.of(tw.dials, 7)))
		}
	})
}

// Who is on a list in DNS is dialled as soon as it is read.
func TestListsAtOnce(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		tw.add()
		url, dns := publish(t, "nodes.example", tw.record(1))
		find(t, Config{Node: tw, Want: filters(1), Bootstrap: []string{url}, Resolver: dns, Prompt: true})
		wait(minContact / 4)
		if !tw.connected(1) {
			t.Error("not connected")
		}
	})
}

// Lists in DNS are looked up again soon when they could not be read, however
// often.
func TestListsLater(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		tw.add()
		url, dns := publish(t, "nodes.example", tw.record(1))
		dns.fail(true)
		find(t, Config{Node: tw, Want: filters(1), Bootstrap: []string{url}, Resolver: dns, Prompt: true})
		wait(100 * time.Hour)
		dns.fail(false)
		wait(listRetry + 2*time.Second)
		if !tw.connected(1) {
			t.Error("not connected")
		}
	})
}

// Lists in DNS are looked up again every hour, and who is new there is dialled.
func TestListsAgain(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		tw.add()
		tw.add()
		url, dns := publish(t, "nodes.example", tw.record(1))
		find(t, Config{Node: tw, Want: filters(2), Bootstrap: []string{url}, Resolver: dns})
		wait(time.Minute)
		_, later := publish(t, "nodes.example", tw.record(1), tw.record(2))
		dns.become(later)
		wait(listEvery / 2)
		if !tw.connected(1) || tw.connected(2) {
			t.Errorf("connected %v, too soon %v", tw.connected(1), tw.connected(2))
		}
		wait(listEvery)
		if !tw.connected(2) {
			t.Error("not connected with who came later")
		}
	})
}

// Peers are asked for others only while some are lacking, one after the other,
// and each of them every five minutes.
func TestExchangeTurns(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		tw := newTown(t)
		for range 5 {
			tw.add()
		}
		tw.kill(5)
		tw.gives(1, 3)
		tw.gives(2, 4, 5)
		found := new(tally)
		find(t, Config{Node: tw, Want: filters(5), Bootstrap: []string{tw.multiaddr(1), tw.multiaddr(2)}, Found: found.found})
		wait(time.Minute)
		if !tw.connected(3) || !tw.connected(4) || found.get("peer-exchange") != 3 {
			t.Fatalf("peers found: %v", found.of)
		}
		wait(time.Hour)
		for i := 1; i <= 2; i++ {
			asked := tw.of(tw.asked, i)
			if len(asked) < 9 || len(asked) > 13 { // lacking, but for the times when the dead one is dialled
				t.Errorf("peer %d was asked %d times", i, len(asked))
			}
			for j := 1; j < len(asked); j++ {
				if pause := asked[j].Sub(asked[j-1]); pause < exchangeEvery {
					t.Errorf("peer %d was asked after %s", i, pause)
				}
			}
		}
		tw.link(5)
		wait(9 * time.Hour)
		if !tw.connected(5) {
			t.Fatal("the fifth is not connected")
		}
		before := len(tw.of(tw.asked, 1)) + len(tw.of(tw.asked, 2))
		wait(time.Hour)
		if n := len(tw.of(tw.asked, 1)) + len(tw.of(tw.asked, 2)) - before; n != 0 {
			t.Errorf("asked %d times although nothing is lacking", n)
		}
	})
}
