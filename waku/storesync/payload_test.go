package storesync

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

func at(ts int64, hash ...byte) store.ID {
	id := store.ID{Timestamp: ts}
	copy(id.Hash[:], hash)
	return id
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// full is the hexadecimal form of a hash of one repeated byte.
func full(b string) string { return strings.Repeat(b, message.HashSize) }

func fullHash(b byte) (h message.Hash) {
	for i := range h {
		h[i] = b
	}
	return h
}

// golden are payloads with the bytes that follow from the rules of WAKU-SYNC,
// Payload encoding, worked out by hand.
var golden = map[string]struct {
	payload Payload
	bytes   string
}{
	"empty": {Payload{}, "00"},
	// cluster 16, 1 shard: 32; lower bound 1000; upper bound 1000 later
	"fingerprint": {
		Payload{Scope{Cluster: 16, Shards: []uint16{32}}, []Range{
			{Bounds: Between(1000, 2000), Kind: Print, Print: Fingerprint(fullHash(0xab))},
		}},
		"10 01 20  e807  e807 01" + full("ab"),
	},
	"numbers of several bytes": {
		Payload{Scope{Cluster: 300, Shards: []uint16{0, 127, 128, 1023}}, []Range{
			{Bounds: Between(1_700_000_000_000_000_000, 1_700_003_600_000_000_000)},
		}},
		"ac02 04 00 7f 8001 ff07  8080a8b1e39fe7cb17  80c0e285e368 00",
	},
	"item set": {
		Payload{Scope{Cluster: 1, Shards: []uint16{1, 2}}, []Range{
			{Bounds: Between(0, 1000)},
			{Bounds: Between(1000, 1256), Kind: Items, Items: []store.ID{
				{Timestamp: 1000, Hash: fullHash(0x4a)},
				{Timestamp: 1002, Hash: fullHash(0x35)},
				{Timestamp: 1002, Hash: fullHash(0x36)},
				{Timestamp: 1255, Hash: fullHash(0x01)},
			}},
			{Bounds: Between(1256, 1257), Kind: Items, Reconciled: true},
		}},
		"01 02 01 02  00  e807 00" +
			"8002 02 04  e807" + full("4a") + "02" + full("35") + "00" + full("36") + "fd01" + full("01") + "00" +
			"01 02 00 01",
	},
	// The bounds of the specification's example of hash deltas: 1002 without a
	// hash, then 1002 with 0x3560, then 1003.
	"bound within a timestamp": {
		Payload{Scope{Cluster: 1, Shards: []uint16{1}}, []Range{
			{Bounds: Bounds{at(1000), at(1002)}},
			{Bounds: Bounds{at(1002), at(1002, 0x35, 0x60)}, Kind: Print, Print: Fingerprint(fullHash(2))},
			{Bounds: Bounds{at(1002, 0x35, 0x60), at(1003)}, Kind: Print},
		}},
		"01 01 01  e807  02 00  00 02 3560 01" + full("02") + "01 01" + full("00"),
	},
	"topics": {
		Payload{Scope{Form: Topics, PubsubTopics: []string{topicA, topicB}, ContentTopics: []string{"/a/1/b/c"}}, []Range{
			{Bounds: Between(1, 2), Kind: Items},
		}},
		"02 10 2f77616b752f322f72732f31362f3332 10 2f77616b752f322f72732f31362f3634" +
			"01 08 2f612f312f622f63  01  01 02 00 00",
	},
	"all topics": {
		Payload{Scope{Form: Topics}, []Range{{Bounds: Between(5, 7)}}},
		"00 00 05 02 00",
	},
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, c := range golden {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := unhex(t, c.bytes)
			got, err := c.payload.Append([]byte{9})
			if err != nil || !bytes.Equal(got[1:], want) {
				t.Errorf("%v\n%x, want\n%x", err, got[1:], want)
			}
			p, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*p, c.payload) {
				t.Errorf("%+v, want\n%+v", *p, c.payload)
			}
		})
	}
}

