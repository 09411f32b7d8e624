package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

const (
	testID   protocol.ID = "/test/1"
	otherID  protocol.ID = "/test/2"
	patience             = eventually.Patience
)

// text is a message of the tests: a request or response with a text.
func text(s string) *wakupb.FilterSubscribeResponse {
	return &wakupb.FilterSubscribeResponse{RequestId: s}
}

// call asks for the echo of a text.
func call(id protocol.ID, s string) (Call, *wakupb.FilterSubscribeResponse) {
	resp := text("")
	return Call{Protocol: id, Request: text(s), Response: resp, MaxResponse: 100}, resp
}

// echo answers a request with itself.
func echo(_ context.Context, _ peer.ID, read func(proto.Message) error) (proto.Message, error) {
	req := text("")
	err := read(req)
	if errors.Is(err, ErrMalformed) {
		return text("malformed"), nil
	}
	return req, err
}

func serve(t testing.TB, h host.Host, cfg Config, handle Handler) *Server {
	t.Helper()
	if cfg.MaxRequest == 0 {
		cfg.MaxRequest = 100
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	s := Serve(h, testID, cfg, handle)
	t.Cleanup(s.Close)
	return s
}

// open opens a stream for which nobody waits for ever.
func open(t testing.TB, from, to host.Host) network.Stream {
	t.Helper()
	s, err := from.NewStream(t.Context(), to.ID(), testID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Reset() })
	if err := s.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDo(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	serve(t, b, Config{}, echo)
	c, resp := call(testID, "hello")
	if id, err := Do(t.Context(), a, b.ID(), c); err != nil || id != testID || resp.RequestId != "hello" {
		t.Fatalf("%s, %v, %v", id, resp, err)
	}
	unknown, _ := call(otherID, "hello")
	if _, err := Do(t.Context(), a, b.ID(), unknown); err == nil {
		t.Error("a protocol that the peer does not speak is spoken")
	}
	// Of several calls the first one spoken is made, and no other.
	first, resp1 := call(otherID, "first")
	second, resp2 := call(testID, "second")
	if id, err := Do(t.Context(), a, b.ID(), first, second); err != nil || id != testID || resp1.RequestId != "" || resp2.RequestId != "second" {
		t.Fatalf("%s, %v, %v, %v", id, resp1, resp2, err)
	}
}

// TestDoResponses: one at the limit is read; longer ones, none and half ones
// are errors.
func TestDoResponses(t *testing.T) {
	t.Parallel()
	frame := func(m proto.Message) []byte {
		var b bytes.Buffer
		if err := wire.Write(&b, m); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	fits := text(strings.Repeat("x", 100-2))
	for name, c := range map[string]struct {
		answer []byte
		want   error
	}{
		"at the limit": {frame(fits), nil},
		"above":        {frame(text(fits.RequestId + "x")), wire.ErrTooLarge},
		"none":         {nil, io.EOF},
		"half":         {frame(fits)[:50], io.ErrUnexpectedEOF},
		"no protobuf":  {[]byte{2, 0xff, 0xff}, proto.Error},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Pair(t)
			b.SetStreamHandler(testID, func(s network.Stream) {
				// The request ends: whoever reads to its end goes on.
				_, _ = io.Copy(io.Discard, s)
				_, _ = s.Write(c.answer)
				_ = s.Close()
			})
			do, resp := call(testID, "hello")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := Do(ctx, a, b.ID(), do)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if err == nil && !proto.Equal(resp, fits) {
				t.Errorf("response %v", resp)
			}
		})
	}
}

// TestDoEndsWithItsContext: a peer that never answers holds nobody up, and
// the error tells whose patience ended. The stream is reset.
func TestDoEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		"cancelled": {context.WithCancel, context.Canceled},
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithDeadline(ctx, time.Now())
		}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Pair(t)
			asked, given := make(chan struct{}), make(chan struct{})
			ended := make(chan struct{})
			b.SetStreamHandler(testID, func(s network.Stream) {
				_ = wire.Read(s, 100, text(""))
				close(asked)
				<-given
				for {
					if _, err := s.Write([]byte{0}); err != nil {
						close(ended)
						return
					}
				}
			})
			ctx, cancel := ends.end(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() {
				c, _ := call(testID, "hello")
				_, err := Do(ctx, a, b.ID(), c)
				done <- err
			}()
			if ends.want == context.Canceled {
				<-asked
				cancel()
			}
			select {
			case err := <-done:
				if !errors.Is(err, ends.want) {
					t.Errorf("%v, want %v", err, ends.want)
				}
			case <-time.After(patience):
				t.Fatal("the request does not end")
			}
			close(given)
			if ends.want == context.Canceled {
				select {
				case <-ended:
				case <-time.After(patience):
					t.Fatal("the stream is open still")
				}
			}
		})
	}
}

// BenchmarkDo is an exchange in memory.
func BenchmarkDo(b *testing.B) {
	x, y := rpctest.Pair(b)
	serve(b, y, Config{}, echo)
	b.ReportAllocs()
	for b.Loop() {
		c, _ := call(testID, "hello")
		if _, err := Do(b.Context(), x, y.ID(), c); err != nil {
			b.Fatal(err)
		}
	}
}
