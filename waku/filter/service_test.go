package filter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

// pushes returns a channel of what is pushed to a host.
func pushes(h host.Host) <-chan *wakupb.MessagePush {
	out := make(chan *wakupb.MessagePush, 2*MaxQueue)
	h.SetStreamHandler(PushID, func(s network.Stream) {
		push := new(wakupb.MessagePush)
		if err := wire.Read(s, MaxPush, push); err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
		out <- push
	})
	return out
}

// TestServiceRequests goes through the request types and their status codes.
func TestServiceRequests(t *testing.T) {
	t.Parallel()
	s := testRegistry(2, func(pubsub string) bool { return pubsub != "unserved" })
	empty := request(ping, "")
	empty.PubsubTopic = proto.String("")
	now := time.Unix(1000, 0)
	for i, c := range []struct {
		peer peer.ID
		req  *wakupb.FilterSubscribeRequest
		want uint32
	}{
		{"a", request(ping, ""), 404},
		{"a", request(unsubscribe, testPubsub, "x"), 404},
		{"a", request(unsubscribeAll, ""), 404},
		{"a", request(subscribe, "", "x"), 400},
		{"a", request(subscribe, testPubsub), 400},
		{"a", request(subscribe, testPubsub, ""), 400},
		{"a", request(subscribe, testPubsub, topics(0, MaxContentTopics+1)...), 400},
		{"a", request(subscribe, "unserved", "x"), 503},
		{"a", request(17, ""), 400},
		{"a", &wakupb.FilterSubscribeRequest{}, 400},
		{"a", request(ping, ""), 404}, // nothing of the above did anything
		{"a", request(subscribe, testPubsub, topics(0, MaxContentTopics)...), 200},
		{"a", request(ping, ""), 200},
		{"a", empty, 200},
		{"a", request(ping, "ignored", "criteria"), 200},
		{"a", request(subscribe, testPubsub, topics(0, MaxContentTopics)...), 200}, // refresh
		{"a", request(unsubscribe, testPubsub), 400},
		{"a", request(unsubscribe, "", "x"), 400},
		{"a", request(unsubscribe, testPubsub, "unknown"), 200},
		{"a", request(unsubscribe, testPubsub, topics(0, 99)...), 200},
		{"a", request(ping, ""), 200},
		{"a", request(unsubscribe, testPubsub, topics(99, 1)...), 200},
		{"a", request(ping, ""), 404}, // the last criterion is gone
		{"a", request(subscribe, testPubsub, "x"), 200},
		{"b", request(subscribe, testPubsub, "x", "y"), 200},
		{"c", request(subscribe, testPubsub, "x"), 503}, // two peers at most
		{"b", request(unsubscribeAll, ""), 200},
		{"b", request(ping, ""), 404},
		{"c", request(subscribe, testPubsub, "x"), 200},
	} {
		got := uint32(200)
		if bad := s.request(c.peer, c.req, now); bad != nil {
			got = bad.code
		}
		if got != c.want {
			t.Errorf("request %d (%v): %d, want %d", i, c.req, got, c.want)
		}
		s.check(t)
	}
}

// testRegistry returns one that starts nothing.
func testRegistry(maxPeers int, serves func(string) bool) *registry {
	return &registry{
		maxPeers: maxPeers, serves: serves, start: func(s *subscriber) { s.stop = func() {} },
		peers: make(map[peer.ID]*subscriber), index: make(map[criterion]map[peer.ID]*subscriber),
	}
}

// check fails the test unless peers and index say the same.
func (r *registry) check(t testing.TB) {
	t.Helper()
	indexed := 0
	for k, subs := range r.index {
		if len(subs) == 0 {
			t.Fatal("an empty set is indexed")
		}
		for p, sub := range subs {
			indexed++
			if _, ok := sub.criteria[k]; !ok || r.peers[p] != sub {
				t.Fatalf("%v is indexed for %s", k, p)
			}
		}
	}
	for p, sub := range r.peers {
		indexed -= len(sub.criteria)
		if len(sub.criteria) == 0 || len(sub.criteria) > MaxCriteria {
			t.Fatalf("%s has %d criteria", p, len(sub.criteria))
		}
	}
	if indexed != 0 {
		t.Fatalf("%d criteria indexed too many", indexed)
	}
	if len(r.peers) > r.maxPeers {
		t.Fatalf("%d peers", len(r.peers))
	}
}

