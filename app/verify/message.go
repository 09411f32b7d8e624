package verify

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxText is how long a challenge and a response may be, in bytes of UTF-8
// without the white space around them; neither may be empty (deployed clients,
// no specification).
const MaxText = 280

// The four messages of the exchange (62/STATUS-PAYLOADS,
// RequestContactVerification and what follows it).
const (
	Ask     = apppb.ApplicationMetadataMessage_REQUEST_CONTACT_VERIFICATION
	Accept  = apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_VERIFICATION
	Decline = apppb.ApplicationMetadataMessage_DECLINE_CONTACT_VERIFICATION
	Cancel  = apppb.ApplicationMetadataMessage_CANCEL_CONTACT_VERIFICATION
)

// Errors of messages.
var (
	ErrMalformed = errors.New("not a message of contact verification")
	ErrText      = errors.New("challenge or response has the wrong length")
	ErrID        = errors.New("message without the id of a verification request")
)

// Message is any of the four messages.
type Message struct {
	// Type is Ask, Accept, Decline or Cancel.
	Type message.Type
	// Clock is that of the one-to-one chat, in milliseconds.
	Clock uint64
	// Request is the message id of the request that is meant, zero in an Ask.
	Request message.ID
	// Text is the challenge of an Ask, the response of an Accept, else empty.
	Text string
}

// Numbers of the fields: an Ask has its challenge where the others would have
// a response, and leaves number 2 out.
const (
	clockField = 1
	idField    = 2
	textField  = 3
)

// Append appends the encoded payload to b.
func (m Message) Append(b []byte) []byte {
	if m.Clock != 0 {
		b = protowire.AppendTag(b, clockField, protowire.VarintType)
		b = protowire.AppendVarint(b, m.Clock)
	}
	if m.Type != Ask {
		b = protowire.AppendTag(b, idField, protowire.BytesType)
		b = protowire.AppendString(b, m.Request.String())
	}
	if m.Text != "" {
		b = protowire.AppendTag(b, textField, protowire.BytesType)
		b = protowire.AppendString(b, m.Text)
	}
	return b
}

// Proto returns the payload as a protobuf message whose encoding is that of
// Append.
func (m Message) Proto() proto.Message {
	body := new(emptypb.Empty)
	body.ProtoReflect().SetUnknown(m.Append(nil))
	return body
}

// Parse decodes a payload of the given type and checks all but its clock. The
// text comes out without the white space around it. Fields that later versions
// add are skipped.
func Parse(t message.Type, payload []byte) (Message, error) {
	m := Message{Type: t}
	id, err := m.fields(payload)
	if err != nil {
		return Message{}, fmt.Errorf("%s: %w", message.Name(t), err)
	}
	switch t {
	case Ask, Accept:
		if m.Text, err = checkText(m.Text); err != nil {
			return Message{}, fmt.Errorf("%s: %w", message.Name(t), err)
		}
	case Decline, Cancel:
		m.Text = ""
	default:
		return Message{}, fmt.Errorf("%w: %s", ErrMalformed, message.Name(t))
	}
	if t == Ask {
		return m, nil
	}
	if m.Request, err = message.ParseID(id); err != nil || m.Request == (message.ID{}) {
		return Message{}, fmt.Errorf("%s: %w", message.Name(t), ErrID)
	}
	return m, nil
}

// fields reads the wire format into m and returns the id. Of a field that is
// there twice the last one counts, as protobuf has it.
func (m *Message) fields(b []byte) (id string, err error) {
	for len(b) > 0 {
		number, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", ErrMalformed
		}
		b = b[n:]
		switch {
		case number == clockField && typ == protowire.VarintType:
			m.Clock, n = protowire.ConsumeVarint(b)
		case number == idField && typ == protowire.BytesType:
			id, n = consumeText(b)
		case number == textField && typ == protowire.BytesType:
			m.Text, n = consumeText(b)
		default:
			n = protowire.ConsumeFieldValue(number, typ, b)
		}
		if n < 0 {
			return "", ErrMalformed
		}
		b = b[n:]
	}
	return id, nil
}

// consumeText reads a string; n is negative for one that is cut off or no
// UTF-8.
func consumeText(b []byte) (s string, n int) {
	raw, n := protowire.ConsumeBytes(b)
	if n >= 0 && !utf8.Valid(raw) {
		return "", -1
	}
	return string(raw), n
}

// checkText checks a challenge or response and returns it trimmed.
func checkText(text string) (string, error) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > MaxText {
		return "", fmt.Errorf("%w: %d bytes, 1 to %d are allowed", ErrText, len(text), MaxText)
	}
	if !utf8.ValidString(text) {
		return "", fmt.Errorf("%w: no UTF-8", ErrText)
	}
	return text, nil
}
