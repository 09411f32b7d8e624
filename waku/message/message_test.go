package message

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/vectors"
	wakupb "github.com/parley-im/parley/pb/waku"
)

const contentTopic = "/waku/1/0xcd423760/rfc26"

type hashCase struct {
	Name                string
	PubsubTopic         string
	ContentTopic        string
	Payload             vectors.Hex
	Meta                vectors.Hex
	Timestamp           *int64
	Hash                vectors.Hex
	WakuMessageProtobuf vectors.Hex
}

func (c hashCase) message() *wakupb.WakuMessage {
	m := &wakupb.WakuMessage{
		Payload: c.Payload, ContentTopic: c.ContentTopic,
		Version: proto.Uint32(Version), Timestamp: c.Timestamp,
	}
	if len(c.Meta) > 0 {
		m.Meta = c.Meta
	}
	return m
}

func TestVectorsWakuMessageHash(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[hashCase](t, "waku_message_hash") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m := c.message()
			if got := HashOf(c.PubsubTopic, m); !bytes.Equal(got[:], c.Hash) {
				t.Errorf("hash %v, want %x", got, c.Hash)
			}
			raw, err := Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(raw, c.WakuMessageProtobuf) {
				t.Errorf("marshalled %x, want %x", raw, c.WakuMessageProtobuf)
			}
			back, err := Unmarshal(c.WakuMessageProtobuf)
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(back, m) {
				t.Errorf("unmarshalled %v, want %v", back, m)
			}
		})
	}
}

// The values are printed in 14/WAKU2-MESSAGE, Test vectors.
func TestHashOfSpecification(t *testing.T) {
	t.Parallel()
	payload := []byte("\x01\x02\x03\x04TEST\x05\x06\x07\x08")
	long := make([]byte, MaxMeta)
	for i := range long {
		long[i] = byte(i)
	}
	for _, c := range []struct {
		name          string
		payload, meta []byte
		want          string
	}{
		{"short meta", payload, []byte("super-secret"), "0x64cce733fed134e83da02b02c6f689814872b1a0ac97ea56b76095c3c72bfe05"},
		{"long meta", payload, long, "0x7158b6498753313368b9af8f6e0a0a05104f68f972981da42a43bc53fb0c1b27"},
		{"no meta", payload, nil, "0xa2554498b31f5bcdfcbf7fa58ad1c2d45f0254f3f8110a85588ec3cf10720fd8"},
		{"no payload", nil, []byte("super-secret"), "0x483ea950cb63f9b9d6926b262bb36194d3f40a0463ce8446228350bd44e96de4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := &wakupb.WakuMessage{
				Payload: c.payload, ContentTopic: "/waku/2/default-content/proto",
				Meta: c.meta, Timestamp: proto.Int64(0x175789bfa23f8400),
			}
			if got := HashOf("/waku/2/default-waku/proto", m).String(); got != c.want {
				t.Errorf("hash %s, want %s", got, c.want)
			}
		})
	}
}

// Small messages are hashed from the stack, large ones piece by piece; both
// ways must agree on either side of the border.
func TestHashOfSizes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 1900, 2000, 2040, 2048, 2049, 3000, 100_000} {
		m := New(bytes.Repeat([]byte{7}, n), contentTopic, time.Unix(1, 2), false)
		m.Meta = []byte("meta")
		var all []byte
		all = append(all, "/waku/2/rs/16/32"...)
		all = append(all, m.Payload...)
		all = append(all, contentTopic...)
		all = append(all, "meta"...)
		all = append(all, 0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0x02) // 1,000,000,002
		if got, want := HashOf("/waku/2/rs/16/32", m), sum(all); got != want {
			t.Errorf("%d bytes: hash %v, want %v", n, got, want)
		}
	}
}

