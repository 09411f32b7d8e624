package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

// piped is a stream over a pipe, which keeps deadlines by the clock of a
// synctest bubble.
type piped struct {
	network.Stream
	end    net.Conn
	from   conn
	closed atomic.Bool
	reset  atomic.Bool
}

// conn is a connection of a peer.
type conn struct {
	network.Conn
	id peer.ID
}

func (c conn) RemotePeer() peer.ID { return c.id }

func (s *piped) Conn() network.Conn                 { return s.from }
func (s *piped) Read(b []byte) (int, error)         { return s.end.Read(b) }
func (s *piped) Write(b []byte) (int, error)        { return s.end.Write(b) }
func (s *piped) SetReadDeadline(t time.Time) error  { return s.end.SetReadDeadline(t) }
func (s *piped) SetWriteDeadline(t time.Time) error { return s.end.SetWriteDeadline(t) }

func (s *piped) Close() error {
	s.closed.Store(true)
	return s.end.Close()
}

func (s *piped) Reset() error {
	s.reset.Store(true)
	return s.end.Close()
}

// shelf is a host that only keeps what is mounted: a whole one has tickers,
// which cost time in a bubble where thousands of hours pass.
type shelf struct{ host.Host }

func (shelf) SetStreamHandler(protocol.ID, network.StreamHandler) {}
func (shelf) RemoveStreamHandler(protocol.ID)                     {}

// dial gives a server a stream of p and returns p's end of it.
func dial(s *Server, p peer.ID) (net.Conn, *piped) {
	near, far := net.Pipe()
	stream := &piped{end: far, from: conn{id: p}}
	go s.serve(stream)
	return near, stream
}

// TestServerTimes are those of the first byte, of the rest of the request and
// of the response.
func TestServerTimes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		idle  time.Duration
		after time.Duration // until the first byte; 0 for none
		whole bool          // the request is sent to its end
		ends  time.Duration // when the stream is reset; 0 for never
	}{
		"no byte":         {time.Hour, 0, false, time.Hour},
		"no byte, no end": {0, 0, false, 0},
		"no rest":         {time.Hour, time.Hour - time.Second, false, time.Hour + 9*time.Second},
		"late, no rest":   {0, 1000 * time.Hour, false, 1000*time.Hour + 10*time.Second},
		"not read":        {time.Hour, time.Hour - time.Second, true, time.Hour + 9*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, shelf{}, Config{Idle: c.idle, Timeout: 10 * time.Second}, echo)
				start := time.Now()
				near, stream := dial(s, "a")
				if c.after > 0 {
					<-time.After(c.after)
					frame := []byte{1}
					if c.whole {
						frame = []byte{0}
					}
					if _, err := near.Write(frame); err != nil {
						t.Fatal(err)
					}
				}
				if c.ends == 0 {
					<-time.After(10_000 * time.Hour)
					if stream.reset.Load() || stream.closed.Load() {
						t.Error("ended")
					}
					return
				}
				<-time.After(time.Until(start.Add(c.ends - time.Nanosecond)))
				synctest.Wait()
				if stream.reset.Load() {
					t.Error("reset too early")
				}
				<-time.After(time.Nanosecond)
				synctest.Wait()
				if !stream.reset.Load() {
					t.Error("not reset in time")
				}
			})
		})
	}
}

// TestServerBoundsStreams: a peer has MaxStreams, others too, and a place
// that becomes free is taken.
func TestServerBoundsStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, shelf{}, Config{MaxStreams: 2}, echo)
		refused := func(p peer.ID) (net.Conn, bool) {
			near, stream := dial(s, p)
			synctest.Wait()
			return near, stream.reset.Load()
		}
		first, bad1 := refused("a")
		_, bad2 := refused("a")
		_, bad3 := refused("a")
		_, other := refused("b")
		if bad1 || bad2 || !bad3 || other {
			t.Errorf("refused: %v, %v, %v, the other peer %v", bad1, bad2, bad3, other)
		}
		_ = first.Close()
		synctest.Wait()
		if _, bad := refused("a"); bad {
			t.Error("a place left is not free")
		}
	})
}

// TestServerClose ends what is under way, waits for it, and answers nobody
// any more.
func TestServerClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, h := rpctest.Pair(t)
		var handled atomic.Bool
		s := serve(t, h, Config{}, func(ctx context.Context, _ peer.ID, _ func(proto.Message) error) (proto.Message, error) {
			<-ctx.Done()
			<-time.After(time.Second) // the handler takes its time
			handled.Store(true)
			return text(""), nil
		})
		_, idle := dial(s, "a")
		busy, asked := dial(s, "a")
		if _, err := busy.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.Close()
		if !handled.Load() || !idle.reset.Load() || !asked.reset.Load() {
			t.Errorf("handled: %v, reset: %v and %v", handled.Load(), idle.reset.Load(), asked.reset.Load())
		}
		_, late := dial(s, "a")
		synctest.Wait()
		if !late.reset.Load() {
			t.Error("a closed server takes a stream")
		}
		if _, err := a.NewStream(t.Context(), h.ID(), testID); err == nil {
			t.Error("a closed server is mounted")
		}
	})
}

