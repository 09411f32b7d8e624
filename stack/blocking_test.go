package stack

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/verify"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

func (p *person) finds(words string) (texts []string) {
	p.t.Helper()
	found, err := p.Search(storage.Query{Text: words})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range found.Messages {
		texts = append(texts, m.Text)
	}
	return texts
}

func (p *person) page(id string) (texts []string) {
	p.t.Helper()
	page, err := p.Page(storage.PageQuery{Chat: id})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range page.Messages {
		if !m.IsSystem() {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// Who is blocked is hidden wherever they wrote, and what they asked is
// dismissed. Unblocked, they show again; what they wrote meanwhile is gone. The
// groups of both go on for everybody else, and end in one state for all.
func TestBlockingHides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(130)
		alice, bobby, carol, id := circle(t, n)
		befriend(t, bobby, carol)
		private := chat.OneToOneID(carol.key.Public())
		carol.send(bobby, "privately alpha")
		carol.says(id, "publicly alpha @"+bobby.key.Public().Hex())
		pass(time.Second)
		alice.says(id, "alpha from Alice")
		done[verify.Request](carol)(carol.AskVerification(bobby.key.Public(), "who is it?"))
		settle(t, alice, bobby, carol)
		if _, err := bobby.PinChat(private, true); err != nil {
			t.Fatal(err)
		}
		if got := bobby.counts(id); got != [2]int{2, 1} {
			t.Fatalf("Bobby has %v", got)
		}

		bobby.must(bobby.BlockContact(carol.key.Public()))
		c, err := bobby.Chat(private)
		if err != nil || c.Active || c.UnreadCount != 0 {
			t.Errorf("the chat with Carol: %+v, %v", c, err)
		}
		if got := bobby.counts(id); got != [2]int{1, 0} {
			t.Errorf("the group counts %v", got)
		}
		if got := bobby.page(id); !slices.Equal(got, []string{"alpha from Alice"}) {
			t.Errorf("the group shows %q", got)
		}
		if got := bobby.finds("alpha"); !slices.Equal(got, []string{"alpha from Alice"}) {
			t.Errorf("a search shows %q", got)
		}
		if got := bobby.noted(activity.Mention, activity.Verification); len(got) != 2 || got[0] != "verification dismissed who is it?" || got[1][:17] != "mention dismissed" {
			t.Errorf("the activity centre has %q", got)
		}
		if all, err := bobby.Verifications(carol.key.Public()); err != nil || len(all) != 1 || all[0].State != verify.Canceled {
			t.Errorf("%+v, %v", all, err)
		}
		if _, ok := (*bobby.filters.Load())[contactCode(carol)]; ok {
			t.Error("Carol's contact code is listened to")
		}

		// The group goes on, Carol in it.
		carol.says(id, "while blocked")
		bobby.says(id, "Carol still hears this")
		done[group.Group](alice)(alice.RenameGroup(id, "renamed"))
		settle(t, alice, bobby, carol)
		if got := carol.heard(bobby); !slices.Contains(got, "Carol still hears this") {
			t.Errorf("Carol has %q", got)
		}
		agree(t, id, alice, carol)
		if a, b := alice.groupIn(id), bobby.groupIn(id); a.Name != b.Name || len(a.Members) != len(b.Members) {
			t.Errorf("%q %v and %q %v", a.Name, a.Members, b.Name, b.Members)
		}
		if list, err := bobby.ChatList(); err != nil || slices.ContainsFunc(list, func(c storage.ListedChat) bool { return c.Active && c.ID == private }) {
			t.Errorf("%v", err)
		}

		bobby.must(bobby.UnblockContact(carol.key.Public()))
		if c, err := bobby.Chat(private); err != nil || !c.Active {
			t.Errorf("after unblocking: %+v, %v", c, err)
		}
		if s, err := bobby.summary(private); err != nil || !s.Pinned {
			t.Errorf("after unblocking: %+v, %v", s, err)
		}
		want := []string{"Carol still hears this", "alpha from Alice", "publicly alpha @" + bobby.key.Public().Hex()}
		if got := bobby.page(id); !slices.Equal(got, want) {
			t.Errorf("the group shows %q", got)
		}
		carol.says(id, "heard again")
		settle(t, alice, bobby, carol)
		if got := bobby.page(id); got[0] != "heard again" {
			t.Errorf("the group shows %q", got)
		}
	})
}

func (p *person) summary(id string) (s storage.Summary, err error) {
	err = p.db.View(func(tx *storage.Tx) error {
		s, err = tx.Summary(id)
		return err
	})
	return s, err
}

