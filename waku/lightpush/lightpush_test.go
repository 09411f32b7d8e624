package lightpush

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

const (
	patience = eventually.Patience
	shard32  = "/waku/2/rs/16/32"
)

func serve(t testing.TB, h host.Host, cfg ServiceConfig) *Service {
	t.Helper()
	s, err := NewService(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func text(s string) *wakupb.WakuMessage {
	return message.New([]byte(s), "/waku/1/0x00000001/rfc26", time.Unix(1700000000, 0), false)
}

// only mounts one version of a service.
func only(t testing.TB, h host.Host, cfg ServiceConfig, version int) {
	t.Helper()
	s, err := newService(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if version == 2 {
		s.mount(ProtocolV2, s.serveV2)
	} else {
		s.mount(ProtocolV3, s.serveV3)
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	for _, version := range []int{2, 3} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Pair(t)
			type pushed struct {
				topic string
				m     *wakupb.WakuMessage
			}
			got := make(chan pushed, 1)
			only(t, b, ServiceConfig{Publish: func(_ context.Context, topic string, m *wakupb.WakuMessage) (int, error) {
				got <- pushed{topic, m}
				return 7, nil
			}}, version)
			m := text("hello")
			r, err := Push(t.Context(), a, b.ID(), shard32, m)
			if err != nil || r.Version != version {
				t.Fatalf("result %+v, error %v", r, err)
			}
			if want := map[int]int{2: 0, 3: 7}[version]; r.RelayPeers != want {
				t.Errorf("relay peers %d, want %d", r.RelayPeers, want)
			}
			if p := <-got; p.topic != shard32 || !proto.Equal(p.m, m) {
				t.Errorf("published %v", p)
			}
		})
	}
}

func TestVersion3IsPreferred(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	serve(t, b, ServiceConfig{Publish: accept})
	r, err := Push(t.Context(), a, b.ID(), shard32, text("x"))
	if err != nil || r.Version != 3 {
		t.Fatalf("result %+v, error %v", r, err)
	}
}

func accept(context.Context, string, *wakupb.WakuMessage) (int, error) { return 1, nil }

func TestNoService(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	if _, err := Push(t.Context(), a, b.ID(), shard32, text("x")); !errors.Is(err, ErrExchange) {
		t.Fatalf("error %v", err)
	}
}

// TestRefusals covers every status code, the publisher's reasons among them,
// in both versions.
func TestRefusals(t *testing.T) {
	t.Parallel()
	large := text("x")
	large.Payload = make([]byte, message.MaxSize)
	for name, c := range map[string]struct {
		topic   string
		m       *wakupb.WakuMessage
		publish error
		code    Status
		want    error
	}{
		"no pubsub topic":   {"", text("x"), nil, StatusBadRequest, ErrBadRequest},
		"long pubsub topic": {string(make([]byte, MaxPubsubTopic+1)), text("x"), nil, StatusBadRequest, ErrBadRequest},
		"no message":        {shard32, nil, nil, StatusBadRequest, ErrBadRequest},
		"invalid message":   {shard32, &wakupb.WakuMessage{ContentTopic: "t"}, nil, StatusInvalidMessage, ErrInvalidMessage},
		"too large":         {shard32, large, nil, StatusTooLarge, ErrTooLarge},
		"unsupported topic": {shard32, text("x"), fmt.Errorf("%w: no", ErrUnsupportedTopic), StatusUnsupportedTopic, ErrUnsupportedTopic},
		"no peers":          {shard32, text("x"), ErrNoPeers, StatusNoPeers, ErrNoPeers},
		"limited":           {shard32, text("x"), ErrTooManyRequests, StatusTooManyRequests, ErrTooManyRequests},
		"unavailable":       {shard32, text("x"), ErrUnavailable, StatusUnavailable, ErrUnavailable},
		"no proof":          {shard32, text("x"), ErrNoProof, StatusNoProof, ErrNoProof},
		"internal":          {shard32, text("x"), errors.New("secret detail"), StatusInternal, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, version := range []int{2, 3} {
				a, b := rpctest.Pair(t)
				only(t, b, ServiceConfig{Publish: func(context.Context, string, *wakupb.WakuMessage) (int, error) {
					if c.publish == nil {
						t.Error("a bad request was published")
					}
					return 0, c.publish
				}}, version)
				_, err := Push(t.Context(), a, b.ID(), c.topic, c.m)
				refusal, ok := errors.AsType[*StatusError](err)
				if !ok {
					t.Fatalf("version %d: error %v", version, err)
				}
				if c.want == nil && refusal.Desc != "internal error" {
					t.Errorf("version %d: told the client %q", version, refusal.Desc)
				}
				if version == 2 {
					continue // no codes
				}
				if refusal.Code != c.code || (c.want != nil && !errors.Is(err, c.want)) {
					t.Errorf("refused with %v, want %d", err, c.code)
				}
			}
		})
	}
}

