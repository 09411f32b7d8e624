package inspect

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/segment"
	"github.com/parley-im/parley/waku/topic"
)

// Limits of what Layers shows of one input.
const (
	// MaxDepth is how many layers are opened inside one another. Deployed
	// clients nest six at most.
	MaxDepth = 16
	// MaxLayers is how many layers are opened in all.
	MaxLayers = 4096
	// MaxValues is how many single values of protobuf messages are shown.
	MaxValues = 1 << 17
)

// Names of layers. An application message's inner layer has the name of its
// type in lower case, such as chat_message.
const (
	LayerWakuMessage     = "waku_message"
	LayerSegment         = "segment"
	LayerProtocolMessage = "protocol_message"
	LayerMVDS            = "mvds"
	LayerSDS             = "sds"
	LayerApplication     = "application_message"
	LayerEncrypted       = "encrypted"
	LayerUnknown         = "unknown"
)

// Layer is one layer of a message: what it says, and the layers in it.
type Layer struct {
	Name string `json:"layer"`
	// Bytes are there when the layer is unknown.
	Bytes  Hex    `json:"bytes,omitzero"`
	Fields Fields `json:"fields"`
	// Error says what is wrong with a layer that was recognised.
	Error string `json:"error,omitempty"`
	// Truncated, at the root, says that the input has more layers or values
	// than MaxLayers or MaxValues; those beyond are left out.
	Truncated bool `json:"truncated,omitempty"`
	// Inner are the layers inside: of MVDS one for each message, in order.
	Inner []Layer `json:"inner"`
}

// Layers takes bytes for whatever they are. Each layer, from the outside in,
// is the first of these that the bytes can be:
//
//   - waku_message: a WakuMessage whose content topic has the form of one; its
//     payload of version 1 is shown as encrypted
//   - segment: what package segment takes for one (a 32-byte hash, and more
//     than one segment)
//   - protocol_message: one with a public message, which is opened further, or
//     with encrypted entries, shown with their headers
//   - mvds: a payload in which a list is set; the messages' bodies are opened
//     further
//   - sds: all its fields have the numbers and types of the specification, or
//     those of deployed clients; content is opened further
//   - application_message: a wrapper with a signature of 65 bytes, or without
//     fields of its own and of a type that has a name; its payload is an inner
//     layer with the name of the type
//
// and unknown otherwise, with its fields by number when it is protobuf and as
// text when it is printable. No two of the formats take the same bytes of
// deployed clients; the order decides for those that are made up.
func Layers(raw []byte) Layer {
	w := walker{newBudget()}
	root := w.open(raw, 0)
	root.Truncated = w.spent
	return root
}

// walker opens the layers of one input.
type walker struct{ *budget }

// open returns bytes as the first layer they can be.
func (w walker) open(raw []byte, depth int) Layer {
	if depth == MaxDepth || !w.layer() {
		w.spent = true
		return Layer{Name: LayerUnknown, Bytes: notNil(raw), Fields: Fields{}, Inner: []Layer{}, Error: "not opened: too many layers"}
	}
	for _, read := range []func(raw []byte, depth int) *Layer{
		w.wakuMessage, w.segment, w.protocolMessage, w.mvds, w.sds, w.application,
	} {
		if l := read(raw, depth); l != nil {
			if l.Fields == nil {
				l.Fields = Fields{}
			}
			if l.Inner == nil {
				l.Inner = []Layer{}
			}
			return *l
		}
	}
	return w.unknown(raw)
}

func (w walker) unknown(raw []byte) Layer {
	l := Layer{Name: LayerUnknown, Bytes: notNil(raw), Fields: Fields{}, Inner: []Layer{}}
	if isText(raw) {
		l.Fields = append(l.Fields, Field{"text", string(raw)})
	}
	if fields := dump(raw, 0, w.budget); fields != nil {
		l.Fields = append(l.Fields, Field{"protobuf", fields})
	}
	return l
}

// notNil tells empty bytes from none.
func notNil(raw []byte) Hex {
	if raw == nil {
		return Hex{}
	}
	return raw
}

func (w walker) wakuMessage(raw []byte, depth int) *Layer {
	var m wakupb.WakuMessage
	if proto.Unmarshal(raw, &m) != nil {
		return nil
	}
	if _, err := topic.ParseContent(m.GetContentTopic()); err != nil {
		return nil
	}
	l := &Layer{Name: LayerWakuMessage, Fields: messageFields(m.ProtoReflect(), setFields, w.budget)}
	if err := message.Validate(&m); err != nil {
		l.Error = err.Error()
	}
	if len(m.GetPayload()) == 0 {
		return l
	}
	l.Fields.carry("payload")
	if m.GetVersion() == message.Version {
		l.Inner = []Layer{encrypted(Fields{{"form", "waku_payload_v1"}, {"payload", Hex(m.GetPayload())}})}
	} else {
		l.Inner = []Layer{w.open(m.GetPayload(), depth+1)}
	}
	return l
}

