package discovery

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/ethereum/go-ethereum/rlp"
)

// TestRecordForms: text and bytes of a record are the ones it was read from.
func TestRecordForms(t *testing.T) {
	t.Parallel()
	text := node(t, enr.IP(net.IPv4(127, 0, 0, 1)), enr.TCP(1), raw("waku2", []byte{1}), raw("other", []byte("kept"))).String()
	r, err := ParseENR(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseRaw(r.Raw())
	if err != nil {
		t.Fatal(err)
	}
	if r.ENR() != text || again.ENR() != text || again.PeerID != r.PeerID || !bytes.Equal(r.Raw(), again.Raw()) {
		t.Errorf("%s became %s", text, again.ENR())
	}
	if made := (&Record{}); made.ENR() != "" || made.Raw() != nil {
		t.Error("a record that was not parsed has a form")
	}
}

func TestParseRawRefuses(t *testing.T) {
	t.Parallel()
	good, err := ParseENR(node(t, raw("filler", bytes.Repeat([]byte{1}, 100))).String())
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(good.Raw())
	forged[len(forged)-1] ^= 1
	signed := bytes.Clone(good.Raw())
	signed[10] ^= 1
	tooLong, err := rlp.EncodeToBytes([]any{[]byte{}, uint64(1), "filler", bytes.Repeat([]byte{1}, MaxRecord)})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "no list": {0x80}, "cut": good.Raw()[:50], "more": append(bytes.Clone(good.Raw()), 0),
		"field changed": forged, "signature changed": signed, "too long": tooLong,
	} {
		if _, err := ParseRaw(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRecordRelayed: the address of a node behind a relay is that of the relay
// in the record, and complete again when read (31/WAKU2-ENR, Many connection
// types). A node's own id is superfluous, and what is unknown is skipped.
func TestRecordRelayed(t *testing.T) {
	t.Parallel()
	k, id := nodeKey(t, 1)
	_, relay := nodeKey(t, 2)
	at, p2p := "/ip4/192.0.2.1/tcp/55555/p2p/"+relay.String(), "/p2p/"+id.String()
	for _, given := range []string{at + "/p2p-circuit", at + "/p2p-circuit" + p2p} {
		text, err := BuildENR(k, Description{Capabilities: Capabilities{Relay: true}, Multiaddrs: []string{given}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseENR(text)
		if err != nil || !slices.Equal(r.Multiaddrs, []string{at + "/p2p-circuit" + p2p}) {
			t.Errorf("%s: %v, %v", given, r, err)
		}
		var field []byte
		if err := r.node.Load(enr.WithEntry("multiaddrs", &field)); err != nil || !bytes.Equal(field, addrs(t, at)) {
			t.Errorf("field %x, %v", field, err)
		}
		if info := r.AddrInfo(); info.ID != id || len(info.Addrs) != 1 || info.Addrs[0].String() != at+"/p2p-circuit" {
			t.Errorf("to dial: %v", info)
		}
	}
	unknown := slices.Concat([]byte{0, 3, 0xff, 0xff, 0x7f}, addrs(t, "/ip4/192.0.2.1/tcp/1/ws"), []byte{0, 0})
	r, err := ParseENR(node(t, raw("multiaddrs", unknown)).String())
	if err != nil || len(r.Multiaddrs) != 1 {
		t.Errorf("an unknown address: %v, %v", r, err)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	tcp := []enr.Entry{enr.IP(net.IPv4(127, 0, 0, 1)), enr.TCP(1)}
	shards := raw("rs", []byte{0, 16, 2, 0, 32, 0, 64})
	full := append(slices.Clone(tcp), raw("waku2", []byte{0x0b}), shards)
	for name, c := range map[string]struct {
		fields []enr.Entry
		want   Want
		serves bool
	}{
		"anything":          {full, Want{}, true},
		"a shard of two":    {full, Want{Shards: []uint16{1, 64}}, true},
		"another shard":     {full, Want{Shards: []uint16{1, 2}}, false},
		"no shard at all":   {full, Want{Shards: []uint16{}}, false},
		"what it can":       {full, Want{Capabilities: Capabilities{Store: true, Lightpush: true}}, true},
		"what it cannot":    {full, Want{Capabilities: Capabilities{Store: true, Sync: true}}, false},
		"no capability":     {append(slices.Clone(tcp), raw("waku2", []byte{0}), shards), Want{}, false},
		"no waku2":          {append(slices.Clone(tcp), shards), Want{}, false},
		"no address":        {[]enr.Entry{raw("waku2", []byte{1}), shards}, Want{}, false},
		"no shards named":   {append(slices.Clone(tcp), raw("waku2", []byte{1})), Want{}, false},
		"another cluster":   {append(slices.Clone(tcp), raw("waku2", []byte{1}), raw("rs", []byte{0, 1, 1, 0, 32})), Want{}, false},
		"only a multiaddr":  {[]enr.Entry{raw("waku2", []byte{1}), shards, raw("multiaddrs", addrs(t, "/dns4/a.example/tcp/443/wss"))}, Want{}, true},
		"of several shards": {full, Want{Shards: []uint16{32}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseENR(node(t, c.fields...).String())
			if err != nil {
				t.Fatal(err)
			}
			if r.Serves(16, c.want) != c.serves {
				t.Errorf("%+v: not %v", r, c.serves)
			}
		})
	}
}

// TestBuildENRKeepsTheBest: the more shards, the fewer addresses. Those that
// more can dial go last, and those that stay keep their order.
func TestBuildENRKeepsTheBest(t *testing.T) {
	t.Parallel()
	k, _ := nodeKey(t, 1)
	const wss = "/dns4/node.example.org/tcp/443/wss"
	all := []string{ // without /ip4/192.0.2.9/tcp/3, which becomes ip and tcp
		"/ip4/127.0.0.1/tcp/1", "/ip4/192.168.0.9/tcp/2", "/ip4/127.0.0.1/udp/4/quic-v1",
		"/ip4/192.168.0.9/udp/5/quic-v1", "/ip4/192.0.2.9/udp/6/quic-v1", "/dns4/localhost/tcp/8/ws", wss, "/ip4/192.0.2.9/tcp/9/ws",
	}
	best := []string{ // the first to go last
		wss, "/ip4/192.0.2.9/udp/6/quic-v1", "/ip4/192.0.2.9/tcp/9/ws", "/ip4/192.168.0.9/tcp/2",
		"/ip4/192.168.0.9/udp/5/quic-v1", "/dns4/localhost/tcp/8/ws", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/4/quic-v1",
	}
	d := Description{Seq: 1, Capabilities: Capabilities{Relay: true}, Cluster: 16,
		Multiaddrs: append(slices.Clone(all), "/ip4/192.0.2.9/tcp/3", "/ip4/0.0.0.0/udp/7/quic-v1", "/ip4/192.0.2.9/udp/0/quic-v1")}
	counts := make(map[int]bool)
	for _, shards := range []int{0, 10, 20, 30, 35, 40, 45, 50, 55, 63, 128} {
		d.Shards = nil
		for i := range shards {
			d.Shards = append(d.Shards, uint16(i))
		}
		text, err := BuildENR(k, d)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ParseENR(text)
		if err != nil || len(r.Shards) != shards || encodedSize(t, text) > MaxRecord {
			t.Fatalf("%d shards: %v, %v, %d bytes", shards, r, err, encodedSize(t, text))
		}
		var got []string
		for _, a := range r.AddrInfo().Addrs {
			got = append(got, a.String())
		}
		left := got[:len(got)-1]
		want := slices.DeleteFunc(slices.Clone(all), func(a string) bool { return slices.Index(best, a) >= len(left) })
		if got[len(left)] != "/ip4/192.0.2.9/tcp/3" || !slices.Equal(left, want) {
			t.Errorf("%d shards: %q, want %q", shards, got, want)
		}
		counts[len(left)] = true
	}
	if len(counts) < 4 || !counts[0] {
		t.Errorf("numbers of addresses kept: %v", counts)
	}
}

func FuzzParseRaw(f *testing.F) {
	for _, n := range []string{node(f, raw("rs", []byte{0, 16, 1, 0, 1})).String(), node(f, raw("multiaddrs", addrs(f, "/ip4/1.2.3.4/tcp/5"))).String()} {
		r, err := ParseENR(n)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Raw())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRaw(b)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Raw(), b) {
			t.Errorf("%x became %x", b, r.Raw())
		}
		if again, err := ParseENR(r.ENR()); err != nil || again.PeerID != r.PeerID {
			t.Errorf("the text form of %x: %v", b, err)
		}
		r.AddrInfo()
	})
}

func BenchmarkParseENR(b *testing.B) {
	text := node(b, enr.IP(net.IPv4(127, 0, 0, 1)), enr.TCP(1), raw("waku2", []byte{1}), raw("rs", []byte{0, 16, 1, 0, 1}),
		raw("multiaddrs", addrs(b, "/dns4/node.example.org/tcp/443/wss"))).String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseENR(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuildENR(b *testing.B) {
	k, _ := nodeKey(b, 1)
	d := Description{Capabilities: Capabilities{Relay: true}, Cluster: 16, Shards: []uint16{32, 64},
		Multiaddrs: []string{"/ip4/192.0.2.1/tcp/1", "/dns4/node.example.org/tcp/443/wss"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := BuildENR(k, d); err != nil {
			b.Fatal(err)
		}
	}
}
