package stack

import (
	"errors"
	"time"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// What never leaves the account: lists, marks, drafts, the activity centre,
// settings.

// contactsOnly is the setting that refuses messages of strangers.
const contactsOnly = "contacts only"

// ContactsOnly says whether messages of strangers are refused.
func (s *Stack) ContactsOnly() (on bool, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		on, _, err = storage.GetRecord[bool](tx, storage.Settings, contactsOnly)
		return err
	})
	return on, err
}

// SetContactsOnly refuses messages of strangers from now on, or no longer.
func (s *Stack) SetContactsOnly(on bool) error {
	return s.update(func(t *step) error { return storage.PutRecord(t.Tx, storage.Settings, contactsOnly, on) })
}

// allowed tells whether the settings let somebody's message in.
func (s *Stack) allowed(t *step, o contact.Origin) (bool, error) {
	only, _, err := storage.GetRecord[bool](t.Tx, storage.Settings, contactsOnly)
	return !only || contact.AllowedFrom(o), err
}

// ChatList returns all chats with what a list shows of them: pinned ones first,
// then those with the newest activity.
func (s *Stack) ChatList() (all []storage.ListedChat, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		if all, err = tx.ChatList(); err != nil {
			return err
		}
		for i := range all {
			if err := hush(tx, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// hush takes what somebody blocked said last out of the list. A 1:1 chat
// with them is not in it.
func hush(tx *storage.Tx, c *storage.ListedChat) error {
	if c.Kind == message.OneToOne || c.Last.From.IsZero() {
		return nil
	}
	author, err := tx.Contact(c.Last.From)
	if err == nil && author.Blocked {
		c.Last.Text = ""
	}
	return err
}

// Chat returns a chat.
func (s *Stack) Chat(id string) (c chat.Chat, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		var ok bool
		if c, ok, err = tx.Chat(id); err == nil && !ok {
			err = noChat(id)
		}
		return err
	})
	return c, err
}

func noChat(id string) error {
	return fault.New(fault.NotFound, "there is no chat %s", id).WithHint("see `parley chat list`")
}

// Page returns a page of messages, of one chat or of all, without those of
// people who are blocked: a page may be shorter than its limit and have a next
// one.
func (s *Stack) Page(q storage.PageQuery) (p storage.Page, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		if p, err = tx.Page(q); err != nil {
			return err
		}
		p.Messages, err = visible(tx, p.Messages)
		return err
	})
	return p, err
}

// Search finds messages by their words, without those of people who are
// blocked.
func (s *Stack) Search(q storage.Query) (storage.Found, error) {
	found, err := s.db.Search(q)
	if errors.Is(err, storage.ErrQuery) {
		err = fault.Wrap(fault.Usage, "searching", err)
	}
	if err != nil {
		return found, err
	}
	err = s.db.View(func(tx *storage.Tx) error {
		found.Messages, err = visible(tx, found.Messages)
		return err
	})
	return found, err
}

// MarkRead notes that a chat was read up to a clock, 0 for all of it. Nobody
// else is told.
func (s *Stack) MarkRead(id string, clock uint64) (chat.Chat, error) {
	return s.onChat(id, func(t *step, c chat.Chat) (chat.Chat, error) {
		if clock == 0 {
			clock = c.LastClock
		}
		return t.MarkRead(id, clock)
	})
}

// Mute silences a chat until a time, the zero time for until it is unmuted.
func (s *Stack) Mute(id string, until time.Time) (chat.Chat, error) {
	return s.onChat(id, func(t *step, c chat.Chat) (chat.Chat, error) { return c.Mute(until), t.PutChat(c.Mute(until)) })
}

// Unmute ends the silence of a chat.
func (s *Stack) Unmute(id string) (chat.Chat, error) {
	return s.onChat(id, func(t *step, c chat.Chat) (chat.Chat, error) { return c.Unmute(), t.PutChat(c.Unmute()) })
}

// ClearHistory deletes all messages of a chat from this account.
func (s *Stack) ClearHistory(id string) (chat.Chat, error) {
	return s.onChat(id, func(t *step, _ chat.Chat) (chat.Chat, error) { return t.ClearHistory(id) })
}

