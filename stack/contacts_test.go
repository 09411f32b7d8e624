package stack

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

func (p *person) of(other *person) contact.Contact {
	p.t.Helper()
	c, err := p.Contact(other.key.Public())
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// must fails the test of a person for an error of an action.
func (p *person) must(_ contact.Contact, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func states2(a, b *person) [2]contact.State { return [2]contact.State{state(a, b), state(b, a)} }

// become waits until both see the relation as they should.
func become(t *testing.T, a, b *person, want [2]contact.State) {
	t.Helper()
	eventually(t, 10*time.Minute, "the relation", func() bool { return states2(a, b) == want })
	pass(2 * time.Minute)
	if got := states2(a, b); got != want {
		t.Fatalf("%s and %s are %v, not %v", a.name, b.name, got, want)
	}
}

var (
	strangers = [2]contact.State{contact.None, contact.None}
	asked     = [2]contact.State{contact.StateSent, contact.StateReceived}
	mutual    = [2]contact.State{contact.StateMutual, contact.StateMutual}
)

// A request is announced with its text, and both ends go through the whole
// life of a relation together.
func TestContactLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(50)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		alice.must(alice.AddContact(bobby.key.Public(), "may I?"))
		become(t, alice, bobby, asked)
		announced := eventsOf(t, bobby.Stack, EventContactRequest)
		var request view.ContactRequest
		if len(announced) != 1 || json.Unmarshal(announced[0].Data, &request) != nil {
			t.Fatalf("%d requests announced", len(announced))
		}
		if request.Key != alice.key.Public() || request.Text != "may I?" || request.Name != "Alice" || request.Message.String() != alice.of(bobby).SentRequest {
			t.Errorf("announced %+v", request)
		}
		// Declining is silent: the other still waits.
		bobby.must(bobby.DeclineContact(alice.key.Public()))
		pass(10 * time.Minute)
		if got := state(alice, bobby); got != contact.StateSent {
			t.Errorf("after declining, the other is %s", got)
		}
		// And can be taken back.
		bobby.must(bobby.AcceptContact(alice.key.Public()))
		become(t, alice, bobby, mutual)
		bobby.must(bobby.RemoveContact(alice.key.Public()))
		become(t, alice, bobby, strangers)
		// Asking and taking back before an answer.
		bobby.must(bobby.AddContact(alice.key.Public(), "you may"))
		become(t, bobby, alice, asked)
		bobby.must(bobby.RemoveContact(alice.key.Public()))
		become(t, alice, bobby, strangers)
		// Adding somebody who asked is accepting.
		bobby.must(bobby.AddContact(alice.key.Public(), "after all"))
		become(t, bobby, alice, asked)
		alice.must(alice.AddContact(bobby.key.Public(), "yes"))
		become(t, alice, bobby, mutual)
		if got := len(eventsOf(t, alice.Stack, EventContactRequest)); got != 2 {
			t.Errorf("%d requests announced", got)
		}
	})
}

// Requests that cross make contacts of both at once.
func TestCrossedRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(51)
		n.delay = 2 * time.Second
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		pass(time.Minute)
		alice.must(alice.AddContact(bobby.key.Public(), "hello"))
		bobby.must(bobby.AddContact(alice.key.Public(), "hello"))
		become(t, alice, bobby, mutual)
		if a, b := alice.texts(), bobby.texts(); len(a) != 2 || len(b) != 2 {
			t.Errorf("%v, %v", a, b)
		}
	})
}

