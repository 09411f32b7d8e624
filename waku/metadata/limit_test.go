package metadata

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/rpc"
)

// TestRequestsAreLimited: the limit, one more, and what the operator sees of
// them.
func TestRequestsAreLimited(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	var answered, refused atomic.Int64
	c, err := NewChecker(a, Config{
		Own: func() Info { return of(16, 32) }, Patience: time.Hour,
		Limit: rpc.Rate{PerSecond: 0.001, Burst: 3},
		Observe: func(x rpc.Exchange) {
			switch {
			case x.Status == 200 && x.Err == nil && x.Peer == b.ID() && x.In > 0 && x.Out > 0:
				answered.Add(1)
			case x.Status == 0 && errors.Is(x.Err, rpc.ErrLimited):
				refused.Add(1)
			default:
				t.Errorf("observed %+v", x)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	connect(t, b, a)
	for i := range 5 {
		if _, err := Request(t.Context(), b, a.ID(), of(16)); (err == nil) != (i < 3) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	eventually.True(t, "five observations", func() bool { return answered.Load() == 3 && refused.Load() == 2 })
	if st := c.Stats(); st.Limited != 2 || st.Known != 1 || st.RefusedStreams != 0 || st.Rejected != 0 {
		t.Errorf("%+v", st)
	}
}

// TestIdleStreamsAreBounded: a peer has MaxStreams, the ones beyond are reset.
func TestIdleStreamsAreBounded(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	c, err := NewChecker(a, Config{Own: func() Info { return of(16, 32) }, Patience: time.Hour, Limit: rpc.Rate{PerSecond: 1e6, Burst: 1e6}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	connect(t, b, a)
	var all []network.Stream
	for range MaxStreams + 1 {
		s, err := b.NewStream(t.Context(), a.ID(), ProtocolID)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.Write([]byte{10}) // the protocol is spoken from the first byte on
		all = append(all, s)
	}
	eventually.True(t, "a stream refused", func() bool {
		st := c.Stats()
		return st.RefusedStreams == 1 && st.Streams == MaxStreams
	})
	for _, s := range all {
		_ = s.SetReadDeadline(time.Now().Add(patience))
		_ = s.CloseWrite()
		if rest, err := io.ReadAll(s); err == nil || len(rest) != 0 {
			t.Errorf("answered with %x, %v", rest, err)
		}
	}
	eventually.True(t, "the places given back", func() bool { return c.Stats().Streams == 0 })
	if _, err := Request(t.Context(), b, a.ID(), of(16)); err != nil {
		t.Error(err)
	}
}