// DeleteChat clears a chat and takes it out of the list until somebody says
// something there.
func (s *Stack) DeleteChat(id string) (chat.Chat, error) {
	return s.onChat(id, func(t *step, _ chat.Chat) (chat.Chat, error) { return t.DeleteChat(id) })
}

// PinChat keeps a chat at the top of the list, or no longer.
func (s *Stack) PinChat(id string, pinned bool) (chat.Chat, error) {
	return s.onChat(id, func(t *step, c chat.Chat) (chat.Chat, error) { return c, t.PinChat(id, pinned) })
}

// onChat changes a chat that is there, and tells of it.
func (s *Stack) onChat(id string, do func(t *step, c chat.Chat) (chat.Chat, error)) (after chat.Chat, err error) {
	err = s.update(func(t *step) error {
		before, ok, err := t.Chat(id)
		if err != nil {
			return err
		}
		if !ok {
			return noChat(id)
		}
		if _, err = do(t, before); err != nil {
			return err
		}
		if after, _, err = t.Chat(id); err != nil {
			return err
		}
		if after.ClearedClock != before.ClearedClock {
			if err := s.cleared(t, id); err != nil {
				return err
			}
		}
		t.resubscribe = t.resubscribe || after.Active != before.Active
		t.tidy = t.tidy || after.ClearedClock != before.ClearedClock || after.ReadClock != before.ReadClock
		return s.chatEvent(t, after)
	})
	return after, err
}

// Draft returns what was begun in a chat and not sent.
func (s *Stack) Draft(id string) (d storage.Draft, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		d, _, err = tx.Draft(id)
		return err
	})
	return d, err
}

// SetDraft keeps what was begun in a chat, an empty draft being none, and tells
// of it if it is another one.
func (s *Stack) SetDraft(id, text, replyTo string) error {
	return s.update(func(t *step) error {
		if _, ok, err := t.Chat(id); err != nil {
			return err
		} else if !ok {
			return noChat(id)
		}
		before, _, err := t.Draft(id)
		if err != nil || before.Text == text && before.ReplyTo == replyTo {
			return err
		}
		if err := t.PutDraft(id, storage.Draft{Text: text, ReplyTo: replyTo, Time: t.now.UTC()}); err != nil {
			return err
		}
		after, _, err := t.Draft(id)
		if err != nil {
			return err
		}
		return t.event(EventDraft, view.NewDraft(id, after))
	})
}

// Activities returns a page of the activity centre.
func (s *Stack) Activities(q storage.ActivityQuery) (p storage.ActivityPage, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		p, err = tx.Activities(q)
		return err
	})
	return p, err
}

// ActivityCounts returns how many entries are unread, by kind.
func (s *Stack) ActivityCounts() (counts map[activity.Kind]int, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		counts, err = tx.ActivityCounts()
		return err
	})
	return counts, err
}

// ChangeActivity brings an entry of the activity centre into a state. Answering
// what it asks is done by other means: this only says how the entry looks.
func (s *Stack) ChangeActivity(id string, to activity.State) (e activity.Entry, err error) {
	err = s.update(func(t *step) error {
		var ok bool
		if e, ok, err = t.ChangeActivity(id, to); err != nil {
			return fault.Wrap(fault.Conflict, "changing the activity", err)
		}
		if !ok {
			return fault.New(fault.NotFound, "there is no activity %s", id)
		}
		return t.event(EventActivity, view.NewActivity(e))
	})
	return e, err
}

// ReadActivities marks everything in the activity centre as read up to a clock,
// a slice in one transaction, and tells of each.
func (s *Stack) ReadActivities(upTo uint64) error {
	for more := true; more; {
		err := s.update(func(t *step) (err error) {
			var read uint64
			if read, more, err = t.ReadActivities(upTo); err != nil || read == 0 {
				return err
			}
			counts, err := t.ActivityCounts()
			if err != nil {
				return err
			}
			return t.event(EventActivityRead, view.ActivityRead{Clock: read, ActivityCounts: view.NewActivityCounts(counts)})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