func TestHashText(t *testing.T) {
	t.Parallel()
	h := HashOf("a", New([]byte("b"), "c", time.Unix(0, 0), false))
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var back Hash
	if err := json.Unmarshal(text, &back); err != nil || back != h {
		t.Errorf("%s read as %v, %v", text, back, err)
	}
	if got, err := ParseHash(h.String()[2:]); err != nil || got != h {
		t.Errorf("without 0x: %v, %v", got, err)
	}
	if got, err := HashFromBytes(h[:]); err != nil || got != h {
		t.Errorf("from bytes: %v, %v", got, err)
	}
	if h.IsZero() || !(Hash{}).IsZero() {
		t.Error("IsZero is wrong")
	}
	for _, bad := range []string{"", "0x", h.String()[:65], h.String() + "0", h.String() + "00", "0x" + strings.Repeat("g", 64)} {
		if _, err := ParseHash(bad); !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v, want ErrHash", bad, err)
		}
	}
}

// Proves: SP-30, SP-31, SP-32, SP-33, SP-34, SP-35.
func TestNewFields(t *testing.T) {
	t.Parallel()
	payload := []byte("the whole encrypted payload")
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	for _, ephemeral := range []bool{false, true} {
		raw, err := Marshal(New(payload, contentTopic, at, ephemeral))
		if err != nil {
			t.Fatal(err)
		}
		// Read without the generated code: number, wire type and value of
		// every field are the wire format.
		var numbers []protowire.Number
		for rest := raw; len(rest) > 0; {
			num, typ, n := protowire.ConsumeTag(rest)
			if n < 0 {
				t.Fatal(protowire.ParseError(n))
			}
			rest = rest[n:]
			numbers = append(numbers, num)
			var value []byte
			var v uint64
			switch typ {
			case protowire.BytesType:
				value, n = protowire.ConsumeBytes(rest)
			case protowire.VarintType:
				v, n = protowire.ConsumeVarint(rest)
			default:
				t.Fatalf("field %d has wire type %d", num, typ)
			}
			if n < 0 {
				t.Fatal(protowire.ParseError(n))
			}
			rest = rest[n:]
			var ok bool
			switch num {
			case 1:
				ok = bytes.Equal(value, payload)
			case 2:
				ok = string(value) == contentTopic
			case 3:
				ok = v == 1
			case 10:
				ok = protowire.DecodeZigZag(v) == at.UnixNano()
			case 11:
				ok = typ == protowire.BytesType && len(value) == 0
			case 31:
				ok = v == protowire.EncodeBool(ephemeral)
			}
			if !ok {
				t.Errorf("ephemeral %v: field %d is %x / %d", ephemeral, num, value, v)
			}
		}
		want := []protowire.Number{1, 2, 3, 10, 11, 31}
		if len(numbers) != len(want) {
			t.Fatalf("fields %v, want %v", numbers, want)
		}
		for i := range want {
			if numbers[i] != want[i] {
				t.Fatalf("fields %v, want %v", numbers, want)
			}
		}
	}
}

func sized(t testing.TB, size int) *wakupb.WakuMessage {
	t.Helper()
	m := New(nil, contentTopic, time.Unix(1_700_000_000, 0), false)
	for n := size; n > 0; n-- {
		m.Payload = make([]byte, n)
		if proto.Size(m) == size {
			return m
		}
	}
	t.Fatalf("no message of %d bytes", size)
	return nil
}

