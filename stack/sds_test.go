package stack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/sds"
	"github.com/parley-im/parley/waku/topic"
)

// announce publishes the newest description in the community's name.
func (p *person) announceTown(w *town) message.ID {
	p.t.Helper()
	var id message.ID
	err := p.update(func(t *step) (err error) {
		id, err = p.Stack.send(t, outgoing{
			typ: apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, body: w.Description.Encode(), community: w.Key, by: w.by.Key,
		})
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// Everything that is said in a community, in whatever channel, and its
// description go through its one SDS channel, and what is said in its channels
// uses one content topic. All members hear it, and who said it sees that it
// arrived.
//
// Proves: SP-18, SP-28, SP-29.
func TestCommunityMessagesUseSDS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(11)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby", "Carol")
		alice, bobby := all[0], all[1]
		first := alice.posts(w, 0, "welcome")
		pass(5 * time.Second)
		bobby.posts(w, 1, "apples for sale")
		if _, err := bobby.React(first, "❤️", false); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.EditMessage(first, Content{Text: "welcome all"}); err != nil {
			t.Fatal(err)
		}
		alice.announceTown(w)
		eventually(t, 2*time.Minute, "all hear and acknowledge it", func() bool {
			for _, p := range all {
				if !slices.Equal(p.reads(w, 0), []string{"welcome all"}) || !slices.Equal(p.reads(w, 1), []string{"apples for sale"}) {
					return false
				}
			}
			return alice.stateOf(first) == chat.Delivered
		})
		types := map[message.Type]bool{}
		topics := map[string]bool{}
		for _, x := range w.traffic(n, nil) {
			if x.channel == nil {
				t.Fatalf("%s goes without SDS", message.Name(x.said.Type))
			}
			if x.channel.Channel != w.ID() || x.Message.GetEphemeral() {
				t.Errorf("channel %s of community %s", x.channel.Channel, w.ID())
			}
			if x.channel.Kind == sds.Content {
				types[x.said.Type] = true
				if rule, _ := message.RuleFor(x.said.Type, message.Community); rule.Scope == message.CommunityContent {
					topics[x.Message.GetContentTopic()] = true
				}
			}
		}
		if len(types) != 4 || len(topics) != 1 || !topics[topic.Content(topic.UniversalName(w.Key))] {
			t.Errorf("types %v on topics %v", types, topics)
		}
	})
}

// With a store, what was lost on its way is fetched by the hash that the next
// message names, long before store nodes are compared.
//
// Proves: SP-28.
func TestCommunityLossIsFetchedByHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(12)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby", "Carol")
		alice, bobby, carol := all[0], all[1], all[2]
		carol.link.set(func(l *link) { l.missing = true })
		alice.posts(w, 0, "one")
		pass(3 * time.Second)
		carol.link.set(func(l *link) { l.missing = false })
		bobby.posts(w, 0, "two")
		pass(time.Second)
		if got := carol.reads(w, 0); len(got) != 0 {
			t.Fatalf("delivered before what it depends on: %q", got)
		}
		eventually(t, 30*time.Second, "the loss is repaired", func() bool {
			return slices.Equal(carol.reads(w, 0), []string{"one", "two"})
		})
		if r := carol.Reconciliation(); r.Rounds != 0 {
			t.Errorf("store nodes were compared: %+v", r)
		}
		if got := carol.Synced().Communities; len(got) != 1 || got[0].Repairs.Fetched != 1 || got[0].Repairs.Lost != 0 {
			t.Errorf("counted %+v", got)
		}
		hashes := 0
		for _, q := range carol.link.queries {
			if len(q.Hashes) > 0 && q.IncludeData {
				hashes++
			}
		}
		if hashes != 1 {
			t.Errorf("%d message hash lookup queries", hashes)
		}
	})
}

// Without any store, a member who has it passes it on, even while its author is
// away.
//
// Proves: SP-28.
func TestCommunityLossIsRepairedByMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(13)
		n.noStore = true
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby", "Carol")
		alice, bobby, carol := all[0], all[1], all[2]
		carol.link.set(func(l *link) { l.missing = true })
		id := alice.posts(w, 0, "one")
		pass(3 * time.Second)
		if bobby.stateOf(id) != chat.Received {
			t.Fatal("bobby has not heard it")
		}
		alice.halt()
		carol.link.set(func(l *link) { l.missing = false })
		bobby.posts(w, 0, "two")
		eventually(t, 9*time.Minute, "the loss is repaired", func() bool {
			return slices.Equal(carol.reads(w, 0), []string{"one", "two"})
		})
		if got := carol.Synced().Communities; len(got) != 1 || got[0].Repairs.PassedOn != 1 || got[0].Received.PassedOn.Count != 1 {
			t.Errorf("counted %+v", got)
		}
		if got := bobby.Synced().Communities; len(got) != 1 || got[0].Sent.PassedOn.Count != 1 {
			t.Errorf("bobby counted %+v", got)
		}
		if m, err := carol.Message(id); err != nil || m.From != alice.key.Public() {
			t.Errorf("it is %+v, %v", m, err)
		}
		hashes := map[[32]byte]bool{}
		for _, p := range n.publications(nil) {
			if hashes[p.Hash] {
				t.Error("an envelope was published twice")
			}
			hashes[p.Hash] = true
		}
	})
}

