package stack

import (
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// What was deleted must not live on in what the layers below keep: the
// reliability layer sends a message until it is acknowledged and keeps it for a
// week, to offer it to who may have lost it.

// withdraw takes back what is left here of a message of ours that was deleted.
// What was deleted for everyone in a 1:1 chat is sent no more, either: who has
// not got it gets the deletion alone. What was deleted for ourselves still goes
// to who has not got it, and so does what was deleted in a group, where all have
// to come to the same and others have said something about it that would wait
// for ever; neither is kept when it is acknowledged.
func (s *Stack) withdraw(t *step, m *chat.Message) error {
	if m.From != s.Self() || m.Deleted == nil {
		return nil
	}
	peers, err := s.hearers(t, m.Chat)
	if err != nil || len(peers) == 0 {
		return err
	}
	if _, err := key.ParsePublic(m.Chat); err == nil && !m.Deleted.By.IsZero() {
		for _, peer := range peers {
			if err := s.withhold(t, m.ID, peer); err != nil {
				return err
			}
		}
		if err := s.unpublish(t, m.ID); err != nil {
			return err
		}
	}
	return s.forgetGone(t, peers...)
}

// hearers are all to whom something of ours may have gone in a chat over sessions
// of their own, our other devices among them. In a community's channel that is nobody: there, what comes later
// names what came before, and everybody has it for who lacks it.
func (s *Stack) hearers(t *step, id string) ([]key.Public, error) {
	if peer, err := key.ParsePublic(id); err == nil {
		return []key.Public{peer, s.Self()}, nil
	}
	// Of a group everybody who was ever a member, us included.
	g, _, err := storage.GetRecord[group.Group](t.Tx, storage.Groups, id)
	return g.Ever, err
}

// withhold stops sending a message to a peer.
func (s *Stack) withhold(t *step, id message.ID, peer key.Public) error {
	core := t.Core("mvds")
	waiting, err := s.mvds.Unacknowledged(core, peer)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if message.NewID(s.Self(), w.Message.Body) != id {
			continue
		}
		if err := s.mvds.Forget(core, w.ID); err != nil {
			return err
		}
		if err := t.DeleteRef(w.ID); err != nil {
			return err
		}
	}
	large, err := t.LastTransfer(peer, id)
	if err != nil || large == nil || !large.Ended.IsZero() || len(large.Refs) > 1 {
		return err
	}
	large.Ended = t.now.UTC()
	if err := t.UpdateTransfer(large); err != nil {
		return err
	}
	return s.tellTransfer(t, large, view.TransferGivenUp)
}

// unpublish drops what waits to be published of a message. An envelope with
// other messages in it goes out all the same.
func (s *Stack) unpublish(t *step, id message.ID) error {
	var unsent []uint64
	var parts []wakumessage.Hash
	err := t.Outbox(func(n uint64, r *storagepb.OutboxRecord) error {
		if len(r.Refs) != 1 || message.ID(r.Refs[0]) != id {
			return nil
		}
		wm, err := wakumessage.Unmarshal(r.WakuMessage)
		if err == nil {
			unsent, parts = append(unsent, n), append(parts, wakumessage.HashOf(r.PubsubTopic, wm))
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, n := range unsent {
		if err := t.DeleteTransferPart(parts[i]); err != nil {
			return err
		}
		if err := t.DeleteOutbox(n); err != nil {
			return err
		}
	}
	return nil
}

// cleared forgets what is kept of a chat that was cleared.
func (s *Stack) cleared(t *step, id string) error {
	peers, err := s.hearers(t, id)
	if err != nil {
		return err
	}
	return s.forgetGone(t, peers...)
}

// forgetAcknowledged forgets a message that a peer has acknowledged, and the
// reliability layer therefore keeps, when it was deleted or cleared meanwhile.
func (s *Stack) forgetAcknowledged(t *step, id message.ID, typ message.Type, peer key.Public) error {
	switch typ {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE, apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE:
		gone, err := s.vanished(t, id)
		if err != nil || !gone {
			return err
		}
	case apppb.ApplicationMetadataMessage_EDIT_MESSAGE: // of whatever it is
	default:
		return nil
	}
	return s.forgetGone(t, peer)
}

// forgetGone forgets what is kept for peers of messages that are deleted or
// cleared here.
func (s *Stack) forgetGone(t *step, peers ...key.Public) error {
	for _, peer := range peers {
		err := s.mvds.ForgetKept(t.Core("mvds"), peer, func(body []byte) (bool, error) { return s.isGone(t, body) })
		if err != nil {
			return err
		}
	}
	return nil
}

// isGone tells whether a signed message of ours has a text that is to be seen no
// more: a chat message, by itself or in a group's update, or an edit of one.
func (s *Stack) isGone(t *step, raw []byte) (bool, error) {
	var wrapper apppb.ApplicationMetadataMessage
	if err := proto.Unmarshal(raw, &wrapper); err != nil {
		return false, nil
	}
	id := message.NewID(s.Self(), raw)
	switch wrapper.Type {
	case apppb.ApplicationMetadataMessage_CHAT_MESSAGE:
	case apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE:
		u := new(apppb.MembershipUpdateMessage)
		if proto.Unmarshal(wrapper.Payload, u) != nil || u.GetMessage() == nil {
			return false, nil
		}
	case apppb.ApplicationMetadataMessage_EDIT_MESSAGE:
		e := new(apppb.EditMessage)
		if proto.Unmarshal(wrapper.Payload, e) != nil {
			return false, nil
		}
		target, err := chat.Target(e)
		if err != nil {
			return false, nil
		}
		id = target
	default:
		return false, nil
	}
	return s.vanished(t, id)
}

// vanished tells whether a message is not there, or was deleted or cleared.
func (s *Stack) vanished(t *step, id message.ID) (bool, error) {
	m, ok, err := t.Message(id)
	if err != nil || !ok || m.Deleted != nil {
		return true, err
	}
	room, _, err := t.Chat(m.Chat)
	return room.Cleared(m.Clock), err
}