func TestValidateLimits(t *testing.T) {
	t.Parallel()
	good := func() *wakupb.WakuMessage { return New([]byte{1}, contentTopic, time.Unix(1, 0), false) }
	with := func(change func(*wakupb.WakuMessage)) *wakupb.WakuMessage {
		m := good()
		change(m)
		return m
	}
	for _, c := range []struct {
		name string
		m    *wakupb.WakuMessage
		want error
	}{
		{"good", good(), nil},
		{"bare", &wakupb.WakuMessage{Payload: []byte{1}, ContentTopic: "x"}, nil},
		{"nil", nil, ErrEmptyPayload},
		{"no payload", with(func(m *wakupb.WakuMessage) { m.Payload = nil }), ErrEmptyPayload},
		{"no topic", with(func(m *wakupb.WakuMessage) { m.ContentTopic = "" }), ErrEmptyTopic},
		{"meta at the limit", with(func(m *wakupb.WakuMessage) { m.Meta = make([]byte, MaxMeta) }), nil},
		{"meta above", with(func(m *wakupb.WakuMessage) { m.Meta = make([]byte, MaxMeta+1) }), ErrMeta},
		{"before 1970", with(func(m *wakupb.WakuMessage) { m.Timestamp = proto.Int64(-1) }), ErrTimestamp},
		{"at the limit", sized(t, MaxSize), nil},
		{"above", sized(t, MaxSize+1), ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := Validate(c.m); !errors.Is(err, c.want) {
				t.Errorf("Validate: %v, want %v", err, c.want)
			}
			if _, err := Marshal(c.m); !errors.Is(err, c.want) {
				t.Errorf("Marshal: %v, want %v", err, c.want)
			}
			raw, err := proto.Marshal(c.m)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Unmarshal(raw)
			if !errors.Is(err, c.want) || (err != nil) != (back == nil) {
				t.Errorf("Unmarshal: %v, want %v", err, c.want)
			}
		})
	}
}

// A published message must fit the RPC that go-waku counts, on the longest
// static shard topic.
func TestPublishSizeFitsRPC(t *testing.T) {
	t.Parallel()
	topic := "/waku/2/rs/65535/1023"
	inner := protowire.SizeTag(2) + protowire.SizeBytes(MaxPublishSize) +
		protowire.SizeTag(4) + protowire.SizeBytes(len(topic))
	if rpc := protowire.SizeTag(2) + protowire.SizeBytes(inner); rpc > MaxRPCSize {
		t.Errorf("an RPC of %d bytes, at most %d", rpc, MaxRPCSize)
	}
}

func TestMaxPayload(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{100, 190, 300, 16500, MaxPublishSize, MaxSize} {
		n := MaxPayload(contentTopic, limit)
		for _, at := range []int64{0, 1, 1_700_000_000_000_000_000, 1<<63 - 1} {
			m := New(make([]byte, n), contentTopic, time.Unix(0, at), true)
			if proto.Size(m) > limit {
				t.Errorf("limit %d, time %d: %d bytes", limit, at, proto.Size(m))
			}
		}
		// One byte more is too much at the time that serialises longest.
		m := New(make([]byte, n+1), contentTopic, time.Unix(0, 1<<63-1), true)
		if proto.Size(m) <= limit {
			t.Errorf("limit %d: %d bytes of payload would fit as well", limit, n+1)
		}
	}
	if n := MaxPayload(contentTopic, 20); n != 0 {
		t.Errorf("%d bytes of payload in 20 bytes", n)
	}
}

func TestUnmarshalRejects(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"cut":             {0x0a, 0x04, 1},
		"not utf-8 topic": {0x0a, 1, 1, 0x12, 1, 0xff},
		"bad tag":         {0x07},
	} {
		if m, err := Unmarshal(raw); !errors.Is(err, ErrEncoding) || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// What is read and written again keeps its meaning and its hash.
func FuzzUnmarshal(f *testing.F) {
	for _, c := range vectors.Cases[hashCase](f, "waku_message_hash") {
		f.Add([]byte(c.WakuMessageProtobuf))
	}
	raw, err := Marshal(New([]byte("payload"), contentTopic, time.Unix(1_700_000_000, 0), true))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Unmarshal(raw)
		if err != nil {
			return
		}
		if err := Validate(m); err != nil {
			t.Fatalf("read an invalid message: %v", err)
		}
		again, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Unmarshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(back, m) || HashOf("t", back) != HashOf("t", m) {
			t.Fatalf("%x became %x", raw, again)
		}
	})
}