// TestServiceCriteriaLimit at 1000 and 1001, and refused as a whole.
func TestServiceCriteriaLimit(t *testing.T) {
	t.Parallel()
	r := testRegistry(1, nil)
	for i := range MaxCriteria / MaxContentTopics {
		if bad := r.request("a", request(subscribe, testPubsub, topics(i*MaxContentTopics, MaxContentTopics)...), time.Now()); bad != nil {
			t.Fatal(bad)
		}
	}
	for _, req := range []*wakupb.FilterSubscribeRequest{
		request(subscribe, testPubsub, "one more"),
		request(subscribe, "/waku/2/rs/16/64", topics(0, 1)...),
		request(subscribe, testPubsub, append(topics(0, 5), "one more")...),
	} {
		if bad := r.request("a", req, time.Now()); bad == nil || bad.code != StatusUnavailable {
			t.Errorf("%v: %v", req, bad)
		}
	}
	if bad := r.request("a", request(subscribe, testPubsub, topics(950, 50)...), time.Now()); bad != nil {
		t.Errorf("refresh at the limit: %v", bad)
	}
	if n := len(r.peers["a"].criteria); n != MaxCriteria {
		t.Errorf("%d criteria", n)
	}
	r.check(t)
}

// TestServicePushes what matches, over sockets: on every pubsub topic served,
// once, and no longer after unsubscribing.
func TestServicePushes(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	relayed := []string{testPubsub, "/waku/2/rs/16/64"}
	s := service(t, b, ServiceConfig{Serves: func(p string) bool { return slices.Contains(relayed, p) }})
	got := pushes(a)
	call := streamCaller(a)
	ask := func(req *wakupb.FilterSubscribeRequest, want uint32) {
		t.Helper()
		resp, err := call(context.Background(), b.ID(), req)
		if err != nil || resp.StatusCode != want || resp.RequestId != "1" {
			t.Fatalf("%v: %v, %v", req, resp, err)
		}
	}
	expect := func(pubsub string, m *wakupb.WakuMessage) {
		t.Helper()
		push := <-got
		if push.GetPubsubTopic() != pubsub || !proto.Equal(push.WakuMessage, m) {
			t.Fatalf("got %v", push)
		}
	}
	for _, pubsub := range relayed {
		ask(request(subscribe, pubsub, "x", "y"), 200)
	}
	ask(request(subscribe, "/waku/2/rs/16/999", "x"), 503)
	s.Push(testPubsub, messageOn("z", "no such topic"))
	s.Push("/waku/2/rs/16/128", messageOn("x", "another pubsub topic"))
	for i := range 20 {
		m := messageOn([]string{"x", "y"}[i%2], fmt.Sprint(i))
		s.Push(relayed[i/2%2], m)
	}
	order := make(map[string]bool)
	for range 20 {
		push := <-got
		order[string(push.WakuMessage.Payload)] = true
	}
	if len(order) != 20 {
		t.Fatalf("%d different pushes", len(order))
	}
	ask(request(unsubscribe, testPubsub, "x"), 200)
	s.Push(testPubsub, messageOn("x", "unsubscribed"))
	s.Push(testPubsub, messageOn("y", "still there"))
	expect(testPubsub, messageOn("y", "still there"))
	ask(request(unsubscribeAll, ""), 200)
	ask(request(ping, ""), 404)
	if n := s.Stats().Subscribers; n != 0 {
		t.Errorf("%d subscribers", n)
	}
}

// TestServiceExpires subscriptions without a ping, and keeps those with one.
func TestServiceExpires(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 3)
		s := service(t, hosts[0], ServiceConfig{})
		for _, h := range hosts[1:] {
			if resp, err := streamCaller(h)(t.Context(), hosts[0].ID(), request(subscribe, testPubsub, "x")); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
		}
		for range 6 {
			<-time.After(time.Minute - time.Second)
			if resp, err := streamCaller(hosts[1])(t.Context(), hosts[0].ID(), request(ping, "")); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
		}
		if n := s.Stats().Subscribers; n != 1 {
			t.Errorf("%d subscribers after six minutes, want the one that pings", n)
		}
		<-time.After(SubscriptionTimeout - time.Second)
		if n := s.Stats().Subscribers; n != 1 {
			t.Error("expired too early")
		}
		<-time.After(expireInterval + time.Second)
		if n := s.Stats().Subscribers; n != 0 {
			t.Error("not expired")
		}
	})
}

