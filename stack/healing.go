package stack

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/encryption/session"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

const (
	// EventSessionBroken means that messages from a device of somebody we know
	// cannot be read any more, or that the device says so of ours. A new session
	// is being begun, and what was lost comes again in it.
	EventSessionBroken = "session.broken"
	// EventSessionHealed means that the first message has come in a new session,
	// after one was broken.
	EventSessionHealed = "session.healed"
)

// unreadable is a message that the encryption layer has refused, with the error.
type unreadable struct {
	error
	data []byte
}

func (u unreadable) Unwrap() error { return u.error }

// Sessions returns the sessions that are broken, and those that were and are
// healed, the latest first.
func (s *Stack) Sessions() (all []view.Session, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		breaks, err := s.session.Breaks(tx.Core("session"))
		for _, b := range breaks {
			all = append(all, view.NewSession(b))
		}
		return err
	})
	return all, err
}

// heal looks for a broken session behind a message that could not be read, and
// tells whether that is news: what somebody repeats is none, and of the rest
// there is a limit. It is called for a message that is signed by who it is said to be from.
func (s *Stack) heal(t *step, from key.Public, u unreadable) (news bool, err error) {
	known, err := s.acquainted(t, from)
	if err != nil {
		return false, err
	}
	if !known {
		// A stranger is told of this device at most, and does not make us do
		// anything else. It may be a friend of before a loss.
		if errors.Is(u, session.ErrNoSession) || errors.Is(u, session.ErrUnknownPreKey) {
			return false, s.introduce(t, from, true)
		}
		return false, nil
	}
	core := t.Core("session")
	found, err := s.session.Undecryptable(core, t.now, from, u.data, u)
	if err != nil {
		return false, err
	}
	if found.Break == nil || found.Break.Messages > newsMost {
		// It may be one that somebody repeats.
		news = !errors.Is(u, ratchet.ErrReplay) && s.news.due(from, t.now)
	} else {
		news = true
	}
	if found.Break == nil {
		return news, nil
	}
	if found.Broken {
		s.log.Info("a session is broken", "with", from, "device", found.Break.Installation, "cause", found.Break.Cause)
		if err := t.event(EventSessionBroken, view.NewSession(*found.Break)); err != nil {
			return news, err
		}
	}
	if !found.Heal {
		return news, nil
	}
	sealed, err := s.session.Heal(core, t.now, s.rand, from, u.data)
	if sealed == nil || err != nil {
		return news, err
	}
	return news, s.shipAdvert(t, from, sealed)
}

// acquainted tells whether we have to do with somebody: a contact, in whichever
// state, another device of ours, or a member of one of our groups.
func (s *Stack) acquainted(t *step, who key.Public) (bool, error) {
	if who == s.Self() {
		return true, nil
	}
	c, err := t.Contact(who)
	if err != nil || c.Blocked || c.State() != contact.None {
		return !c.Blocked, err
	}
	groups, err := storage.Records[group.Group](t.Tx, storage.Groups, "")
	for _, g := range groups {
		if g.Value.IsMember(who) && g.Value.IsMember(s.Self()) {
			return true, err
		}
	}
	return false, err
}

// shipAdvert sends an empty message with our bundle, where every device of
// somebody listens.
func (s *Stack) shipAdvert(t *step, to key.Public, sealed *session.Sealed) error {
	// The answer may come on the negotiated topic.
	t.resubscribe = t.resubscribe || sealed.SecretNew
	rule, _ := message.RuleFor(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, message.OneToOne)
	return s.ship(t, frame{rule: rule, to: to}, sealed.Bytes, s.partition(to))
}

// sessions does what follows from a message that was opened for the sessions
// with its sender.
func (s *Stack) sessions(t *step, from key.Public, opened *session.Opened) error {
	if opened.Began != nil {
		if err := t.event(EventSessionBroken, view.NewSession(*opened.Began)); err != nil {
			return err
		}
	}
	if opened.Healed != nil {
		if err := t.event(EventSessionHealed, view.NewSession(*opened.Healed)); err != nil {
			return err
		}
	}
	core := t.Core("mvds")
	if opened.Began != nil || opened.Resume {
		// What was sent in the session before did not arrive.
		if err := s.mvds.Resume(core, t.now, from); err != nil {
			return err
		}
		t.flush = true
	}
	if opened.Resume {
		// Who went back to an earlier state has lost what was acknowledged since.
		if err := s.mvds.Reoffer(core, t.now, from); err != nil {
			return err
		}
	}
	if !opened.Answer {
		return nil
	}
	c, err := t.Contact(from)
	if err != nil || c.Blocked {
		return err
	}
	rule, _ := message.RuleFor(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, message.OneToOne)
	return s.carry(t, frame{rule: rule, to: from})
}

const (
	// newsMost is how many messages of one broken session are told of each for
	// itself, newsInterval how often one of a sender is beyond them.
	newsMost     = 8
	newsInterval = time.Minute
	// sendersMost bounds the senders that are remembered.
	sendersMost = 256
)

// lately remembers when something was told of a sender.
type lately struct {
	mu sync.Mutex
	at map[key.Public]time.Time
}

// due tells whether so much time has passed that there may be another one, and
// takes note of it.
func (l *lately) due(who key.Public, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.at, func(_ key.Public, then time.Time) bool { return now.Sub(then).Abs() >= newsInterval })
	if _, ok := l.at[who]; ok || len(l.at) >= sendersMost {
		return false
	}
	if l.at == nil {
		l.at = make(map[key.Public]time.Time)
	}
	l.at[who] = now
	return true
}
