package filter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	"github.com/parley-im/parley/internal/simnet"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

// world is a light client and full nodes on a network in memory, with a fake
// clock.
type world struct {
	t        *testing.T
	net      mocknet.Mocknet
	h        host.Host
	nodes    []host.Host
	services []*Service
	c        *Client

	mu       sync.Mutex
	peers    []peer.ID
	messages []string
	gaps     []time.Time
}

// newWorld starts a client and n services; it must be called in a synctest
// bubble.
func newWorld(t *testing.T, n int, cfg ServiceConfig) *world {
	t.Helper()
	w := &world{t: t}
	var hosts []host.Host
	w.net, hosts = networkOf(t, n+1)
	w.h, w.nodes = hosts[0], hosts[1:]
	for _, h := range w.nodes {
		w.services = append(w.services, service(t, h, cfg))
		w.peers = append(w.peers, h.ID())
	}
	c, err := NewClient(w.h, ClientConfig{
		Peers: func() []peer.ID {
			w.mu.Lock()
			defer w.mu.Unlock()
			return slices.Clone(w.peers)
		},
		OnMessage: func(pubsub string, m *wakupb.WakuMessage) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.messages = append(w.messages, pubsub+" "+string(m.Payload))
		},
		OnGap: func(since time.Time) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.gaps = append(w.gaps, since)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.c = c
	t.Cleanup(func() { _ = c.Close() })
	return w
}

func (w *world) set(pubsub string, contents ...string) {
	w.t.Helper()
	if err := w.c.SetSubscriptions(map[string][]string{pubsub: contents}); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

// push has every service push a message and returns what the client received.
func (w *world) push(pubsub, content, text string) []string {
	for _, s := range w.services {
		s.Push(pubsub, messageOn(content, text))
	}
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.messages
	w.messages = nil
	return got
}

// gap returns the gaps reported since the last call.
func (w *world) gap() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.gaps
	w.gaps = nil
	return got
}

// active returns the indexes of the nodes with an active subscription.
func (w *world) active() (out []int) {
	st := w.c.Status()
	for i, n := range w.nodes {
		for _, p := range st.Peers {
			if p.ID == n.ID() && p.State == Active && p.Criteria == st.Criteria {
				out = append(out, i)
			}
		}
	}
	return out
}

func (w *world) expectActive(want ...int) {
	w.t.Helper()
	if got := w.active(); !slices.Equal(got, want) {
		w.t.Fatalf("active at %v, want %v; status %+v", got, want, w.c.Status())
	}
}

// TestClientSubscribes at two of three peers, follows changes of what is
// wanted, and takes leave when nothing is.
func TestClientSubscribes(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, ServiceConfig{})
		synctest.Wait()
		w.expectActive()
		start := time.Now()
		w.set(testPubsub, "x", "y")
		w.expectActive(0, 1)
		if g := w.gap(); len(g) != 1 || !g[0].Equal(start) {
			t.Errorf("gaps %v, want the time before the first subscription", g)
		}
		if got := w.push(testPubsub, "x", "1"); len(got) != 2 || got[0] != testPubsub+" 1" {
			t.Errorf("received %v", got)
		}
		if got := w.push(testPubsub, "z", "1"); len(got) != 0 {
			t.Errorf("received %v", got)
		}
		<-time.After(10 * time.Second)
		w.set(testPubsub, "y", "z")
		w.expectActive(0, 1)
		if g := w.gap(); len(g) != 1 || !g[0].Equal(start) {
			t.Errorf("gaps after adding a topic: %v", g)
		}
		if a, b := w.push(testPubsub, "x", "1"), w.push(testPubsub, "z", "1"); len(a) != 0 || len(b) != 2 {
			t.Errorf("received %v, %v", a, b)
		}
		w.set(testPubsub, "z")
		if g := w.gap(); len(g) != 0 {
			t.Errorf("gaps after removing a topic: %v", g)
		}
		w.set("")
		for i, s := range w.services {
			if n := s.Stats().Subscribers; n != 0 {
				t.Errorf("node %d keeps %d subscribers", i, n)
			}
		}
		w.set(testPubsub, "x")
		w.expectActive(0, 1)
		if err := w.c.Close(); err != nil {
			t.Error(err)
		}
		for i, s := range w.services {
			if n := s.Stats().Subscribers; n != 0 {
				t.Errorf("node %d keeps %d subscribers after the close", i, n)
			}
		}
	})
}

