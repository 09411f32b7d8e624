package inspect

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// application reads the signed wrapper of an application message
// (62/STATUS-PAYLOADS, Payload wrapper).
func (w walker) application(raw []byte, depth int) *Layer {
	var m apppb.ApplicationMetadataMessage
	if proto.Unmarshal(raw, &m) != nil || !isWrapper(&m) {
		return nil
	}
	l := &Layer{Name: LayerApplication}
	opened, err := message.Open(raw, key.Public{})
	switch {
	case err == nil:
		l.Fields = Fields{
			{"message_id", opened.ID.String()},
			{"author", opened.Author.String()},
			{"author_key", opened.Author.Hex()},
		}
	case !errors.Is(err, message.ErrNoAuthor): // that one is known from the layer below
		l.Error = err.Error()
	}
	l.Fields = append(l.Fields,
		Field{"signed", len(m.GetSignature()) > 0},
		Field{"type", int32(m.GetType())},
		Field{"type_name", message.Name(m.GetType())},
		Field{"signature", Hex(m.GetSignature())},
		Field{"payload", carried{Hex(m.GetPayload())}},
	)
	l.Fields = appendUnknown(l.Fields, m.ProtoReflect(), w.budget)
	if len(m.GetPayload()) > 0 {
		l.Inner = []Layer{w.applicationPayload(m.GetType(), m.GetPayload(), depth+1)}
	}
	return l
}

// isWrapper tells a wrapper from other protobuf messages. A signature of the
// right length is enough; without it nothing may be there that a wrapper does
// not have.
func isWrapper(m *apppb.ApplicationMetadataMessage) bool {
	if len(m.GetSignature()) == key.SignatureSize {
		return !hasMistyped(m)
	}
	named := m.GetType().Descriptor().Values().ByNumber(m.GetType().Number()) != nil
	return named && m.GetType() != apppb.ApplicationMetadataMessage_UNKNOWN &&
		len(m.GetPayload()) > 0 && len(m.ProtoReflect().GetUnknown()) == 0
}

// hasMistyped reports whether a field of the message's type is there with
// another wire type, which decoding sets aside as unknown.
func hasMistyped(m proto.Message) bool {
	fields := m.ProtoReflect().Descriptor().Fields()
	for unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0; {
		number, _, n := protowire.ConsumeField(unknown)
		if n < 0 || fields.ByNumber(number) != nil {
			return true
		}
		unknown = unknown[n:]
	}
	return false
}

// applicationPayload reads the payload as its type says, never as another.
func (w walker) applicationPayload(t message.Type, payload []byte, depth int) Layer {
	m := newPayload(t)
	if m == nil {
		return w.unknown(payload)
	}
	if err := proto.Unmarshal(payload, m.Interface()); err != nil {
		l := w.unknown(payload)
		l.Error = "not a " + message.Name(t) + ": " + err.Error()
		return l
	}
	l := Layer{
		Name:   strings.ToLower(message.Name(t)),
		Fields: messageFields(m, setFields, w.budget),
		Inner:  []Layer{},
	}
	// An invitation to a community carries its description, signed and whole.
	if chat, ok := m.Interface().(*apppb.ChatMessage); ok && len(chat.GetCommunity()) > 0 {
		l.Fields.carry("community")
		l.Inner = []Layer{w.open(chat.GetCommunity(), depth+1)}
	}
	return l
}

// newPayload returns an empty message of the type's own, nil when this version
// does not have it. The .proto files name messages after their types:
// CHAT_MESSAGE is ChatMessage.
func newPayload(t message.Type) protoreflect.Message {
	var name strings.Builder
	for word := range strings.SplitSeq(strings.ToLower(message.Name(t)), "_") {
		if word != "" {
			name.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	pkg := (*apppb.ApplicationMetadataMessage)(nil).ProtoReflect().Descriptor().ParentFile().Package()
	found, err := protoregistry.GlobalTypes.FindMessageByName(pkg.Append(protoreflect.Name(name.String())))
	if err != nil {
		return nil
	}
	return found.New()
}
