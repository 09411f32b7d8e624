package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/waku/topic"
)

// onlyAcks tells whether a reliability payload brings nothing but
// acknowledgements.
func onlyAcks(raw []byte) bool {
	p, err := mvds.Decode(raw)
	return err == nil && len(p.Messages) == 0 && len(p.Offers) == 0 && len(p.Requests) == 0
}

// view is what a device shows of a chat: who said what, whether it was edited or
// deleted, the reactions, the pins.
func (p *person) view(id string) (rows []string) {
	p.t.Helper()
	all, err := p.Messages(id)
	if err != nil {
		p.t.Fatal(err)
	}
	pins, err := p.Pins(id)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range all {
		row := fmt.Sprint(m.From.String()[:8], " ", m.Text, " ", m.ContentType, " ", m.Edited != nil, " ", m.Deleted != nil)
		shown, err := p.Reactions([]message.ID{m.ID})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, r := range shown[m.ID] {
			row += fmt.Sprint(" ", r.Emoji, len(r.Who))
		}
		for _, pinned := range pins {
			if pinned.Message == m.ID {
				row += " pinned"
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// holds tells whether somebody has a message.
func (p *person) holds(id message.ID) bool {
	p.t.Helper()
	_, err := p.Message(id)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		p.t.Fatal(err)
	}
	return err == nil
}

// ownTopic is the content topic that two devices of an account have agreed on.
func ownTopic(a, b *person) string { return topic.Content(a.negotiated(b)) }

// What is said and done on one device of an account shows on the paired one as
// our own, in the chat it is for and at once: texts, edits, deletions, reactions
// and pins, also of what the other device said. It is no news there, and that our
// own device has it is no delivery.
func TestCopiesOfConversations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(210)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		laptop := together(t, n, phone)
		id := chat.OneToOneID(alice.key.Public())
		eventually(t, time.Minute, "Alice knows both", func() bool { return len(alice.installations(phone.key.Public())) == 2 })

		old := laptop.counts(id)[0] // Alice's request
		one := phone.says(id, "one")
		eventually(t, 5*time.Second, "it is on the laptop at once", func() bool { return slices.Equal(laptop.heard(phone), []string{"one"}) })
		if m := laptop.in(one.ID); m.Chat != id || m.State != chat.Received || laptop.counts(id)[0] != old {
			t.Errorf("%+v, %d unread", m, laptop.counts(id)[0])
		}
		two := laptop.says(id, "two")
		alice.send(phone, "from Alice")
		eventually(t, time.Minute, "all three have all", func() bool {
			return len(phone.view(id)) == len(laptop.view(id)) && len(alice.heard(phone)) == 2 && len(phone.heard(alice)) == len(laptop.heard(alice))
		})
		pass(time.Second)
		if _, err := phone.EditMessage(one.ID, Content{Text: "one, edited"}); err != nil {
			t.Fatal(err)
		}
		// A device changes what the other has said.
		if _, err := phone.EditMessage(two.ID, Content{Text: "two, edited"}); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if _, err := laptop.React(one.ID, "👍", false); err != nil {
			t.Fatal(err)
		}
		if _, err := laptop.Pin(one.ID, true); err != nil {
			t.Fatal(err)
		}
		three := laptop.says(id, "three")
		pass(time.Minute)
		if _, err := phone.DeleteMessage(three.ID); err != nil {
			t.Fatal(err)
		}
		same := func() bool { return slices.Equal(phone.view(id), laptop.view(id)) }
		eventually(t, 5*time.Minute, "both show the same", same)
		room := chat.OneToOneID(phone.key.Public())
		eventually(t, 5*time.Minute, "and so does Alice", func() bool { return slices.Equal(phone.view(id)[1:], alice.view(room)[1:]) })
		if got := phone.view(id); len(got) != 5 || phone.in(two.ID).Edited == nil || phone.in(three.ID).Deleted == nil {
			t.Errorf("%q", got)
		}
		if own := laptop.counts(id)[0]; own != old+1 { // what Alice said
			t.Errorf("%d unread on the laptop", own)
		}

		// Alice is away: what the laptop has is not delivered for that.
		alice.halt()
		late := phone.says(id, "while you are away")
		eventually(t, time.Minute, "the laptop has it", func() bool { return laptop.holds(late.ID) })
		pass(10 * time.Minute)
		if got := phone.in(late.ID).State; got != chat.Sent {
			t.Errorf("what nobody but our own device has is %s", got)
		}
		alice.start()
		eventually(t, 10*time.Hour, "it is delivered", func() bool { return phone.in(late.ID).State == chat.Delivered })
		eventually(t, time.Hour, "nothing waits for an acknowledgement", func() bool { return len(refs(t, phone)) == 0 && len(refs(t, laptop)) == 0 })
		for _, p := range []*person{alice, phone, laptop} {
			if events := eventsOf(t, p.Stack, EventUndecryptable); len(events) != 0 {
				t.Errorf("%s: %d undecryptable: %s", p.name, len(events), events[0].Data)
			}
		}
	})
}

