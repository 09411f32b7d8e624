package message

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// wrappedCase is a message as a deployed client wraps it.
type wrappedCase struct {
	Name        string
	Type        Type
	TypeName    string
	PrivateKey  vectors.Hex
	PublicKey   vectors.Hex
	Payload     vectors.Hex
	PayloadJSON json.RawMessage
	Signature   vectors.Hex
	Wrapped     vectors.Hex
	MessageID   vectors.Hex
}

func wrapped(t testing.TB) []wrappedCase {
	return vectors.Cases[wrappedCase](t, "application_metadata")
}

// payloadOf returns an empty payload of a type, nil for the types whose payload
// this package cannot name yet; those are checked as wrapped bytes only.
func payloadOf(t Type) proto.Message {
	switch t {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
		return &apppb.ChatMessage{}
	case apppb.ApplicationMetadataMessage_CONTACT_UPDATE:
		return &apppb.ContactUpdate{}
	case apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:
		return &apppb.AcceptContactRequest{}
	case apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST:
		return &apppb.RetractContactRequest{}
	case apppb.ApplicationMetadataMessage_CHAT_IDENTITY:
		return &apppb.ChatIdentity{}
	case apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT:
		return &apppb.ContactCodeAdvertisement{}
	case apppb.ApplicationMetadataMessage_STATUS_UPDATE:
		return &apppb.StatusUpdate{}
	}
	return nil
}

// Proves: AP-125, AP-127.
func TestVectorsApplicationMetadata(t *testing.T) {
	t.Parallel()
	for _, c := range wrapped(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			author, err := key.PrivateFromBytes(c.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(author.Public().Bytes(), c.PublicKey) {
				t.Fatalf("public key %s", author.Public().Hex())
			}
			if name := Name(c.Type); name != c.TypeName {
				t.Errorf("type %d is %s, recorded %s", c.Type, name, c.TypeName)
			}

			raw, id := wrap(t, c.Type, c.Payload, author)
			if !bytes.Equal(raw, c.Wrapped) {
				t.Errorf("wrapped\n%x, recorded\n%x", raw, []byte(c.Wrapped))
			}
			if !bytes.Equal(id[:], c.MessageID) {
				t.Errorf("id %s, recorded %x", id, []byte(c.MessageID))
			}
			var wrapper apppb.ApplicationMetadataMessage
			if err := proto.Unmarshal(raw, &wrapper); err != nil || !bytes.Equal(wrapper.Signature, c.Signature) {
				t.Errorf("signature %x, recorded %x (%v)", wrapper.Signature, []byte(c.Signature), err)
			}

			m, err := Open(c.Wrapped, key.Public{})
			if err != nil {
				t.Fatal(err)
			}
			if m.Author != author.Public() || !m.Signed || m.Type != c.Type || m.ID != id || !bytes.Equal(m.Payload, c.Payload) {
				t.Errorf("opened as %+v", m)
			}
			if payload := payloadOf(c.Type); payload != nil {
				checkPayload(t, c.Payload, payload, c.PayloadJSON)
			}
		})
	}
}

// rawCase is a chat message as a deployed client builds it to be sent.
type rawCase struct {
	ID               string
	MessageType      string
	Payload          vectors.Hex
	SenderPrivateKey vectors.Hex
	ChatMessage      json.RawMessage
}

// Proves: AP-127.
func TestVectorsSentRawMessages(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[rawCase](t, "sent_raw_messages") {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			author, err := key.PrivateFromBytes(c.SenderPrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			typ := Type(apppb.ApplicationMetadataMessage_Type_value[c.MessageType])
			if Name(typ) != c.MessageType {
				t.Fatalf("no type %s", c.MessageType)
			}
			if _, id := wrap(t, typ, c.Payload, author); id.String() != c.ID {
				t.Errorf("id %s", id)
			}
			payload := payloadOf(typ)
			if payload == nil {
				t.Fatalf("no payload for %s", c.MessageType)
			}
			checkPayload(t, c.Payload, payload, c.ChatMessage)
		})
	}
}

// checkPayload decodes recorded bytes, compares every field with the recorded
// JSON and encodes to the same bytes again.
func checkPayload(t *testing.T, raw []byte, m proto.Message, recorded json.RawMessage) {
	t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("fields that are not described: %x", unknown)
	}
	again, err := Encode(m)
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("encoded again\n%x, recorded\n%x (%v)", again, raw, err)
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, UseEnumNumbers: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got, want map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(recorded, &want); err != nil {
		t.Fatal(err)
	}
	got, want = plain(got).(map[string]any), plain(want).(map[string]any)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("fields\n%v, recorded\n%v", got, want)
	}
}

// plain brings the two JSON dialects together: protobuf's writes 64-bit numbers
// as text, the recording's wraps the oneof in "Payload" with a capital.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			if name == "Payload" {
				inner, _ := value.(map[string]any)
				for kind, value := range inner {
					out[lower(kind)] = plain(value)
				}
				continue
			}
			out[name] = plain(value)
			if number, ok := value.(string); ok && (name == "clock" || name == "timestamp" || hasSuffix(name, "_clock", "_state", "_ms")) {
				out[name] = json.Number(number)
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
		return v
	case float64:
		return json.Number(strconv.FormatFloat(v, 'f', -1, 64))
	}
	return v
}

func lower(s string) string { return string(s[0]|0x20) + s[1:] }

func hasSuffix(s string, suffixes ...string) bool {
	for _, suffix := range suffixes {
		if len(s) > len(suffix) && s[len(s)-len(suffix):] == suffix {
			return true
		}
	}
	return false
}