// TestServerAnswers requests that are whole, malformed ones and those it need
// not read, and ends each stream after the response although the client keeps
// its side open.
func TestServerAnswers(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	serve(t, b, Config{}, func(ctx context.Context, p peer.ID, read func(proto.Message) error) (proto.Message, error) {
		if p != a.ID() {
			t.Errorf("request of %s", p)
		}
		return echo(ctx, p, read)
	})
	fits := strings.Repeat("x", 98)
	for name, c := range map[string]struct {
		request []byte
		want    string
	}{
		"at the limit": {append([]byte{100, 10, 98}, fits...), fits},
		"above":        {[]byte{101}, "malformed"},
		"no protobuf":  {[]byte{2, 0xff, 0xff}, "malformed"},
		"empty":        {[]byte{0}, ""},
	} {
		s := open(t, a, b)
		if _, err := s.Write(c.request); err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(s)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp := text("")
		if err := wire.Read(bytes.NewReader(raw), 100, resp); err != nil || resp.RequestId != c.want {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
}

// TestServerResets streams that fail within the request, and those whose
// handler says so; one closed without a request ends in peace.
func TestServerResets(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	serve(t, b, Config{}, func(_ context.Context, _ peer.ID, read func(proto.Message) error) (proto.Message, error) {
		req := text("")
		if err := read(req); err != nil {
			if errors.Is(err, ErrMalformed) {
				t.Errorf("malformed: %v", err)
			}
			return nil, err
		}
		return nil, errors.New("no")
	})
	for name, request := range map[string][]byte{
		"cut short":      {50, 1, 2},
		"endless length": bytes.Repeat([]byte{0xff}, 20),
		"refused":        {0},
	} {
		s := open(t, a, b)
		_, _ = s.Write(request)
		_ = s.CloseWrite()
		if rest, err := io.ReadAll(s); !errors.Is(err, network.ErrReset) || len(rest) != 0 {
			t.Errorf("%s: answered with %x, %v", name, rest, err)
		}
	}
	s := open(t, a, b)
	_ = s.CloseWrite()
	if rest, err := io.ReadAll(s); err != nil || len(rest) != 0 {
		t.Errorf("no request: answered with %x, %v", rest, err)
	}
}

// TestServerNeedNotRead: a request may be refused unread, its end unsent.
func TestServerNeedNotRead(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	serve(t, b, Config{}, func(context.Context, peer.ID, func(proto.Message) error) (proto.Message, error) {
		return text("too many"), nil
	})
	s := open(t, a, b)
	if _, err := s.Write([]byte{90, 1}); err != nil {
		t.Fatal(err)
	}
	resp := text("")
	if err := wire.Read(s, 100, resp); err != nil || resp.RequestId != "too many" {
		t.Errorf("%v, %v", resp, err)
	}
}

// taken is a stream that holds what a peer sent and keeps what it is answered.
type taken struct {
	piped
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *taken) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *taken) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *taken) SetReadDeadline(time.Time) error  { return nil }
func (s *taken) SetWriteDeadline(time.Time) error { return nil }
func (s *taken) Close() error                     { s.closed.Store(true); return nil }
func (s *taken) Reset() error                     { s.reset.Store(true); return nil }

// FuzzServe gives a server any bytes: it answers with one whole frame and
// closes the stream, or it resets the stream and says nothing.
func FuzzServe(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{3, 10, 1, 'x', 7})
	f.Add([]byte{100})
	f.Add([]byte{101})
	f.Add([]byte{2, 0xff, 0xff})
	f.Add(bytes.Repeat([]byte{0xff}, 11))
	s := serve(f, shelf{}, Config{}, echo)
	f.Fuzz(func(t *testing.T, data []byte) {
		stream := &taken{in: bytes.NewReader(data)}
		s.serve(stream)
		if stream.closed.Load() == stream.reset.Load() {
			t.Fatalf("closed %v, reset %v", stream.closed.Load(), stream.reset.Load())
		}
		if answered := stream.out.Len() > 0; answered && (stream.reset.Load() || len(data) == 0) {
			t.Fatalf("answered %x", stream.out.Bytes())
		} else if !answered {
			if stream.closed.Load() && len(data) > 0 {
				t.Fatal("no answer and no reset")
			}
			return
		}
		if err := wire.Read(&stream.out, 200, text("")); err != nil || stream.out.Len() != 0 {
			t.Fatalf("response %v, %d bytes behind it", err, stream.out.Len())
		}
	})
}
