package node

import (
	"slices"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
)

// TestShardsInOrder of their numbers, in what the node says of itself.
func TestShardsInOrder(t *testing.T) {
	t.Parallel()
	want := []uint16{32, 64, 128, 256}
	n := start(t, Config{Mode: Full, Shards: []uint16{256, 128, 64, 32}})
	if got := n.Status().Shards; !slices.Equal(got, want) {
		t.Errorf("status has %v", got)
	}
	if got := n.ownMetadata().Shards; !slices.Equal(got, want) {
		t.Errorf("metadata has %v", got)
	}
}

// TestPublishWaitsForRateLimit: the only lightpush service takes one message
// a second from each client, as deployed go-waku does, and says so without
// reading the request.
func TestPublishWaitsForRateLimit(t *testing.T) {
	t.Parallel()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	h.SetStreamHandler(metadata.ProtocolID, func(s network.Stream) { answerMetadata(s, 16) })
	var asked atomic.Int64
	h.SetStreamHandler(lightpush.ProtocolV2, func(s network.Stream) {
		defer func() { _ = s.Close() }()
		if asked.Add(1) == 1 {
			why := "exceeds the rate limit"
			_ = wire.Write(s, &wakupb.PushRPC{RequestId: "N/A", Response: &wakupb.PushResponse{Info: &why}})
			return
		}
		var req wakupb.PushRPC
		if wire.Read(s, lightpush.MaxRequest, &req) == nil {
			_ = wire.Write(s, &wakupb.PushRPC{RequestId: req.RequestId, Response: &wakupb.PushResponse{IsSuccess: true}})
		}
	})
	l := start(t, Config{Mode: Light, Peers: []peer.AddrInfo{info(h)}})
	awaitPeer(t, l, h.ID())
	if n, err := l.Publish(t.Context(), shard32, text("patient")); n != 1 || err != nil {
		t.Errorf("taken by %d, error %v", n, err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}