// Private groups are the same on both devices: made, changed and left on one,
// with what is said there, also when nobody else is in the group.
func TestCopiesOfGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(211)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		laptop := together(t, n, phone)
		g, err := phone.CreateGroup("the circle", "#112233", keysOf(alice))
		if err != nil {
			t.Fatal(err)
		}
		joined(t, g.ID, alice, phone, laptop)
		one := phone.says(g.ID, "one")
		eventually(t, time.Minute, "it is there", func() bool { return laptop.holds(one.ID) && alice.holds(one.ID) })
		if m := laptop.in(one.ID); m.From != phone.key.Public() || m.Chat != g.ID || laptop.counts(g.ID)[0] != 0 {
			t.Errorf("%+v, %d unread", m, laptop.counts(g.ID)[0])
		}
		pass(time.Second)
		two := laptop.says(g.ID, "two")
		if _, err := laptop.React(one.ID, "👍", false); err != nil {
			t.Fatal(err)
		}
		if _, err := laptop.Pin(one.ID, true); err != nil {
			t.Fatal(err)
		}
		if _, err := laptop.RenameGroup(g.ID, "the ring"); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "all show the same", func() bool {
			return phone.holds(two.ID) && slices.Equal(phone.view(g.ID), laptop.view(g.ID)) && slices.Equal(phone.view(g.ID), alice.view(g.ID)) &&
				phone.groupIn(g.ID).Name == "the ring"
		})
		if _, err := phone.DeleteMessage(two.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "it is deleted on both", func() bool { return laptop.in(two.ID).Deleted != nil })
		if _, err := phone.RemoveMember(g.ID, alice.key.Public()); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the laptop knows", func() bool { return len(laptop.groupIn(g.ID).Members) == 1 })
		// Now the devices are alone there.
		alone := phone.says(g.ID, "to myself")
		eventually(t, time.Minute, "the laptop has it", func() bool { return laptop.holds(alone.ID) })
		if _, err := laptop.RenameGroup(g.ID, "notes"); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the phone knows", func() bool { return phone.groupIn(g.ID).Name == "notes" })
		if _, err := phone.LeaveGroup(g.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the laptop has left", func() bool { return !laptop.groupIn(g.ID).IsMember(phone.key.Public()) })
	})
}

