package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/x3dh"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	reliabilitypb "github.com/parley-im/parley/pb/reliability"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/reliability/mvds"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// testKey is a fixed key, so that what it signs is the same in every run.
func testKey(t testing.TB) key.Private {
	t.Helper()
	k, err := key.PrivateFromBytes(bytes.Repeat([]byte{0x42}, key.PrivateSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wrapped(t testing.TB, typ message.Type, m proto.Message) []byte {
	t.Helper()
	raw, _, err := message.Wrap(typ, marshal(t, m), testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func chat(t testing.TB, text string) []byte {
	t.Helper()
	return wrapped(t, apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: 1729686856123, Timestamp: 1729686856123, Text: text,
		ChatId: testKey(t).Public().Hex(), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	})
}

func synced(bodies ...[]byte) []byte {
	p := &mvds.Payload{Acks: []mvds.MessageID{{1}}}
	for i, body := range bodies {
		p.Messages = append(p.Messages, mvds.Message{Group: mvds.GroupID{2}, Timestamp: int64(i), Body: body})
	}
	return p.Encode()
}

func public(t testing.TB, content []byte) []byte {
	t.Helper()
	return marshal(t, &encryptionpb.ProtocolMessage{InstallationId: "phone", Bundles: []*encryptionpb.Bundle{bundle(t)}, PublicMessage: content})
}

func bundle(t testing.TB) *encryptionpb.Bundle {
	t.Helper()
	b, err := x3dh.Sign(testKey(t), []x3dh.Entry{{Installation: "phone", PreKey: x3dh.LocalPreKey{Private: testKey(t)}.Remote(), Version: 3, ProtocolVersion: 1}}, 1729686856000000000)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func enveloped(t testing.TB, payload []byte, version uint32) []byte {
	t.Helper()
	return marshal(t, &wakupb.WakuMessage{Payload: payload, ContentTopic: "/waku/1/0x034babab/rfc26", Version: &version, Timestamp: proto.Int64(1)})
}

// sdsMessage writes an SDS message: number and value of each field in turn.
func sdsMessage(fields ...any) (b []byte) {
	for i := 0; i < len(fields); i += 2 {
		number := protowire.Number(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = protowire.AppendTag(b, number, protowire.VarintType)
			b = protowire.AppendVarint(b, uint64(v))
		case string:
			b = protowire.AppendTag(b, number, protowire.BytesType)
			b = protowire.AppendString(b, v)
		case []byte:
			b = protowire.AppendTag(b, number, protowire.BytesType)
			b = protowire.AppendBytes(b, v)
		}
	}
	return b
}

// What each kind of bytes is taken for, alone and inside one another.
func TestLayers(t *testing.T) {
	t.Parallel()
	hello := chat(t, "hello")
	entry := func(e *encryptionpb.EncryptedMessageProtocol) []byte {
		return marshal(t, &encryptionpb.ProtocolMessage{EncryptedMessage: map[string]*encryptionpb.EncryptedMessageProtocol{"b": e, "a": e}})
	}
	unsigned := marshal(t, &apppb.ApplicationMetadataMessage{Payload: []byte{8, 1}, Type: apppb.ApplicationMetadataMessage_STATUS_UPDATE})
	const app = "application_message(chat_message)"
	for _, c := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"nothing", nil, "unknown"},
		{"text", []byte("hello"), "unknown"},
		{"ciphertext", bytes.Repeat([]byte{0xff}, 40), "unknown"},
		{"application message", hello, app},
		{"unsigned", unsigned, "application_message(status_update)"},
		{"signed and empty", marshal(t, &apppb.ApplicationMetadataMessage{Signature: make([]byte, 65)}), "application_message"},
		{"of a type without a number of ours", wrapped(t, 9999, &apppb.StatusUpdate{Clock: 1}), "application_message(unknown)"},
		{"mvds", synced(hello, []byte("x"), hello), "mvds(" + app + " unknown " + app + ")"},
		{"mvds, acks only", synced(), "mvds"},
		{"mvds in a public message", public(t, synced(hello)), "protocol_message(mvds(" + app + "))"},
		{"encrypted entries", entry(&encryptionpb.EncryptedMessageProtocol{Payload: []byte{1}}), "protocol_message(encrypted encrypted)"},
		{"bundles alone", marshal(t, &encryptionpb.ProtocolMessage{InstallationId: "phone"}), "unknown"},
		{"waku message, encrypted", enveloped(t, hello, 1), "waku_message(encrypted)"},
		{"waku message in the clear", enveloped(t, public(t, hello), 0), "waku_message(protocol_message(" + app + "))"},
		{"waku message without payload", enveloped(t, nil, 1), "waku_message"},
		{"waku message, too large", enveloped(t, make([]byte, wakumessage.MaxSize), 1), "waku_message(encrypted)"},
		{"segment", marshal(t, &wakupb.SegmentMessage{EntireMessageHash: make([]byte, 32), SegmentsCount: 2, Payload: hello}), "segment"},
		{"one segment is none", marshal(t, &wakupb.SegmentMessage{EntireMessageHash: make([]byte, 32), SegmentsCount: 1, Payload: hello}), "unknown"},
		{"sds", sdsMessage(1, "me", 2, "id", 3, "channel", 10, 5, 20, hello), "sds(" + app + ")"},
		{"sds, sync message", sdsMessage(2, "id", 3, "channel", 10, 5, 12, []byte{1}), "sds"},
		{"sds without content and time", sdsMessage(2, "id", 3, "channel"), "unknown"},
		{"sds without id", sdsMessage(3, "channel", 10, 5, 20, hello), "unknown"},
		{"sds with a foreign field", sdsMessage(2, "id", 3, "channel", 10, 5, 99, 1), "unknown"},
		{"sds, deployed", sdsMessage(1, "id", 2, 5, 4, "channel", 5, hello, 7, "me"), "sds(" + app + ")"},
		{"sds, deployed, without time", sdsMessage(1, "id", 4, "channel", 5, hello), "unknown"},
		{"invitation", wrapped(t, apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{Payload: &apppb.ChatMessage_Community{Community: hello}}),
			"application_message(chat_message(" + app + "))"},
		{"contact update without wrapper", marshal(t, &apppb.ContactUpdate{Clock: 1, EnsName: "e", ProfileImage: "p"}), "unknown"},
		{"accept without wrapper", marshal(t, &apppb.AcceptContactRequest{Id: "0x01", Clock: 1}), "unknown"},
		{"bundle", marshal(t, bundle(t)), "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			same(t, "tree", Layers(c.raw), c.want)
		})
	}
}

func TestLayersShowWhatIsWrong(t *testing.T) {
	t.Parallel()
	badSignature := marshal(t, &apppb.ApplicationMetadataMessage{Signature: make([]byte, 65), Payload: []byte{8, 1}, Type: 1})
	forged := bundle(t)
	forged.Timestamp++
	shortID := protowire.AppendBytes(protowire.AppendTag(nil, 5001, protowire.BytesType), []byte{1})
	for _, c := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"signature", badSignature, message.ErrSignature.Error()},
		{"empty application message", marshal(t, &apppb.ApplicationMetadataMessage{Signature: make([]byte, 65), Type: 1}), message.ErrEmpty.Error()},
		{"payload of another type", wrapped(t, 1, &apppb.ContactUpdate{EnsName: "\x01", ProfileImage: "x"}), ""},
		{"segment", marshal(t, &wakupb.SegmentMessage{EntireMessageHash: make([]byte, 32), SegmentsCount: 2, Index: 2, Payload: []byte{1}}), "segment index out of range"},
		{"mvds", shortID, mvds.ErrLength.Error()},
		{"waku message", enveloped(t, make([]byte, wakumessage.MaxSize), 1), wakumessage.ErrTooLarge.Error()},
		{"unsigned", marshal(t, &apppb.ApplicationMetadataMessage{Payload: []byte{8, 1}, Type: 1}), ""},
	} {
		l := Layers(c.raw)
		if c.want == "" && l.Error != "" || !strings.Contains(l.Error, c.want) {
			t.Errorf("%s: error %q, want %q", c.name, l.Error, c.want)
		}
	}
	l := Layers(marshal(t, &encryptionpb.ProtocolMessage{Bundles: []*encryptionpb.Bundle{forged}, PublicMessage: []byte{1}}))
	shown := l.Fields.Get("bundles").([]any)[0].(Fields)
	same(t, "valid", shown.Get("valid"), false)
	same(t, "error", shown.Get("error"), x3dh.ErrSignature)

	// A payload that is not of the wrapper's type is never read as another.
	garbled, _, err := message.Wrap(1, []byte{0xff}, testKey(t))
	if err != nil {
		t.Fatal(err)
	}
	inner := Layers(garbled).Inner[0]
	if inner.Name != LayerUnknown || !strings.Contains(inner.Error, "CHAT_MESSAGE") {
		t.Errorf("%+v", inner)
	}
}

