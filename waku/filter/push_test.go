package filter

import (
	"bufio"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/parley-im/parley/internal/mplex"
	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

// receiver is a client of another make: it says itself what it does with a
// push stream.
type receiver struct {
	mu      sync.Mutex
	streams int
	got     []string
	come    chan struct{}
}

func newReceiver() *receiver { return &receiver{come: make(chan struct{}, 10*MaxQueue)} }

// read reads one push, if there is one.
func (r *receiver) read(in *bufio.Reader) bool {
	var push wakupb.MessagePush
	if wire.Read(in, MaxPush, &push) != nil {
		return false
	}
	r.mu.Lock()
	r.got = append(r.got, string(push.WakuMessage.Payload))
	r.mu.Unlock()
	r.come <- struct{}{}
	return true
}

// opened counts a stream and returns the number of streams so far.
func (r *receiver) opened() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.streams++
	return r.streams
}

// take returns what came since the last call, sorted, and the number of
// streams it came on.
func (r *receiver) take() (got []string, streams int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, streams = slices.Sorted(slices.Values(r.got)), r.streams
	r.got, r.streams = nil, 0
	return got, streams
}

func numbers(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%04d", first+i)
	}
	return out
}

func pushNumbers(s *Service, first, n int) {
	for _, text := range numbers(first, n) {
		s.Push(testPubsub, messageOn("x", text))
	}
}

// subscribed starts a service on h and subscribes client to it.
func subscribed(t *testing.T, client, h host.Host, cfg ServiceConfig) *Service {
	t.Helper()
	s := service(t, h, cfg)
	resp, err := streamCaller(client)(t.Context(), h.ID(), request(subscribe, testPubsub, "x"))
	if err != nil || resp.StatusCode != StatusOK {
		t.Fatal(resp, err)
	}
	return s
}

// TestPushToClientThatKeepsStreams, as JavaScript clients do: they speak
// mplex, read from a push stream until it ends, never end one, and reset what
// exceeds 100 of them.
func TestPushToClientThatKeepsStreams(t *testing.T) {
	t.Parallel()
	listen := func() host.Host {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(),
			libp2p.Muxer(mplex.ID, mplex.Transport{}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		return h
	}
	client, h := listen(), listen()
	connect(t, client, h)
	r := newReceiver()
	ended := make(chan error, 100)
	client.SetStreamHandler(PushID, func(stream network.Stream) {
		if r.opened() > 100 {
			_ = stream.Reset()
			return
		}
		in := bufio.NewReader(stream)
		for r.read(in) {
		}
		_, err := in.Peek(1)
		ended <- err
	})
	s := subscribed(t, client, h, ServiceConfig{})
	for round := range 5 {
		pushNumbers(s, 60*round, 60)
		for range 60 {
			<-r.come
		}
	}
	got, streams := r.take()
	if !slices.Equal(got, numbers(0, 300)) || streams != 1 {
		t.Errorf("%d of 300 on %d streams", len(got), streams)
	}
	// The stream must not stay open on the client's side.
	resp, err := streamCaller(client)(t.Context(), h.ID(), request(unsubscribeAll, ""))
	if err != nil || resp.StatusCode != StatusOK {
		t.Fatal(resp, err)
	}
	if err := <-ended; err == nil {
		t.Error("the stream goes on")
	}
}

// TestPushToClientThatReadsOne message and ends the stream, as go-waku does:
// it gets every message of a burst, then each on a stream of its own.
func TestPushToClientThatReadsOne(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		r := newReceiver()
		hosts[1].SetStreamHandler(PushID, func(stream network.Stream) {
			r.opened()
			r.read(bufio.NewReader(stream))
			_ = stream.Close()
		})
		s := subscribed(t, hosts[1], hosts[0], ServiceConfig{})
		pushNumbers(s, 0, 50)
		synctest.Wait()
		<-time.After(2 * endWait)
		if got, streams := r.take(); !slices.Equal(got, numbers(0, 50)) || streams != 50 {
			t.Errorf("%v on %d streams", got, streams)
		}
		<-time.After(time.Minute)
		pushNumbers(s, 50, 50)
		synctest.Wait()
		if got, streams := r.take(); !slices.Equal(got, numbers(50, 50)) || streams != 50 {
			t.Errorf("%v on %d streams", got, streams)
		}
	})
}

