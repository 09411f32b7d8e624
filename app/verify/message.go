package verify

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

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

// Encode returns the payload.
func (m Message) Encode() ([]byte, error) {
	id := m.Request.String()
	switch m.Type {
	case Ask:
		return message.Encode(&apppb.RequestContactVerification{Clock: m.Clock, Challenge: m.Text})
	case Accept:
		return message.Encode(&apppb.AcceptContactVerification{Clock: m.Clock, Id: id, Response: m.Text})
	case Decline:
		return message.Encode(&apppb.DeclineContactVerification{Clock: m.Clock, Id: id})
	case Cancel:
		return message.Encode(&apppb.CancelContactVerification{Clock: m.Clock, Id: id})
	}
	return nil, fmt.Errorf("%w: %s", ErrMalformed, message.Name(m.Type))
}

// Parse decodes a payload of the given type and checks all but its clock. The
// text comes out without the white space around it. Fields that later versions
// add are skipped.
func Parse(t message.Type, payload []byte) (Message, error) {
	m := Message{Type: t}
	id, err := m.decode(payload)
	if err != nil {
		return Message{}, fmt.Errorf("%s: %w", message.Name(t), err)
	}
	switch t {
	case Ask, Accept:
		if m.Text, err = checkText(m.Text); err != nil {
			return Message{}, fmt.Errorf("%s: %w", message.Name(t), err)
		}
	case Decline, Cancel:
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

// decode reads the payload into m and returns the id.
func (m *Message) decode(payload []byte) (id string, err error) {
	read := func(body proto.Message) {
		if proto.Unmarshal(payload, body) != nil {
			err = ErrMalformed
		}
	}
	switch m.Type {
	case Ask:
		var body apppb.RequestContactVerification
		read(&body)
		m.Clock, m.Text = body.Clock, body.Challenge
	case Accept:
		var body apppb.AcceptContactVerification
		read(&body)
		m.Clock, id, m.Text = body.Clock, body.Id, body.Response
	case Decline:
		var body apppb.DeclineContactVerification
		read(&body)
		m.Clock, id = body.Clock, body.Id
	case Cancel:
		var body apppb.CancelContactVerification
		read(&body)
		m.Clock, id = body.Clock, body.Id
	}
	return id, err
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
