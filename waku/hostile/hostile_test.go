package hostile

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/rpc"
)

// Bounds of what attacks may cost, the attackers' own share of it included,
// which run in the same process.
const (
	// peakHeap is the growth of the heap while they last, restHeap what may
	// be left of it.
	peakHeap = 192 << 20
	restHeap = 32 << 20
	// restGoroutines may be left: subscriptions outlive their connection by
	// a minute.
	restGoroutines = 40
	// minRounds of the honest client are made during each storm.
	minRounds = 5
)

// TestHostilePeers runs all attacks on a protocol at a time, protocol after
// protocol, while the honest client uses all of them.
func TestHostilePeers(t *testing.T) {
	w := newWorld(t)
	complete(t, w.node)
	if err := w.honest.use(t.Context()); err != nil {
		t.Fatal(err)
	}
	calm := measure()
	for _, tg := range targets {
		t.Run(tg.name, func(t *testing.T) {
			if tg.light {
				w.lightStorm(t, tg)
			} else {
				w.storm(t, tg, calm, info(w.node.Host()), nil)
			}
		})
	}
}

// complete checks that every protocol that a service node mounts has a row.
func complete(t *testing.T, n *node.Node) {
	t.Helper()
	rows := make(map[string]bool)
	for _, tg := range targets {
		rows[string(tg.id)] = true
	}
	for _, id := range n.Host().Mux().Protocols() {
		library := strings.HasPrefix(string(id), "/ipfs/") || strings.HasPrefix(string(id), "/libp2p/")
		if !library && !rows[string(id)] {
			t.Errorf("%s is served and not attacked", id)
		}
	}
}

// storm attacks a victim in all ways at the same time, each by a peer of its
// own, or all by the one given. In the end all is as before.
func (w *world) storm(t *testing.T, tg target, before state, victim peer.AddrInfo, one *attacker) {
	t.Helper()
	peak, stop := watchHeap()
	var wg sync.WaitGroup
	var all []*attacker
	for name, run := range attacks {
		a := one
		if a == nil {
			var err error
			if a, err = newAttacker(t.Context(), victim); err != nil {
				t.Fatal(err)
			}
			all = append(all, a)
		}
		wg.Go(func() {
			if err := run(t.Context(), a, tg); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	over := make(chan struct{})
	go func() {
		wg.Wait()
		close(over)
	}()
	rounds, slowest := w.serve(t, over)
	<-over
	if one != nil {
		all = append(all, one)
	}
	for _, a := range all {
		a.leave()
	}
	stop()
	if grown := int64(peak()) - int64(before.heap); grown > peakHeap {
		t.Errorf("the heap grew by %d MiB, at most %d", grown>>20, peakHeap>>20)
	}
	var after state
	eventually.True(t, "memory and goroutines given back", func() bool {
		after = measure()
		return after.goroutines <= before.goroutines+restGoroutines && after.heap <= before.heap+restHeap
	}, func() {
		t.Logf("goroutines %d, before %d; heap %d MiB, before %d", after.goroutines, before.goroutines, after.heap>>20, before.heap>>20)
		t.Log(stacks())
	})
	if err := w.honest.use(t.Context()); err != nil {
		t.Errorf("after the attacks: %v", err)
	}
	t.Logf("%d rounds, the slowest took %s; heap %d MiB, %d at most, %d after; goroutines %d, %d after",
		rounds, slowest, before.heap>>20, peak()>>20, after.heap>>20, before.goroutines, after.goroutines)
}

// serve has the honest client use all services until a storm is over, and
// some times at least.
func (w *world) serve(t *testing.T, over <-chan struct{}) (rounds int, slowest time.Duration) {
	t.Helper()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for end := false; !end || rounds < minRounds; rounds++ {
		<-tick.C
		start := time.Now()
		if err := w.honest.use(t.Context()); err != nil {
			t.Errorf("round %d: %v", rounds, err)
			return rounds, slowest
		}
		slowest = max(slowest, time.Since(start))
		select {
		case <-over:
			end = true
		default:
		}
	}
	return rounds, slowest
}

// lightStorm attacks a light node by a filter service that it has chosen
// beside the service node, from which it must still hear.
func (w *world) lightStorm(t *testing.T, tg target) {
	t.Helper()
	h, err := newHost(shard)
	if err != nil {
		t.Fatal(err)
	}
	subscribed := make(chan struct{}, 100)
	answer := func(_ context.Context, _ peer.ID, read func(proto.Message) error) (proto.Message, error) {
		req := new(wakupb.FilterSubscribeRequest)
		if err := read(req); err != nil {
			return nil, err
		}
		if req.FilterSubscribeType == wakupb.FilterSubscribeRequest_SUBSCRIBE {
			subscribed <- struct{}{}
		}
		return &wakupb.FilterSubscribeResponse{RequestId: req.RequestId, StatusCode: filter.StatusOK}, nil
	}
	server := rpc.Serve(h, filter.SubscribeID, rpc.Config{MaxRequest: filter.MaxRequest, Timeout: patience}, answer)
	defer server.Close()
	l, err := node.New(node.Config{
		Mode: node.Light, Cluster: cluster, Peers: []peer.AddrInfo{info(w.node.Host()), info(h)},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := l.Subscribe(t.Context(), map[string][]string{pubsub: {content}}); err != nil {
		t.Fatal(err)
	}
	heard := newInbox()
	go func() {
		for e := range l.Envelopes() {
			heard.take(e.Message)
		}
	}()
	select {
	case <-subscribed:
	case <-time.After(patience):
		t.Fatal("the light node does not subscribe")
	}
	eventually.True(t, "a subscription at the service node", func() bool {
		for _, p := range l.Status().Filter.Peers {
			if p.ID == w.node.Host().ID().String() && p.State == string(filter.Active) {
				return true
			}
		}
		return false
	})
	w.honest.others["light node"] = heard
	defer delete(w.honest.others, "light node")
	w.storm(t, tg, measure(), info(l.Host()), &attacker{Host: h, victim: info(l.Host()), done: make(chan struct{})})
}

// state is what the process has.
type state struct {
	goroutines int
	heap       uint64
}

func measure() state {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return state{runtime.NumGoroutine(), m.HeapAlloc}
}

// watchHeap follows the size of the heap until stopped.
func watchHeap() (peak func() uint64, stop func()) {
	var mu sync.Mutex
	var highest uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			metrics.Read(sample)
			mu.Lock()
			highest = max(highest, sample[0].Value.Uint64())
			mu.Unlock()
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	peak = func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return highest
	}
	return peak, sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}

// stacks are those of all goroutines, as far as they are worth reading.
func stacks() string {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	count := make(map[string]int)
	for stack := range strings.SplitSeq(string(b), "\n\n") {
		lines := strings.Split(stack, "\n")
		count[lines[len(lines)-2]]++ // who began it
	}
	var out strings.Builder
	for who, n := range count {
		fmt.Fprintf(&out, "%4d %s\n", n, who)
	}
	return out.String()
}