func encrypted(fields Fields) Layer {
	return Layer{Name: LayerEncrypted, Fields: fields, Inner: []Layer{}}
}

func (w walker) segment(raw []byte, _ int) *Layer {
	// What is a segment and whether it contradicts itself is decided where
	// segments are put together.
	_, status, err := segment.Assembler{}.Add(kv.NewMemory(), time.Unix(0, 0), key.Public{}, raw)
	if status == segment.Whole {
		return nil
	}
	var s wakupb.SegmentMessage
	if proto.Unmarshal(raw, &s) != nil {
		return nil
	}
	kind := "data"
	if s.GetSegmentsCount() == 0 {
		kind = "parity"
	}
	l := &Layer{Name: LayerSegment, Fields: append(Fields{{"kind", kind}}, messageFields(s.ProtoReflect(), everyField, w.budget)...)}
	if err != nil {
		l.Error = err.Error()
	}
	return l
}

func (w walker) protocolMessage(raw []byte, depth int) *Layer {
	var m encryptionpb.ProtocolMessage
	if proto.Unmarshal(raw, &m) != nil || m.PublicMessage == nil && len(m.EncryptedMessage) == 0 {
		return nil
	}
	bundles := []any{}
	for _, b := range m.GetBundles() {
		if !w.layer() {
			break
		}
		described, _ := describeBundle(b) // says itself what is wrong
		bundles = append(bundles, described.fields())
	}
	l := &Layer{Name: LayerProtocolMessage, Fields: Fields{{"installation_id", m.GetInstallationId()}, {"bundles", bundles}}}
	if m.PublicMessage != nil {
		l.Fields = append(l.Fields, Field{"public_message", carried{Hex(m.PublicMessage)}})
		l.Inner = append(l.Inner, w.open(m.PublicMessage, depth+1))
	}
	for _, id := range slices.Sorted(maps.Keys(m.EncryptedMessage)) {
		if !w.value() {
			break
		}
		l.Inner = append(l.Inner, w.encryptedEntry(id, m.EncryptedMessage[id]))
	}
	l.Fields = appendUnknown(l.Fields, m.ProtoReflect(), w.budget)
	return l
}

// encryptedEntry is what one installation can open, or any for "none".
func (w walker) encryptedEntry(installation string, e *encryptionpb.EncryptedMessageProtocol) Layer {
	var form string
	switch {
	case e.GetDrHeader() != nil && e.GetX3DhHeader() != nil:
		form = "x3dh" // begins a session of the double ratchet
	case e.GetDrHeader() != nil:
		form = "double_ratchet"
	case e.GetDhHeader() != nil:
		form = "dh"
	case e.GetHrHeader() != nil:
		form = "hash_ratchet"
	default:
		form = "unknown"
	}
	fields := Fields{{"form", form}, {"for_installation", installation}}
	l := encrypted(append(fields, messageFields(e.ProtoReflect(), everyField, w.budget)...))
	if form == "unknown" {
		l.Error = "no header says how it is encrypted"
	}
	return l
}

func (w walker) mvds(raw []byte, depth int) *Layer {
	p, err := mvds.Decode(raw)
	switch {
	case errors.Is(err, mvds.ErrNotPayload):
		return nil
	case err != nil:
		return &Layer{Name: LayerMVDS, Error: err.Error(), Fields: Fields{{"protobuf", dump(raw, 0, w.budget)}}}
	}
	l := &Layer{Name: LayerMVDS}
	messages := []any{}
	for _, m := range p.Messages {
		if !w.value() {
			break
		}
		id := m.ID()
		messages = append(messages, Fields{
			{"message_id", Hex(id[:])},
			{"group_id", Hex(m.Group[:])},
			{"timestamp", m.Timestamp},
			{"body", carried{Hex(m.Body)}},
		})
		l.Inner = append(l.Inner, w.open(m.Body, depth+1))
	}
	offers := []any{}
	for _, o := range p.GroupOffers {
		if !w.value() {
			break
		}
		offers = append(offers, Fields{{"group_id", Hex(o.Group)}, {"message_ids", w.ids(o.IDs)}})
	}
	l.Fields = Fields{
		{"acks", w.ids(p.Acks)},
		{"offers", w.ids(p.Offers)},
		{"requests", w.ids(p.Requests)},
		{"messages", messages},
		{"group_offers", offers},
	}
	return l
}

func (w walker) ids(ids []mvds.MessageID) []any {
	list := []any{}
	for _, id := range ids {
		if !w.value() {
			break
		}
		list = append(list, Hex(id[:]))
	}
	return list
}

// String returns the names of a layer and those inside it, as in
// "protocol_message(mvds(application_message(chat_message)))".
func (l Layer) String() string {
	if len(l.Inner) == 0 {
		return l.Name
	}
	s := l.Name + "("
	for i, inner := range l.Inner {
		if i > 0 {
			s += " "
		}
		s += fmt.Sprint(inner)
	}
	return s + ")"
}