// Members on a network that loses a fifth, without a store, crash again and
// again: all end with the same messages in the same order, each once. Where
// repairs are lost, too, something may be called lost before it comes.
func TestCommunityCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(14)
		n.noStore = true
		rng := rand.New(rand.NewPCG(14, 2))
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby", "Carol")
		n.mu.Lock()
		n.loss, n.duplication, n.delay = 0.2, 0.1, 2*time.Second
		n.mu.Unlock()
		for i := range 30 {
			all[i%3].posts(w, 0, fmt.Sprint(i))
			pass(time.Duration(rng.Int64N(int64(4 * time.Second))))
			if i%4 == 3 {
				all[rng.IntN(3)].crash()
			}
		}
		eventually(t, time.Hour, "all hear everything", func() bool {
			for _, p := range all {
				if len(p.reads(w, 0)) != 30 || !delivered(p) {
					return false
				}
			}
			return true
		})
		for _, p := range all[1:] {
			if a, b := all[0].reads(w, 0), p.reads(w, 0); !slices.Equal(a, b) {
				t.Errorf("%s has %q, not %q", p.name, b, a)
			}
		}
	})
}

// What nobody hears is sent again, as a new Waku message, until somebody does.
func TestCommunityMessageIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(15)
		n.noStore = true
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby")
		alice, bobby := all[0], all[1]
		bobby.link.set(func(l *link) { l.missing = true })
		id := alice.posts(w, 0, "anybody there?")
		pass(2 * time.Minute)
		if alice.stateOf(id) != chat.Sent {
			t.Errorf("it is %s", alice.stateOf(id))
		}
		bobby.link.set(func(l *link) { l.missing = false })
		eventually(t, 10*time.Minute, "it arrives and is acknowledged", func() bool {
			return len(bobby.reads(w, 0)) == 1 && alice.stateOf(id) == chat.Delivered
		})
		var copies []townTraffic
		for _, x := range w.traffic(n, alice.link) {
			if x.channel.Kind == sds.Content && x.said.ID == id {
				copies = append(copies, x)
			}
		}
		if len(copies) < 3 {
			t.Fatalf("sent %d times", len(copies))
		}
		for i, x := range copies[1:] {
			if x.channel.ID != copies[0].channel.ID || x.Hash == copies[i].Hash || x.Message.GetTimestamp() <= copies[i].Message.GetTimestamp() {
				t.Errorf("copy %d is not a new envelope of the same message", i+1)
			}
		}
	})
}

// A message of which nothing but its name is to be had is told as lost, and what
// waited for it is shown.
func TestCommunityMessageIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(16)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby")
		alice := all[0]
		f := newForger(t, 2, time.Now())
		w.admit(f.key.Public())
		w.settle(alice.Stack, true)
		pass(time.Second)
		first := f.speak(w, sds.Default(), f.inChannel(w, 0, "never sent"))
		lost, _, err := sds.Decode(first)
		f.ok(err)
		if err := alice.Receive(f.toTown(w, f.speak(w, sds.Default(), f.inChannel(w, 0, "refers to it")))); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if got := alice.reads(w, 0); len(got) != 0 {
			t.Fatalf("shown at once: %q", got)
		}
		eventually(t, 15*time.Minute, "it is shown", func() bool { return len(alice.reads(w, 0)) == 1 })
		events := eventsOf(t, alice.Stack, EventCommunityLost)
		want := fmt.Sprintf(`{"community":%q,"messages":1,"authors":[{"key":%q,"public_key":%q}]}`, w.ID(), f.key.Public(), f.key.Public().Hex())
		if len(events) != 1 || string(events[0].Data) != want {
			t.Errorf("events %+v", events)
		}
		if got := alice.Synced().Communities[0].Repairs; got.Lost != 1 {
			t.Errorf("counted %+v", got)
		}
		// It comes after all.
		if err := alice.Receive(f.toTown(w, first)); err != nil {
			t.Fatal(err)
		}
		if got := textsOf(t, alice.Stack, w.channel(0)); !slices.Equal(got, []string{"never sent", "refers to it"}) {
			t.Errorf("%s came late: %q; %v", lost.ID, got, alice.Counters())
		}
	})
}