func TestLayersEncryptedForms(t *testing.T) {
	t.Parallel()
	dr, x := &encryptionpb.DRHeader{Key: []byte{1}, N: 0, Pn: 7}, &encryptionpb.X3DHHeader{Key: []byte{2}, Id: []byte{3}}
	for want, e := range map[string]*encryptionpb.EncryptedMessageProtocol{
		"x3dh":           {X3DhHeader: x, DrHeader: dr, Payload: []byte{9}},
		"double_ratchet": {DrHeader: dr},
		"dh":             {DhHeader: &encryptionpb.DHHeader{Key: []byte{4}}},
		"hash_ratchet":   {HrHeader: &encryptionpb.HRHeader{SeqNo: 5, GroupId: []byte("g")}},
		"unknown":        {},
	} {
		l := Layers(marshal(t, &encryptionpb.ProtocolMessage{EncryptedMessage: map[string]*encryptionpb.EncryptedMessageProtocol{"phone": e}}))
		got := l.Inner[0]
		same(t, "form", got.Fields.Get("form"), want)
		same(t, "for_installation", got.Fields.Get("for_installation"), "phone")
		if (got.Error != "") != (want == "unknown") {
			t.Errorf("%s: error %q", want, got.Error)
		}
		if want == "x3dh" {
			p := printed(t, got.Fields)
			same(t, "dr_header", p["dr_header"], map[string]any{"key": "0x01", "n": 0, "pn": 7, "id": "0x"})
			same(t, "x3dh_header", p["x3dh_header"], map[string]any{"key": "0x02", "id": "0x03"})
			same(t, "payload", p["payload"], "0x09")
		}
	}
}

