package metadata

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

const patience = eventually.Patience

func newHost(t testing.TB) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func connect(t testing.TB, a, b host.Host) {
	t.Helper()
	if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// checker mounts a Checker that tells of the peers that passed.
func checker(t *testing.T, h host.Host, own Info) (*Checker, chan Info) {
	t.Helper()
	passed := make(chan Info, 16)
	c, err := NewChecker(h, Config{
		Own:      func() Info { return own },
		OnPeer:   func(_ peer.ID, in Info) { passed <- in },
		Patience: 20 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, passed
}

func await(t *testing.T, from <-chan Info) Info {
	t.Helper()
	select {
	case in := <-from:
		return in
	case <-time.After(patience):
		t.Fatal("the peer did not pass")
		return Info{}
	}
}

func of(cluster uint16, shards ...uint16) Info {
	return Info{Cluster: cluster, HasCluster: true, Shards: shards}
}

func equal(a, b Info) bool {
	return a.Cluster == b.Cluster && a.HasCluster == b.HasCluster && slices.Equal(a.Shards, b.Shards)
}

func TestSameClusterStays(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	ca, passedA := checker(t, a, of(16, 32, 64))
	_, passedB := checker(t, b, of(16)) // a light client names no shards
	connect(t, a, b)
	if in := await(t, passedA); !equal(in, of(16)) {
		t.Errorf("heard %+v", in)
	}
	if in := await(t, passedB); !equal(in, of(16, 32, 64)) {
		t.Errorf("heard %+v", in)
	}
	if in, ok := ca.Info(b.ID()); !ok || !equal(in, of(16)) {
		t.Errorf("remembers %+v, %v", in, ok)
	}
	if err := a.Network().ClosePeer(b.ID()); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "forgotten", func() bool { _, ok := ca.Info(b.ID()); return !ok })
}

// TestOthersAreDisconnected: another cluster, no cluster, no answer, and no
// protocol.
func TestOthersAreDisconnected(t *testing.T) {
	t.Parallel()
	respond := func(m proto.Message) func(host.Host) {
		return func(h host.Host) {
			h.SetStreamHandler(ProtocolID, func(s network.Stream) {
				_ = wire.Read(s, MaxSize, new(wakupb.WakuMetadataRequest))
				_ = wire.Write(s, m)
				_ = s.Close()
			})
		}
	}
	for name, mount := range map[string]func(host.Host){
		"other cluster": respond(of(1, 32).response()),
		"no cluster":    respond(Info{Shards: []uint16{32}}.response()),
		"huge cluster":  respond(&wakupb.WakuMetadataResponse{ClusterId: proto.Uint32(1<<16 + 16)}),
		"bad shard":     respond(&wakupb.WakuMetadataResponse{ClusterId: proto.Uint32(16), Shards: []uint32{MaxShard + 1}}),
		"reset": func(h host.Host) {
			h.SetStreamHandler(ProtocolID, func(s network.Stream) { _ = s.Reset() })
		},
		"no protocol": func(host.Host) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newHost(t), newHost(t)
			mount(b)
			gone := make(chan struct{}, 1)
			b.Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) {
				select {
				case gone <- struct{}{}:
				default:
				}
			}})
			_, passed := checker(t, a, of(16, 32))
			connect(t, b, a)
			select {
			case <-gone:
			case in := <-passed:
				t.Fatalf("passed with %+v", in)
			case <-time.After(patience):
				t.Fatal("still connected")
			}
		})
	}
}