func TestBothCodesOfNoPeers(t *testing.T) {
	t.Parallel()
	for _, code := range []Status{StatusUnavailable, StatusNoPeers} {
		if err := error(&StatusError{Code: code}); !errors.Is(err, ErrNoPeers) {
			t.Errorf("%d is not read as no peers", code)
		}
	}
	if err := error(&StatusError{Code: 599}); errors.Unwrap(err) != nil {
		t.Error("an unknown code has a reason")
	}
}

// TestRateLimit is the limit, one more, and the refill, on the service's own
// clock.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for _, version := range []int{2, 3} {
		a, b := rpctest.Pair(t)
		now := make(chan time.Time, 1)
		now <- time.Unix(1000, 0)
		clock := func() time.Time { n := <-now; now <- n; return n }
		only(t, b, ServiceConfig{Publish: accept, Now: clock, Limit: RateLimit{PerSecond: 2, Burst: 3}}, version)
		push := func() error {
			_, err := Push(t.Context(), a, b.ID(), shard32, text("x"))
			return err
		}
		for i := range 3 {
			if err := push(); err != nil {
				t.Fatalf("version %d: request %d of 3: %v", version, i+1, err)
			}
		}
		if err := push(); !errors.Is(err, ErrTooManyRequests) {
			t.Fatalf("version %d: request over the limit: %v", version, err)
		}
		<-now
		now <- time.Unix(1000, 5e8) // half a second makes one token
		if err := push(); err != nil {
			t.Fatalf("version %d: after the refill: %v", version, err)
		}
		if err := push(); !errors.Is(err, ErrTooManyRequests) {
			t.Fatalf("version %d: after the refill was used: %v", version, err)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, h := rpctest.Pair(t)
	for _, cfg := range []ServiceConfig{
		{},
		{Publish: accept, Limit: RateLimit{PerSecond: 1}},
		{Publish: accept, Limit: RateLimit{Burst: 1}},
		{Publish: accept, Limit: RateLimit{PerSecond: -1, Burst: 1}},
	} {
		if _, err := NewService(h, cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: error %v", cfg.Limit, err)
		}
	}
}

// raw opens a stream of a version to a service.
func raw(t *testing.T, a, b host.Host, id protocol.ID) network.Stream {
	t.Helper()
	s, err := a.NewStream(t.Context(), b.ID(), id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	return s
}

// TestServiceEndsTheStream: JavaScript clients read until the end of the
// stream and may leave their own side open.
func TestServiceEndsTheStream(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	serve(t, b, ServiceConfig{Publish: accept})
	for id, req := range map[protocol.ID]proto.Message{
		ProtocolV2: &wakupb.PushRPC{RequestId: "1", Request: &wakupb.PushRequest{PubsubTopic: shard32, Message: text("x")}},
		ProtocolV3: &wakupb.LightPushRequest{RequestId: "1", PubsubTopic: proto.String(shard32), Message: text("x")},
	} {
		s := raw(t, a, b, id)
		if err := wire.Write(s, req); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(s)
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s: the response does not end", id)
		}
	}
}