func TestLayersSDSFields(t *testing.T) {
	t.Parallel()
	hint := sdsMessage(1, "earlier", 2, []byte{7}, 3, "you")
	p := printed(t, Layers(sdsMessage(1, "me", 2, "id", 3, "channel", 10, 5, 11, hint, 11, hint, 12, []byte{8}, 13, hint, 20, []byte("x"))).Fields)
	entry := map[string]any{"message_id": "earlier", "retrieval_hint": "0x07", "sender_id": "you"}
	for name, want := range map[string]any{
		"numbering": "specification", "sender_id": "me", "message_id": "id", "channel_id": "channel", "lamport_timestamp": 5,
		"causal_history": []any{entry, entry}, "bloom_filter": "0x08", "repair_request": []any{entry}, "content": "0x78",
	} {
		same(t, name, p[name], want)
	}
	p = printed(t, Layers(sdsMessage(1, "id", 2, 5, 3, "0xab12", 3, hint, 4, "channel", 6, []byte{8}, 7, "me", 8, hint)).Fields)
	for name, want := range map[string]any{
		"numbering": "deployed", "sender_id": "me", "lamport_timestamp": 5,
		"causal_history": []any{"0xab12", entry}, "causal_history_entries": []any{entry},
	} {
		same(t, name, p[name], want)
	}
}

