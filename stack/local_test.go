package stack

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// What one does to a chat for oneself stays here and survives a restart.
func TestLocalLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(140)
		alice, bobby, carol, id := circle(t, n)
		private := chat.OneToOneID(alice.key.Public())
		for _, text := range []string{"one apple", "two pears", "three apples"} {
			alice.says(id, text)
			pass(time.Second)
			alice.send(bobby, text+" for you")
			pass(time.Second)
		}
		settle(t, alice, bobby, carol)
		before := len(n.publications(nil))
		all := bobby.timeline(id)
		if got := bobby.finds("appl"); !slices.Equal(got, []string{"three apples for you", "three apples", "one apple for you", "one apple"}) {
			t.Errorf("found %q", got)
		}
		if _, err := bobby.Search(storage.Query{}); fault.KindOf(err) != fault.Usage {
			t.Errorf("searching for nothing: %v", err)
		}
		if c, err := bobby.MarkRead(id, all[1].Clock); err != nil || c.UnreadCount != 1 {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := bobby.Mute(id, time.Now().Add(chat.MuteHour)); err != nil || !c.IsMuted(time.Now()) {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := bobby.Mute(private, time.Time{}); err != nil || !c.IsMuted(time.Now().Add(1000*time.Hour)) {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := bobby.Unmute(private); err != nil || c.IsMuted(time.Now()) {
			t.Errorf("%+v, %v", c, err)
		}
		if _, err := bobby.PinChat(private, true); err != nil {
			t.Fatal(err)
		}
		if err := bobby.SetDraft(id, "I wanted to", all[0].ID); err != nil {
			t.Fatal(err)
		}
		if err := bobby.SetDraft("nowhere", "x", ""); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%v", err)
		}
		bobby.crash()
		if d, err := bobby.Draft(id); err != nil || d.Text != "I wanted to" || d.ReplyTo != all[0].ID {
			t.Errorf("%+v, %v", d, err)
		}
		list, err := bobby.ChatList()
		if err != nil || len(list) < 2 || list[0].ID != private || !list[0].Pinned || list[0].Last.Text != "three apples for you" {
			t.Errorf("%+v, %v", list, err)
		}
		if c, err := bobby.Chat(id); err != nil || !c.IsMuted(time.Now()) || c.IsMuted(time.Now().Add(chat.MuteHour)) || c.UnreadCount != 1 {
			t.Errorf("%+v, %v", c, err)
		}
		// Cleared, it does not come back from a store, and goes on.
		if c, err := bobby.ClearHistory(id); err != nil || c.UnreadCount != 0 {
			t.Errorf("%+v, %v", c, err)
		}
		if c, err := bobby.DeleteChat(private); err != nil || c.Active {
			t.Errorf("%+v, %v", c, err)
		}
		pass(time.Minute)
		if got := bobby.texts(); len(got) != 0 {
			t.Errorf("left are %q", got)
		}
		if got := bobby.finds("apple"); len(got) != 0 {
			t.Errorf("found %q", got)
		}
		if counts, err := bobby.ActivityCounts(); err != nil || counts[activity.Mention] != 0 {
			t.Errorf("%v, %v", counts, err)
		}
		for _, p := range n.publications(nil)[:before] {
			e := p.Envelope
			e.Stored = true
			hand(t, bobby.Stack, e)
		}
		if got := bobby.texts(); len(got) != 0 {
			t.Errorf("back are %q", got)
		}
		alice.says(id, "four")
		alice.send(bobby, "five")
		settle(t, alice, bobby, carol)
		if got := bobby.page(id); !slices.Equal(got, []string{"four"}) {
			t.Errorf("%q", got)
		}
		if c, err := bobby.Chat(private); err != nil || !c.Active || c.UnreadCount != 1 {
			t.Errorf("%+v, %v", c, err)
		}
		agree(t, id, alice, carol)
		if got := len(alice.timeline(id)); got != 4 {
			t.Errorf("Alice has %d messages", got)
		}
	})
}