// TestIdleStreams: one opened ahead of need is served when its request comes,
// and one closed without a request ends in peace.
func TestIdleStreams(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	serve(t, b, ServiceConfig{Publish: accept})
	idle := raw(t, a, b, ProtocolV3)
	if _, err := Push(t.Context(), a, b.ID(), shard32, text("meanwhile")); err != nil {
		t.Fatal(err)
	}
	if err := wire.Write(idle, &wakupb.LightPushRequest{RequestId: "1", PubsubTopic: proto.String(shard32), Message: text("x")}); err != nil {
		t.Fatal(err)
	}
	var resp wakupb.LightPushResponse
	if err := wire.Read(idle, MaxResponse, &resp); err != nil || Status(resp.StatusCode) != StatusOK {
		t.Fatalf("response %v, error %v", &resp, err)
	}
	unused := raw(t, a, b, ProtocolV3)
	if err := unused.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(unused); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadableRequests are answered where the client can still hear it.
func TestUnreadableRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes []byte
		code  Status
	}{
		"no protobuf":   {[]byte{2, 0xff, 0xff}, StatusBadRequest},
		"too long":      {[]byte{0xff, 0xff, 0xff, 0x7f}, StatusTooLarge},
		"endless size":  {bytes.Repeat([]byte{0xff}, 11), StatusBadRequest},
		"empty request": {[]byte{0}, StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Pair(t)
			serve(t, b, ServiceConfig{Publish: accept})
			s := raw(t, a, b, ProtocolV3)
			if _, err := s.Write(c.bytes); err != nil {
				t.Fatal(err)
			}
			var resp wakupb.LightPushResponse
			if err := wire.Read(s, MaxResponse, &resp); err != nil || Status(resp.StatusCode) != c.code {
				t.Fatalf("v3: code %d, error %v", resp.StatusCode, err)
			}
			s = raw(t, a, b, ProtocolV2)
			if _, err := s.Write(c.bytes); err != nil {
				t.Fatal(err)
			}
			var rpc wakupb.PushRPC
			if err := wire.Read(s, MaxResponse, &rpc); err != nil || rpc.Response == nil || rpc.Response.IsSuccess {
				t.Fatalf("v2: %v, error %v", &rpc, err)
			}
		})
	}
}