// TestClientBatches: 1000 topics need requests of 100 each, one more is an
// error.
func TestClientBatches(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, ServiceConfig{})
		w.set(testPubsub, topics(0, MaxCriteria)...)
		w.expectActive(0)
		if got := w.push(testPubsub, topics(999, 1)[0], "1"); len(got) != 1 {
			t.Errorf("received %v", got)
		}
		err := w.c.SetSubscriptions(map[string][]string{testPubsub: topics(0, MaxCriteria+1)})
		if !errors.Is(err, ErrCriteria) || w.c.Status().Criteria != MaxCriteria {
			t.Errorf("%v", err)
		}
	})
}

// TestClientStaysSubscribed for an hour by its pings.
func TestClientStaysSubscribed(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, ServiceConfig{})
		w.set(testPubsub, "x")
		w.gap()
		<-time.After(time.Hour)
		synctest.Wait()
		w.expectActive(0, 1)
		if g := w.gap(); len(g) != 0 {
			t.Errorf("gaps %v", g)
		}
		st := w.c.Status()
		if since := time.Since(st.Certain); since > DefaultPingInterval || time.Since(st.Peers[0].LastPing) > DefaultPingInterval {
			t.Errorf("certain %v ago", since)
		}
	})
}

// TestClientReplacesPeers that disconnect, without a gap as long as one is
// left, and with one otherwise.
func TestClientReplacesPeers(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, ServiceConfig{})
		w.set(testPubsub, "x")
		w.expectActive(0, 1)
		w.gap()
		w.cut(0)
		<-time.After(time.Second)
		synctest.Wait()
		w.expectActive(1, 2)
		<-time.After(5 * time.Minute)
		synctest.Wait()
		if g := w.gap(); len(g) != 0 {
			t.Fatalf("gaps %v", g)
		}
		w.cut(1)
		w.cut(2)
		certain := w.c.Status().Certain
		<-time.After(30 * time.Minute)
		synctest.Wait()
		w.expectActive()
		if g := w.gap(); len(g) != 0 {
			t.Fatalf("gaps %v before anybody is subscribed", g)
		}
		w.join(2)
		<-time.After(time.Second)
		synctest.Wait()
		w.expectActive(2)
		if g := w.gap(); len(g) != 1 || !g[0].Equal(certain) {
			t.Errorf("gaps %v, want since %v", g, certain)
		}
	})
}

// cut takes a node off the network, join brings it back.
func (w *world) cut(i int) {
	w.t.Helper()
	p := w.nodes[i].ID()
	if err := errors.Join(w.net.UnlinkPeers(w.h.ID(), p), w.net.DisconnectPeers(w.h.ID(), p)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) join(i int) {
	w.t.Helper()
	p := w.nodes[i].ID()
	if _, err := w.net.LinkPeers(w.h.ID(), p); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.net.ConnectPeers(w.h.ID(), p); err != nil {
		w.t.Fatal(err)
	}
}

// TestClientResubscribes when a node restarts and knows nothing any more.
func TestClientResubscribes(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, ServiceConfig{})
		w.set(testPubsub, "x")
		w.gap()
		<-time.After(90 * time.Second)
		certain := w.c.Status().Certain
		_ = w.services[0].Close()
		w.services[0] = service(t, w.nodes[0], ServiceConfig{})
		<-time.After(time.Minute)
		synctest.Wait()
		w.expectActive(0)
		if got := w.push(testPubsub, "x", "1"); len(got) != 1 {
			t.Errorf("received %v", got)
		}
		if g := w.gap(); len(g) != 1 || !g[0].Equal(certain) {
			t.Errorf("gaps %v, want since %v", g, certain)
		}
	})
}

// TestClientPatience with nodes that take one request a second.
func TestClientPatience(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, ServiceConfig{Rate: 1, Burst: 1})
		w.set(testPubsub, topics(0, 450)...)
		<-time.After(30 * time.Second)
		synctest.Wait()
		w.expectActive(0, 1)
	})
}