// Who is blocked is not heard, and sees a relation that ended; what we wrote
// to them fails. Unblocked, they are strangers who can ask again, and nothing
// that they said meanwhile comes after.
func TestBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(52)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		alice.send(bobby, "before")
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })

		bobby.halt()
		lost, err := alice.SendText(bobby.key.Public(), "while away", "")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		alice.link.set(func(l *link) { l.alone = true })
		waiting, err := alice.SendText(bobby.key.Public(), "not even sent", "")
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(retryFirst / 2) // between two attempts
		alice.must(alice.BlockContact(bobby.key.Public()))
		alice.link.set(func(l *link) { l.alone = false })
		for _, id := range []message.ID{lost.ID, waiting.ID} {
			if m, err := alice.Message(id); err != nil || m.State != chat.Failed {
				t.Errorf("%+v, %v", m, err)
			}
		}
		if _, err := alice.SendText(bobby.key.Public(), "x", ""); fault.KindOf(err) != fault.Conflict || fault.HintOf(err) == "" {
			t.Errorf("writing to somebody blocked: %v", err)
		}
		if _, err := alice.BlockContact(bobby.key.Public()); fault.KindOf(err) != fault.Conflict {
			t.Errorf("blocking twice: %v", err)
		}
		bobby.start()
		eventually(t, 10*time.Minute, "told that it ended", func() bool { return state(bobby, alice) == contact.None })
		if got := bobby.heard(alice); slices.Contains(got, "not even sent") {
			t.Errorf("%v arrived", got)
		}
		events := numbers(t, alice.Stack, 0)
		bobby.send(alice, "hello?")
		bobby.must(bobby.AddContact(alice.key.Public(), "again?"))
		pass(10 * time.Minute)
		if got := alice.heard(bobby); len(got) != 0 {
			t.Errorf("%v arrived", got)
		}
		err = alice.Events(t.Context(), uint64(len(events)), false, func(e storage.Event) error {
			t.Errorf("an event for what somebody blocked did: %s %s", e.Type, e.Data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if c := alice.of(bobby); !c.Blocked || c.Remote == contact.Received {
			t.Errorf("%+v", c)
		}

		alice.must(alice.UnblockContact(bobby.key.Public()))
		pass(10 * time.Minute)
		if got := alice.heard(bobby); len(got) != 0 {
			t.Errorf("%v arrived afterwards", got)
		}
		if _, err := alice.UnblockContact(bobby.key.Public()); fault.KindOf(err) != fault.NotFound {
			t.Errorf("unblocking twice: %v", err)
		}
		bobby.send(alice, "there you are")
		eventually(t, time.Minute, "heard again", func() bool { return slices.Contains(alice.heard(bobby), "there you are") })
	})
}

// What cannot be done with a contact is refused with a kind and changes
// nothing.
func TestContactRefusals(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	somebody := identity(t, 1).Public()
	for name, c := range map[string]struct {
		err  func() error
		kind fault.Kind
	}{
		"accepting nothing":   {func() error { _, err := s.AcceptContact(somebody); return err }, fault.NotFound},
		"declining nothing":   {func() error { _, err := s.DeclineContact(somebody); return err }, fault.NotFound},
		"removing nobody":     {func() error { _, err := s.RemoveContact(somebody); return err }, fault.NotFound},
		"unblocking nobody":   {func() error { _, err := s.UnblockContact(somebody); return err }, fault.NotFound},
		"asking with no text": {func() error { _, err := s.AddContact(somebody, " "); return err }, fault.Usage},
		"writing nothing":     {func() error { _, err := s.SendText(somebody, "", ""); return err }, fault.Usage},
		"answering nonsense":  {func() error { _, err := s.SendText(somebody, "x", "nonsense"); return err }, fault.Usage},
		"answering nothing":   {func() error { _, err := s.SendText(somebody, "x", message.ID{}.String()); return err }, fault.NotFound},
	} {
		before := content(t, s.db)
		if err := c.err(); err == nil || fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v of kind %s", name, err, fault.KindOf(err))
		}
		if changed := difference(before, content(t, s.db)); len(changed) != 0 {
			t.Errorf("%s changed %v", name, changed)
		}
	}
}