// The whole of a verification, in all the ways it can go.
func TestVerification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(131)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		a, b := alice.key.Public(), bobby.key.Public()
		refused(alice, "asking a stranger", func() error { _, err := alice.AskVerification(b, "x"); return err })
		befriend(t, alice, bobby)
		settle(t, alice, bobby)
		state := func(p *person, with *person) (state verify.State) {
			all, err := p.Verifications(with.key.Public())
			if err != nil || len(all) == 0 {
				t.Fatalf("%s: %v, %v", p.name, all, err)
			}
			newest := all[0]
			for _, r := range all {
				if r.AskedClock > newest.AskedClock {
					newest = r
				}
			}
			return newest.State
		}
		both := func(want verify.State) {
			t.Helper()
			settle(t, alice, bobby)
			if x, y := state(alice, bobby), state(bobby, alice); x != want || y != want {
				t.Errorf("Alice has it as %s, Bobby as %s, not as %s", x, y, want)
			}
		}
		asked := func() {
			t.Helper()
			done[verify.Request](alice)(alice.AskVerification(b, "where did we meet?"))
			both(verify.Pending)
			if got := bobby.noted(activity.Verification); got[0] != "verification unread where did we meet?" {
				t.Errorf("Bobby was told %q", got)
			}
		}
		asked()
		refused(alice, "asking twice", func() error { _, err := alice.AskVerification(b, "x"); return err })
		refused(alice, "answering oneself", func() error { _, err := alice.AnswerVerification(b, "x"); return err })
		done[verify.Request](bobby)(bobby.DeclineVerification(a))
		both(verify.Declined)
		asked()
		done[verify.Request](alice)(alice.CancelVerification(b))
		both(verify.Canceled)
		asked()
		done[verify.Request](bobby)(bobby.AnswerVerification(a, "in Prague"))
		both(verify.Accepted)
		if all, err := alice.Verifications(b); err != nil || !slices.ContainsFunc(all, func(r verify.Request) bool { return r.Response == "in Prague" }) {
			t.Errorf("%+v, %v", all, err)
		}
		want := []string{"verification accepted where did we meet?", "verification dismissed where did we meet?", "verification dismissed where did we meet?"}
		if got := bobby.noted(activity.Verification); !slices.Equal(got, want) {
			t.Errorf("Bobby's entries are %q", got)
		}
		synctest.Wait()
		before := len(n.publications(alice.link))
		alice.must(alice.Trust(b, contact.Trusted))
		pass(time.Second)
		if after := len(n.publications(alice.link)); after != before {
			t.Errorf("%d messages about trust", after-before)
		}
		if state(alice, bobby) != verify.Trusted || state(bobby, alice) != verify.Accepted || alice.of(bobby).Trust != contact.Trusted {
			t.Errorf("Alice has it as %s, Bobby as %s", state(alice, bobby), state(bobby, alice))
		}
		// The relation ends, and with it what is open.
		asked()
		bobby.must(bobby.RemoveContact(a))
		settle(t, alice, bobby)
		both(verify.Canceled)
		if got := bobby.noted(activity.Verification); got[0] != "verification dismissed where did we meet?" {
			t.Errorf("Bobby's entries are %q", got)
		}
	})
}

// A question that overtakes the acceptance of our request waits for it.
func TestVerificationBeforeAcceptance(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	asked, err := s.AddContact(f.key.Public(), "hello")
	if err != nil {
		t.Fatal(err)
	}
	at := uint64(clock.at.UnixMilli()) + 10
	f.deliver(s, f.wrap(verify.Ask, &apppb.RequestContactVerification{Clock: at + 1, Challenge: "is it you?"}))
	if all, err := s.Verifications(f.key.Public()); err != nil || len(all) != 0 || waitingIn(t, s) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	f.deliver(s, f.wrap(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Clock: at, Id: asked.SentRequest}))
	if all, err := s.Verifications(f.key.Public()); err != nil || len(all) != 1 || all[0].State != verify.Pending {
		t.Errorf("%v, %v", all, err)
	}
	// Somebody who is no contact lets nothing wait.
	stranger := newForger(t, 2, clock.at)
	stranger.deliver(s,
		stranger.wrap(verify.Ask, &apppb.RequestContactVerification{Clock: at, Challenge: "x"}),
		stranger.wrap(verify.Accept, &apppb.AcceptContactVerification{Clock: at, Id: message.ID{1}.String(), Response: "x"}),
		stranger.wrap(verify.Cancel, &apppb.CancelContactVerification{Clock: at, Id: message.ID{1}.String()}))
	if n := waitingIn(t, s); n != 0 {
		t.Errorf("%d messages wait", n)
	}
}

