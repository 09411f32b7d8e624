package relaysim

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	libp2p "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/topic"
)

var nodes = flag.Int("nodes", 50, "number of relay nodes; the published figures are those of 1000")

// network is what is simulated.
type network struct {
	nodes    int
	degree   int           // links that each node opens
	latency  time.Duration // of each link, one way
	messages int
	payload  int // bytes
	seed     uint64
}

// report is what came of it.
type report struct {
	// deliveries of all messages at all nodes, the publisher itself included.
	deliveries, want int
	// half, most and all are the medians over the messages of the time until
	// half, 99 % and all of the nodes had a message; worst is the longest until
	// all.
	half, most, all, worst time.Duration
	// copies is how often a node received a message, on average.
	copies float64
}

func (r report) String() string {
	return fmt.Sprintf("%d of %d deliveries; half of the nodes after %v, 99 %% after %v, all after %v (worst %v); %.2f copies of a message for each node",
		r.deliveries, r.want, r.half, r.most, r.all, r.worst, r.copies)
}

// patient is a simulated host whose streams take deadlines, and ignore them:
// those of the simulation know none, and the relay gives up a stream without.
type patient struct{ host.Host }

func (h patient) NewStream(ctx context.Context, p peer.ID, ids ...protocol.ID) (libp2p.Stream, error) {
	s, err := h.Host.NewStream(ctx, p, ids...)
	if err != nil {
		return nil, err
	}
	return endless{s}, nil
}

type endless struct{ libp2p.Stream }

func (endless) SetDeadline(time.Time) error      { return nil }
func (endless) SetReadDeadline(time.Time) error  { return nil }
func (endless) SetWriteDeadline(time.Time) error { return nil }

// arrivals notes when messages reach nodes.
type arrivals struct {
	mu sync.Mutex
	at map[uint64][]time.Duration // by message, since it was published
	// published is when.
	published map[uint64]time.Time
}

func (a *arrivals) note(d relay.Delivery) {
	n := binary.BigEndian.Uint64(d.Message.GetPayload())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[n] = append(a.at[n], time.Since(a.published[n]))
}

// run simulates a network. It must be called in a bubble of synctest.
func (n network) run(t *testing.T) report {
	t.Helper()
	rng := rand.New(rand.NewPCG(n.seed, 1))
	net := mocknet.New()
	net.SetLinkDefaults(mocknet.LinkOptions{Latency: n.latency})
	pubsubTopic := topic.Pubsub(16, 32)
	seen := &arrivals{at: make(map[uint64][]time.Duration), published: make(map[uint64]time.Time)}
	hosts, relays := make([]host.Host, n.nodes), make([]*relay.Relay, n.nodes)
	for i := range n.nodes {
		h := addHost(t, net, i)
		r, err := relay.New(patient{h}, relay.Config{Deliver: seen.note})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Subscribe(pubsubTopic); err != nil {
			t.Fatal(err)
		}
		hosts[i], relays[i] = h, r
	}
	for i, h := range hosts {
		for range n.degree {
			other := hosts[rng.IntN(n.nodes)]
			if other == h || len(net.LinksBetweenPeers(h.ID(), other.ID())) > 0 {
				continue
			}
			if _, err := net.LinkPeers(h.ID(), other.ID()); err != nil {
				t.Fatal(err)
			}
			if _, err := net.ConnectPeers(h.ID(), other.ID()); err != nil {
				t.Fatalf("node %d: %v", i, err)
			}
		}
	}
	// The meshes form, and their members earn their places.
	<-time.After(30 * time.Second)
	before := copies(relays, pubsubTopic)
	for i := range n.messages {
		payload := make([]byte, n.payload)
		binary.BigEndian.PutUint64(payload, uint64(i))
		m := message.New(payload, "/parley/1/simulation/proto", time.Now(), true)
		seen.mu.Lock()
		seen.published[uint64(i)] = time.Now()
		seen.mu.Unlock()
		if _, err := relays[rng.IntN(n.nodes)].Publish(context.Background(), pubsubTopic, m); err != nil {
			t.Fatal(err)
		}
		<-time.After(200 * time.Millisecond)
	}
	<-time.After(time.Minute)
	synctest.Wait()
	r := seen.report(n)
	r.copies = float64(copies(relays, pubsubTopic)-before) / float64(n.messages*(n.nodes-1))
	for _, r := range relays {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := net.Close(); err != nil {
		t.Error(err)
	}
	return r
}

// addHost adds a node at an address of its own: the relay scores those down
// that share one.
func addHost(t *testing.T, net mocknet.Mocknet, i int) host.Host {
	t.Helper()
	k, _, err := crypto.GenerateEd25519Key(crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := multiaddr.NewMultiaddr(fmt.Sprintf("/ip4/10.0.%d.%d/tcp/4242", i/256, i%256))
	if err != nil {
		t.Fatal(err)
	}
	h, err := net.AddPeer(k, addr)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// copies counts the messages received by all nodes, repetitions included.
func copies(relays []*relay.Relay, pubsubTopic string) (n uint64) {
	for _, r := range relays {
		n += r.Stats().Topics[pubsubTopic].MessagesIn
	}
	return n
}

func (a *arrivals) report(n network) report {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := report{want: n.messages * n.nodes}
	var half, most, all []time.Duration
	for _, at := range a.at {
		r.deliveries += len(at)
		slices.Sort(at)
		half = append(half, at[len(at)/2])
		most = append(most, at[min(len(at)-1, (len(at)*99+99)/100-1)])
		all = append(all, at[len(at)-1])
	}
	for _, part := range []struct {
		of   []time.Duration
		into *time.Duration
	}{{half, &r.half}, {most, &r.most}, {all, &r.all}} {
		slices.Sort(part.of)
		if len(part.of) > 0 {
			*part.into = part.of[len(part.of)/2]
		}
	}
	if len(all) > 0 {
		r.worst = all[len(all)-1]
	}
	return r
}

// Messages reach every node, without loss, after a few hops and with few
// copies.
func TestSpread(t *testing.T) {
	simnet.Test(t, func(t *testing.T) {
		n := network{nodes: *nodes, degree: 10, latency: 100 * time.Millisecond, messages: 20, payload: 1024, seed: 1}
		r := n.run(t)
		t.Logf("%d nodes: %v", n.nodes, r)
		if r.deliveries != r.want {
			t.Errorf("%d of %d deliveries", r.deliveries, r.want)
		}
		// A mesh of degree 6 spans a thousand nodes within six hops; gossip
		// heals what a mesh misses within a few heartbeats.
		if r.most > 2*time.Second {
			t.Errorf("99 %% of the nodes after %v", r.most)
		}
		// Each node receives a message from at most its mesh neighbours, 8 at
		// the most and 6 on average, of which one has it from this node.
		if r.copies > 8 || r.copies < 1 {
			t.Errorf("%.2f copies for each node", r.copies)
		}
	})
}