// A name of ours for somebody stays here.
func TestRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(53)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		synctest.Wait()
		before := len(n.publications(alice.link))
		alice.must(alice.RenameContact(bobby.key.Public(), "Bob the plumber"))
		synctest.Wait()
		if got := len(n.publications(alice.link)); got != before {
			t.Errorf("%d messages about it", got-before)
		}
		if c := alice.of(bobby); c.Name() != "Bob the plumber" || c.DisplayName != "Bobby" {
			t.Errorf("%+v", c)
		}
		events := eventsOf(t, alice.Stack, EventContact)
		var c view.Contact
		if err := json.Unmarshal(events[len(events)-1].Data, &c); err != nil || c.Nickname != "Bob the plumber" {
			t.Errorf("event %s", events[len(events)-1].Data)
		}
	})
}

// When a retraction is lost for ever, the state that goes along with the next
// message repairs what both think.
func TestLostRetraction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(54)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(time.Minute)
		n.mu.Lock()
		n.noStore, n.loss = true, 1
		n.mu.Unlock()
		alice.must(alice.RemoveContact(bobby.key.Public()))
		synctest.Wait()
		// Nothing sends it again.
		err := alice.update(func(t *step) error {
			return alice.mvds.ForgetPeer(t.Core("mvds"), bobby.key.Public())
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if got := states2(alice, bobby); got != [2]contact.State{contact.None, contact.StateMutual} {
			t.Fatalf("%v", got)
		}
		n.mu.Lock()
		n.loss = 0
		n.history = nil
		n.mu.Unlock()
		alice.send(bobby, "just so you know")
		become(t, alice, bobby, strangers)
	})
}

// Who we are reaches those whom we add: at once, after a change too, by the
// contact code and by a message to them.
func TestIdentityReachesContacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(55)
		bobby := n.person(t, "Bobby", 1)
		alice := n.person(t, "Alice", 0)
		profile := contact.Profile{DisplayName: "Alice", Bio: "I am who I am", Color: 7}
		alice.config = func(c *Config) { c.Profile = profile }
		alice.halt()
		<-time.After(time.Second) // clocks of two profiles must differ
		alice.start()
		befriend(t, alice, bobby)
		eventually(t, time.Minute, "they know each other", func() bool {
			return bobby.of(alice).Bio == profile.Bio && alice.of(bobby).DisplayName == "Bobby"
		})
		if c := bobby.of(alice); c.DisplayName != "Alice" || c.Color != 7 {
			t.Errorf("%+v", c)
		}
		pass(time.Minute)
		profile = contact.Profile{DisplayName: "Alicia", Bio: "somebody new", Color: 8}
		alice.halt()
		alice.start()
		eventually(t, time.Minute, "the contact code tells it", func() bool { return bobby.of(alice).Bio == profile.Bio })
		if c := bobby.of(alice); c.DisplayName != "Alicia" || c.Color != 8 {
			t.Errorf("%+v", c)
		}
	})
}

// A status is news once; it makes what waits for its author go out within a
// minute.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(56)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		n.mu.Lock()
		n.noStore = true
		n.mu.Unlock()
		bobby.link.set(func(l *link) { l.silent = true })
		alice.send(bobby, "are you there?")
		<-time.After(20 * time.Hour) // the gaps between two sends are long now
		if len(bobby.heard(alice)) != 0 {
			t.Fatal("it arrived")
		}
		bobby.link.set(func(l *link) { l.silent = false })
		for range 2 {
			bobby.say(apppb.ApplicationMetadataMessage_STATUS_UPDATE, message.NoChat, &apppb.StatusUpdate{
				Clock: uint64(time.Now().Unix()), StatusType: apppb.StatusUpdate_ALWAYS_ONLINE, CustomText: "back",
			}, nil)
			pass(time.Second)
		}
		eventually(t, time.Minute, "it arrives", func() bool { return len(bobby.heard(alice)) == 1 })
		events := eventsOf(t, alice.Stack, EventPresence)
		var p view.Presence
		if len(events) != 1 || json.Unmarshal(events[0].Data, &p) != nil || p.Key != bobby.key.Public() || p.PresenceText != "back" || p.Presence != "always_online" {
			t.Errorf("%d events, %+v", len(events), p)
		}
	})
}