// Contact requests in the activity centre get their answer, by whomever.
func TestContactRequestEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(132)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		entry := func(want string) {
			t.Helper()
			settle(t, alice, bobby)
			if got := bobby.noted(activity.ContactRequest); !slices.Equal(got, []string{want}) {
				t.Errorf("Bobby's entries are %q, not %q", got, want)
			}
		}
		alice.must(alice.AddContact(bobby.key.Public(), "one"))
		entry("contact_request unread one")
		bobby.must(bobby.DeclineContact(alice.key.Public()))
		entry("contact_request dismissed one")
		bobby.must(bobby.AcceptContact(alice.key.Public()))
		become(t, alice, bobby, mutual)
		if c, err := bobby.Chat(chat.OneToOneID(alice.key.Public())); err != nil || !c.Active {
			t.Errorf("the chat of two contacts: %+v, %v", c, err)
		}
		alice.must(alice.RemoveContact(bobby.key.Public()))
		become(t, alice, bobby, strangers)
		alice.must(alice.AddContact(bobby.key.Public(), "two"))
		entry("contact_request unread two")
		alice.must(alice.RemoveContact(bobby.key.Public()))
		entry("contact_request dismissed two")
		alice.must(alice.AddContact(bobby.key.Public(), "three"))
		entry("contact_request unread three")
		bobby.must(bobby.AcceptContact(alice.key.Public()))
		entry("contact_request accepted three")
	})
}

// Strangers are not heard when only contacts may be, whatever they send.
func TestContactsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(133)
		alice, bobby, carol := n.person(t, "Alice", 0), n.person(t, "Bobby", 1), n.person(t, "Carol", 2)
		befriend(t, alice, bobby)
		carol.send(alice, "let me in")
		settle(t, alice, bobby, carol)
		if err := alice.SetContactsOnly(true); err != nil {
			t.Fatal(err)
		}
		if on, err := alice.ContactsOnly(); err != nil || !on {
			t.Fatalf("%v, %v", on, err)
		}
		first := carol.firstTo(alice)
		// Who they are is not gated: names are shown beside what was said before.
		ungated := append(slices.Clone(lowerFamilies), "mark/", "app/", "contact/", "event/", "counter/event", "published/")
		before := content(t, alice.db, ungated...)
		carol.send(alice, "hello?")
		carol.must(carol.AddContact(alice.key.Public(), "please"))
		carol.say(apppb.ApplicationMetadataMessage_STATUS_UPDATE, message.NoChat, &apppb.StatusUpdate{Clock: uint64(time.Now().Unix()), StatusType: apppb.StatusUpdate_ALWAYS_ONLINE}, nil)
		done[*chat.Message](carol)(carol.EditMessage(first, Content{Text: "changed"}))
		if _, err := carol.React(first, "🙂", false); err != nil {
			t.Fatal(err)
		}
		settle(t, alice, bobby, carol)
		g := newForger(t, 7, time.Now())
		g.deliver(alice.Stack, g.update(g.groupOf(alice.key.Public()).Update()))
		changed := difference(before, content(t, alice.db, ungated...))
		if len(changed) != 0 {
			t.Errorf("strangers changed %v", changed)
		}
		if c := alice.of(carol); c.Remote == contact.Received || c.Status != (contact.Status{}) {
			t.Errorf("%+v", c)
		}
		bobby.send(alice, "from a contact")
		settle(t, alice, bobby)
		if got := alice.heard(bobby); !slices.Equal(got, []string{"from a contact"}) {
			t.Errorf("Alice hears %q of a contact", got)
		}
		// Writing to somebody opens the chat for their answers.
		alice.send(carol, "yes?")
		settle(t, alice, carol)
		carol.send(alice, "thanks")
		settle(t, alice, carol)
		if got := alice.heard(carol); !slices.Equal(got, []string{"let me in", "thanks"}) {
			t.Errorf("Alice hears %q", got)
		}
		if _, ok := (*alice.filters.Load())[topic.Content(topic.ContactCodeName(carol.key.Public()))]; !ok {
			t.Error("the contact code of somebody written to is not listened to")
		}
	})
}

// firstTo is the id of the first message that a person sent to another.
func (p *person) firstTo(to *person) message.ID {
	p.t.Helper()
	all, err := p.Messages(chat.OneToOneID(to.key.Public()))
	if err != nil || len(all) == 0 {
		p.t.Fatal(all, err)
	}
	return all[0].ID
}

// A request of an old client comes without a message; the message that may
// follow takes the place of the entry.
func TestContactRequestWithoutMessage(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	at := uint64(clock.at.UnixMilli())
	entries := func(want ...string) {
		t.Helper()
		page, err := s.Activities(storage.ActivityQuery{Kinds: []activity.Kind{activity.ContactRequest}})
		var got []string
		for _, e := range page.Entries {
			got = append(got, string(e.State)+" "+e.Text)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
	}
	f.deliver(s, f.wrap(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, &apppb.ContactUpdate{Clock: at, ContactRequestClock: at, DisplayName: "Forger"}))
	entries("unread ")
	f.deliver(s, f.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: at, Timestamp: at, Text: "may I?", ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_CONTACT_REQUEST,
	}))
	entries("unread may I?")
	if n := len(eventsOf(t, s, EventContactRequest)); n != 1 {
		t.Errorf("%d requests announced", n)
	}
	if _, err := s.AcceptContact(f.key.Public()); err != nil {
		t.Fatal(err)
	}
	entries("accepted may I?")
}
