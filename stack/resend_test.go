package stack

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// failure is what makes the messages of a person that nobody has acknowledged
// fail at once.
func (p *person) failure() {
	p.t.Helper()
	err := p.update(func(t *step) error {
		for _, peer := range []byte{1, 2, 3} {
			to := identity(p.t, peer).Public()
			given, err := p.mvds.Unacknowledged(t.Core("mvds"), to)
			if err != nil {
				return err
			}
			if err := p.mvds.ForgetPeer(t.Core("mvds"), to); err != nil {
				return err
			}
			for _, e := range given {
				if err := p.giveUp(t, e, "as a test wants"); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func kept(t testing.TB, s *Stack, id message.ID) (u storage.Unsent, ok bool) {
	t.Helper()
	if err := s.db.View(func(tx *storage.Tx) (err error) {
		u, ok, err = tx.Unsent(id)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return u, ok
}

// A message that failed is sent again as the message it was, to somebody who
// had it after all and to one who had not, and each has it once.
func TestResend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(120)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		had := alice.says(chat.OneToOneID(bobby.key.Public()), "had after all")
		var first []mvds.Expired
		if err := alice.update(func(t *step) (err error) {
			first, err = alice.mvds.Unacknowledged(t.Core("mvds"), bobby.key.Public())
			return err
		}); err != nil {
			t.Fatal(err)
		}
		// What made them contacts may be on its way, too.
		first = slices.DeleteFunc(first, func(e mvds.Expired) bool {
			return message.NewID(alice.key.Public(), e.Message.Body) != had.ID
		})
		if len(first) != 1 {
			t.Fatalf("%d messages unacknowledged are the one just said", len(first))
		}
		eventually(t, time.Minute, "delivered", func() bool { return alice.in(had.ID).State == chat.Delivered })
		bobby.halt()
		lost, err := alice.SendText(bobby.key.Public(), "lost", "")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		alice.failure()
		if m := alice.in(lost.ID); m.State != chat.Failed {
			t.Fatalf("%+v", m)
		}
		u, ok := kept(t, alice.Stack, lost.ID)
		if id := message.NewID(alice.key.Public(), u.Raw); !ok || id != lost.ID || !slices.Equal(u.To, keysOf(bobby)) {
			t.Fatalf("kept %+v, %t", u, ok)
		}
		again, err := alice.Resend(lost.ID)
		if err != nil || again.ID != lost.ID || again.State != chat.Pending || again.Clock != lost.Clock {
			t.Fatalf("%+v, %v", again, err)
		}
		if _, ok := kept(t, alice.Stack, lost.ID); ok {
			t.Error("kept though it has not failed")
		}
		told := slices.ContainsFunc(eventsOf(t, alice.Stack, EventMessageState), func(e storage.Event) bool {
			var change view.StateChange
			if err := json.Unmarshal(e.Data, &change); err != nil {
				t.Error(err)
			}
			return change.ID == lost.ID && change.State == chat.Pending
		})
		if !told {
			t.Error("no event says that it is pending again")
		}
		if _, err := alice.Resend(lost.ID); fault.KindOf(err) != fault.Conflict {
			t.Errorf("a message that waits: %v", err)
		}
		bobby.start()
		eventually(t, 10*time.Minute, "delivered", func() bool { return alice.in(lost.ID).State == chat.Delivered })
		if got := bobby.heard(alice); !slices.Equal(got, []string{"had after all", "lost"}) {
			t.Errorf("Bobby heard %q", got)
		}

		// As if Alice had not learnt that Bobby has the first.
		err = alice.update(func(t *step) error {
			m, _, err := t.Message(had.ID)
			if err != nil {
				return err
			}
			m.State = chat.Failed
			if err := t.PutMessage(m); err != nil {
				return err
			}
			return t.PutUnsent(had.ID, storage.Unsent{
				Type: u.Type, Raw: first[0].Message.Body, Timestamp: first[0].Message.Timestamp, To: keysOf(bobby),
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Resend(had.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Minute, "delivered", func() bool { return alice.in(had.ID).State == chat.Delivered })
		if got := bobby.heard(alice); len(got) != 2 {
			t.Errorf("Bobby heard %q", got)
		}
	})
}

// In a group a message goes again to those who have not acknowledged it and
// are still there.
func TestResendToGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(121)
		alice, bobby, carol, id := circle(t, n)
		settle(t, alice, bobby, carol)
		alice.link.set(func(l *link) { l.alone = true })
		m := alice.says(id, "nobody there")
		synctest.Wait() // what is tried at once has failed
		alice.failure()
		drain(t, alice.Stack) // none of it got out
		synctest.Wait()
		alice.link.set(func(l *link) { l.alone = false })
		if u, ok := kept(t, alice.Stack, m.ID); !ok || len(u.To) != 2 || alice.in(m.ID).State != chat.Failed {
			t.Fatalf("%+v, %t", u, ok)
		}
		done[group.Group](alice)(alice.RemoveMember(id, carol.key.Public()))
		if _, err := alice.Resend(m.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Minute, "delivered", func() bool { return alice.in(m.ID).State == chat.Delivered })
		pass(10 * time.Minute)
		if all := bobby.timeline(id); !slices.ContainsFunc(all, func(m told) bool { return m.Text == "nobody there" }) {
			t.Errorf("Bobby: %+v", all)
		}
		if all := carol.timeline(id); slices.ContainsFunc(all, func(m told) bool { return m.Text == "nobody there" }) {
			t.Errorf("Carol: %+v", all)
		}
	})
}

// What was written to somebody who was blocked then can be sent when they are
// not any more.
func TestResendAfterBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(122)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		alice.link.set(func(l *link) { l.alone = true })
		m := alice.says(chat.OneToOneID(bobby.key.Public()), "on second thought")
		alice.must(alice.BlockContact(bobby.key.Public()))
		if got := alice.in(m.ID); got.State != chat.Failed {
			t.Fatalf("%+v", got)
		}
		if _, err := alice.Resend(m.ID); fault.KindOf(err) != fault.Conflict {
			t.Errorf("to somebody blocked: %v", err)
		}
		alice.must(alice.UnblockContact(bobby.key.Public()))
		if _, err := alice.Resend(m.ID); err != nil {
			t.Fatal(err)
		}
		alice.link.set(func(l *link) { l.alone = false })
		eventually(t, 10*time.Minute, "delivered", func() bool { return alice.in(m.ID).State == chat.Delivered })
		if got := bobby.heard(alice); !slices.Contains(got, "on second thought") {
			t.Errorf("Bobby heard %q", got)
		}
	})
}

// What cannot be sent again is refused with a reason and nothing happens.
func TestResendRefusals(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	bob := identity(t, 1).Public()
	fail := func(text string, u storage.Unsent) message.ID {
		sent, err := s.SendText(bob, text, "")
		if err == nil {
			err = s.update(func(t *step) error {
				if err := s.setState(t, sent.ID, view.StateChange{State: chat.Failed}); err != nil || len(u.Raw) == 0 {
					return err
				}
				return t.PutUnsent(sent.ID, u)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		return sent.ID
	}
	waiting, err := s.SendText(bob, "waits", "")
	if err != nil {
		t.Fatal(err)
	}
	u := storage.Unsent{Type: 1, Raw: []byte{1}, To: []key.Public{bob}}
	gone := u
	gone.To = []key.Public{identity(t, 2).Public()}
	deleted := fail("deleted", u)
	if _, err := s.DeleteMessage(deleted); err != nil {
		t.Fatal(err)
	}
	if _, ok := kept(t, s, deleted); ok {
		t.Error("kept of a message that was deleted")
	}
	theirs := &chat.Message{ID: message.ID{9}, Chat: chat.OneToOneID(bob), From: bob, Clock: 1, State: chat.Received}
	if err := s.update(func(t *step) error { return t.PutMessage(theirs) }); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id   message.ID
		kind fault.Kind
	}{
		"nothing there": {message.ID{1}, fault.NotFound},
		"theirs":        {theirs.ID, fault.Conflict},
		"not failed":    {waiting.ID, fault.Conflict},
		"deleted":       {deleted, fault.Conflict},
		"nothing kept":  {fail("old", storage.Unsent{}), fault.Conflict},
		"nobody hears":  {fail("gone", gone), fault.Conflict},
	} {
		if m, err := s.Resend(c.id); fault.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}
