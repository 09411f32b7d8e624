package stack

import (
	"fmt"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// keepUnsent keeps what MVDS has given up for one of those it is for.
func (s *Stack) keepUnsent(t *step, ref *storagepb.MessageRef, e mvds.Expired) error {
	return s.keepSigned(t, ref, storage.Unsent{Raw: e.Message.Body, Timestamp: e.Message.Timestamp, To: []key.Public{e.Peer}})
}

// keepSigned keeps what the reliability layer has given up, if a message of a
// chat has failed by it, for who wants to try again.
func (s *Stack) keepSigned(t *step, ref *storagepb.MessageRef, given storage.Unsent) error {
	id := message.ID(ref.GetApplicationId())
	m, ok, err := t.Message(id)
	if err != nil || !ok || m.State != chat.Failed || m.Deleted != nil || len(given.Raw) == 0 {
		return err
	}
	u, known, err := t.Unsent(id)
	if err != nil {
		return err
	}
	if known {
		given.Raw, given.Timestamp = u.Raw, u.Timestamp
		for _, peer := range given.To {
			if !slices.Contains(u.To, peer) {
				u.To = append(u.To, peer)
			}
		}
		given.To = u.To
	}
	given.Type = ref.GetType()
	return t.PutUnsent(id, given)
}

// Resend tries a message of ours that failed once more: the same signed bytes
// under the same id, to those who have not acknowledged them and hear the chat
// still; in a community, to all of it.
func (s *Stack) Resend(id message.ID) (m *chat.Message, err error) {
	err = s.update(func(t *step) error {
		var ok bool
		if m, ok, err = t.Message(id); err != nil {
			return err
		}
		switch {
		case !ok:
			return noMessage(id)
		case m.From != s.Self():
			return fault.New(fault.Conflict, "the message is not yours to send")
		case m.Deleted != nil:
			return fault.New(fault.Conflict, "the message was deleted")
		case m.State != chat.Failed:
			return fault.New(fault.Conflict, "the message has not failed: it is %s", m.State)
		}
		a, err := s.audience(t, m.Chat)
		if err != nil {
			return err
		}
		u, ok, err := t.Unsent(id)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.Conflict, "what was signed then is not kept").WithHint("send it as a new message")
		}
		again := s.syncAgain
		if a.room.Kind == message.Community {
			again = s.channelAgain
		}
		if err := again(t, a, id, u); err != nil {
			return err
		}
		if err := s.setState(t, id, view.StateChange{State: chat.Pending}); err != nil {
			return err
		}
		m, _, err = t.Message(id)
		return err
	})
	return m, err
}

// reaches tells whether what is said in the chat goes to somebody.
func (a audience) reaches(who key.Public) bool {
	if a.room.Kind == message.OneToOne {
		return who == a.room.Peer
	}
	return a.group.IsMember(who)
}

// channelAgain says once more in a channel what SDS has given up. To SDS it is
// another message; whoever has the first knows it by the application's id.
func (s *Stack) channelAgain(t *step, a audience, id message.ID, u storage.Unsent) error {
	typ := message.Type(u.Type)
	if err := s.mayAddress(a, typ); err != nil {
		return err
	}
	rule, ok := message.RuleFor(typ, message.Community)
	if !ok {
		return fmt.Errorf("no rule for %s", message.Name(typ))
	}
	m := outgoing{kind: message.Community, typ: typ, community: a.channel.community.Key, channel: a.channel.uuid}
	return s.sendSigned(t, rule, m, id, u.Raw)
}

// syncAgain hands MVDS what it has given up. It is the same message to it, too,
// so that an acknowledgement counts whichever time it is for.
func (s *Stack) syncAgain(t *step, a audience, id message.ID, u storage.Unsent) error {
	to := slices.DeleteFunc(u.To, func(k key.Public) bool { return !a.reaches(k) })
	if len(to) == 0 {
		return fault.New(fault.Conflict, "those to whom it was sent are not in the chat any more").
			WithHint("send it as a new message")
	}
	for _, peer := range to {
		ref, err := s.mvds.Append(t.Core("mvds"), t.now, mvds.Message{
			Group: mvds.OneToOneGroup(s.Self(), peer), Timestamp: u.Timestamp, Body: u.Raw,
		}, peer)
		if err != nil {
			return err
		}
		if err := t.PutRef(ref, &storagepb.MessageRef{ApplicationId: id[:], Type: u.Type}); err != nil {
			return err
		}
	}
	t.flush = true
	return nil
}
