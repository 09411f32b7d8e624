package stack

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/reliability/mvds"
)

// say takes the upper half of the road again, where there is a reliability
// payload, and returns the application messages in what is sent.
func (pl *player) say(s *step, e *recordedEnvelope, data []byte) ([]*message.Message, error) {
	p, err := mvds.Decode(data)
	if e.message.PublicMessage != nil || errors.Is(err, mvds.ErrNotPayload) {
		m, err := pl.wrapAgain(data)
		if errors.Is(err, message.ErrEmpty) {
			return nil, nil // only the layers around it say something
		}
		if err == nil && e.message.PublicMessage == nil {
			err = pl.remember(s, e, m)
		}
		return []*message.Message{m}, err
	}
	if err != nil {
		return nil, fmt.Errorf("reliability: %w", err)
	}
	var said []*message.Message
	fresh := map[mvds.MessageID]bool{}
	for _, body := range p.Messages {
		m, err := pl.wrapAgain(body.Body)
		if err != nil {
			return nil, err
		}
		said = append(said, m)
		id := body.ID()
		if pl.appended[id] {
			continue // sent again
		}
		pl.appended[id] = true
		fresh[id] = true
		if _, err := pl.mvds.Append(s.Core("mvds"), s.now, body, e.to.key.Public()); err != nil {
			return nil, fmt.Errorf("reliability: %w", err)
		}
		if err := s.PutRef(id, &storagepb.MessageRef{ApplicationId: m.ID[:], Type: uint32(m.Type)}); err != nil {
			return nil, err
		}
		if err := pl.act(s, e, m); err != nil {
			return nil, fmt.Errorf("contact: %w", err)
		}
		if err := pl.remember(s, e, m); err != nil {
			return nil, fmt.Errorf("%s: %w", message.Name(m.Type), err)
		}
	}
	if err := pl.due(s, e, p, fresh, data); err != nil {
		return nil, fmt.Errorf("reliability: %w", err)
	}
	return said, nil
}

// wrapAgain signs an application message of the party again. Messages of
// others, such as of a community that the party controls, are only opened.
func (pl *player) wrapAgain(raw []byte) (*message.Message, error) {
	m, err := message.Open(raw, pl.key.Public())
	if err != nil || m.Author != pl.key.Public() || !m.Signed {
		return m, err
	}
	again, id, err := message.Wrap(m.Type, m.Payload, pl.key)
	if err == nil && (!bytes.Equal(again, raw) || id != m.ID) {
		err = fmt.Errorf("message: %s is wrapped as\n%x, recorded\n%x", message.Name(m.Type), again, raw)
	}
	return m, err
}

// due compares what our reliability layer wants to send to a peer with what the
// party sent. What it hands out for others at the same time is held back for
// them, and what falls into an epoch that the peer was served in is due in the
// next.
func (pl *player) due(s *step, e *recordedEnvelope, want *mvds.Payload, fresh map[mvds.MessageID]bool, data []byte) error {
	to := e.to.key.Public()
	for range 2 {
		out, err := pl.mvds.Due(s.Core("mvds"), s.now, pl.rand.rest, 0)
		if err != nil {
			return err
		}
		for _, o := range out {
			held := pl.held[o.Peer]
			held.Acks = append(slices.Clip(held.Acks), o.Payload.Acks...)
			held.Messages = append(slices.Clip(held.Messages), o.Payload.Messages...)
			held.Offers = append(slices.Clip(held.Offers), o.Payload.Offers...)
			held.Requests = append(slices.Clip(held.Requests), o.Payload.Requests...)
			pl.held[o.Peer] = held
		}
		s.now = s.now.Add(pl.mvds.Epoch)
	}
	got := pl.held[to]
	late, err := pl.acks(e.to, got.Acks, want.Acks)
	if err != nil {
		return err
	}
	pl.held[to] = mvds.Payload{Acks: late}
	sent := map[mvds.MessageID]bool{}
	for _, m := range got.Messages {
		sent[m.ID()] = true
		if !pl.appended[m.ID()] {
			return fmt.Errorf("sends message %s, which is not recorded", m.ID())
		}
	}
	for id := range fresh {
		if !sent[id] {
			return fmt.Errorf("does not send message %s", id)
		}
	}
	// The order of acknowledgements is free.
	again := mvds.Payload{Acks: want.Acks, Offers: got.Offers, Requests: got.Requests, Messages: want.Messages, GroupOffers: want.GroupOffers}
	if b := again.Encode(); !bytes.Equal(b, data) {
		return fmt.Errorf("encoded as\n%x, recorded\n%x", b, data)
	}
	pl.until(s.now)
	return nil
}

// acks compares the acknowledgements that are due with those that were sent. It
// returns what is due and was not sent: it became due after the payload was
// composed and before it was encrypted, and has to go with the next.
func (pl *player) acks(to *recordedParty, due, sent []mvds.MessageID) (late []mvds.MessageID, err error) {
	for _, id := range sent {
		// Deployed clients handle messages that lacked a group key once more
		// when somebody hands it to them, and acknowledge them once more.
		again := pl.groupKeys[to] && pl.acked[id]
		if !slices.Contains(due, id) && !again {
			return nil, fmt.Errorf("acknowledges %v, recorded %v", due, sent)
		}
		pl.acked[id] = true
	}
	for _, id := range due {
		if !slices.Contains(sent, id) {
			late = append(late, id)
		}
	}
	return late, nil
}

// remember keeps what the party said in its chats, once for all who heard it.
func (pl *player) remember(s *step, e *recordedEnvelope, m *message.Message) error {
	do := pl.handler(m.Type)
	if _, known, err := s.Message(m.ID); err != nil || known || do == nil {
		return err
	}
	switch m.Type {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE, apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE,
		apppb.ApplicationMetadataMessage_EDIT_MESSAGE, apppb.ApplicationMetadataMessage_DELETE_MESSAGE,
		apppb.ApplicationMetadataMessage_EMOJI_REACTION, apppb.ApplicationMetadataMessage_PIN_MESSAGE:
		return pl.Stack.handle(s, incoming{Message: m, at: e.sent()}, do)
	}
	return nil
}

// act does to the contact what the party did when it sent a message.
func (pl *player) act(s *step, e *recordedEnvelope, m *message.Message) error {
	before, err := s.Contact(e.to.key.Public())
	if err != nil {
		return err
	}
	var after contact.Contact
	var effects contact.Effects
	switch m.Type {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
		said := new(apppb.ChatMessage)
		if err := proto.Unmarshal(m.Payload, said); err != nil || said.ContentType != apppb.ChatMessage_CONTACT_REQUEST {
			return err
		}
		clock := said.Clock
		if p := said.ContactRequestPropagatedState; p.GetLocalState() == uint64(contact.Sent) {
			clock = p.LocalClock
		}
		after, _, err = before.SendRequest(clock, s.now)
		after.SentRequest = m.ID.String()
	case apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:
		said := new(apppb.AcceptContactRequest)
		if err := proto.Unmarshal(m.Payload, said); err != nil {
			return err
		}
		if after, effects, err = before.Accept(said.Clock, s.now); err == nil {
			err = sameMessage("acceptance", effects.Accept, said)
		}
	case apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST:
		said := new(apppb.RetractContactRequest)
		if err := proto.Unmarshal(m.Payload, said); err != nil {
			return err
		}
		if after, effects, err = before.Retract(said.Clock); err == nil {
			err = sameMessage("retraction", effects.Retract, said)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	s.resubscribe = true
	return s.PutContact(after)
}