// Who only reads sends nothing; nor does anybody once they have left.
func TestReadersAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(17)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby")
		alice, bobby := all[0], all[1]
		carol := n.citizen(t, "Carol", 2, SDSStandard)
		w.settle(carol.Stack, false)
		pass(time.Second)
		carol.link.set(func(l *link) { l.missing = true })
		alice.posts(w, 0, "one")
		pass(2 * time.Second)
		carol.link.set(func(l *link) { l.missing = false })
		bobby.posts(w, 0, "two")
		eventually(t, time.Minute, "a reader has losses repaired, too", func() bool {
			return slices.Equal(carol.reads(w, 0), []string{"one", "two"})
		})
		pass(time.Hour)
		if got := w.traffic(n, carol.link); len(got) != 0 {
			t.Errorf("a reader sent %d messages", len(got))
		}
		w.leave(bobby.Stack)
		pass(time.Minute)
		before := len(w.traffic(n, bobby.link))
		alice.posts(w, 0, "three")
		pass(time.Hour)
		if got := w.traffic(n, bobby.link); len(got) != before {
			t.Errorf("who has left sent %d messages", len(got)-before)
		}
		if len(bobby.reads(w, 0)) != 2 {
			t.Errorf("who has left hears %q", bobby.reads(w, 0))
		}
		left := 0
		for k := range content(t, bobby.db) {
			if k == "mark/"+channelMarks+w.ID() || len(k) > 10 && k[:9] == "core/sds/" {
				left++
			}
		}
		if left != 0 {
			t.Errorf("%d records of the channel are left", left)
		}
	})
}

// Where the network has no SDS there is none of it: no wrapping and no message
// that nobody wrote. What comes wrapped is read all the same.
func TestCommunityWithoutSDS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(18)
		w, all := n.citizens(t, SDSNone, "Alice", "Bobby")
		alice, bobby := all[0], all[1]
		alice.posts(w, 0, "one")
		bobby.posts(w, 1, "two")
		alice.announceTown(w)
		pass(2 * time.Hour)
		if got := w.traffic(n, nil); len(got) != 3 {
			t.Errorf("%d messages", len(got))
		}
		for _, x := range w.traffic(n, nil) {
			if x.channel != nil {
				t.Errorf("%s is wrapped", message.Name(x.said.Type))
			}
		}
		if !slices.Equal(bobby.reads(w, 0), []string{"one"}) || !slices.Equal(alice.reads(w, 1), []string{"two"}) {
			t.Errorf("they hear %q and %q", bobby.reads(w, 0), alice.reads(w, 1))
		}
		if got := alice.Synced().Communities; len(got) != 0 {
			t.Errorf("counted %+v", got)
		}
	})
}

// Who comes later has the history from the store as it is, without waiting for
// what came before it, and from then on what the others have.
func TestNewMemberOfACommunity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(19)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby")
		for i := range 6 {
			all[i%2].posts(w, 0, fmt.Sprint(i))
			pass(3 * time.Second)
		}
		n.mu.Lock()
		// Of the history, the store has lost a part.
		for i, e := range n.history {
			if m, said, ours := w.inTown(e); ours && m.Kind == sds.Content && said.Author == all[0].key.Public() {
				n.history = slices.Delete(n.history, i, i+1)
				break
			}
		}
		n.mu.Unlock()
		carol := n.citizen(t, "Carol", 2, SDSStandard)
		w.admit(carol.key.Public())
		for _, p := range append(all, carol) {
			w.settle(p.Stack, true)
		}
		eventually(t, time.Minute, "the history is there", func() bool { return len(carol.reads(w, 0)) == 5 })
		all[0].posts(w, 0, "hello Carol")
		eventually(t, 5*time.Second, "what is said now, too", func() bool { return len(carol.reads(w, 0)) == 6 })
		pass(time.Hour)
		if got := eventsOf(t, carol.Stack, EventCommunityLost); len(got) != 0 {
			t.Errorf("told as lost: %+v", got)
		}
	})
}

// Alone in a community, nothing fails because nobody acknowledges it.
func TestAloneInACommunity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(20)
		w, all := n.citizens(t, SDSStandard, "Alice")
		id := all[0].posts(w, 0, "echo")
		pass(30 * time.Hour)
		if got := all[0].stateOf(id); got != chat.Sent {
			t.Errorf("it is %s", got)
		}
		// With others who stay away it does.
		w.admit(identity(t, 1).Public())
		w.settle(all[0].Stack, true)
		id = all[0].posts(w, 0, "hello?")
		eventually(t, 30*time.Hour, "it fails", func() bool { return all[0].stateOf(id) == chat.Failed })
	})
}

// The participants of a channel are those of the description, and the number of
// response groups follows it.
func TestResponseGroupsFollowMembership(t *testing.T) {
	t.Parallel()
	w := newTown(t, 201, identity(t, 0).Public(), time.Now())
	s, _ := resident(t, 0, SDSStandard, w)
	groups := func() int { return s.following(w.Key).channel.Config.Repair.Groups }
	if groups() != 1 {
		t.Errorf("%d groups of one member", groups())
	}
	var many []key.Public
	for i := range 128 {
		k, err := key.PrivateFromBytes(append(make([]byte, 30), 1, byte(i+1)))
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, k.Public())
	}
	w.admit(many[:126]...)
	w.settle(s, true)
	if groups() != 1 {
		t.Errorf("%d groups of 127 members", groups())
	}
	w.admit(many[126:]...)
	w.settle(s, true)
	if groups() != 2 {
		t.Errorf("%d groups of 129 members", groups())
	}
}