// TestUnidentified: a peer that libp2p cannot identify is parted from, unless
// it told what it is all the same.
func TestUnidentified(t *testing.T) {
	t.Parallel()
	a := newHost(t)
	checker(t, a, of(16, 32))
	silent, honest := newHost(t), newHost(t)
	for _, b := range []host.Host{silent, honest} {
		b.RemoveStreamHandler(identify.ID)
	}
	checker(t, honest, of(16, 32))
	gone := make(chan peer.ID, 2)
	a.Network().Notify(&network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) { gone <- c.RemotePeer() }})
	connect(t, a, honest)
	if _, err := Request(t.Context(), honest, a.ID(), of(16)); err != nil {
		t.Fatal(err)
	}
	connect(t, a, silent)
	select {
	case p := <-gone:
		if p != silent.ID() {
			t.Error("the wrong one")
		}
	case <-time.After(patience):
		t.Error("still connected")
	}
	if a.Network().Connectedness(honest.ID()) != network.Connected {
		t.Error("not connected any more")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   Info
		want error
	}{
		{of(16), nil},
		{of(16, 1, 2), nil},
		{of(0), ErrCluster},
		{of(15, 32), ErrCluster},
		{Info{}, ErrNoCluster},
	} {
		if err := c.in.Judge(16); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c.in, err)
		}
	}
}

