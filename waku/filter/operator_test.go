package filter

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/waku/rpc"
)

// TestSlowSubscriberSlowsNobody: while one subscriber never reads from its
// push streams and has a full queue, 20 others get every message; what the
// slow one misses is counted.
func TestSlowSubscriberSlowsNobody(t *testing.T) {
	t.Parallel()
	const others, messages = 20, 100
	_, hosts := networkOf(t, others+2)
	h, slow := hosts[0], hosts[1]
	var mu sync.Mutex
	var seen []Push
	s := service(t, h, ServiceConfig{OnPush: func(p Push) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, p)
	}})
	slow.SetStreamHandler(PushID, func(network.Stream) {}) // neither reads nor ends
	receivers := make([]*receiver, others)
	for i, other := range hosts[2:] {
		r := newReceiver()
		receivers[i] = r
		other.SetStreamHandler(PushID, func(stream network.Stream) {
			in := bufio.NewReader(stream)
			for r.read(in) {
			}
		})
	}
	ask := func(i int, content string) {
		t.Helper()
		resp, err := streamCaller(hosts[i])(t.Context(), h.ID(), request(subscribe, testPubsub, content))
		if err != nil || resp.StatusCode != StatusOK {
			t.Fatal(resp, err)
		}
	}
	for i := range hosts[1:] {
		ask(i+1, "x")
	}
	ask(1, "flood")
	for range MaxQueue + 10 {
		s.Push(testPubsub, messageOn("flood", "more than the slow one can hold"))
	}
	pushNumbers(s, 0, messages)
	for i, r := range receivers {
		for n := range messages {
			select {
			case <-r.come:
			case <-time.After(PushTimeout): // far above what the others need
				t.Fatalf("subscriber %d got %d messages of %d", i, n, messages)
			}
		}
		if got, _ := r.take(); !slices.Equal(got, numbers(0, messages)) {
			t.Errorf("subscriber %d got %v", i, got)
		}
	}
	st := s.Stats()
	mu.Lock()
	defer mu.Unlock()
	var dropped, pushed, bytes uint64
	for _, p := range seen {
		switch {
		case p.Peer == slow.ID() && errors.Is(p.Err, ErrQueueFull):
			dropped++
		case p.Err == nil:
			pushed++
			bytes += uint64(p.Bytes)
		case p.Peer != slow.ID():
			t.Errorf("push %+v", p)
		}
	}
	if dropped < messages || st.Dropped != dropped || pushed < others*messages || st.Pushed != pushed || st.PushedBytes != bytes {
		t.Errorf("%+v; seen: %d pushed, %d bytes, %d dropped", st, pushed, bytes, dropped)
	}
	if st.Queued == 0 || st.Queued > MaxQueue || st.QueuedBytes == 0 || st.QueuedBytes > MaxQueueBytes {
		t.Errorf("%d queued, %d bytes", st.Queued, st.QueuedBytes)
	}
	if st.Subscribers != others+1 || st.Criteria != others+2 {
		t.Errorf("%d subscribers with %d criteria", st.Subscribers, st.Criteria)
	}
}

// TestPushesUnderWay: a client that ends the stream of each message, but only
// after a while, gets several at a time; more with each that it takes, up to
// the bound, and one again after it refused.
func TestPushesUnderWay(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		r := newReceiver()
		end := make(chan bool) // given whether to end the stream well
		hosts[1].SetStreamHandler(PushID, func(stream network.Stream) {
			in := bufio.NewReader(stream)
			if r.opened(); !<-end {
				_ = stream.Reset()
				return
			}
			r.read(in)
			_ = stream.Close()
		})
		s := subscribed(t, hosts[1], hosts[0], ServiceConfig{})
		const messages = 100
		pushNumbers(s, 0, messages)
		last, widest := 0, 0
		underWay := func() int {
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			n := r.streams - last
			last = r.streams
			return n
		}
		for range 20 {
			n := underWay()
			widest = max(widest, n)
			for range n {
				end <- true
			}
		}
		if widest != maxFlight {
			t.Errorf("%d under way at most, not %d", widest, maxFlight)
		}
		n := underWay()
		if n != 0 {
			t.Fatalf("%d still under way", n)
		}
		if got, _ := r.take(); !slices.Equal(got, numbers(0, messages)) {
			t.Errorf("%d of %d", len(got), messages)
		}
		last = 0
		pushNumbers(s, 0, 10)
		for range underWay() {
			end <- false
		}
		<-time.After(refusedPause)
		if n := underWay(); n != 1 {
			t.Errorf("%d under way after a refusal", n)
		}
		for n := 1; n > 0; n = underWay() {
			for range n {
				end <- true
			}
		}
		if got, _ := r.take(); !slices.Equal(got, numbers(0, 10)) {
			t.Errorf("%v of those refused", got)
		}
	})
}

// TestSubscriptions lists what each peer is subscribed to.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		net, hosts := networkOf(t, 3)
		h := hosts[0]
		s := service(t, h, ServiceConfig{})
		if got := s.Subscriptions(); len(got) != 0 {
			t.Errorf("%v", got)
		}
		ask := func(i int, pubsub string, contents ...string) {
			t.Helper()
			resp, err := streamCaller(hosts[i])(t.Context(), h.ID(), request(subscribe, pubsub, contents...))
			if err != nil || resp.StatusCode != StatusOK {
				t.Fatal(resp, err)
			}
		}
		start := time.Now()
		ask(1, testPubsub, "b", "a")
		ask(1, "other", "c")
		<-time.After(time.Second)
		ask(2, testPubsub, "a")
		if err := net.DisconnectPeers(h.ID(), hosts[2].ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Push(testPubsub, messageOn("a", "1"))
		synctest.Wait()
		want := map[peer.ID]string{
			hosts[1].ID(): fmt.Sprint(map[string][]string{testPubsub: {"a", "b"}, "other": {"c"}}, start, true, 0),
			hosts[2].ID(): fmt.Sprint(map[string][]string{testPubsub: {"a"}}, start.Add(time.Second), false, 1),
		}
		got := s.Subscriptions()
		for i, sub := range got {
			if text := fmt.Sprint(sub.Criteria, sub.Seen, sub.Connected, sub.Queued); text != want[sub.Peer] {
				t.Errorf("%s, want %s", text, want[sub.Peer])
			}
			if i > 0 && got[i-1].Peer > sub.Peer {
				t.Error("not in order")
			}
		}
		if len(got) != 2 {
			t.Errorf("%d subscriptions", len(got))
		}
	})
}

// TestObserve: the operator sees each request with its status.
func TestObserve(t *testing.T) {
	t.Parallel()
	_, hosts := networkOf(t, 2)
	seen := make(chan rpc.Exchange, 10)
	s := service(t, hosts[0], ServiceConfig{Rate: 0.001, Burst: 3, Observe: func(x rpc.Exchange) { seen <- x }})
	for _, c := range []struct {
		contents []string
		want     uint32
	}{{[]string{"x"}, 200}, {nil, 400}, {topics(0, MaxContentTopics+1), 400}, {[]string{"x"}, 429}} {
		if _, err := streamCaller(hosts[1])(t.Context(), hosts[0].ID(), request(subscribe, testPubsub, c.contents...)); err != nil {
			t.Fatal(err)
		}
		if x := <-seen; x.Status != c.want || x.Protocol != SubscribeID || x.Peer != hosts[1].ID() || x.In == 0 || x.Out == 0 || x.Err != nil {
			t.Errorf("observed %+v, want %d", x, c.want)
		}
	}
	if st := s.Stats(); st.Limited != 1 {
		t.Errorf("%+v", st)
	}
}
