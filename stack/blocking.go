package stack

import (
	"errors"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/verify"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Blocking somebody hides what they wrote, as deployed clients on desktops do:
// it shows again when they are unblocked. What they write meanwhile is dropped.

// hiddenChat is the prefix of settings that say how a chat looked before its
// other was blocked.
const hiddenChat = "hidden chat "

// looks is how a chat looked in the list.
type looks struct {
	Active bool `json:"active,omitempty"`
	Pinned bool `json:"pinned,omitempty"`
}

// blocked does what blocking asks for beside the contact's change.
func (s *Stack) blocked(t *step, who contact.Contact) error {
	for _, part := range []func(t *step, who key.Public) error{
		s.abandon, s.hideChat, s.uncount, s.dismissActivities, s.endVerifications,
	} {
		if err := part(t, who.Key); err != nil {
			return err
		}
	}
	// What waits and was signed by them is dropped when its target comes.
	return storage.DeleteRecord(t.Tx, storage.ENSClaims, who.Key.CompressedHex())
}

// unblocked takes back what blocking did, as far as it can be taken back.
func (s *Stack) unblocked(t *step, who contact.Contact) error {
	if err := s.showChat(t, who.Key); err != nil {
		return err
	}
	nameless := who
	nameless.ENSName = ""
	return s.claimed(t, nameless, who)
}

func (s *Stack) hideChat(t *step, who key.Public) error {
	id := chat.OneToOneID(who)
	room, known, err := t.Chat(id)
	if err != nil || !known {
		return err
	}
	summary, err := t.Summary(id)
	if err != nil {
		return err
	}
	if err := storage.PutRecord(t.Tx, storage.Settings, hiddenChat+id, looks{room.Active, summary.Pinned}); err != nil {
		return err
	}
	if err := t.PinChat(id, false); err != nil {
		return err
	}
	// Nothing of it is unread any more.
	room = room.MarkRead(room.LastClock)
	room.Active = false
	return s.changeChat(t, room)
}

func (s *Stack) showChat(t *step, who key.Public) error {
	id := chat.OneToOneID(who)
	was, known, err := storage.GetRecord[looks](t.Tx, storage.Settings, hiddenChat+id)
	if err != nil || !known {
		return err
	}
	if err := storage.DeleteRecord(t.Tx, storage.Settings, hiddenChat+id); err != nil {
		return err
	}
	if err := t.PinChat(id, was.Pinned); err != nil {
		return err
	}
	room, known, err := t.Chat(id)
	if err != nil || !known {
		return err
	}
	room.Active = was.Active
	return s.changeChat(t, room)
}

// changeChat stores a changed chat and tells of it.
func (s *Stack) changeChat(t *step, room chat.Chat) error {
	if err := t.PutChat(room); err != nil {
		return err
	}
	t.tidy = true
	return s.chatEvent(t, room)
}

// unreadMost is how many unread messages of a chat are looked at, the newest
// first, for those of somebody who was blocked.
const unreadMost = 10_000

// uncount takes what somebody wrote in groups out of what is unread there.
func (s *Stack) uncount(t *step, who key.Public) error {
	rooms, err := t.Chats()
	if err != nil {
		return err
	}
	for _, room := range rooms {
		if room.Kind == message.OneToOne || room.UnreadCount == 0 {
			continue
		}
		seen := 0
		q := storage.PageQuery{Chat: room.ID, After: storage.AfterClock(max(room.ReadClock, room.ClearedClock)), Limit: storage.MaxPage}
		err := s.pages(t, q, func(m *chat.Message) (bool, error) {
			seen++
			if m.From != who {
				return seen < unreadMost, nil
			}
			return seen < unreadMost, t.PutMessageAs(m, storage.Notice{})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pages visits messages page by page, the newest first, until visit says that
// it is enough.
func (s *Stack) pages(t *step, q storage.PageQuery, visit func(m *chat.Message) (more bool, err error)) error {
	for {
		page, err := t.Page(q)
		if err != nil {
			return err
		}
		for _, m := range page.Messages {
			if more, err := visit(m); err != nil || !more {
				return err
			}
		}
		if page.Next.IsZero() {
			return nil
		}
		q.Before = page.Next
	}
}

// dismissActivities dismisses what somebody caused in the activity centre and
// what is not answered.
func (s *Stack) dismissActivities(t *step, who key.Public) error {
	var ids []string
	for q := (storage.ActivityQuery{Limit: storage.MaxPage}); ; {
		page, err := t.Activities(q)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if e.From == who {
				ids = append(ids, e.ID)
			}
		}
		if q.Next = page.Next; q.Next == "" {
			break
		}
	}
	for _, id := range ids {
		if err := s.closeActivity(t, id, false); err != nil {
			return err
		}
	}
	return nil
}

// abandonReach is how old a message can be that may still be on its way: much
// older than when the reliability layer gives up.
const abandonReach = 90 * 24 * time.Hour

// abandon fails what we wrote to somebody and is not delivered: nothing sends
// it again.
func (s *Stack) abandon(t *step, to key.Public) error {
	core := t.Core("mvds")
	waiting, err := s.mvds.Unacknowledged(core, to)
	if err != nil {
		return err
	}
	if err := s.mvds.ForgetPeer(core, to); err != nil {
		return err
	}
	given := make(map[message.ID]bool)
	q := storage.PageQuery{Chat: chat.OneToOneID(to), Limit: storage.MaxPage}
	if oldest := t.now.Add(-abandonReach).UnixMilli(); oldest > 0 {
		q.After = storage.AfterClock(uint64(oldest))
	}
	err = s.pages(t, q, func(m *chat.Message) (bool, error) {
		if m.From != s.Self() || m.State == chat.Delivered {
			return true, nil
		}
		given[m.ID] = true
		return true, s.setState(t, m.ID, view.StateChange{State: chat.Failed, Why: "the contact was blocked"})
	})
	if err != nil {
		return err
	}
	for _, e := range waiting {
		ref, ok, err := t.Ref(e.ID)
		if err == nil && ok && given[message.ID(ref.ApplicationId)] {
			err = s.keepUnsent(t, ref, e)
		}
		if err != nil {
			return err
		}
	}
	var unsent []uint64
	err = t.Outbox(func(n uint64, r *storagepb.OutboxRecord) error {
		if slices.ContainsFunc(r.Refs, func(id []byte) bool { return given[message.ID(id)] }) {
			unsent = append(unsent, n)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, n := range unsent {
		if err := t.DeleteOutbox(n); err != nil {
			return err
		}
	}
	return nil
}

// endVerifications ends what waits for an answer between us and somebody who is
// no contact any more.
func (s *Stack) endVerifications(t *step, with key.Public) error {
	all, err := verifications(t.Tx, with)
	if err != nil {
		return err
	}
	for _, r := range all {
		ended := r.End()
		if ended == r {
			continue
		}
		if err := s.putVerification(t, ended); err != nil {
			return err
		}
		if err := s.closeActivity(t, verificationEntry(r), false); err != nil {
			return err
		}
	}
	return nil
}

// verificationEntry is the id of the activity centre's entry for a request.
func verificationEntry(r verify.Request) string {
	return activity.OfVerification(r.ID.String(), r.Peer, "", 0, "").ID
}

// visible takes out of messages those of people who are blocked. What they did
// to a group stays in its history.
func visible(tx *storage.Tx, all []*chat.Message) ([]*chat.Message, error) {
	var failed error
	hidden := make(map[key.Public]bool)
	kept := slices.DeleteFunc(all, func(m *chat.Message) bool {
		if m.IsSystem() {
			return false
		}
		hide, asked := hidden[m.From]
		if !asked {
			c, err := tx.Contact(m.From)
			failed = errors.Join(failed, err)
			hide = c.Blocked
			hidden[m.From] = hide
		}
		return hide
	})
	return kept, failed
}