// TestClientRefused by peers that are full, refuse, are silent, or answer
// other requests: it goes on to those that do not, and tries again later.
func TestClientRefused(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 1)
		start := time.Now()
		var mu sync.Mutex
		asked := make(map[peer.ID][]time.Duration)
		refusals := map[peer.ID]func(ctx context.Context, req *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error){
			"full": func(_ context.Context, r *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				return answer(r, 503), nil
			},
			"lost": func(_ context.Context, r *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				return answer(r, 404), nil
			},
			"limit": func(_ context.Context, r *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				return answer(r, 429), nil
			},
			"other": func(context.Context, *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				return &wakupb.FilterSubscribeResponse{RequestId: "other", StatusCode: 200}, nil
			},
			"silent": func(ctx context.Context, _ *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			"good": func(_ context.Context, r *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				return answer(r, 200), nil
			},
		}
		c := newClient(hosts[0], ClientConfig{
			Redundancy: 1,
			Peers:      func() []peer.ID { return []peer.ID{hosts[0].ID(), "full", "lost", "limit", "other", "silent", "good"} },
		}, func(ctx context.Context, p peer.ID, req *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
			mu.Lock()
			asked[p] = append(asked[p], time.Since(start))
			mu.Unlock()
			return refusals[p](ctx, req)
		})
		c.wg.Go(func() { c.run(nil) })
		defer func() { _ = c.Close() }()
		if err := c.SetSubscriptions(map[string][]string{testPubsub: {"x"}}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		st := c.Status()
		i := slices.IndexFunc(st.Peers, func(p PeerStatus) bool { return p.ID == "good" })
		if i < 0 || st.Peers[i].State != Active {
			t.Fatalf("%+v", st)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(asked[hosts[0].ID()]) != 0 {
			t.Error("asked itself")
		}
		if got := len(asked["limit"]); got != rateRetries+1 {
			t.Errorf("asked %d times in spite of the rate limit", got)
		}
		for p, at := range asked {
			if p != "limit" && p != "good" && len(at) > 4 {
				t.Errorf("%s is asked at %v", p, at)
			}
		}
		for _, p := range st.Peers {
			if p.State == Waiting && p.Err == nil {
				t.Errorf("no reason for %s", p.ID)
			}
		}
	})
}

func answer(req *wakupb.FilterSubscribeRequest, code uint32) *wakupb.FilterSubscribeResponse {
	return &wakupb.FilterSubscribeResponse{RequestId: req.RequestId, StatusCode: code}
}

// TestClientBackoff: a peer that always fails is asked less and less often.
func TestClientBackoff(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 1)
		var asked []time.Time
		c := newClient(hosts[0], ClientConfig{Peers: func() []peer.ID { return []peer.ID{"bad"} }},
			func(_ context.Context, _ peer.ID, req *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
				asked = append(asked, time.Now())
				return answer(req, 503), nil
			})
		c.wg.Go(func() { c.run(nil) })
		if err := c.SetSubscriptions(map[string][]string{testPubsub: {"x"}}); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		_ = c.Close()
		if len(asked) < 20 || len(asked) > 60*60/int(MaxRetry/time.Second)+10 {
			t.Fatalf("asked %d times in an hour", len(asked))
		}
		for i := 1; i < len(asked); i++ {
			if d := asked[i].Sub(asked[i-1]); d < MinRetry || d > MaxRetry+pollInterval {
				t.Errorf("pause %d is %v", i, d)
			}
		}
	})
}

