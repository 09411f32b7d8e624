package peerexchange

import (
	"encoding/binary"
	"fmt"
	"testing"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/discovery"
)

const patience = eventually.Patience

func key(t testing.TB, seed int) crypto.PrivKey {
	t.Helper()
	k, err := crypto.UnmarshalSecp256k1PrivateKey(ethcrypto.Keccak256(binary.BigEndian.AppendUint64(nil, uint64(seed))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func id(t testing.TB, seed int) peer.ID {
	t.Helper()
	p, err := peer.IDFromPrivateKey(key(t, seed))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// describe is what a relay of cluster 16 says.
func describe(seq uint64) discovery.Description {
	return discovery.Description{
		Seq: seq, Capabilities: discovery.Capabilities{Relay: true}, Cluster: 16, Shards: []uint16{32},
		Multiaddrs: []string{"/ip4/192.0.2.1/tcp/30303"},
	}
}

func build(t testing.TB, seed int, d discovery.Description) *discovery.Record {
	t.Helper()
	text, err := discovery.BuildENR(key(t, seed), d)
	if err != nil {
		t.Fatal(err)
	}
	r, err := discovery.ParseENR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// largest is a record as large as they come.
func largest(t testing.TB, seed int) *discovery.Record {
	t.Helper()
	d := describe(1 << 40)
	for i := range 30 {
		d.Multiaddrs = append(d.Multiaddrs, fmt.Sprintf("/dns4/%0*d/tcp/443/wss", i+1, i))
	}
	return build(t, seed, d)
}

// fill adds n records to a new cache.
func fill(t testing.TB, n int) *Cache {
	t.Helper()
	c := NewCache(CacheConfig{Cluster: 16})
	for i := range n {
		c.Add(build(t, i, describe(1)))
	}
	return c
}