// A contact request that is made or accepted on one device is so on the other,
// with its message.
func TestCopiesOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(212)
		alice, phone, carol := n.person(t, "Alice", 0), n.person(t, "Bobby", 1), n.person(t, "Carol", 2)
		laptop := together(t, n, phone)
		phone.must(phone.AddContact(alice.key.Public(), "hello Alice"))
		eventually(t, 5*time.Minute, "the laptop knows", func() bool { return state(laptop, alice) == contact.StateSent })
		id := chat.OneToOneID(alice.key.Public())
		eventually(t, 5*time.Minute, "the request is there", func() bool { return len(laptop.view(id)) == 1 })
		if got := laptop.of(alice).SentRequest; got == "" || got != phone.of(alice).SentRequest {
			t.Errorf("the request is %q", got)
		}
		alice.must(alice.AcceptContact(phone.key.Public()))
		eventually(t, 5*time.Minute, "both are contacts", func() bool {
			return state(laptop, alice) == contact.StateMutual && state(phone, alice) == contact.StateMutual
		})
		carol.must(carol.AddContact(phone.key.Public(), "hello Bobby"))
		eventually(t, 5*time.Minute, "both have it", func() bool {
			return state(laptop, carol) == contact.StateReceived && state(phone, carol) == contact.StateReceived
		})
		laptop.must(laptop.AcceptContact(carol.key.Public()))
		eventually(t, 5*time.Minute, "both have accepted", func() bool {
			return state(phone, carol) == contact.StateMutual && state(carol, phone) == contact.StateMutual
		})
		if got := phone.entries(); slices.ContainsFunc(got, func(e string) bool { return strings.HasPrefix(e, "contact_request unread") }) {
			t.Errorf("%v", got)
		}
		c, err := phone.Chat(chat.OneToOneID(carol.key.Public()))
		if err != nil || !c.Active {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// A large picture comes to the other device, too, with nobody being told of a
// transfer that is not theirs to wait for.
func TestCopyOfAPicture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(213)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		laptop := together(t, n, phone)
		phone.cut(4 << 10)
		m := phone.show(alice, noisy(t, 120))
		eventually(t, time.Hour, "all have it", func() bool { return laptop.holds(m.ID) && alice.holds(m.ID) })
		eventually(t, time.Hour, "it is delivered", func() bool { return phone.in(m.ID).State == chat.Delivered })
		if a, b := phone.payload(m.ID, chat.PayloadImage), laptop.payload(m.ID, chat.PayloadImage); len(a) == 0 || string(a) != string(b) {
			t.Errorf("%d bytes here and %d there", len(a), len(b))
		}
	})
}

// What goes to our own devices by reason of being copied is content as any, what
// is for them alone is local, and both together are local.
func TestRoadOfCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(214)
		alice, phone := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, phone)
		laptop := together(t, n, phone)
		shards := func(do func()) (found []string) {
			before := len(n.publications(phone.link))
			do()
			pass(time.Second)
			for _, p := range n.publications(phone.link)[before:] {
				if c := p.Message.GetContentTopic(); c == ownTopic(phone, laptop) || c == partition(phone) {
					found = append(found, fmt.Sprint(p.PubsubTopic, " ", p.light))
				}
			}
			return found
		}
		if got := shards(func() { phone.send(alice, "hello") }); !slices.Equal(got, []string{"/waku/2/rs/16/768 false"}) {
			t.Errorf("a copy went to %v", got)
		}
		pass(10 * time.Minute)
		if got := shards(func() { phone.must(phone.RenameContact(alice.key.Public(), "Lissy")) }); !slices.Equal(got, []string{"/waku/2/rs/16/960 true"}) {
			t.Errorf("a contact went to %v", got)
		}
		pass(10 * time.Minute)
		both := func() {
			err := phone.update(func(t *step) error {
				a, err := phone.audience(t, chat.OneToOneID(alice.key.Public()))
				if err != nil {
					return err
				}
				m, err := chat.TextMessage(func() chat.Draft { d := phone.draft(t, a); d.Text = "both"; return d }())
				if err != nil {
					return err
				}
				if _, err := phone.utter(t, a, m); err != nil {
					return err
				}
				c, err := t.Contact(alice.key.Public())
				if err != nil {
					return err
				}
				return phone.syncContact(t, contact.Contact{}, c)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := shards(both); !slices.Equal(got, []string{"/waku/2/rs/16/960 true"}) {
			t.Errorf("both went to %v", got)
		}
		eventually(t, 5*time.Minute, "it arrives nevertheless", func() bool { return slices.Contains(laptop.heard(phone), "both") })
	})
}

// A single device copies nothing.
func TestNoCopiesForOneDevice(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	f.meet(s)
	clock.advance(time.Minute)
	if _, err := s.SendText(f.key.Public(), "one", ""); err != nil {
		t.Fatal(err)
	}
	if got := len(drain(t, s)); got != 1 {
		t.Errorf("%d envelopes", got)
	}
}