// TestClientPushes that are not asked for are dropped: by strangers, on other
// topics, invalid, too large, garbage.
func TestClientPushes(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, ServiceConfig{})
		if err := w.c.SetSubscriptions(map[string][]string{testPubsub: {"x", "both"}, "/waku/2/rs/16/64": {"both"}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.expectActive(0, 1)
		send := func(from int, frame []byte) {
			s, err := w.nodes[from].NewStream(t.Context(), w.h.ID(), PushID)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = s.Write(frame)
			_ = s.Close()
			synctest.Wait()
		}
		push := func(pubsub string, m *wakupb.WakuMessage) []byte {
			p := &wakupb.MessagePush{WakuMessage: m}
			if pubsub != "" {
				p.PubsubTopic = &pubsub
			}
			return frameOf(p)
		}
		for name, c := range map[string]struct {
			from  int
			frame []byte
			want  string
		}{
			"good":                {0, push(testPubsub, messageOn("x", "1")), testPubsub + " 1"},
			"one pubsub topic":    {0, push("", messageOn("x", "1")), testPubsub + " 1"},
			"two pubsub topics":   {0, push("", messageOn("both", "1")), ""},
			"none":                {0, push("", messageOn("z", "1")), ""},
			"a stranger":          {2, push(testPubsub, messageOn("x", "1")), ""},
			"other content topic": {0, push(testPubsub, messageOn("z", "1")), ""},
			"other pubsub topic":  {0, push("/waku/2/rs/16/64", messageOn("x", "1")), ""},
			"no payload":          {0, push(testPubsub, messageOn("x", "")), ""},
			"no message":          {0, push(testPubsub, nil), ""},
			"too large":           {0, push(testPubsub, messageOn("x", string(make([]byte, MaxPush)))), ""},
			"garbage":             {0, []byte{3, 0xff, 0xff, 0xff}, ""},
			"cut short":           {0, []byte{100, 1}, ""},
			"nothing":             {0, nil, ""},
		} {
			send(c.from, c.frame)
			w.mu.Lock()
			got := w.messages
			w.messages = nil
			w.mu.Unlock()
			if c.want == "" && len(got) != 0 || c.want != "" && (len(got) != 1 || got[0] != c.want) {
				t.Errorf("%s: received %q", name, got)
			}
		}
		w.expectActive(0, 1)
	})
}

// TestClientPing: a peer that answers no ping any more is replaced, and the
// gap begins where it was last certain.
func TestClientPing(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 1)
		start := time.Now()
		var gaps []time.Duration
		c := newClient(hosts[0], ClientConfig{
			Redundancy: 1,
			Peers:      func() []peer.ID { return []peer.ID{"dies", "lives"} },
			OnGap:      func(since time.Time) { gaps = append(gaps, since.Sub(start)) },
		}, func(ctx context.Context, p peer.ID, req *wakupb.FilterSubscribeRequest) (*wakupb.FilterSubscribeResponse, error) {
			if p == "dies" && time.Since(start) > 150*time.Second {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(req, 200), nil
		})
		c.wg.Go(func() { c.run(nil) })
		if err := c.SetSubscriptions(map[string][]string{testPubsub: {"x"}}); err != nil {
			t.Fatal(err)
		}
		<-time.After(4 * time.Minute)
		synctest.Wait()
		st := c.Status()
		_ = c.Close()
		if want := []time.Duration{0, 2 * time.Minute}; !slices.Equal(gaps, want) {
			t.Errorf("gaps since %v, want %v", gaps, want)
		}
		if len(st.Peers) != 2 || st.Peers[0].State != Waiting || st.Peers[1].State != Active {
			t.Errorf("%+v", st)
		}
	})
}

// TestClientOverSockets subscribes and receives over loopback.
func TestClientOverSockets(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	s := service(t, b, ServiceConfig{})
	got, ready := make(chan string, 10), make(chan time.Time, 10)
	c, err := NewClient(a, ClientConfig{
		Peers:     func() []peer.ID { return []peer.ID{b.ID()} },
		OnMessage: func(pubsub string, m *wakupb.WakuMessage) { got <- pubsub + string(m.Payload) },
		OnGap:     func(since time.Time) { ready <- since },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetSubscriptions(map[string][]string{testPubsub: {"x"}}); err != nil {
		t.Fatal(err)
	}
	<-ready
	for i := range 5 {
		s.Push(testPubsub, messageOn("x", fmt.Sprint(i)))
	}
	seen := make(map[string]bool)
	for range 5 {
		seen[<-got] = true
	}
	if len(seen) != 5 {
		t.Errorf("received %v", seen)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestStatusError: codes match their errors.
func TestStatusError(t *testing.T) {
	t.Parallel()
	for code, want := range map[uint32]error{400: ErrBadRequest, 404: ErrNoSubscription, 429: ErrTooMany, 503: ErrUnavailable, 500: ErrStatus} {
		err := check("1", &wakupb.FilterSubscribeResponse{StatusCode: code})
		if !errors.Is(err, want) || !errors.Is(err, ErrStatus) {
			t.Errorf("%d: %v", code, err)
		}
	}
	if err := check("1", &wakupb.FilterSubscribeResponse{RequestId: "1", StatusCode: 299}); err != nil {
		t.Error(err)
	}
	if err := check("1", &wakupb.FilterSubscribeResponse{RequestId: "2", StatusCode: 200}); !errors.Is(err, ErrResponse) {
		t.Error(err)
	}
}
