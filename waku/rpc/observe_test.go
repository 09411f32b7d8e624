package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

// watch returns what to give as Config.Observe and what it was given.
func watch() (func(Exchange), chan Exchange) {
	seen := make(chan Exchange, 100)
	return func(x Exchange) { seen <- x }, seen
}

func observed(t *testing.T, seen <-chan Exchange) Exchange {
	t.Helper()
	select {
	case x := <-seen:
		return x
	case <-time.After(patience):
		t.Fatal("the request was not observed")
		return Exchange{}
	}
}

// TestObserve: each request is told of once, whatever became of it, and a
// stream closed without one is none.
func TestObserve(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		request []byte
		handle  Handler
		want    Exchange
	}{
		"its own code": {[]byte{3, 10, 1, 'x'}, func(_ context.Context, _ peer.ID, read func(proto.Message) error) (proto.Message, error) {
			return &wakupb.FilterSubscribeResponse{StatusCode: 404}, read(text(""))
		}, Exchange{Status: 404, In: 4, Out: 4}},
		"a code given": {[]byte{0}, func(context.Context, peer.ID, func(proto.Message) error) (proto.Message, error) {
			return WithStatus(&wakupb.PushRPC{RequestId: "x"}, 429), nil
		}, Exchange{Status: 429, In: 1, Out: 4}},
		"no code": {[]byte{0}, func(context.Context, peer.ID, func(proto.Message) error) (proto.Message, error) {
			return &wakupb.WakuMetadataResponse{}, nil
		}, Exchange{Status: 200, In: 1, Out: 1}},
		"malformed": {[]byte{2, 0xff, 0xff}, func(_ context.Context, _ peer.ID, read func(proto.Message) error) (proto.Message, error) {
			if err := read(text("")); !errors.Is(err, ErrMalformed) {
				return nil, err
			}
			return &wakupb.FilterSubscribeResponse{StatusCode: 400}, nil
		}, Exchange{Status: 400, In: 3, Out: 4}},
		"refused": {[]byte{0}, func(context.Context, peer.ID, func(proto.Message) error) (proto.Message, error) {
			return nil, ErrLimited
		}, Exchange{In: 1, Err: ErrLimited}},
		"failed": {[]byte{0}, func(context.Context, peer.ID, func(proto.Message) error) (proto.Message, error) {
			return nil, failed
		}, Exchange{In: 1, Err: failed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Sockets(t)
			observe, seen := watch()
			serve(t, b, Config{Observe: observe}, c.handle)
			unused := open(t, a, b)
			_ = unused.CloseWrite()
			if _, err := io.ReadAll(unused); err != nil {
				t.Fatal(err)
			}
			s := open(t, a, b)
			if _, err := s.Write(c.request); err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(s)
			x := observed(t, seen)
			if x.Took <= 0 || x.Took > patience {
				t.Errorf("took %s", x.Took)
			}
			if !errors.Is(x.Err, c.want.Err) || (x.Err == nil) != (c.want.Err == nil) {
				t.Errorf("error %v, want %v", x.Err, c.want.Err)
			}
			x.Took, x.Err, c.want.Err = 0, nil, nil
			c.want.Protocol, c.want.Peer = testID, a.ID()
			if x != c.want {
				t.Errorf("observed %+v, want %+v", x, c.want)
			}
			if len(seen) != 0 {
				t.Errorf("and %+v", <-seen)
			}
		})
	}
}

// TestObserveRefusedStreams: those beyond MaxStreams are told of and counted.
func TestObserveRefusedStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		observe, seen := watch()
		s := serve(t, shelf{}, Config{MaxStreams: 2, Observe: observe}, echo)
		for range 5 {
			dial(s, "a")
			synctest.Wait()
		}
		if got, want := s.Load(), (Load{Streams: 2, Refused: 3}); got != want || len(seen) != 3 {
			t.Errorf("load %+v, want %+v; %d observed", got, want, len(seen))
		}
		for range 3 {
			if x := <-seen; !errors.Is(x.Err, ErrStreams) || x.Peer != "a" || x.Status != 0 || x.Protocol != testID {
				t.Errorf("observed %+v", x)
			}
		}
		s.Close()
		dial(s, "b")
		synctest.Wait()
		if got, want := s.Load(), (Load{Refused: 3}); got != want || len(seen) != 0 {
			t.Errorf("closed: load %+v, want %+v; %d observed", got, want, len(seen))
		}
	})
}

// TestLimiterCounts what was refused; waiting is no refusal.
func TestLimiterCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(Rate{PerSecond: 1, Burst: 2})
		for range 5 {
			l.Allow("a", time.Now())
		}
		l.Wait(t.Context(), "a")
		if n := l.Refused(); n != 3 {
			t.Errorf("%d refused", n)
		}
	})
}

// TestWithStatus changes nothing on the wire.
func TestWithStatus(t *testing.T) {
	t.Parallel()
	var plain, coded bytes.Buffer
	if err := errors.Join(wire.Write(&plain, text("x")), wire.Write(&coded, WithStatus(text("x"), 429))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(plain.Bytes(), coded.Bytes()) {
		t.Errorf("%x, want %x", coded.Bytes(), plain.Bytes())
	}
}

// slowly gives what it has in small parts.
type slowly struct{ r io.Reader }

func (s slowly) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), 1000)]) }

// TestRoomFollowsData: a frame gets no more room than what came of it needs,
// whatever it promises.
func TestRoomFollowsData(t *testing.T) {
	t.Parallel()
	const promised = 1 << 20
	for _, sent := range []int{0, 1, firstPart, 10 * firstPart, promised - 1} {
		b, err := fill(nil, slowly{strings.NewReader(strings.Repeat("x", sent))}, promised)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(b) != sent || cap(b) > 3*max(sent, firstPart) {
			t.Errorf("%d bytes sent: %d read, room for %d, %v", sent, len(b), cap(b), err)
		}
	}
	if b, err := fill(nil, slowly{strings.NewReader(strings.Repeat("x", promised+5))}, promised); err != nil || len(b) != promised {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// BenchmarkServe is the server's work on a request of 1 KB beside the
// network's.
func BenchmarkServe(b *testing.B) {
	s := serve(b, shelf{}, Config{MaxRequest: 2048, MaxStreams: 32}, func(_ context.Context, _ peer.ID, read func(proto.Message) error) (proto.Message, error) {
		req := text("")
		return text("ok"), read(req)
	})
	var frame bytes.Buffer
	if err := wire.Write(&frame, text(strings.Repeat("x", 1024))); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		stream := &taken{in: bytes.NewReader(frame.Bytes())}
		s.serve(stream)
		if stream.reset.Load() {
			b.Fatal("reset")
		}
	}
}

var _ network.Stream = (*counted)(nil)
