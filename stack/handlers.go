package stack

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/preview"
	"github.com/parley-im/parley/app/verify"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
)

// handler handles one application message in the transaction of its envelope.
// An error drops the message and whatever the handler did.
type handler func(t *step, in incoming) error

// handler returns the handler of a type, nil for types not handled yet. A new
// message type gets its row in the table of app/message and its line here.
func (s *Stack) handler(typ message.Type) handler {
	switch typ {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
		return s.onChatMessage
	case apppb.ApplicationMetadataMessage_CONTACT_UPDATE:
		return s.onContactUpdate
	case apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:
		return s.onAccept
	case apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST:
		return s.onRetract
	case apppb.ApplicationMetadataMessage_CHAT_IDENTITY:
		return s.onChatIdentity
	case apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT:
		return s.onContactCode
	case apppb.ApplicationMetadataMessage_STATUS_UPDATE:
		return s.onStatusUpdate
	case apppb.ApplicationMetadataMessage_EDIT_MESSAGE:
		return s.onEdit
	case apppb.ApplicationMetadataMessage_DELETE_MESSAGE:
		return s.onDelete
	case apppb.ApplicationMetadataMessage_THREAD_METADATA:
		return s.onThread
	case apppb.ApplicationMetadataMessage_EMOJI_REACTION:
		return s.onReaction
	case apppb.ApplicationMetadataMessage_PIN_MESSAGE:
		return s.onPin
	case apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE:
		return s.onMembershipUpdate
	case apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION:
		return s.onInvitation
	case apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION:
		return s.onCommunityDescription
	case apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN:
		return s.onRequestToJoin
	case apppb.ApplicationMetadataMessage_COMMUNITY_CANCEL_REQUEST_TO_JOIN:
		return s.onCancelRequest
	case apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_LEAVE:
		return s.onRequestToLeave
	case apppb.ApplicationMetadataMessage_COMMUNITY_EDIT_SHARED_ADDRESSES:
		return s.onEditAddresses
	case apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE:
		return s.onJoinResponse
	case apppb.ApplicationMetadataMessage_COMMUNITY_USER_KICKED:
		return s.onUserKicked
	case apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK:
		return s.onArchiveLink
	case apppb.ApplicationMetadataMessage_DELETE_COMMUNITY_MEMBER_MESSAGES:
		return s.onDeleteMemberMessages
	case apppb.ApplicationMetadataMessage_SYNC_DELETE_FOR_ME_MESSAGE:
		return s.onDeleteForMe
	case apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION:
		return s.onPairInstallation
	case apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2:
		return s.onSyncContact
	case verify.Ask, verify.Accept, verify.Decline, verify.Cancel:
		return s.onVerification
	}
	if chat.IsTransaction(typ) {
		return s.onTransaction
	}
	return nil
}

// Errors of handlers.
var (
	errOwnType  = errors.New("message type that only others send us")
	errChatKind = errors.New("message for a kind of chat not handled yet")
	errStranger = errors.New("from somebody who is no contact")
	errNotOwn   = errors.New("message type that only our own devices send")
)

// reference is what the contact rules need to know of a message.
func (in incoming) reference() contact.Incoming {
	return contact.Incoming{WakuTime: in.at, IsAlias: account.IsAlias}
}

// read reads the payload of a message.
func (in incoming) read(m proto.Message) error {
	if err := proto.Unmarshal(in.Payload, m); err != nil {
		return fmt.Errorf("%w: %w", message.ErrMalformed, err)
	}
	return nil
}

// decode reads the payload of a message that others send about themselves.
func (s *Stack) decode(in incoming, m proto.Message) error {
	if in.Author == s.identity.Public() {
		return errOwnType
	}
	return in.read(m)
}