func TestRequestSizeLimit(t *testing.T) {
	t.Parallel()
	s := &Service{cfg: ServiceConfig{Publish: accept, Now: time.Now}, log: discard(), limit: rpc.NewLimiter(DefaultRateLimit)}
	ask := func(size int) Status {
		req := &wakupb.LightPushRequest{RequestId: "1", PubsubTopic: proto.String(shard32), Message: text("x")}
		for n := size - 100; proto.Size(req) < size; n++ {
			req.Message.Payload = make([]byte, n)
		}
		if proto.Size(req) != size {
			t.Fatalf("no request of %d bytes", size)
		}
		var in bytes.Buffer
		if err := wire.Write(&in, req); err != nil {
			t.Fatal(err)
		}
		answer, err := s.serveV3(t.Context(), "p", reading(in.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		resp := answer.(*wakupb.LightPushResponse)
		// The limit of the frame is over the one of the message: what was
		// read has its request id in the answer.
		if read := resp.RequestId == "1"; read != (size <= MaxRequest) {
			t.Errorf("request of %d bytes read: %v", size, read)
		}
		return Status(resp.StatusCode)
	}
	for _, size := range []int{MaxRequest, MaxRequest + 1} {
		if code := ask(size); code != StatusTooLarge {
			t.Errorf("request of %d bytes: %d", size, code)
		}
	}
	if code := ask(message.MaxSize); code != StatusOK {
		t.Errorf("request of %d bytes: %d", message.MaxSize, code)
	}
}

func TestRequestIDLimit(t *testing.T) {
	t.Parallel()
	s := &Service{cfg: ServiceConfig{Publish: accept}, log: discard()}
	if _, err := s.publish(t.Context(), string(make([]byte, MaxRequestID)), shard32, text("x")); err != nil {
		t.Error(err)
	}
	if _, err := s.publish(t.Context(), string(make([]byte, MaxRequestID+1)), shard32, text("x")); !errors.Is(err, ErrBadRequest) {
		t.Errorf("error %v", err)
	}
	if _, err := s.publish(t.Context(), "", string(make([]byte, MaxPubsubTopic)), text("x")); err != nil {
		t.Error(err)
	}
}

// answer mounts a hand-made service that reads a request and writes what
// respond returns.
func answer(h host.Host, id protocol.ID, respond func(requestID string) proto.Message) {
	h.SetStreamHandler(id, func(s network.Stream) {
		defer func() { _ = s.Close() }()
		var requestID string
		if id == ProtocolV2 {
			var req wakupb.PushRPC
			if wire.Read(s, MaxRequest, &req) != nil {
				return
			}
			requestID = req.RequestId
		} else {
			var req wakupb.LightPushRequest
			if wire.Read(s, MaxRequest, &req) != nil {
				return
			}
			requestID = req.RequestId
		}
		if r := respond(requestID); r != nil {
			_ = wire.Write(s, r)
		}
	})
}

// TestForeignResponses are those of services that are not ours.
func TestForeignResponses(t *testing.T) {
	t.Parallel()
	v2 := func(id string, r *wakupb.PushResponse) proto.Message {
		return &wakupb.PushRPC{RequestId: id, Response: r}
	}
	v3 := func(id string, code uint32, peers *uint32) proto.Message {
		return &wakupb.LightPushResponse{RequestId: id, StatusCode: code, RelayPeerCount: peers}
	}
	for name, c := range map[string]struct {
		id      protocol.ID
		respond func(string) proto.Message
		want    error
		peers   int
	}{
		"v2 limited like go-waku": {ProtocolV2, func(string) proto.Message { return v2("N/A", &wakupb.PushResponse{}) }, ErrTooManyRequests, 0},
		"v2 other id":             {ProtocolV2, func(string) proto.Message { return v2("x", &wakupb.PushResponse{IsSuccess: true}) }, ErrResponse, 0},
		"v2 no response":          {ProtocolV2, func(id string) proto.Message { return v2(id, nil) }, ErrResponse, 0},
		"v2 silence":              {ProtocolV2, func(string) proto.Message { return nil }, ErrExchange, 0},
		"v3 other id":             {ProtocolV3, func(string) proto.Message { return v3("x", 200, nil) }, ErrResponse, 0},
		"v3 503":                  {ProtocolV3, func(id string) proto.Message { return v3(id, 503, nil) }, ErrNoPeers, 0},
		"v3 505":                  {ProtocolV3, func(id string) proto.Message { return v3(id, 505, nil) }, ErrNoPeers, 0},
		"v3 limited, no id":       {ProtocolV3, func(string) proto.Message { return v3("N/A", 429, nil) }, ErrTooManyRequests, 0},
		"v3 without count":        {ProtocolV3, func(id string) proto.Message { return v3(id, 200, nil) }, nil, 0},
		"v3 boasting":             {ProtocolV3, func(id string) proto.Message { return v3(id, 200, proto.Uint32(1<<32-1)) }, nil, maxRelayPeers},
		"v3 silence":              {ProtocolV3, func(string) proto.Message { return nil }, ErrExchange, 0},
		"v3 too long": {ProtocolV3, func(id string) proto.Message {
			return &wakupb.LightPushResponse{RequestId: id, StatusDesc: proto.String(string(make([]byte, MaxResponse)))}
		}, ErrExchange, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Pair(t)
			answer(b, c.id, c.respond)
			r, err := Push(t.Context(), a, b.ID(), shard32, text("x"))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || r.RelayPeers != c.peers {
				t.Fatalf("result %+v, error %v", r, err)
			}
		})
	}
}

// TestPushEndsWithItsContext asks a service that never answers.
func TestPushEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	asked, stop := make(chan struct{}), make(chan struct{})
	b.SetStreamHandler(ProtocolV3, func(s network.Stream) {
		close(asked)
		<-stop
		_ = s.Reset()
	})
	defer close(stop)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Push(ctx, a, b.ID(), shard32, text("x"))
		done <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, ErrExchange) {
			t.Fatalf("error %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the push does not end")
	}
}
