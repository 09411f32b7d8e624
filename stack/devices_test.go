package stack

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/storage"
)

// installations lists the devices of somebody that a person would write to.
func (p *person) installations(of key.Public) (ids []string) {
	p.t.Helper()
	err := p.db.View(func(tx *storage.Tx) error {
		all, err := p.session.Installations(tx.Core("session"), of)
		for _, i := range all {
			if i.Enabled {
				ids = append(ids, i.ID)
			}
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}

// Messages reach both devices of an account once the second one's bundle is
// known, which its contact code brings; one acknowledgement is enough.
func TestTwoDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(60)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		pass(time.Minute)
		laptop := n.device(t, "Bobby", 1, "laptop")
		eventually(t, time.Minute, "the second device is known", func() bool {
			return len(alice.installations(phone.key.Public())) == 2
		})
		want := chatter(alice, phone, 5)
		eventually(t, 5*time.Minute, "both have it", func() bool {
			return slices.Equal(phone.heard(alice), want) && slices.Equal(laptop.heard(alice), want)
		})
		eventually(t, 5*time.Minute, "delivered", func() bool { return delivered(alice) })

		// Either of them answers.
		phone.send(alice, "from the phone")
		pass(time.Second)
		laptop.send(alice, "from the laptop")
		eventually(t, 5*time.Minute, "both arrive", func() bool { return len(alice.heard(phone)) == 2 })
		eventually(t, 5*time.Minute, "delivered", func() bool { return delivered(phone) && delivered(laptop) })
		if got := alice.heard(phone); !slices.Equal(got, []string{"from the phone", "from the laptop"}) {
			t.Errorf("%v arrived", got)
		}
		for _, p := range []*person{alice, phone, laptop} {
			if events := eventsOf(t, p.Stack, EventUndecryptable); len(events) != 0 {
				t.Errorf("%s: %d undecryptable: %s", p.name, len(events), events[0].Data)
			}
		}
	})
}

// What we published ourselves comes back live and out of the store, and is no
// news.
func TestOwnEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(61)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		want := chatter(alice, bobby, 3)
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })
		before, counters := content(t, alice.db), alice.Counters()
		for _, p := range n.publications(alice.link) {
			if _, ok := (*alice.filters.Load())[p.Message.GetContentTopic()]; !ok {
				continue // to Bobby's partition, which does not reach us
			}
			for _, stored := range []bool{false, true} {
				e := p.Envelope
				e.Stored = stored
				hand(t, alice.Stack, e)
			}
		}
		if changed := difference(before, content(t, alice.db)); len(changed) != 0 {
			t.Errorf("changed %v", changed)
		}
		if names := increased(counters, alice.Counters()); len(names) != 0 {
			t.Errorf("counters %v", names)
		}
		// Nor is it when the marks are gone, as for a database that was lost.
		err := alice.db.Update(func(tx *storage.Tx) error {
			_, err := tx.PurgeMarks(time.Now().Add(time.Hour))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		events := numbers(t, alice.Stack, 0)
		for _, p := range n.publications(alice.link) {
			hand(t, alice.Stack, p.Envelope)
		}
		if got := numbers(t, alice.Stack, 0); len(got) != len(events) {
			t.Errorf("%d events about our own messages", len(got)-len(events))
		}
		if got := alice.heard(alice); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// A device whose contact code nobody saw gets a message for the others, tells
// of itself, and gets the later ones.
func TestUnknownDeviceIsIntroduced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(62)
		phone := n.person(t, "Bobby", 1)
		laptop := n.device(t, "Bobby", 1, "laptop")
		stranger := n.person(t, "Carol", 2)
		pass(time.Minute)
		stranger.must(stranger.AddContact(phone.key.Public(), "hello"))
		pass(time.Minute)
		if known := stranger.installations(phone.key.Public()); len(known) != 2 {
			t.Errorf("who adds an account knows %v of its devices", known)
		}
		// Somebody whose only knowledge is the phone's bundle.
		f := newForger(t, 3, time.Now())
		err := phone.update(func(t *step) error {
			bundle, err := phone.session.Bundle(t.Core("session"), t.now, phone.rand)
			if err != nil {
				return err
			}
			_, err = f.session.ProcessBundle(f.st, t.now, phone.key.Public(), bundle)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		say := func(text string) {
			f.now = time.Now()
			to := phone.key.Public()
			e := f.mail(to, f.encrypt(to, f.sync(to, f.chat(to, text, f.now))))
			phone.link.deliver(e)
			laptop.link.deliver(e)
			synctest.Wait()
		}
		before := len(n.publications(laptop.link))
		say("for the phone alone")
		if got := theirs(phone, f.key.Public()); !slices.Equal(got, []string{"for the phone alone"}) {
			t.Fatalf("the phone has %v", got)
		}
		if got := theirs(laptop, f.key.Public()); len(got) != 0 {
			t.Fatalf("the laptop has %v", got)
		}
		answers := n.publications(laptop.link)[before:]
		if len(answers) != 1 {
			t.Fatalf("%d answers", len(answers))
		}
		opened, err := f.open(answers[0].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.session.Open(f.st, f.now, f.rand, phone.key.Public(), opened); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		say("for both")
		if got := theirs(laptop, f.key.Public()); !slices.Equal(got, []string{"for both"}) {
			t.Errorf("the laptop has %v", got)
		}
		if got := theirs(phone, f.key.Public()); !slices.Equal(got, []string{"for the phone alone", "for both"}) {
			t.Errorf("the phone has %v", got)
		}
	})
}

// theirs are the texts of a key.
func theirs(p *person, from key.Public) (texts []string) {
	p.t.Helper()
	all, err := p.Messages("")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range all {
		if m.From == from {
			texts = append(texts, m.Text)
		}
	}
	return texts
}
