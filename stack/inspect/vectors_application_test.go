package inspect

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
)

func TestVectorsInspectApplicationMessage(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[struct {
		Name, TypeName                                    string
		Type                                              int
		MessageID, Payload, PublicKey, Signature, Wrapped vectors.Hex
		PayloadJSON                                       map[string]any
	}](t, "application_metadata") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			l := Layers(c.Wrapped)
			same(t, "layer", l.Name, LayerApplication)
			if l.Error != "" {
				t.Error(l.Error)
			}
			author, err := key.PublicFromBytes(c.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			p := printed(t, l.Fields)
			same(t, "message_id", p["message_id"], hexOf(c.MessageID))
			same(t, "author", p["author"], author)
			same(t, "author_key", p["author_key"], author.Hex())
			same(t, "signed", p["signed"], true)
			same(t, "type", p["type"], c.Type)
			same(t, "type_name", p["type_name"], c.TypeName)
			same(t, "signature", p["signature"], hexOf(c.Signature))
			same(t, "payload", p["payload"], hexOf(c.Payload))
			same(t, "inner layers", len(l.Inner), 1)

			m := newPayload(message.Type(c.Type))
			if m == nil {
				same(t, "inner layer", l.Inner[0].Name, LayerUnknown)
				same(t, "bytes", l.Inner[0].Bytes, hexOf(c.Payload))
				return
			}
			same(t, "inner layer", l.Inner[0].Name, strings.ToLower(c.TypeName))
			sameFields(t, "payload", m.Descriptor(), l.Inner[0].Fields, c.PayloadJSON)
		})
	}
}

// sameFields compares every printed field of a message with the recorded one,
// which has enumerations by number, bytes in base64, and what is one of
// several under "Payload" by its Go name.
func sameFields(t *testing.T, what string, d protoreflect.MessageDescriptor, got Fields, want map[string]any) {
	t.Helper()
	if oneof, ok := want["Payload"].(map[string]any); ok {
		for name, v := range oneof {
			want[strings.ToLower(name)] = v
		}
	}
	for _, f := range got {
		if f.Name == "unknown_fields" {
			continue
		}
		fd := d.Fields().ByTextName(f.Name)
		w, ok := want[f.Name]
		if !ok {
			w, ok = want[fd.JSONName()]
		}
		if !ok {
			t.Errorf("%s.%s is printed and not recorded", what, f.Name)
			continue
		}
		sameValue(t, what+"."+f.Name, fd, f.Value, w)
	}
}

func sameValue(t *testing.T, what string, fd protoreflect.FieldDescriptor, got, want any) {
	t.Helper()
	switch got := got.(type) {
	case Fields:
		if fd.IsMap() {
			for _, f := range got {
				sameValue(t, what+"."+f.Name, fd.MapValue(), f.Value, want.(map[string]any)[f.Name])
			}
			return
		}
		sameFields(t, what, fd.Message(), got, want.(map[string]any))
	case []any:
		for i, item := range got {
			sameValue(t, fmt.Sprint(what, i), fd, item, want.([]any)[i])
		}
	case Hex:
		raw, err := base64.StdEncoding.DecodeString(want.(string))
		if err != nil {
			t.Fatal(err)
		}
		same(t, what, got, hexOf(raw))
	case string:
		if n, ok := want.(float64); ok {
			want = fd.Enum().Values().ByNumber(protoreflect.EnumNumber(n)).Name()
		}
		same(t, what, got, want)
	default:
		if n, ok := want.(float64); ok {
			want = int64(n)
		}
		same(t, what, got, want)
	}
}

// A conversation of deployed clients: what each of them has read out of an
// envelope is what the layers show, wherever nothing is encrypted further.
func TestVectorsInspectConversation(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[struct {
		Name    string
		Parties []struct {
			ChatPrivateKey vectors.Hex
		}
		Communities []struct{ PrivateKey vectors.Hex }
		Envelopes   []struct {
			Hash, PubsubTopic, ContentTopic string
			Payload                         vectors.Hex
		}
		Decoded []struct {
			EnvelopeHash, Type, ID, From, FilterChatID string
			Payload                                    vectors.Hex
		}
	}](t, "conversation") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			topicKeys := make(map[string][][32]byte)
			seen := make(map[string]bool)
			for _, d := range c.Decoded {
				if d.FilterChatID == "" || seen[d.FilterChatID] {
					continue
				}
				seen[d.FilterChatID] = true
				topic, err := DescribeTopic(d.FilterChatID)
				if err != nil {
					t.Fatal(err)
				}
				topicKeys[topic.ContentTopic] = append(topicKeys[topic.ContentTopic], [32]byte(topic.SymmetricKey))
			}
			var privates [][32]byte
			for _, p := range c.Parties {
				privates = append(privates, [32]byte(p.ChatPrivateKey))
			}
			for _, p := range c.Communities {
				privates = append(privates, [32]byte(p.PrivateKey))
			}

			trees := make(map[string]Layer)
			for _, e := range c.Envelopes {
				opened, ok := openAny(e.Payload, topicKeys[e.ContentTopic], privates)
				if ok {
					trees[e.Hash] = Layers(opened.Payload)
				}
			}
			compared := 0
			for _, d := range c.Decoded {
				root, ok := trees[d.EnvelopeHash]
				if !ok || has(root, LayerEncrypted) || has(root, LayerSegment) {
					continue
				}
				compared++
				l := find(root, d.ID)
				if l == nil {
					t.Errorf("%s %s is not in %s", d.Type, d.ID, root)
					continue
				}
				same(t, "type_name", l.Fields.Get("type_name"), d.Type)
				same(t, "author_key", l.Fields.Get("author_key"), d.From)
				same(t, "payload", l.Fields.Get("payload"), hexOf(d.Payload))
			}
			if compared == 0 {
				t.Error("nothing could be compared")
			}
			t.Logf("%d messages in %d envelopes", compared, len(trees))
		})
	}
}

func openAny(data []byte, symmetric, private [][32]byte) (Payload, bool) {
	for _, k := range symmetric {
		if o, err := OpenSymmetric(data, k); err == nil {
			return o, true
		}
	}
	for _, k := range private {
		if o, err := OpenAsymmetric(data, k); err == nil {
			return o, true
		}
	}
	return Payload{}, false
}

// find returns the application message of an id in a tree.
func find(l Layer, id string) *Layer {
	if l.Name == LayerApplication && l.Fields.Get("message_id") == id {
		return &l
	}
	for _, inner := range l.Inner {
		if found := find(inner, id); found != nil {
			return found
		}
	}
	return nil
}

// has reports whether a layer of a name is in a tree.
func has(l Layer, name string) bool {
	return l.Name == name || slices.ContainsFunc(l.Inner, func(l Layer) bool { return has(l, name) })
}

// Every type whose message the stack reads has its fields shown.
func TestPayloadsOfHandledTypesAreKnown(t *testing.T) {
	t.Parallel()
	for _, r := range message.Rules() {
		if r.Handled && newPayload(r.Type) == nil {
			t.Errorf("no message for %s", message.Name(r.Type))
		}
	}
	if newPayload(message.Type(9999)) != nil {
		t.Error("a message for a type without a name")
	}
}