// TestBothFields: field 2 unpacked for JavaScript clients, field 3 packed
// for go-waku, and either alone is understood.
func TestBothFields(t *testing.T) {
	t.Parallel()
	b, err := proto.Marshal(of(16, 32, 64).response())
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	want = protowire.AppendTag(want, 1, protowire.VarintType)
	want = protowire.AppendVarint(want, 16)
	for _, s := range []uint64{32, 64} {
		want = protowire.AppendTag(want, 2, protowire.VarintType)
		want = protowire.AppendVarint(want, s)
	}
	want = protowire.AppendTag(want, 3, protowire.BytesType)
	want = protowire.AppendBytes(want, []byte{32, 64})
	if !bytes.Equal(b, want) {
		t.Errorf("encoded as %x, want %x", b, want)
	}
	for _, m := range []*wakupb.WakuMetadataRequest{
		{ClusterId: proto.Uint32(16), ShardsUnpacked: []uint32{64, 32}},
		{ClusterId: proto.Uint32(16), Shards: []uint32{32, 64, 64}},
		{ClusterId: proto.Uint32(16), ShardsUnpacked: []uint32{32}, Shards: []uint32{64}},
	} {
		in, err := read(m.ClusterId, m)
		if err != nil || !equal(in, of(16, 32, 64)) {
			t.Errorf("read %+v, error %v", in, err)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	if _, err := read(nil, &wakupb.WakuMetadataRequest{Shards: []uint32{MaxShard}}); err != nil {
		t.Error(err)
	}
	if _, err := read(nil, &wakupb.WakuMetadataRequest{ShardsUnpacked: []uint32{MaxShard + 1}}); !errors.Is(err, ErrShard) {
		t.Errorf("error %v", err)
	}
	if in, err := read(proto.Uint32(0xffff), &wakupb.WakuMetadataRequest{}); err != nil || in.Cluster != 0xffff {
		t.Errorf("read %+v, error %v", in, err)
	}
	if _, err := read(proto.Uint32(0x10000), &wakupb.WakuMetadataRequest{}); !errors.Is(err, ErrCluster) {
		t.Errorf("error %v", err)
	}
	// A node on every shard fits.
	all := of(16)
	for s := range MaxShard + 1 {
		all.Shards = append(all.Shards, uint16(s))
	}
	if size := proto.Size(all.response()); size > MaxSize {
		t.Errorf("all shards take %d bytes", size)
	}
}

// TestDiallerIsNotAsked when it asks by itself, as JavaScript clients do, who
// take a request that comes meanwhile for the answer to theirs.
func TestDiallerIsNotAsked(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	asked := make(chan struct{}, 16)
	b.SetStreamHandler(ProtocolID, func(s network.Stream) {
		asked <- struct{}{}
		_ = s.Reset()
	})
	c, passed := checker(t, a, of(16, 32))
	c.cfg.Patience = time.Second // nobody is connected yet
	connect(t, b, a)
	if in, err := Request(t.Context(), b, a.ID(), of(16, 7)); err != nil || !equal(in, of(16, 32)) {
		t.Fatalf("heard %+v, error %v", in, err)
	}
	if in := await(t, passed); !equal(in, of(16, 7)) {
		t.Errorf("passed with %+v", in)
	}
	select {
	case <-asked:
		t.Error("asked all the same")
	case in := <-passed: // again, at the end of its time
		if !equal(in, of(16, 7)) {
			t.Errorf("passed with %+v", in)
		}
	}
	if a.Network().Connectedness(b.ID()) != network.Connected {
		t.Error("disconnected")
	}
}

// TestIdleStream: a stream opened ahead of need is answered when its request
// comes, and the response ends with the stream.
func TestIdleStream(t *testing.T) {
	t.Parallel()
	a, b := newHost(t), newHost(t)
	b.SetStreamHandler(ProtocolID, func(s network.Stream) {
		_ = wire.Read(s, MaxSize, new(wakupb.WakuMetadataRequest))
		_ = wire.Write(s, of(16).response())
		_ = s.Close()
	})
	c, passed := checker(t, a, of(16, 32))
	connect(t, b, a)
	s, err := b.NewStream(t.Context(), a.ID(), ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	await(t, passed) // a whole exchange on another stream meanwhile
	if err := wire.Write(s, of(16, 5).request()); err != nil {
		t.Fatal(err)
	}
	_ = s.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(s)
	var resp wakupb.WakuMetadataResponse
	if err := wire.Read(r, MaxSize, &resp); err != nil || resp.GetClusterId() != 16 {
		t.Fatalf("response %v, error %v", &resp, err)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Fatalf("the response does not end: %v", err)
	}
	// The request told the client's shards.
	eventually.True(t, "shards out of the request", func() bool {
		in, ok := c.Info(b.ID())
		return ok && equal(in, of(16, 5))
	})
}

func FuzzAnswer(f *testing.F) {
	for _, in := range []Info{of(16, 32, 64), of(1), {}} {
		var b bytes.Buffer
		if err := wire.Write(&b, in.request()); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte{0xff, 0xff, 0x7f})
	c := &Checker{limit: rpc.NewLimiter(rpc.Rate{}), h: newHost(f), cfg: Config{Own: func() Info { return of(16, 32) }}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var req wakupb.WakuMetadataRequest
		resp, err := c.serve(t.Context(), "p", receiving(b, &req))
		in, readErr := read(req.ClusterId, &req)
		if err != nil {
			if resp != nil || readErr != nil && (in.HasCluster || in.Shards != nil) {
				t.Fatalf("%+v and response %v beside error %v", in, resp, err)
			}
			return
		}
		if !slices.IsSorted(in.Shards) || len(slices.Compact(slices.Clone(in.Shards))) != len(in.Shards) {
			t.Fatalf("shards %v", in.Shards)
		}
		own := in.request()
		if again, err := read(own.ClusterId, own); err != nil || !equal(again, in) {
			t.Fatalf("%+v becomes %+v, error %v", in, again, err)
		}
	})
}

// receiving returns how a handler receives a frame, copied to m.
func receiving(frame []byte, m *wakupb.WakuMetadataRequest) func(proto.Message) error {
	return func(to proto.Message) error {
		err := wire.Read(bytes.NewReader(frame), MaxSize, to)
		proto.Merge(m, to)
		return err
	}
}

func BenchmarkAnswer(b *testing.B) {
	c := &Checker{limit: rpc.NewLimiter(rpc.Rate{}), h: newHost(b), cfg: Config{Own: func() Info { return of(16, 32, 64) }}}
	var in bytes.Buffer
	if err := wire.Write(&in, of(16, 32, 64).request()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var req wakupb.WakuMetadataRequest
		resp, err := c.serve(b.Context(), "p", receiving(in.Bytes(), &req))
		if err == nil {
			err = wire.Write(io.Discard, resp)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