// TestServiceReconnect: what matches while a peer is away is pushed when it
// comes back within the grace, and a peer that stays away is forgotten.
func TestServiceReconnect(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		net, hosts := networkOf(t, 2)
		a, b := hosts[0], hosts[1]
		s := service(t, b, ServiceConfig{})
		got := pushes(a)
		if _, err := streamCaller(a)(t.Context(), b.ID(), request(subscribe, testPubsub, "x")); err != nil {
			t.Fatal(err)
		}
		if err := net.DisconnectPeers(a.ID(), b.ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 3 {
			s.Push(testPubsub, messageOn("x", fmt.Sprint(i)))
		}
		<-time.After(ReconnectGrace / 2)
		if len(got) != 0 {
			t.Fatal("pushed to a peer that is away")
		}
		if _, err := net.ConnectPeers(a.ID(), b.ID()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 3 {
			if push := <-got; string(push.WakuMessage.Payload) != fmt.Sprint(i) {
				t.Errorf("push %d is %v", i, push)
			}
		}
		if err := net.DisconnectPeers(a.ID(), b.ID()); err != nil {
			t.Fatal(err)
		}
		<-time.After(ReconnectGrace + expireInterval)
		if n := s.Stats().Subscribers; n != 0 {
			t.Errorf("%d subscribers", n)
		}
	})
}

// TestServiceSlowPeer: a peer that takes nothing delays nobody and loses its
// subscription; memory for it is bounded meanwhile.
func TestServiceSlowPeer(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 3)
		s := service(t, hosts[0], ServiceConfig{})
		for _, h := range hosts[1:] {
			if _, err := streamCaller(h)(t.Context(), hosts[0].ID(), request(subscribe, testPubsub, "x")); err != nil {
				t.Fatal(err)
			}
		}
		got := pushes(hosts[1])
		hosts[2].SetStreamHandler(PushID, func(s network.Stream) {}) // never reads
		start := time.Now()
		for i := range MaxQueue + 50 {
			s.Push(testPubsub, messageOn("x", fmt.Sprint(i)))
			synctest.Wait()
			<-got
		}
		if late := time.Since(start); late != 0 {
			t.Errorf("the other peer waited %v", late)
		}
		s.mu.RLock()
		q := s.reg.peers[hosts[2].ID()].queue
		s.mu.RUnlock()
		q.mu.Lock()
		waiting := len(q.frames)
		q.mu.Unlock()
		if waiting > MaxQueue {
			t.Errorf("%d pushes wait", waiting)
		}
		<-time.After(MaxPushFailures*PushTimeout + time.Second)
		if n := s.Stats().Subscribers; n != 1 {
			t.Errorf("%d subscribers", n)
		}
	})
}

// TestServiceFailingPeer loses its subscription when it speaks no push.
func TestServiceFailingPeer(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		s := service(t, hosts[0], ServiceConfig{})
		if _, err := streamCaller(hosts[1])(t.Context(), hosts[0].ID(), request(subscribe, testPubsub, "x")); err != nil {
			t.Fatal(err)
		}
		for i := range MaxPushFailures {
			if s.Stats().Subscribers != 1 {
				t.Fatalf("gone after %d failures", i)
			}
			s.Push(testPubsub, messageOn("x", "1"))
			synctest.Wait()
		}
		if n := s.Stats().Subscribers; n != 0 {
			t.Errorf("%d subscribers", n)
		}
	})
}

// TestServicePace: pushes are paced when told, none is lost.
func TestServicePace(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		s := service(t, hosts[0], ServiceConfig{PushRate: 15, PushBurst: 20})
		got := pushes(hosts[1])
		if _, err := streamCaller(hosts[1])(t.Context(), hosts[0].ID(), request(subscribe, testPubsub, "x")); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			s.Push(testPubsub, messageOn("x", "1"))
		}
		synctest.Wait()
		if n := len(got); n != 20 {
			t.Errorf("%d pushed at once", n)
		}
		<-time.After(time.Second + time.Millisecond)
		if n := len(got); n < 34 || n > 35 {
			t.Errorf("%d pushed after a second", n)
		}
		<-time.After(2 * time.Second)
		if n := len(got); n != 50 {
			t.Errorf("%d pushed in the end", n)
		}
	})
}

// TestServiceEvicts a disconnected subscriber for a new one.
func TestServiceEvicts(t *testing.T) {
	t.Parallel()
	r := testRegistry(2, nil)
	now := time.Unix(1000, 0)
	for _, p := range []peer.ID{"a", "b"} {
		r.request(p, request(subscribe, testPubsub, "x"), now)
	}
	if bad := r.request("c", request(subscribe, testPubsub, "x"), now); bad == nil {
		t.Error("a connected subscriber was evicted")
	}
	r.peers["b"].gone = now
	if bad := r.request("c", request(subscribe, testPubsub, "x"), now); bad != nil || r.peers["b"] != nil || r.peers["a"] == nil {
		t.Errorf("%v, %v", bad, r.peers)
	}
	r.check(t)
}

