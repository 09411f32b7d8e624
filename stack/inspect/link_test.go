package inspect

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"

	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/waku/discovery"
)

func TestParseENR(t *testing.T) {
	t.Parallel()
	private, err := ethcrypto.ToECDSA(testKey(t).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	var r enr.Record
	r.Set(enr.IP(net.IPv4(192, 0, 2, 1)))
	r.Set(enr.TCP(60000))
	r.Set(enr.WithEntry("waku2", []byte{0b1011}))
	r.Set(enr.WithEntry("rs", []byte{0, 16, 1, 0, 32}))
	if err := enode.SignV4(&r, private); err != nil {
		t.Fatal(err)
	}
	n, err := enode.New(enode.ValidSchemes, &r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseENR(n.String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	p := printed(t, got)
	same(t, "valid", p["valid"], true)
	same(t, "ip", p["ip"], "192.0.2.1")
	same(t, "tcp", p["tcp"], 60000)
	same(t, "cluster", p["cluster"], 16)
	same(t, "shards", p["shards"], []int{32})
	same(t, "store", p["capabilities"].(map[string]any)["store"], true)
	same(t, "filter", p["capabilities"].(map[string]any)["filter"], false)
	same(t, "multiaddrs", p["multiaddrs"], []string{"/ip4/192.0.2.1/tcp/60000/p2p/" + p["peer_id"].(string)})

	// A record that was changed is not signed by its key any more.
	forged := []byte(n.String())
	if forged[20] = 'A'; n.String()[20] == 'A' {
		forged[20] = 'B'
	}
	for _, text := range []string{string(forged), "enr:", "enr:foo", "nonsense"} {
		got, err := ParseENR(text)
		p := printed(t, got)
		if !errors.Is(err, discovery.ErrRecord) || fault.KindOf(err) != fault.Invalid || got.Valid || len(p) != 2 || p["error"] == "" {
			t.Errorf("%s is %v, %v", text, p, err)
		}
	}
}

func TestParseMultiaddr(t *testing.T) {
	t.Parallel()
	const id = "16Uiu2HAmDCp8XJ9z1ev18zuv8NHekAsjNyezAvmMfFEJkiharitG"
	m, err := ParseMultiaddr(" /dns4/node.example/tcp/443/wss/p2p/" + id)
	if err != nil {
		t.Fatal(err)
	}
	want := []Component{{"dns4", 54, "node.example"}, {"tcp", 6, "443"}, {"wss", 478, ""}, {"p2p", 421, id}}
	if !m.Valid || m.PeerID != id || !slices.Equal(m.Components, want) {
		t.Errorf("%+v", m)
	}
	// The node that is reached is the last one, not the relay on the way.
	m, err = ParseMultiaddr("/ip4/192.0.2.1/udp/1/quic-v1/p2p/16Uiu2HAmGDX3iAFox93PupVYaHa88kULGqMpJ7AEHGwj3jbMtt76/p2p-circuit/p2p/" + id)
	if err != nil || m.PeerID != id {
		t.Errorf("through a relay: %+v, %v", m, err)
	}
	m, err = ParseMultiaddr("/ip4/192.0.2.1")
	if err != nil || m.PeerID != "" || !m.Valid {
		t.Errorf("without a node: %+v, %v", m, err)
	}
	for _, text := range []string{"/ip4/999.0.0.1", "192.0.2.1", "/nothing/1", "/ip4/192.0.2.1/p2p/nobody", "/"} {
		m, err := ParseMultiaddr(text)
		if fault.KindOf(err) != fault.Invalid || m.Valid || m.Error == "" || len(printed(t, m)) != 2 {
			t.Errorf("%s is %+v, %v", text, m, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	pub := testKey(t).Public()
	u := share.URL{Kind: share.Community, Key: pub,
		Community: &apppb.CommunityUrlData{DisplayName: "c", TagIndices: []uint32{7, 8}},
		Shard:     &apppb.Shard{Cluster: 16, Index: 32}}
	got, err := ParseURL(u.String())
	if err != nil {
		t.Fatal(err)
	}
	p := printed(t, got)
	same(t, "shard", p["shard"], map[string]int{"cluster": 16, "index": 32})
	same(t, "data", p["data"], map[string]any{"display_name": "c", "description": "", "members_count": 0, "color": "", "tag_indices": []int{7, 8}})
	same(t, "public_key", p["public_key"], pub.Hex())

	got, err = ParseURL(share.Base + "/u#alice.eth")
	p = printed(t, got)
	if err != nil || p["ens_name"] != "alice.eth" || p["key"] != nil {
		t.Errorf("by name: %v, %v", p, err)
	}
	if data, ok := p["data"].(map[string]any); !ok || len(data) != 0 {
		t.Errorf("data without a preview is %v", p["data"])
	}
	for text, want := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"https://example.com/u#alice.eth":                      {share.ErrNotShare, fault.Usage},
		share.Base + "/u#zQ3sh":                                {share.ErrKey, fault.Invalid},
		share.Base + "/u/@@#" + pub.String():                   {share.ErrData, fault.Invalid},
		share.Base + "/u#" + strings.Repeat("z", share.MaxURL): {share.ErrTooLarge, fault.Invalid},
	} {
		if _, err := ParseURL(text); !errors.Is(err, want.err) || fault.KindOf(err) != want.kind {
			t.Errorf("%.60s: %v, kind %s", text, err, fault.KindOf(err))
		}
	}
}

func TestParseBundleOfNothing(t *testing.T) {
	t.Parallel()
	for _, raw := range [][]byte{{0xff}, {0x0a, 1, 1}} {
		b, err := ParseBundle(raw)
		p := printed(t, b)
		if !errors.Is(err, x3dh.ErrBundle) || fault.KindOf(err) != fault.Invalid || p["valid"] != false || p["error"] == "" || p["identity"] != nil {
			t.Errorf("%x is %v, %v", raw, p, err)
		}
		same(t, "installations", p["installations"], []any{})
	}
}