func TestLayersUnknown(t *testing.T) {
	t.Parallel()
	l := Layers([]byte("plain words"))
	same(t, "text", l.Fields.Get("text"), "plain words")
	same(t, "bytes", l.Bytes, hexOf([]byte("plain words")))

	nested := sdsMessage(1, []byte{0xff, 0}, 2, "words", 3, sdsMessage(7, 8))
	nested = protowire.AppendFixed32(protowire.AppendTag(nested, 4, protowire.Fixed32Type), 9)
	nested = protowire.AppendFixed64(protowire.AppendTag(nested, 5, protowire.Fixed64Type), 1<<63)
	nested = protowire.AppendTag(nested, 6, protowire.StartGroupType)
	nested = append(nested, sdsMessage(1, 2)...)
	nested = protowire.AppendTag(nested, 6, protowire.EndGroupType)
	raw, err := json.Marshal(Layers(nested))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "dump", string(raw), `{"layer":"unknown","bytes":"`+hexOf(nested)+`","fields":{"protobuf":[`+
		`{"field":1,"type":"bytes","value":"0xff00"},`+
		`{"field":2,"type":"bytes","text":"words"},`+
		`{"field":3,"type":"bytes","message":[{"field":7,"type":"varint","value":8}]},`+
		`{"field":4,"type":"fixed32","value":9},`+
		`{"field":5,"type":"fixed64","value":9223372036854775808},`+
		`{"field":6,"type":"group","message":[{"field":1,"type":"varint","value":2}]}]},"inner":[]}`)

	// Fields that a known layer does not have are not lost.
	hello := append(chat(t, "hello"), sdsMessage(77, 1)...)
	same(t, "unknown_fields", printed(t, Layers(hello).Fields)["unknown_fields"],
		[]any{map[string]any{"field": 77, "type": "varint", "value": 1}})
	raw, err = json.Marshal(Layers(nil))
	same(t, "nothing", string(raw), `{"layer":"unknown","bytes":"0x","fields":{},"inner":[]}`)
	if err != nil {
		t.Error(err)
	}
}

func depth(l Layer) int {
	deepest := 0
	for _, inner := range l.Inner {
		deepest = max(deepest, depth(inner))
	}
	return 1 + deepest
}

func count(l Layer) int {
	n := 1
	for _, inner := range l.Inner {
		n += count(inner)
	}
	return n
}

func TestLayersLimits(t *testing.T) {
	t.Parallel()
	nest := func(n int) []byte {
		raw := []byte("core")
		for range n {
			raw = marshal(t, &encryptionpb.ProtocolMessage{PublicMessage: raw})
		}
		return raw
	}
	if l := Layers(nest(MaxDepth - 1)); l.Truncated || depth(l) != MaxDepth || !strings.Contains(l.String(), "(unknown)") {
		t.Errorf("the deepest: truncated %v, depth %d", l.Truncated, depth(l))
	}
	if l := Layers(nest(MaxDepth)); !l.Truncated || depth(l) != MaxDepth+1 {
		t.Errorf("deeper: truncated %v, depth %d", l.Truncated, depth(l))
	}

	many := func(n int) []byte {
		bodies := make([][]byte, n)
		for i := range bodies {
			bodies[i] = []byte{byte(i)}
		}
		return synced(bodies...)
	}
	if l := Layers(many(MaxLayers - 1)); l.Truncated || count(l) != MaxLayers {
		t.Errorf("the most layers: truncated %v, %d", l.Truncated, count(l))
	}
	if l := Layers(many(MaxLayers)); !l.Truncated || l.Inner[MaxLayers-1].Error == "" {
		t.Errorf("more layers: truncated %v", l.Truncated)
	}

	values := func(n int) []byte { return bytes.Repeat([]byte{8, 1}, n) }
	if l := Layers(values(MaxValues)); l.Truncated {
		t.Error("the most values are truncated")
	}
	l := Layers(values(MaxValues + 1))
	if !l.Truncated || len(l.Fields.Get("protobuf").([]any)) != MaxValues {
		t.Error("more values are not truncated")
	}
	var text strings.Builder
	if err := WriteText(&text, l); err != nil || !strings.Contains(text.String(), "left out") {
		t.Errorf("the text does not say so: %v", err)
	}
}

func TestParseWakuMessageRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"garbage": {[]byte{0xff}, wakumessage.ErrEncoding},
		"empty":   {enveloped(t, nil, 1), wakumessage.ErrEmptyPayload},
		"large":   {enveloped(t, make([]byte, wakumessage.MaxSize), 1), wakumessage.ErrTooLarge},
	} {
		if _, err := ParseWakuMessage(c.raw, ""); !errors.Is(err, c.want) || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	raw := marshal(t, &wakupb.WakuMessage{Payload: []byte{1}, ContentTopic: "/a/1/b/c", Ephemeral: proto.Bool(true), RateLimitProof: []byte{2}})
	m, err := ParseWakuMessage(raw, "")
	p := printed(t, m)
	if err != nil || p["ephemeral"] != true || p["rate_limit_proof"] != "0x02" {
		t.Errorf("%v, %v", p, err)
	}
	for name, want := range map[string]any{"version": 0, "timestamp": 0, "meta": "0x"} {
		same(t, name, p[name], want)
	}
}

// seeds are bytes of every layer.
func seeds(t testing.TB) [][]byte {
	hello := chat(t, "hello")
	return [][]byte{
		nil, []byte("text"), hello, synced(hello, hello), public(t, synced(hello)), enveloped(t, public(t, hello), 0), enveloped(t, hello, 1),
		marshal(t, &wakupb.SegmentMessage{EntireMessageHash: make([]byte, 32), SegmentsCount: 2, Payload: hello}),
		marshal(t, &encryptionpb.ProtocolMessage{EncryptedMessage: map[string]*encryptionpb.EncryptedMessageProtocol{"none": {DhHeader: &encryptionpb.DHHeader{}}}}),
		marshal(t, &reliabilitypb.Payload{GroupOffers: []*reliabilitypb.Offer{{GroupId: []byte("g"), MessageIds: [][]byte{make([]byte, 32)}}}}),
		sdsMessage(1, "me", 2, "id", 3, "channel", 10, 5, 11, sdsMessage(1, "x"), 20, hello),
		sdsMessage(1, "id", 2, 5, 3, "0xab", 4, "channel", 5, hello, 7, "me"),
		marshal(t, bundle(t)),
	}
}

// Whatever the bytes, the tree is bounded in depth and in size, the same each
// time, and its text is safe for a terminal.
func FuzzLayers(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := Layers(raw)
		if d := depth(l); d > MaxDepth+1 {
			t.Errorf("depth %d", d)
		}
		out, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if most := 4096 + 256*len(raw); len(out) > most {
			t.Errorf("%d bytes of JSON for %d bytes, at most %d", len(out), len(raw), most)
		}
		again, _ := json.Marshal(Layers(raw))
		if !bytes.Equal(out, again) {
			t.Error("two runs differ")
		}
		var text bytes.Buffer
		if err := WriteText(&text, l); err != nil {
			t.Fatal(err)
		}
		for _, r := range text.String() {
			if r != '\n' && !printable(r) {
				t.Fatalf("%U in the text", r)
			}
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	f.Add(marshal(f, bundle(f)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := ParseBundle(raw)
		if b.Valid != (err == nil) || b.Valid == (b.Error != "") {
			t.Errorf("%+v, %v", b, err)
		}
		if _, err := json.Marshal(b); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkLayers(b *testing.B) {
	for i, raw := range [][]byte{public(b, synced(chat(b, "hello"))), enveloped(b, make([]byte, 100_000), 1)} {
		b.Run(fmt.Sprint([]string{"public", "envelope100kB"}[i]), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Layers(raw)
			}
		})
	}
}
