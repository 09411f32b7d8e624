package lightpush

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

// observer keeps what it is told.
type observer struct {
	mu   sync.Mutex
	seen []rpc.Exchange
}

func (o *observer) observe(x rpc.Exchange) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, x)
}

func (o *observer) all() []rpc.Exchange {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seen
}

// TestObserve: the operator sees each request with a status, in both
// versions, and what was refused is counted.
func TestObserve(t *testing.T) {
	t.Parallel()
	for version, id := range map[int]protocol.ID{2: ProtocolV2, 3: ProtocolV3} {
		a, b := rpctest.Sockets(t)
		o := new(observer)
		reasons := make(chan error, 2)
		reasons <- nil
		reasons <- ErrNoPeers
		s, err := newService(b, ServiceConfig{
			Publish: func(context.Context, string, *wakupb.WakuMessage) (int, error) { return 3, <-reasons },
			Limit:   RateLimit{PerSecond: 0.001, Burst: 2}, Observe: o.observe,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		s.mount(id, map[int]rpc.Handler{2: s.serveV2, 3: s.serveV3}[version])
		for _, want := range []Status{StatusOK, StatusNoPeers, StatusTooManyRequests} {
			if _, err := Push(t.Context(), a, b.ID(), shard32, text("x")); (err == nil) != (want == StatusOK) {
				t.Errorf("version %d: %v, want %d", version, err, want)
			}
			n := map[Status]int{StatusOK: 1, StatusNoPeers: 2, StatusTooManyRequests: 3}[want]
			eventually.True(t, "an observation", func() bool { return len(o.all()) == n })
			x := o.all()[n-1]
			if Status(x.Status) != want || x.Protocol != id || x.Peer != a.ID() || x.In == 0 || x.Out == 0 || x.Err != nil {
				t.Errorf("version %d: observed %+v, want %d", version, x, want)
			}
		}
		if st := s.Stats(); st.Limited != 1 || st.RefusedStreams != 0 {
			t.Errorf("version %d: %+v", version, st)
		}
	}
}

// TestUnreadForms are the responses to requests that were not read, as
// deployed clients expect them: go-waku takes the request id "N/A" of version
// 2 for the rate limit, nwaku answers with it in version 3 also to what does
// not decode.
func TestUnreadForms(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	serve(t, b, ServiceConfig{Publish: accept, Limit: RateLimit{PerSecond: 0.001, Burst: 2}})
	ask := func(id protocol.ID, request []byte, resp proto.Message) {
		t.Helper()
		s := raw(t, a, b, id)
		if _, err := s.Write(request); err != nil {
			t.Fatal(err)
		}
		if err := wire.Read(s, MaxResponse, resp); err != nil {
			t.Fatal(err)
		}
	}
	bad := []byte{2, 0xff, 0xff}
	var v2 wakupb.PushRPC
	if ask(ProtocolV2, bad, &v2); v2.RequestId != "" || v2.Response.GetIsSuccess() || v2.Response.GetInfo() == "" {
		t.Errorf("version 2, undecodable: %v", &v2)
	}
	var v3 wakupb.LightPushResponse
	if ask(ProtocolV3, bad, &v3); v3.RequestId != "N/A" || v3.StatusCode != 400 || v3.GetStatusDesc() == "" || v3.RelayPeerCount != nil {
		t.Errorf("version 3, undecodable: %v", &v3)
	}
	if ask(ProtocolV2, bad, &v2); v2.RequestId != "N/A" || v2.Response.GetIsSuccess() || v2.Response.GetInfo() != "TOO_MANY_REQUESTS" {
		t.Errorf("version 2, limited: %v", &v2)
	}
	if ask(ProtocolV3, bad, &v3); v3.RequestId != "N/A" || v3.StatusCode != 429 || v3.RelayPeerCount != nil {
		t.Errorf("version 3, limited: %v", &v3)
	}
}

// TestStreamsAreBounded: a peer has MaxStreams of each version, which count,
// and the ones beyond are reset.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	s := serve(t, b, ServiceConfig{Publish: accept, Limit: RateLimit{PerSecond: 1e6, Burst: 1e6}})
	var all []network.Stream
	for range MaxStreams + 1 {
		stream := raw(t, a, b, ProtocolV3)
		if err := stream.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		// The protocol is spoken from the first byte on.
		if _, err := stream.Write([]byte{10}); err != nil && !errors.Is(err, network.ErrReset) {
			t.Fatal(err)
		}
		all = append(all, stream)
	}
	eventually.True(t, "a stream refused", func() bool { return s.Stats().RefusedStreams == 1 })
	if st := s.Stats(); st.Streams != MaxStreams {
		t.Errorf("%+v", st)
	}
	for _, stream := range all {
		_ = stream.CloseWrite() // within the request: reset
	}
	for _, stream := range all {
		if rest, err := io.ReadAll(stream); err == nil || len(rest) != 0 {
			t.Errorf("answered with %x, %v", rest, err)
		}
	}
	eventually.True(t, "the places given back", func() bool { return s.Stats().Streams == 0 })
	if _, err := Push(t.Context(), a, b.ID(), shard32, text("x")); err != nil {
		t.Error(err)
	}
}

// BenchmarkPushSocket is a whole request of 1 KB over loopback, 16 at a time,
// to a service that publishes nowhere.
func BenchmarkPushSocket(b *testing.B) {
	x, y := rpctest.Sockets(b)
	serve(b, y, ServiceConfig{Publish: accept, Limit: RateLimit{PerSecond: 1e9, Burst: 1e9}})
	payload := string(make([]byte, 1024))
	b.ReportAllocs()
	b.SetParallelism(8) // times two processors
	start := cpu()
	b.RunParallel(func(pb *testing.PB) {
		m := text(payload)
		for pb.Next() {
			if _, err := Push(context.Background(), x, y.ID(), shard32, m); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/1e3, "cpu-µs/request")
}
