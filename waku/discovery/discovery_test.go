package discovery

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/multiformats/go-multiaddr"
)

// node signs a record with the given extra fields.
func node(t testing.TB, fields ...enr.Entry) *enode.Node {
	t.Helper()
	k, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var r enr.Record
	r.SetSeq(3)
	for _, f := range fields {
		r.Set(f)
	}
	if err := enode.SignV4(&r, k); err != nil {
		t.Fatal(err)
	}
	n, err := enode.New(enode.ValidSchemes, &r)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func raw(name string, b []byte) enr.Entry { return enr.WithEntry(name, b) }

func addrs(t testing.TB, list ...string) []byte {
	t.Helper()
	var b []byte
	for _, s := range list {
		m, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(m.Bytes()))), m.Bytes()...)
	}
	return b
}

func TestParseENR(t *testing.T) {
	t.Parallel()
	n := node(t,
		enr.IP(net.IPv4(127, 0, 0, 1)), enr.TCP(30303), enr.UDP(9000),
		raw("waku2", []byte{0x0d}),
		raw("rs", []byte{0, 16, 5, 0, 1, 0, 32, 0, 64, 0, 128, 1, 0}),
		raw("multiaddrs", addrs(t, "/dns4/node.example/tcp/443/wss")),
	)
	r, err := ParseENR(n.String())
	if err != nil {
		t.Fatal(err)
	}
	if r.Capabilities != (Capabilities{Relay: true, Filter: true, Lightpush: true}) {
		t.Errorf("capabilities %+v", r.Capabilities)
	}
	if *r.Cluster != 16 || !slices.Equal(r.Shards, []uint16{1, 32, 64, 128, 256}) {
		t.Errorf("shards %d %v", *r.Cluster, r.Shards)
	}
	want := []string{
		"/dns4/node.example/tcp/443/wss/p2p/" + r.PeerID.String(),
		"/ip4/127.0.0.1/tcp/30303/p2p/" + r.PeerID.String(),
	}
	if !slices.Equal(r.Multiaddrs, want) || r.UDP != 9000 || r.Seq != 3 {
		t.Errorf("record %+v", r)
	}
	if info := r.AddrInfo(); info.ID != r.PeerID || len(info.Addrs) != 2 {
		t.Errorf("address %v", info)
	}
}

func TestShardVector(t *testing.T) {
	t.Parallel()
	vector := make([]byte, 130)
	vector[1] = 16
	vector[2] = 1        // shard 0
	vector[2+4] = 1      // shard 32
	vector[129] = 1 << 7 // shard 1023
	r, err := ParseENR(node(t, raw("rsv", vector)).String())
	if err != nil {
		t.Fatal(err)
	}
	if *r.Cluster != 16 || !slices.Equal(r.Shards, []uint16{0, 32, 1023}) {
		t.Errorf("shards %d %v", *r.Cluster, r.Shards)
	}
}

// With both shard fields, rsv is ignored (WAKU2-RELAY-SHARDING).
func TestShardListBeforeVector(t *testing.T) {
	t.Parallel()
	vector := make([]byte, 130)
	vector[2] = 0xff
	r, err := ParseENR(node(t, raw("rs", []byte{0, 16, 1, 0, 32}), raw("rsv", vector)).String())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Shards, []uint16{32}) {
		t.Errorf("shards %v", r.Shards)
	}
}

func TestBadRecords(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text":         "enr:abc",
		"empty":        "",
		"short rs":     node(t, raw("rs", []byte{0, 16, 2, 0, 1})).String(),
		"short rsv":    node(t, raw("rsv", make([]byte, 129))).String(),
		"long rsv":     node(t, raw("rsv", make([]byte, 131))).String(),
		"cut address":  node(t, raw("multiaddrs", []byte{0, 9, 1})).String(),
		"not signed":   "enode://" + strings.Repeat("1", 128) + "@127.0.0.1:30303",
		"odd trailing": node(t, raw("multiaddrs", []byte{0})).String(),
	} {
		if _, err := ParseENR(text); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tree := "enrtree://AMOJVZX4V6EXP7NTJPMAYJYST2QP6AJXYW76IU6VGJS7UVSNDYZG4@nodes.example"
	good := []string{tree, node(t).String(), "/ip4/127.0.0.1/tcp/2/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"}
	if err := Check(good); err != nil {
		t.Error(err)
	}
	for _, entry := range []string{"", "enrtree://nodes.example", "enr:x", "/ip4/127.0.0.1/tcp/2", "nodes.example"} {
		if err := Check([]string{entry}); !errors.Is(err, ErrEntry) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func FuzzParseENR(f *testing.F) {
	f.Add(node(f, raw("rs", []byte{0, 16, 1, 0, 1}), raw("multiaddrs", addrs(f, "/ip4/1.2.3.4/tcp/5"))).String())
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseENR(text); err == nil {
			r.AddrInfo()
		}
	})
}

// The fields are attackers' bytes behind a valid signature: fuzz them apart.
func FuzzFields(f *testing.F) {
	f.Add([]byte{0x0d}, []byte{0, 16, 1, 0, 1}, []byte{}, addrs(f, "/ip4/1.2.3.4/tcp/5"))
	f.Fuzz(func(t *testing.T, waku2, rs, rsv, multiaddrs []byte) {
		if len(waku2)+len(rs)+len(rsv)+len(multiaddrs) > 150 {
			t.Skip("longer than a record")
		}
		fields := []enr.Entry{raw("waku2", waku2), raw("multiaddrs", multiaddrs)}
		if len(rs) > 0 {
			fields = append(fields, raw("rs", rs))
		}
		if len(rsv) > 0 {
			fields = append(fields, raw("rsv", rsv))
		}
		if r, err := fromNode(node(t, fields...)); err == nil {
			r.AddrInfo()
		}
	})
}
