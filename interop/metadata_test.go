package interop

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/waku-org/go-waku/waku/v2/protocol/enr"
	"github.com/waku-org/go-waku/waku/v2/protocol/metadata"
	"go.uber.org/zap"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// Metadata both ways: go-waku's client reads our cluster and shards, and ours
// knows go-waku's.
func TestMetadata(t *testing.T) {
	t.Parallel()
	n := startWaku(t, []uint16{shard, other}, gowaku.Relay(frame))
	p := startParley(t, "--shard", "128") // and 32
	dial(t, n, p)
	wait(t, "go-waku's metadata at Parley", func() bool {
		q, ok := p.peer(n.ID())
		slices.Sort(q.Shards)
		return ok && slices.Equal(q.Shards, []uint16{shard, other})
	})
	// Another instance of go-waku's client, for the node has its own inside. It
	// says that it has no shards, so that this comes last.
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	local, err := enr.NewLocalnode(key)
	if err != nil {
		t.Fatal(err)
	}
	client := metadata.NewWakuMetadata(cluster, local, zap.NewNop())
	client.SetHost(n.Host())
	answer, err := client.Request(within(t), p.id())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(answer.Shards)
	if answer.GetClusterId() != cluster || !slices.Equal(answer.Shards, []uint32{shard, 128}) {
		t.Errorf("Parley's metadata for go-waku: cluster %d, shards %v", answer.GetClusterId(), answer.Shards)
	}
}

// Nodes of two networks do not stay connected, whoever dials.
func TestOtherCluster(t *testing.T) {
	t.Parallel()
	start := func() *gowaku.Node {
		n, err := gowaku.Start(context.Background(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, cluster+1, []uint16{shard}, gowaku.Relay(frame))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Stop)
		return n
	}
	n, dialled := start(), start()
	ends := make([]atomic.Int64, 2)
	for i, m := range []*gowaku.Node{n, dialled} {
		m.Host().Network().Notify(&network.NotifyBundle{DisconnectedF: func(network.Network, network.Conn) { ends[i].Add(1) }})
	}
	p := startParley(t, "--peer", dialled.TCP())
	// The connection may be gone before dialling returns.
	_ = n.DialPeer(within(t), p.tcp())
	wait(t, "the end of the connections", func() bool { return ends[0].Load() > 0 && ends[1].Load() > 0 })
	wait(t, "no connection", func() bool { return !connected(n, p.id()) && !connected(dialled, p.id()) })
	if p.meshed(shard) != 0 {
		t.Error("a node of another network is in the mesh")
	}
}