// TestServiceRateLimit answers 429.
func TestServiceRateLimit(t *testing.T) {
	t.Parallel()
	_, hosts := networkOf(t, 2)
	service(t, hosts[0], ServiceConfig{Rate: 0.001, Burst: 2})
	for i, want := range []uint32{404, 404, 429, 429} {
		if resp, err := streamCaller(hosts[1])(context.Background(), hosts[0].ID(), request(ping, "")); err != nil || resp.StatusCode != want {
			t.Errorf("request %d: %v, %v", i, resp, err)
		}
	}
}

// TestServiceHostileStreams: garbage is answered or reset, half requests hold
// nobody up, and the service can still be closed.
func TestServiceHostileStreams(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	s := service(t, b, ServiceConfig{})
	open := func() network.Stream {
		stream, err := a.NewStream(context.Background(), b.ID(), SubscribeID)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	for name, frame := range map[string][]byte{
		"no protobuf": {3, 0xff, 0xff, 0xff},
		"limit + 1":   {0x81, 0x80, 0x04},
	} {
		stream := open()
		_, _ = stream.Write(frame)
		var resp wakupb.FilterSubscribeResponse
		if err := wire.Read(stream, MaxResponse, &resp); err != nil || resp.StatusCode != 400 {
			t.Errorf("%s: %v, %v", name, &resp, err)
		}
	}
	for name, frame := range map[string][]byte{"endless length": bytes.Repeat([]byte{0xff}, 20), "cut short": {200, 1, 2}} {
		stream := open()
		_, _ = stream.Write(frame)
		_ = stream.CloseWrite()
		if rest, err := io.ReadAll(stream); err == nil || len(rest) != 0 {
			t.Errorf("%s: answered with %x, %v", name, rest, err)
		}
	}
	for range MaxStreams + 5 {
		if stream, err := a.NewStream(context.Background(), b.ID(), SubscribeID); err == nil {
			_, _ = stream.Write([]byte{20, 1})
		}
	}
	c, _ := rpctest.Sockets(t)
	connect(t, c, b)
	if resp, err := streamCaller(c)(context.Background(), b.ID(), request(subscribe, testPubsub, "x")); err != nil || resp.StatusCode != 200 {
		t.Errorf("another peer: %v, %v", resp, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := streamCaller(c)(context.Background(), b.ID(), request(ping, "")); err == nil {
		t.Error("a closed service answers")
	}
}

// TestServiceClosesAfterResponse: the stream ends after the response although
// the client keeps its side open.
func TestServiceClosesAfterResponse(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	service(t, b, ServiceConfig{})
	stream, err := a.NewStream(context.Background(), b.ID(), SubscribeID)
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.Write(stream, request(ping, "")); err != nil {
		t.Fatal(err)
	}
	if raw, err := io.ReadAll(stream); err != nil || len(raw) < 5 {
		t.Errorf("%x, %v", raw, err)
	}
}

// TestQueueBounds: bytes and frames are bounded, and given back.
func TestQueueBounds(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for i := range MaxQueue + 1 {
		if ok := q.put(frame{data: []byte{1}}); ok != (i < MaxQueue) {
			t.Fatalf("frame %d: %v", i, ok)
		}
	}
	q = newQueue()
	if !q.put(frame{data: make([]byte, MaxQueueBytes)}) || q.put(frame{data: []byte{1}}) {
		t.Error("bytes are not bounded")
	}
	f, ok := q.next()
	if !ok || !q.put(frame{data: []byte{2}}) {
		t.Error("nothing given back")
	}
	q.back(f)
	if again, _ := q.next(); len(again.data) != MaxQueueBytes {
		t.Error("order lost")
	}
}

// TestServiceConcurrency mixes requests and pushes.
func TestServiceConcurrency(t *testing.T) {
	t.Parallel()
	_, hosts := networkOf(t, 4)
	s := service(t, hosts[0], ServiceConfig{})
	var received atomic.Int64
	done := make(chan error, 3)
	for _, h := range hosts[1:] {
		h.SetStreamHandler(PushID, func(stream network.Stream) {
			_, _ = io.Copy(io.Discard, stream)
			_ = stream.Close()
			received.Add(1)
		})
		go func() {
			call := streamCaller(h)
			var errs []error
			for i := range 30 {
				kind := subscribe
				if i%3 == 1 {
					kind = unsubscribe
				}
				_, err := call(context.Background(), hosts[0].ID(), request(kind, testPubsub, "x", fmt.Sprint(i)))
				errs = append(errs, err)
				s.Push(testPubsub, messageOn("x", fmt.Sprint(i)))
			}
			done <- errors.Join(errs...)
		}()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.mu.Lock()
	s.reg.check(t)
	s.mu.Unlock()
	if received.Load() == 0 && s.Stats().Subscribers == 0 {
		t.Error("nothing happened")
	}
}
