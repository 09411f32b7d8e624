package peerexchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

var unlimited = rpc.Rate{PerSecond: 1e6, Burst: 1e6}

func serve(t testing.TB, h host.Host, c *Cache, cfg ServiceConfig) *Service {
	t.Helper()
	s := NewService(h, c, cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestExchange: client and service over sockets.
func TestExchange(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	observed := make(chan rpc.Exchange, 100)
	serve(t, b, fill(t, 100), ServiceConfig{Rate: unlimited, Observe: func(x rpc.Exchange) { observed <- x }})
	for _, n := range []int{1, 5, MaxPeers} {
		got, err := Request(bounded(t), a, b.ID(), n)
		if err != nil || len(got) != n {
			t.Fatalf("of %d: %d, %v", n, len(got), err)
		}
		seen := make(map[peer.ID]bool)
		for _, r := range got {
			if seen[r.PeerID] || !r.Serves(16, discovery.Want{Shards: []uint16{32}}) || r.ENR() == "" {
				t.Errorf("record %+v", r)
			}
			seen[r.PeerID] = true
		}
		select {
		case x := <-observed:
			if x.Protocol != ProtocolID || x.Peer != a.ID() || x.Status != StatusOK || x.Out < 100*n || x.Err != nil {
				t.Errorf("observed %+v", x)
			}
		case <-time.After(patience):
			t.Fatal("not observed")
		}
	}
	for _, n := range []int{-1, 0, MaxPeers + 1} {
		if got, err := Request(bounded(t), a, b.ID(), n); !errors.Is(err, ErrNumber) {
			t.Errorf("of %d: %v, %v", n, got, err)
		}
	}
}

// TestLargestExchange: the most records of the largest size are read.
func TestLargestExchange(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	c := NewCache(CacheConfig{Cluster: 16})
	for i := range MaxPeers {
		r := largest(t, i)
		if size := len(r.Raw()); size < discovery.MaxRecord-10 {
			t.Fatalf("%d bytes are not the largest", size)
		}
		c.Add(r)
	}
	serve(t, b, c, ServiceConfig{})
	if got, err := Request(bounded(t), a, b.ID(), MaxPeers); err != nil || len(got) != MaxPeers {
		t.Errorf("%d records, %v", len(got), err)
	}
}

// ask sends a request by hand and reads what comes back to the end.
func ask(t testing.TB, from, to host.Host, request []byte) (*wakupb.PeerExchangeRPC, error) {
	t.Helper()
	s, err := from.NewStream(bounded(t), to.ID(), ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Reset() }()
	_ = s.SetDeadline(time.Now().Add(patience))
	if _, err := s.Write(request); err != nil {
		return nil, err
	}
	_ = s.CloseWrite()
	raw, err := io.ReadAll(s)
	if err != nil {
		return nil, err
	}
	var resp wakupb.PeerExchangeRPC
	return &resp, wire.Read(bytes.NewReader(raw), MaxResponse, &resp)
}

// frame is a query for n records.
func frame(t testing.TB, n uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := wire.Write(&b, &wakupb.PeerExchangeRPC{Query: &wakupb.PeerExchangeQuery{NumPeers: &n}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestResponses by hand: the codes, and the query that deployed nwaku wants in
// every response, with its number written out even where that is 0.
func TestResponses(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	serve(t, b, fill(t, 100), ServiceConfig{Rate: unlimited})
	atLimit := protowire.AppendBytes(protowire.AppendTag(nil, 15, protowire.BytesType), make([]byte, MaxRequest-3))
	for name, c := range map[string]struct {
		request []byte
		code    uint32
		peers   int
	}{
		"none asked for": {frame(t, 0), StatusOK, 0},
		"one":            {frame(t, 1), StatusOK, 1},
		"the most":       {frame(t, MaxPeers), StatusOK, MaxPeers},
		"more":           {frame(t, MaxPeers+1), StatusOK, MaxPeers},
		"far more":       {frame(t, 1<<64-1), StatusOK, MaxPeers},
		"no query":       {[]byte{0}, StatusBadRequest, 0},
		"no protobuf":    {[]byte{2, 0xff, 0xff}, StatusBadRequest, 0},
		"at the limit":   {append(protowire.AppendVarint(nil, MaxRequest), atLimit...), StatusBadRequest, 0},
		"too large":      {protowire.AppendVarint(nil, MaxRequest+1), StatusBadRequest, 0},
		"far too large":  {protowire.AppendVarint(nil, 1<<63), StatusBadRequest, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ask(t, a, b, c.request)
			if err != nil {
				t.Fatal(err)
			}
			resp := got.GetResponse()
			if resp.GetStatusCode() != c.code || len(resp.GetPeerInfos()) != c.peers || (c.code == StatusOK) != (resp.StatusDesc == nil) {
				t.Errorf("%d, %q, %d records", resp.GetStatusCode(), resp.GetStatusDesc(), len(resp.GetPeerInfos()))
			}
			if q := got.GetQuery(); q == nil || q.NumPeers == nil {
				t.Error("no query, or no number in it")
			}
		})
	}
}

// TestNotToThemselves: the record of who asks is not in the response.
func TestNotToThemselves(t *testing.T) {
	t.Parallel()
	c := fill(t, 3)
	s := &Service{cache: c}
	for range 50 {
		m := s.give(id(t, 1), 2)
		var read wakupb.PeerExchangeRPC
		raw, err := proto.Marshal(m)
		if err == nil {
			err = proto.Unmarshal(raw, &read)
		}
		if err != nil || len(read.GetResponse().GetPeerInfos()) != 2 {
			t.Fatalf("%v, %v", &read, err)
		}
		for _, info := range read.GetResponse().GetPeerInfos() {
			if r, err := discovery.ParseRaw(info.GetEnr()); err != nil || r.PeerID == id(t, 1) {
				t.Errorf("%v, %v", r, err)
			}
		}
	}
}

// TestFlood: a peer that asks all the time is told so; others are served.
func TestFlood(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	other := rpctest.Listen(t)
	if err := other.Connect(bounded(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, b, fill(t, 10), ServiceConfig{Rate: rpc.Rate{PerSecond: 1e-6, Burst: 3}})
	var served, refused int
	for range 50 {
		switch _, err := Request(bounded(t), a, b.ID(), 5); {
		case err == nil:
			served++
		case errors.Is(err, ErrTooMany) && errors.Is(err, ErrExchange):
			refused++
		default:
			t.Fatal(err)
		}
	}
	if served != 3 || refused != 47 || s.limit.Refused() != 47 {
		t.Errorf("%d served, %d refused, %d limited", served, refused, s.limit.Refused())
	}
	if got, err := Request(bounded(t), other, b.ID(), 5); err != nil || len(got) != 5 {
		t.Errorf("the other one: %d records, %v", len(got), err)
	}
	// Clients that know no codes find no records, and an end.
	got, err := ask(t, a, b, frame(t, 5))
	if err != nil || len(got.GetResponse().GetPeerInfos()) != 0 || got.GetQuery().NumPeers == nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSlowStreams: streams that a peer opens and leaves hold up nobody, and
// there is an end to them.
func TestSlowStreams(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Sockets(t)
	other := rpctest.Listen(t)
	if err := other.Connect(bounded(t), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, b, fill(t, 10), ServiceConfig{Rate: unlimited})
	for range 2 * maxStreams {
		stream, err := a.NewStream(bounded(t), b.ID(), ProtocolID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = stream.Reset() })
		_, _ = stream.Write([]byte{10}) // the rest never comes
	}
	deadline := time.After(patience)
	for s.server.Load().Refused < maxStreams {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("%+v", s.server.Load())
		}
	}
	if got := s.server.Load().Streams; got > maxStreams {
		t.Errorf("%d streams", got)
	}
	if got, err := Request(bounded(t), other, b.ID(), 5); err != nil || len(got) != 5 {
		t.Errorf("the other one: %d records, %v", len(got), err)
	}
}

// TestHostileService: what a service can say to a client.
func TestHostileService(t *testing.T) {
	t.Parallel()
	info := func(raw []byte) *wakupb.PeerInfo { return &wakupb.PeerInfo{Enr: raw} }
	good := func(seed int) *wakupb.PeerInfo { return info(build(t, seed, describe(1)).Raw()) }
	newer := info(build(t, 1, describe(9)).Raw())
	silent := describe(1)
	silent.Multiaddrs = nil
	forged := bytes.Clone(good(1).Enr)
	forged[len(forged)-1] ^= 1
	code := func(c uint32) *uint32 { return &c }
	long := strings.Repeat("x", 1000)
	respond := func(r *wakupb.PeerExchangeResponse) []byte {
		var b bytes.Buffer
		if err := wire.Write(&b, &wakupb.PeerExchangeRPC{Response: r}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var many []*wakupb.PeerInfo
	for i := range 100 {
		many = append(many, good(i))
	}
	ok := code(StatusOK)
	for name, c := range map[string]struct {
		answer []byte
		want   error
		count  int
	}{
		"as deployed go-waku":   {respond(&wakupb.PeerExchangeResponse{PeerInfos: many[:2]}), nil, 2},
		"nothing, without code": {respond(&wakupb.PeerExchangeResponse{}), ErrUnavailable, 0},
		"nothing, with code":    {respond(&wakupb.PeerExchangeResponse{StatusCode: ok}), nil, 0},
		"too often":             {respond(&wakupb.PeerExchangeResponse{PeerInfos: many[:1], StatusCode: code(429), StatusDesc: &long}), ErrTooMany, 0},
		"unknown code":          {respond(&wakupb.PeerExchangeResponse{StatusCode: code(599)}), ErrExchange, 0},
		"code 0":                {respond(&wakupb.PeerExchangeResponse{PeerInfos: many[:1], StatusCode: code(0)}), ErrExchange, 0},
		"more than asked for":   {respond(&wakupb.PeerExchangeResponse{PeerInfos: many, StatusCode: ok}), nil, 5},
		"the same again":        {respond(&wakupb.PeerExchangeResponse{PeerInfos: []*wakupb.PeerInfo{good(1), newer, good(1)}}), nil, 1},
		"some garbage":          {respond(&wakupb.PeerExchangeResponse{PeerInfos: []*wakupb.PeerInfo{info(nil), info([]byte{1}), info(forged), info(make([]byte, 1000)), good(2)}}), nil, 1},
		"all garbage":           {respond(&wakupb.PeerExchangeResponse{PeerInfos: []*wakupb.PeerInfo{info(nil), info(forged)}}), ErrResponse, 0},
		"no address":            {respond(&wakupb.PeerExchangeResponse{PeerInfos: []*wakupb.PeerInfo{info(build(t, 3, silent).Raw())}}), nil, 0},
		"no response":           {respond(nil), ErrResponse, 0},
		"a query":               {frame(t, 3), ErrResponse, 0},
		"too large":             {protowire.AppendVarint(nil, MaxResponse+1), wire.ErrTooLarge, 0},
		"no protobuf":           {[]byte{2, 0xff, 0xff}, proto.Error, 0},
		"cut":                   {respond(&wakupb.PeerExchangeResponse{PeerInfos: many[:2]})[:50], io.ErrUnexpectedEOF, 0},
		"silence":               {nil, io.EOF, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rpctest.Pair(t)
			b.SetStreamHandler(ProtocolID, func(s network.Stream) {
				_, _ = io.Copy(io.Discard, s)
				_, _ = s.Write(c.answer)
				_ = s.Close()
			})
			got, err := Request(bounded(t), a, b.ID(), 5)
			if c.want == nil && err != nil || !errors.Is(err, c.want) || err != nil && !errors.Is(err, ErrExchange) || len(got) != c.count {
				t.Fatalf("%d records, %v; want %d, %v", len(got), err, c.count, c.want)
			}
			if name == "the same again" && got[0].Seq != 9 {
				t.Errorf("not the newest record: %d", got[0].Seq)
			}
			if status, ok := errors.AsType[*rpc.StatusError](err); ok && len(status.Desc) > rpc.MaxDesc {
				t.Errorf("%d bytes of explanation", len(status.Desc))
			}
		})
	}
	// One's own record is no news.
	m := &wakupb.PeerExchangeRPC{Response: &wakupb.PeerExchangeResponse{PeerInfos: []*wakupb.PeerInfo{good(1), good(2)}}}
	if got, err := records(m, 5, id(t, 1)); err != nil || len(got) != 1 || got[0].PeerID != id(t, 2) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestRequestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	a, b := rpctest.Pair(t)
	b.SetStreamHandler(ProtocolID, func(s network.Stream) { <-t.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := Request(ctx, a, b.ID(), 1); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrExchange) {
		t.Error(err)
	}
}

// FuzzRecords reads responses of strangers.
func FuzzRecords(f *testing.F) {
	for _, m := range []proto.Message{
		answer(2, StatusOK, "", &wakupb.PeerInfo{Enr: build(f, 1, describe(1)).Raw()}, &wakupb.PeerInfo{Enr: largest(f, 2).Raw()}),
		answer(0, StatusTooMany, "asked too often"),
	} {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, 1)
	}
	self := id(f, 2)
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		n = 1 + int(uint(n)%MaxPeers)
		var m wakupb.PeerExchangeRPC
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		got, err := records(&m, n, self)
		if err != nil && (len(got) != 0 || !errors.Is(err, ErrExchange)) {
			t.Errorf("%v, %v", got, err)
		}
		var ids []peer.ID
		for _, r := range got {
			if len(r.Multiaddrs) == 0 || r.PeerID == self || slices.Contains(ids, r.PeerID) {
				t.Errorf("record %+v", r)
			}
			ids = append(ids, r.PeerID)
		}
		if len(got) > n {
			t.Errorf("%d records of %d", len(got), n)
		}
	})
}

// BenchmarkExchange is one request over loopback, service and client.
func BenchmarkExchange(b *testing.B) {
	from, to := rpctest.Sockets(b)
	serve(b, to, fill(b, DefaultCacheSize), ServiceConfig{Rate: unlimited})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Request(b.Context(), from, to.ID(), 5); err != nil {
			b.Fatal(err)
		}
	}
}
