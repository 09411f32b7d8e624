package lightpush

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func frame(f *testing.F, m proto.Message) []byte {
	var b bytes.Buffer
	if err := wire.Write(&b, m); err != nil {
		f.Fatal(err)
	}
	return b.Bytes()
}

// reading returns how a handler reads a frame.
func reading(frame []byte) func(proto.Message) error {
	return func(m proto.Message) error { return wire.Read(bytes.NewReader(frame), MaxRequest, m) }
}

// checked is a service whose publisher fails the test when it is given what
// it must not be.
func checked(t *testing.T) *Service {
	return &Service{
		cfg: ServiceConfig{
			Now: time.Now,
			Publish: func(_ context.Context, topic string, m *wakupb.WakuMessage) (int, error) {
				if err := message.Validate(m); err != nil || topic == "" || len(topic) > MaxPubsubTopic {
					t.Fatalf("published %v on %q", m, topic)
				}
				return 1, nil
			},
		},
		log: discard(), limit: rpc.NewLimiter(DefaultRateLimit),
	}
}

func FuzzServeV3(f *testing.F) {
	f.Add(frame(f, &wakupb.LightPushRequest{RequestId: "1", PubsubTopic: proto.String(shard32), Message: text("x")}))
	f.Add(frame(f, &wakupb.LightPushRequest{}))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, in []byte) {
		resp, err := checked(t).serveV3(t.Context(), "p", reading(in))
		if err != nil {
			if !errors.Is(err, errGone) || resp != nil {
				t.Fatalf("error %v beside response %v", err, resp)
			}
			return
		}
		if r := resp.(*wakupb.LightPushResponse); r.StatusCode < 200 || proto.Size(r) > MaxResponse {
			t.Fatalf("response %v", r)
		}
	})
}

func FuzzServeV2(f *testing.F) {
	f.Add(frame(f, &wakupb.PushRPC{RequestId: "1", Request: &wakupb.PushRequest{PubsubTopic: shard32, Message: text("x")}}))
	f.Add(frame(f, &wakupb.PushRPC{Request: &wakupb.PushRequest{}}))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, code, err := checked(t).answerV2(t.Context(), "p", reading(in))
		if err != nil {
			if !errors.Is(err, errGone) || r != nil {
				t.Fatalf("error %v beside response %v", err, r)
			}
			return
		}
		if r.Response == nil || proto.Size(r) > MaxResponse || r.Response.IsSuccess != (code == StatusOK) {
			t.Fatalf("response %v, %d", r, code)
		}
	})
}

// FuzzResponses reads foreign responses of both versions.
func FuzzResponses(f *testing.F) {
	f.Add(frame(f, &wakupb.LightPushResponse{RequestId: "id", StatusCode: 200, RelayPeerCount: proto.Uint32(3)}))
	f.Add(frame(f, &wakupb.PushRPC{RequestId: "id", Response: &wakupb.PushResponse{IsSuccess: true}}))
	f.Add(frame(f, &wakupb.PushRPC{RequestId: "N/A", Response: &wakupb.PushResponse{}}))
	f.Fuzz(func(t *testing.T, in []byte) {
		var v3 wakupb.LightPushResponse
		if reading(in)(&v3) == nil {
			r, err := readV3("id", &v3)
			credible(t, r, err)
		}
		var v2 wakupb.PushRPC
		if reading(in)(&v2) == nil {
			r, err := readV2("id", &v2)
			credible(t, r, err)
		}
	})
}

func credible(t *testing.T, r Result, err error) {
	t.Helper()
	_, refused := errors.AsType[*StatusError](err)
	switch {
	case err != nil && !refused && !errors.Is(err, ErrResponse):
		t.Fatalf("untyped error %v", err)
	case r.RelayPeers < 0 || r.RelayPeers > maxRelayPeers:
		t.Fatalf("%d relay peers", r.RelayPeers)
	}
}

// BenchmarkServeV3 is the service's work on one request without the network.
func BenchmarkServeV3(b *testing.B) {
	s := &Service{
		cfg:   ServiceConfig{Publish: accept, Now: time.Now},
		log:   discard(),
		limit: rpc.NewLimiter(RateLimit{PerSecond: 1e9, Burst: 1e9}),
	}
	var in bytes.Buffer
	m := text(string(make([]byte, 1024)))
	if err := wire.Write(&in, &wakupb.LightPushRequest{RequestId: "1", PubsubTopic: proto.String(shard32), Message: m}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		resp, err := s.serveV3(b.Context(), "p", reading(in.Bytes()))
		if err == nil {
			err = wire.Write(io.Discard, resp)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPush is a request over a simulated link.
func BenchmarkPush(b *testing.B) {
	x, y := rpctest.Pair(b)
	serve(b, y, ServiceConfig{Publish: accept, Limit: RateLimit{PerSecond: 1e9, Burst: 1e9}})
	m := text(string(make([]byte, 1024)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Push(context.Background(), x, y.ID(), shard32, m); err != nil {
			b.Fatal(err)
		}
	}
}