// An entry of the activity centre is read, unread and dismissed by itself; what
// cannot be is refused.
func TestActivityStates(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	g := f.groupOf(s.Self())
	f.deliver(s, f.update(g.Update()))
	page, err := s.Activities(storage.ActivityQuery{Unread: true, Kinds: []activity.Kind{activity.GroupInvitation}})
	if err != nil || len(page.Entries) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	id := page.Entries[0].ID
	for _, to := range []activity.State{activity.Read, activity.Unread, activity.Dismissed} {
		if e, err := s.ChangeActivity(id, to); err != nil || e.State != to {
			t.Errorf("%s: %+v, %v", to, e, err)
		}
	}
	if _, err := s.ChangeActivity(id, activity.Accepted); fault.KindOf(err) != fault.Conflict {
		t.Errorf("%v", err)
	}
	if _, err := s.ChangeActivity("x", activity.Read); fault.KindOf(err) != fault.NotFound {
		t.Errorf("%v", err)
	}
	// An answered entry does not come back with every further update.
	g, _, err = g.Rename(f.key, "another name", uint64(clock.at.UnixMilli())+5)
	f.ok(err)
	f.deliver(s, f.update(g.Update()))
	if page, err := s.Activities(storage.ActivityQuery{Unread: true}); err != nil || len(page.Entries) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
}

// A deletion for oneself reaches the devices of the account that are paired,
// also when it comes before the message; nobody else can ask for one.
func TestDeleteForMeOnAllDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(141)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		pass(time.Minute)
		laptop := n.device(t, "Bobby", 1, "laptop")
		eventually(t, time.Minute, "the devices know each other", func() bool {
			return len(alice.installations(phone.key.Public())) == 2 && phone.pair("laptop") && laptop.pair(phone.installation)
		})
		alice.send(phone, "for both devices")
		eventually(t, 10*time.Minute, "both have it", func() bool { return len(laptop.heard(alice)) == 1 && len(phone.heard(alice)) == 1 })
		all, err := phone.Messages("")
		if err != nil {
			t.Fatal(err)
		}
		m := all[len(all)-1]
		if err := phone.DeleteMessageForMe(m.ID); err != nil {
			t.Fatal(err)
		}
		gone := func(p *person) bool {
			got := p.in(m.ID)
			return got.Deleted != nil && got.Deleted.ForMe
		}
		eventually(t, time.Hour, "it is gone on both", func() bool { return gone(phone) && gone(laptop) })
		if got := alice.in(m.ID); got.Deleted != nil {
			t.Errorf("Alice sees %+v", got)
		}
	})
}

// pair lets this device write to another of the same account, once it knows of
// it.
func (p *person) pair(installation string) bool {
	p.t.Helper()
	err := p.update(func(t *step) error {
		return p.session.SetEnabled(t.Core("session"), p.key.Public(), installation, true)
	})
	return err == nil
}

// Only our own devices delete for us.
func TestDeleteForMeOfOthers(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	first, _, id := f.conversation(chat.OneToOneID(s.Self()), 1)
	f.deliver(s, first)
	f.deliver(s, f.wrap(message.Type(58), chat.DeleteForMeMessage(&chat.Message{ID: id}, uint64(clock.at.UnixMilli()))))
	if m, err := s.Message(id); err != nil || m.Deleted != nil {
		t.Errorf("%+v, %v", m, err)
	}
	if s.Counters()["message: "+errNotOwn.Error()] != 1 {
		t.Errorf("%v", s.Counters())
	}
}

// A draft is told of when it is another one, and only then.
func TestDraftEvents(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	m, err := s.SendText(identity(t, 1).Public(), "hello", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range [][2]string{{"", ""}, {"Dear", ""}, {"Dear", ""}, {"Dear", m.ID.String()}, {"Dear Bob", m.ID.String()}, {"", ""}, {"", ""}} {
		if err := s.SetDraft(m.Chat, d[0], d[1]); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range eventsOf(t, s, EventDraft) {
		var d view.Draft
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		if (d.Time == 0) != (d.Text == "") || d.Chat != m.Chat {
			t.Errorf("%+v", d)
		}
		got = append(got, d.Text+"/"+d.ReplyTo)
	}
	if want := []string{"Dear/", "Dear/" + m.ID.String(), "Dear Bob/" + m.ID.String(), "/"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
