package discovery

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

func nodeKey(t testing.TB, seed byte) (crypto.PrivKey, peer.ID) {
	t.Helper()
	raw := ethcrypto.Keccak256([]byte{seed})
	k, err := crypto.UnmarshalSecp256k1PrivateKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return k, id
}

func encodedSize(t testing.TB, text string) int {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, "enr:"))
	if err != nil {
		t.Fatal(err)
	}
	return len(raw)
}

func TestBuildENR(t *testing.T) {
	t.Parallel()
	k, id := nodeKey(t, 1)
	p2p := "/p2p/" + id.String()
	for name, c := range map[string]struct {
		description Description
		addrs       []string // as ParseENR gives them
	}{
		"service node": {
			Description{
				Seq: 7, Cluster: 16, Shards: []uint16{64, 32, 32},
				Capabilities: Capabilities{Relay: true, Store: true, Filter: true, Lightpush: true},
				Multiaddrs:   []string{"/ip4/127.0.0.1/tcp/30303" + p2p, "/dns4/node.example.org/tcp/443/wss", "/ip4/127.0.0.1/tcp/30304"},
			},
			[]string{"/dns4/node.example.org/tcp/443/wss" + p2p, "/ip4/127.0.0.1/tcp/30304" + p2p, "/ip4/127.0.0.1/tcp/30303" + p2p},
		},
		"only IPv6, sync": {
			Description{Seq: 1, Cluster: 99, Shards: []uint16{0, 1023}, Capabilities: Capabilities{Sync: true}, Multiaddrs: []string{"/ip6/2001:db8::1/tcp/4000/ws"}},
			[]string{"/ip6/2001:db8::1/tcp/4000/ws" + p2p},
		},
		"no address": {Description{Cluster: 1, Shards: []uint16{5}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := BuildENR(k, c.description)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ParseENR(text)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Compact(slices.Sorted(slices.Values(c.description.Shards)))
			if r.PeerID != id || r.Seq != c.description.Seq || r.Capabilities != c.description.Capabilities ||
				*r.Cluster != c.description.Cluster || !slices.Equal(r.Shards, want) {
				t.Errorf("read back %+v", r)
			}
			if !slices.Equal(r.Multiaddrs, c.addrs) {
				t.Errorf("addresses %q, want %q", r.Multiaddrs, c.addrs)
			}
		})
	}
}

func TestBuildENRPlainAddresses(t *testing.T) {
	t.Parallel()
	k, _ := nodeKey(t, 2)
	text, err := BuildENR(k, Description{Shards: []uint16{1}, Multiaddrs: []string{"/ip4/192.0.2.7/tcp/1000", "/ip6/2001:db8::7/tcp/2000"}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseENR(text)
	if err != nil || r.IP != "192.0.2.7" || r.TCP != 1000 {
		t.Fatalf("%+v, %v", r, err)
	}
}

// TestBuildENRShards: up to 63 shards are a list, more are bits, and both say
// the same.
//
// Deployed nodes number the bits from the least significant one.
func TestBuildENRShards(t *testing.T) {
	t.Parallel()
	k, _ := nodeKey(t, 3)
	for _, count := range []int{1, listMostShards, listMostShards + 1, shardVector * 8} {
		var shards []uint16
		for i := range count {
			shards = append(shards, uint16(shardVector*8-1-i))
		}
		text, err := BuildENR(k, Description{Cluster: 16, Shards: shards})
		if err != nil {
			t.Fatalf("%d shards: %v", count, err)
		}
		r, err := ParseENR(text)
		slices.Sort(shards)
		if err != nil || !slices.Equal(r.Shards, shards) {
			t.Errorf("%d shards: read back %v, %v", count, r, err)
		}
	}
}

// TestBuildENRSize: addresses that find no room are left out from the end, and
// the record stays within 300 bytes.
func TestBuildENRSize(t *testing.T) {
	t.Parallel()
	k, id := nodeKey(t, 4)
	d := Description{Seq: 1 << 40, Cluster: 16, Shards: []uint16{1, 32, 64, 128, 256}}
	for i := range 20 {
		d.Multiaddrs = append(d.Multiaddrs, fmt.Sprintf("/dns4/node-%02d.example.org/tcp/443/wss/p2p/%s", i, id))
	}
	text, err := BuildENR(k, d)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseENR(text)
	if err != nil {
		t.Fatal(err)
	}
	kept := len(r.Multiaddrs)
	if kept == 0 || kept == len(d.Multiaddrs) || !slices.Equal(r.Multiaddrs, d.Multiaddrs[:kept]) {
		t.Errorf("kept %q", r.Multiaddrs)
	}
	one := len(addrs(t, "/dns4/node-00.example.org/tcp/443/wss"))
	if size := encodedSize(t, text); size > MaxRecord || size+one <= MaxRecord {
		t.Errorf("%d bytes with %d addresses", size, kept)
	}

	// What is no address cannot be left out.
	d = Description{Cluster: 16, Multiaddrs: []string{"/ip4/192.0.2.1/tcp/1"}}
	for i := range uint16(shardVector * 8) {
		d.Shards = append(d.Shards, i)
	}
	if text, err = BuildENR(k, d); err != nil || encodedSize(t, text) > MaxRecord {
		t.Errorf("all shards: %d bytes, %v", encodedSize(t, text), err)
	}
}

func TestBuildENRRefuses(t *testing.T) {
	t.Parallel()
	k, _ := nodeKey(t, 5)
	_, other := nodeKey(t, 6)
	ed, _, err := crypto.GenerateEd25519Key(strings.NewReader(strings.Repeat("seed", 32)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key crypto.PrivKey
		d   Description
	}{
		"no key":             {nil, Description{}},
		"other kind of key":  {ed, Description{}},
		"shard 1024":         {k, Description{Shards: []uint16{shardVector * 8}}},
		"no multiaddr":       {k, Description{Multiaddrs: []string{"127.0.0.1:80"}}},
		"somebody else's":    {k, Description{Multiaddrs: []string{"/ip4/127.0.0.1/tcp/1/p2p/" + other.String()}}},
		"a peer id, nothing": {k, Description{Multiaddrs: []string{"/p2p/" + other.String()}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if text, err := BuildENR(c.key, c.d); !errors.Is(err, ErrRecord) {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