// meet applies a step of the contact state machine that a message caused.
func (s *Stack) meet(t *step, in incoming, clock uint64, apply func(c contact.Contact) (contact.Contact, contact.Effects, error)) (contact.Contact, contact.Effects, error) {
	before, err := t.Contact(in.Author)
	if err != nil {
		return before, contact.Effects{}, err
	}
	after, effects, err := apply(before)
	if err != nil {
		return before, contact.Effects{}, err
	}
	room, err := s.room(t, in.Author)
	if err != nil {
		return before, effects, err
	}
	room = room.Saw(clock)
	// An answer of ours comes after everything that is known.
	answer := chat.NextClock(max(room.LastClock, after.Clock()), t.now)
	if effects.SendUpdate || effects.Accept != nil || effects.Retract != nil {
		room = room.Saw(answer)
	}
	if err := t.PutChat(room); err != nil {
		return before, effects, err
	}
	after, err = s.changeContact(t, before, after, effects, answer, "")
	return after, effects, err
}

func (s *Stack) onChatMessage(t *step, in incoming) error {
	m := new(apppb.ChatMessage)
	if err := in.read(m); err != nil {
		return err
	}
	switch m.GetMessageType() {
	case apppb.MessageType_ONE_TO_ONE:
	case apppb.MessageType_PRIVATE_GROUP:
		// Deployed clients send these within the group's update only.
		g, err := s.hearsInGroup(t, in, chat.Place{ID: m.GetChatId(), Kind: message.PrivateGroup})
		if err != nil {
			return err
		}
		return s.onGroupMessage(t, in, g, m)
	case apppb.MessageType_COMMUNITY_CHAT:
		return s.onChannelMessage(t, in, m)
	default:
		if _, err := chat.CheckAddress(m); err != nil {
			return err
		}
		return errChatKind
	}
	if err := chat.Validate(m, in.reference(), message.OneToOne); err != nil {
		return err
	}
	place, err := chat.Match(m, in.Author, s.Self())
	if err != nil {
		return err
	}
	var effects contact.Effects
	if !place.Own {
		if err := s.letIn(t, in, place.ID); err != nil {
			return err
		}
		_, effects, err = s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
			return c.ReceiveChat(in.ID, m, in.reference())
		})
		if err != nil {
			return err
		}
	}
	if err := s.keep(t, place, s.newMessage(in, place.ID, m)); err != nil {
		return err
	}
	if place.Own {
		return s.ownRequest(t, in, place.Peer, m)
	}
	if effects.Notify {
		return s.announce(t, in.Author, m.GetText(), in.ID)
	}
	return nil
}

// newMessage makes the timeline's message out of a received one. Previews that
// are not to be shown are left out.
func (s *Stack) newMessage(in incoming, chatID string, m *apppb.ChatMessage) *chat.Message {
	var bad, worse []error
	m.UnfurledLinks, bad = preview.Validate(m.GetText(), m.UnfurledLinks)
	m.UnfurledStatusLinks, worse = preview.ValidateStatus(m.GetText(), m.UnfurledStatusLinks)
	for _, err := range append(bad, worse...) {
		s.counters.add("preview: " + cause(err))
	}
	return chat.New(in.ID, in.Author, chatID, m, chat.Received)
}

// letIn refuses what strangers send when only contacts may, for a chat that we
// do not take part in.
func (s *Stack) letIn(t *step, in incoming, chatID string) error {
	sender, err := t.Contact(in.Author)
	if err != nil {
		return err
	}
	room, _, err := t.Chat(chatID)
	if err != nil {
		return err
	}
	ok, err := s.allowed(t, contact.Origin{Own: in.Author == s.Self(), Active: room.Active, Sender: sender})
	if err == nil && !ok {
		err = errStranger
	}
	return err
}

// onTransaction shows a message about a payment, as old clients sent them.
func (s *Stack) onTransaction(t *step, in incoming) error {
	m, place, err := chat.NewTransaction(in.Message, s.Self(), in.reference())
	if err != nil {
		return err
	}
	if !place.Own {
		if err := s.letIn(t, in, place.ID); err != nil {
			return err
		}
	}
	return s.keep(t, place, m)
}

// announce tells the event stream of a contact request.
func (s *Stack) announce(t *step, from key.Public, text string, id message.ID) error {
	c, err := t.Contact(from)
	if err != nil {
		return err
	}
	return t.event(EventContactRequest, view.ContactRequest{Person: view.NewPerson(from), Name: view.Name(c), Text: text, Message: id})
}