// TestPushToClientThatLimits pushes to 15 a second after 20 at once and
// resets the streams of the others, as go-waku does: nothing is lost.
func TestPushToClientThatLimits(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		r := newReceiver()
		limit := rpc.NewLimiter(rpc.Rate{PerSecond: 15, Burst: 20})
		hosts[1].SetStreamHandler(PushID, func(stream network.Stream) {
			if !limit.Allow(stream.Conn().RemotePeer(), time.Now()) {
				_ = stream.Reset()
				return
			}
			r.read(bufio.NewReader(stream))
			_ = stream.Close()
		})
		s := subscribed(t, hosts[1], hosts[0], ServiceConfig{})
		pushNumbers(s, 0, 200)
		<-time.After(20 * time.Second)
		if got, _ := r.take(); !slices.Equal(slices.Compact(got), numbers(0, 200)) {
			t.Errorf("%d of 200", len(got))
		}
		if n := s.Stats().Subscribers; n != 1 {
			t.Errorf("%d subscribers", n)
		}
	})
}

// TestPushToClientThatRefuses: one that resets every stream, for it knows of
// no subscription, loses it.
func TestPushToClientThatRefuses(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		hosts[1].SetStreamHandler(PushID, func(stream network.Stream) { _ = stream.Reset() })
		s := subscribed(t, hosts[1], hosts[0], ServiceConfig{})
		pushNumbers(s, 0, 1)
		<-time.After((MaxPushFailures + 1) * refusedPause)
		if n := s.Stats().Subscribers; n != 0 {
			t.Errorf("%d subscribers", n)
		}
	})
}

// TestPushToClientThatChanges its ways gets what was pushed meanwhile.
func TestPushToClientThatChanges(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		r := newReceiver()
		var keeps bool // set while nothing is under way
		hosts[1].SetStreamHandler(PushID, func(stream network.Stream) {
			r.opened()
			in := bufio.NewReader(stream)
			if !keeps {
				r.read(in)
				_ = stream.Close()
				return
			}
			for r.read(in) {
			}
		})
		s := subscribed(t, hosts[1], hosts[0], ServiceConfig{})
		pushNumbers(s, 0, 5)
		<-time.After(time.Minute)
		if got, streams := r.take(); !slices.Equal(got, numbers(0, 5)) || streams != 5 {
			t.Errorf("%v on %d streams", got, streams)
		}
		keeps = true
		pushNumbers(s, 5, 5)
		<-time.After(time.Minute)
		// Those under way show it.
		if got, streams := r.take(); !slices.Equal(got, numbers(5, 5)) || streams > maxFlight {
			t.Errorf("%v on %d streams", got, streams)
		}
	})
}

// TestPushMemory: what is remembered of a young stream is bounded, and a
// burst of more is pushed all the same.
func TestPushMemory(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, MaxQueueBytes / 10} {
		s := &pushStream{opened: time.Now()}
		f := frame{data: make([]byte, size)}
		n := min(MaxQueue, MaxQueueBytes/size)
		for range n {
			s.remember(f)
		}
		if s.steady() || len(s.sent) != n || s.bytes != n*size {
			t.Errorf("at the limit: %d messages of %d bytes remembered", len(s.sent), size)
		}
		for range 2 {
			s.remember(f)
		}
		if !s.steady() || len(s.sent) != 0 {
			t.Errorf("over the limit: %d messages of %d bytes remembered", len(s.sent), size)
		}
	}
	simnet.Test(t, func(t *testing.T) {
		_, hosts := networkOf(t, 2)
		r := newReceiver()
		hosts[1].SetStreamHandler(PushID, func(stream network.Stream) {
			in := bufio.NewReader(stream)
			for r.read(in) {
			}
		})
		s := subscribed(t, hosts[1], hosts[0], ServiceConfig{})
		for i := range 3 {
			pushNumbers(s, i*MaxQueue, MaxQueue)
			synctest.Wait()
		}
		if got, _ := r.take(); len(got) != 3*MaxQueue {
			t.Errorf("%d pushed at once", len(got))
		}
	})
}

// TestClientReadsStream: a service that pushes everything on one stream, as
// nwaku does, is understood, also after a pause.
func TestClientReadsStream(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, ServiceConfig{})
		w.set(testPubsub, "x")
		stream, err := w.nodes[0].NewStream(t.Context(), w.h.ID(), PushID)
		if err != nil {
			t.Fatal(err)
		}
		pubsub := testPubsub
		var want []string
		for i, content := range []string{"x", "x", "unwanted", "x"} {
			text := fmt.Sprint(i)
			if err := wire.Write(stream, &wakupb.MessagePush{PubsubTopic: &pubsub, WakuMessage: messageOn(content, text)}); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Duration(i) * PushTimeout)
			if content == "x" {
				want = append(want, testPubsub+" "+text)
			}
		}
		synctest.Wait()
		w.mu.Lock()
		got := w.messages
		w.messages = nil
		w.mu.Unlock()
		if !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
	})
}
