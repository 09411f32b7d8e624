package chat

import (
	"fmt"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Draft is what a new 1:1 message is made of.
type Draft struct {
	To   key.Public
	Text string
	// ReplyTo is the message answered, nil for none.
	ReplyTo *message.ID
	// Clock is NextClock's, Now when the message is written.
	Clock uint64
	Now   time.Time
	// Profile is what goes along of ourselves.
	Profile contact.Profile
	// Contact is the recipient as we know them; its view of the relation goes
	// along.
	Contact contact.Contact
}

// TextMessage builds a text. Text of nothing but emoji is text too: the
// specification does not say what makes an EMOJI message.
func TextMessage(d Draft) (*apppb.ChatMessage, error) {
	return d.build(apppb.ChatMessage_TEXT_PLAIN)
}

// ContactRequest builds the message that carries a contact request; d.Contact
// is the contact after [contact.Contact.SendRequest].
func ContactRequest(d Draft) (*apppb.ChatMessage, error) {
	return d.build(apppb.ChatMessage_CONTACT_REQUEST)
}

func (d Draft) build(content apppb.ChatMessage_ContentType) (*apppb.ChatMessage, error) {
	m := &apppb.ChatMessage{
		Clock:                         d.Clock,
		Timestamp:                     uint64(max(d.Now.UnixMilli(), 0)),
		Text:                          d.Text,
		EnsName:                       d.Profile.ENSName,
		ChatId:                        OneToOneID(d.To),
		MessageType:                   apppb.MessageType_ONE_TO_ONE,
		ContentType:                   content,
		DisplayName:                   d.Profile.DisplayName,
		ContactRequestPropagatedState: d.Contact.Propagated(),
		CustomizationColor:            d.Profile.Color,
	}
	if d.ReplyTo != nil {
		m.ResponseTo = d.ReplyTo.String()
	}
	if d.To.IsZero() {
		return nil, fmt.Errorf("composing: %w", ErrChatID)
	}
	// Nothing goes out that a receiver has to drop. The clock is not judged:
	// the transport's time is not known yet.
	in := contact.Incoming{WakuTime: time.UnixMilli(int64(min(max(d.Clock, m.Timestamp), 1<<62)))}
	if err := Validate(m, in, message.OneToOne); err != nil {
		return nil, fmt.Errorf("composing: %w", err)
	}
	return m, nil
}