func (s *Stack) onContactUpdate(t *step, in incoming) error {
	m := new(apppb.ContactUpdate)
	if err := s.decode(in, m); err != nil {
		return err
	}
	room := chat.OneToOneID(in.Author)
	if err := s.letIn(t, in, room); err != nil {
		return err
	}
	_, effects, err := s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
		return c.ReceiveUpdate(m, in.reference())
	})
	if err != nil || !effects.Notify {
		return err
	}
	// If there is a message with it, that takes the place of this entry.
	if err := s.note(t, activity.OfContactRequest(in.Author, room, "", m.GetClock(), "")); err != nil {
		return err
	}
	return s.announce(t, in.Author, "", in.ID)
}

func (s *Stack) onAccept(t *step, in incoming) error {
	m := new(apppb.AcceptContactRequest)
	if err := in.read(m); err != nil {
		return err
	}
	if in.Author == s.Self() {
		return s.ownAccept(t, in, m)
	}
	_, _, err := s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
		return c.ReceiveAccept(m, in.reference())
	})
	return err
}

func (s *Stack) onRetract(t *step, in incoming) error {
	m := new(apppb.RetractContactRequest)
	if err := s.decode(in, m); err != nil {
		return err
	}
	_, _, err := s.meet(t, in, m.GetClock(), func(c contact.Contact) (contact.Contact, contact.Effects, error) {
		return c.ReceiveRetract(m, in.reference())
	})
	return err
}

func (s *Stack) onChatIdentity(t *step, in incoming) error {
	m := new(apppb.ChatIdentity)
	if err := s.decode(in, m); err != nil {
		return err
	}
	return s.identified(t, in, m)
}

// identified applies what somebody says of themselves, with their pictures.
func (s *Stack) identified(t *step, in incoming, m *apppb.ChatIdentity) error {
	var learnt contact.Learnt
	err := s.learn(t, in, func(c contact.Contact) (after contact.Contact, err error) {
		after, learnt, err = c.ReceiveIdentity(m, in.reference())
		return after, err
	})
	if err != nil || !learnt.Newer {
		return err
	}
	return s.pictured(t, in.Author, m.GetClock(), learnt.Pictures)
}

func (s *Stack) onContactCode(t *step, in incoming) error {
	m := new(apppb.ContactCodeAdvertisement)
	if in.Author == s.identity.Public() {
		return nil // our other device's, or our own out of a store
	}
	if err := in.read(m); err != nil {
		return err
	}
	if err := s.showsUp(t, in.Author, in.at); err != nil {
		return err
	}
	return s.identified(t, in, m.GetChatIdentity())
}

func (s *Stack) onStatusUpdate(t *step, in incoming) error {
	m := new(apppb.StatusUpdate)
	if err := in.read(m); err != nil {
		return err
	}
	if in.Author == s.Self() {
		return s.ownStatusUpdate(t, in, m)
	}
	if err := s.letIn(t, in, chat.OneToOneID(in.Author)); err != nil {
		return err
	}
	var before, after contact.Contact
	err := s.learn(t, in, func(c contact.Contact) (_ contact.Contact, err error) {
		before = c
		after, err = c.ReceiveStatus(m, in.reference())
		return after, err
	})
	if err != nil {
		return err
	}
	if showsLife(after.Status, t.now) {
		if err := s.showsUp(t, in.Author, t.now); err != nil {
			return err
		}
	}
	if before.Status.Presence == after.Status.Presence && before.Status.Text == after.Status.Text {
		return nil
	}
	return s.presenceEvent(t, view.NewPerson(in.Author), after.Status)
}

// learn applies what somebody says about themselves.
func (s *Stack) learn(t *step, in incoming, apply func(contact.Contact) (contact.Contact, error)) error {
	before, err := t.Contact(in.Author)
	if err != nil {
		return err
	}
	after, err := apply(before)
	if err != nil || after == before {
		return err
	}
	if err := t.PutContact(after); err != nil {
		return err
	}
	if err := s.claimed(t, before, after); err != nil {
		return err
	}
	return s.contactEvent(t, after)
}