// TestDecodeRefuses what Append does not write.
func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	h1, h2 := full("01"), full("02")
	for name, in := range map[string]string{
		"nothing":                        "",
		"a byte that is not zero":        "01",
		"scope alone":                    "10 01 20",
		"no range":                       "10 01 20 05",
		"cluster above 16 bits":          "808004 00 05 01 00",
		"number not minimal":             "9000 01 20 05 01 00",
		"number above 64 bits":           "10 01 20 ffffffffffffffffff7f 01 00",
		"timestamp above 63 bits":        "10 01 20 80808080808080808001 01 00",
		"bounds above 63 bits together":  "10 01 20 ffffffffffffffff7f 01 00",
		"too many shards":                "10 8108",
		"unknown kind":                   "10 01 20 05 01 03",
		"half a fingerprint":             "10 01 20 05 01 01 00",
		"empty range":                    "10 01 20 05 00 00 00",
		"empty range with a hash":        "10 01 20 05 00 0100 00",
		"hash of a bound with zero ends": "10 01 20 05 00 023500 00",
		"hash of a bound too long":       "10 01 20 05 00 21" + h1 + "01 00",
		"bounds descending":              "10 01 20 05 00 0135 00 00 0134 00",
		"more items than bytes":          "10 01 20 05 05 02 02 05" + h1 + "00",
		"endless items":                  "10 01 20 05 05 02 ffffffffffffffff7f",
		"item below its range":           "10 01 20 05 05 02 01 04" + h1 + "00",
		"item above its range":           "10 01 20 05 05 02 01 0a" + h1 + "00",
		"items descending":               "10 01 20 05 05 02 02 05" + h2 + "00" + h1 + "00",
		"item twice":                     "10 01 20 05 05 02 02 05" + h1 + "00" + h1 + "00",
		"reconciled is neither 0 nor 1":  "10 01 20 05 05 02 00 02",
		"more behind a range":            "10 01 20 05 05 00 05",
		"no topic":                       "01 03 616263 00 05 01 00",
	} {
		if p, err := Decode(unhex(t, in)); !errors.Is(err, ErrPayload) || p != nil {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestPayloadLimits at the limit and one above it.
func TestPayloadLimits(t *testing.T) {
	t.Parallel()
	scopes := func(n int) Scope {
		s := Scope{Form: Topics}
		for i := range n {
			s.PubsubTopics = append(s.PubsubTopics, fmt.Sprintf("/waku/2/rs/1/%d", i))
		}
		return s
	}
	one := []Range{{Bounds: Between(1, 2)}}
	ranges := func(n int) (out []Range) {
		for i := range int64(n) {
			out = append(out, Range{Bounds: Between(i, i+1), Kind: Kind(i % 2)})
		}
		return out
	}
	long := func(n int) Scope {
		return Scope{Form: Topics, PubsubTopics: []string{topicPrefix + strings.Repeat("x", n-len(topicPrefix))}}
	}
	for name, c := range map[string]struct {
		p    Payload
		fits bool
	}{
		"topics":               {Payload{scopes(maxTopics), one}, true},
		"topics and one":       {Payload{scopes(maxTopics + 1), one}, false},
		"topic":                {Payload{long(maxTopic), one}, true},
		"topic and a byte":     {Payload{long(maxTopic + 1), one}, false},
		"shards":               {Payload{Scope{Shards: make([]uint16, maxTopics)}, one}, true},
		"shards and one":       {Payload{Scope{Shards: make([]uint16, maxTopics+1)}, one}, false},
		"ranges":               {Payload{Scope{}, ranges(MaxRanges)}, true},
		"ranges and one":       {Payload{Scope{}, ranges(MaxRanges + 1)}, false},
		"the last timestamp":   {Payload{Scope{}, []Range{{Bounds: Between(0, math.MaxInt64)}}}, true},
		"no time in between":   {Payload{Scope{}, []Range{{Bounds: Bounds{at(3), at(3, 1)}}}}, true},
		"every byte of a hash": {Payload{Scope{}, []Range{{Bounds: Bounds{at(3), store.ID{Timestamp: 3, Hash: fullHash(1)}}}}}, true},
	} {
		b, err := c.p.Append(nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := Decode(b); (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	for name, ranges := range map[string][]Range{
		"gap":                        {{Bounds: Between(1, 2)}, {Bounds: Between(3, 4)}},
		"empty":                      {{Bounds: Between(1, 1)}},
		"descending":                 {{Bounds: Between(2, 1)}},
		"before 1970":                {{Bounds: Between(-1, 1)}},
		"hash of the first bound":    {{Bounds: Bounds{at(1, 1), at(2)}}},
		"hash and another timestamp": {{Bounds: Bounds{at(1), at(2, 1)}}},
	} {
		if _, err := (&Payload{Ranges: ranges}).Append(nil); !errors.Is(err, ErrPayload) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: what is accepted is written again as the same bytes, and
// answered with what can be written.
func FuzzDecode(f *testing.F) {
	for _, c := range golden {
		f.Add(unhex(f, c.bytes))
	}
	set := setOf(f, at(1, 1), at(1000, 3), at(1002, 0x35), at(1002, 0x36), at(1_700_000_000_000_000_001, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b)
		if err != nil {
			return
		}
		again, err := p.Append(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%v: %x became %x", err, b, again)
		}
		res := Process(p.Ranges, set)
		reply, err := (&Payload{p.Scope, res.Reply}).Append(nil)
		if err != nil {
			t.Fatalf("reply to %x: %v", b, err)
		}
		if _, err := Decode(reply); err != nil {
			t.Fatalf("reply %x to %x: %v", reply, b, err)
		}
	})
}
