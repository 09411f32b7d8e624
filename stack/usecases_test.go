package stack

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// useCase is a reason to listen: what is subscribed to and fetched together,
// because whoever has the reason wants all of it.
type useCase struct {
	what string
	// name is what its content topic is derived from.
	name string
	// heard are the pubsub topics on which it is subscribed to, asked those on
	// which there is only history of it.
	heard, asked []string
}

// Where use cases of each kind are heard and asked, on the network of the
// tests: large messages have a shard for themselves, local scope another.
var (
	onGlobal = pubsub(specified().GlobalContent[0], specified().GlobalControl[0])
	onLocal  = pubsub(specified().Local[0])
	onLarge  = pubsub(specified().Large[0])

	onCommunityControl = pubsub(specified().CommunityControl[0])
	onCommunityContent = pubsub(specified().CommunityContent[0])
)

// alone are the use cases of whoever has an account: to be written to by
// strangers and devices that have no session yet, to be told something that is
// kept for them alone, and to hear of their own other devices.
func alone(p *person) []useCase {
	self := p.key.Public()
	return []useCase{
		{"first messages", topic.PartitionedName(self), onGlobal, slices.Concat(onLocal, onLarge)},
		{"what is kept for me alone", topic.PersonalName(self), nil, onLocal},
		{"who I am", topic.ContactCodeName(self), onGlobal, onLarge},
	}
}

// whoIs is to know who somebody is, whether they are there, and their devices.
func whoIs(other byte) func(p *person) useCase {
	return func(p *person) useCase {
		return useCase{"who another is", topic.ContactCodeName(identity(p.t, other).Public()), onGlobal, onLarge}
	}
}

// hearing is to hear somebody whom we have written to or heard before: what they
// say to us, and in the groups that we share.
func hearing(other byte) func(p *person) useCase {
	return func(p *person) useCase {
		return useCase{"what another says", negotiatedName(p, other), onGlobal, onLarge}
	}
}

// ownDevices is the same between devices of one account.
func ownDevices(p *person) useCase {
	secret, err := p.key.ECDH(p.key.Public())
	if err != nil {
		p.t.Fatal(err)
	}
	return useCase{"what my devices say", topic.NegotiatedName(secret), onGlobal, slices.Concat(onLocal, onLarge)}
}

func negotiatedName(p *person, other byte) string {
	secret, err := p.key.ECDH(identity(p.t, other).Public())
	if err != nil {
		p.t.Fatal(err)
	}
	return topic.NegotiatedName(secret)
}

// follows are the use cases of whoever follows a community: what it is, what all
// its members say, what older clients say in each of its channels, and the
// answers to us alone, which come where first messages do.
func follows(w *town) (all []func(p *person) useCase) {
	add := func(c useCase) { all = append(all, func(*person) useCase { return c }) }
	add(useCase{"what a community is", topic.CommunityName(w.Key), onCommunityControl, onLarge})
	add(useCase{"what is said in a community", topic.UniversalName(w.Key), slices.Concat(onCommunityControl, onCommunityContent), onLarge})
	for _, ch := range w.Description.Channels {
		add(useCase{"what is said in a channel", topic.ChannelName(w.Key, ch.UUID), onCommunityContent, onLarge})
	}
	return append(all, func(p *person) useCase {
		return useCase{"first messages", topic.PartitionedName(p.key.Public()), onCommunityControl, nil}
	})
}

// listensFor checks that a person listens to what their use cases ask for, to all
// of it and to nothing else, and that they fetch the history of just that when
// they come back. Each use case has one content topic, and each content topic
// one use case.
func (p *person) listensFor(when string, further ...func(p *person) useCase) {
	p.t.Helper()
	cases := alone(p)
	for _, f := range further {
		c := f(p)
		// The same in another place is no other use case.
		if i := slices.IndexFunc(cases, func(o useCase) bool { return o.what == c.what && o.name == c.name }); i >= 0 {
			all := slices.Concat(cases[i].heard, c.heard)
			slices.Sort(all)
			cases[i].heard = slices.Compact(all)
			continue
		}
		cases = append(cases, c)
	}
	heard, asked := map[string][]string{}, map[string][]string{}
	topics := map[string]string{}
	for _, c := range cases {
		name := topic.Content(c.name)
		if other, ok := topics[name]; ok {
			p.t.Fatalf("%s: %q and %q share a topic", when, c.what, other)
		}
		topics[name] = c.what
		for _, at := range c.heard {
			heard[at] = append(heard[at], name)
		}
		for _, at := range slices.Concat(c.heard, c.asked) {
			asked[at] = append(asked[at], name)
		}
	}
	same := func(what string, got, want map[string][]string) {
		p.t.Helper()
		for _, at := range slices.Sorted(maps.Keys(got)) {
			if want[at] == nil {
				p.t.Errorf("%s: %s on %s, which is for nothing", when, what, at)
			}
		}
		for _, at := range slices.Sorted(maps.Keys(want)) {
			for _, name := range want[at] {
				if !slices.Contains(got[at], name) {
					p.t.Errorf("%s: not %s on %s: %s", when, what, at, topics[name])
				}
			}
			for _, name := range got[at] {
				if !slices.Contains(want[at], name) {
					p.t.Errorf("%s: %s on %s: %s, which is for nothing", when, what, at, name)
				}
			}
			if len(got[at]) != len(want[at]) {
				p.t.Errorf("%s: %s on %s: %d topics for %d use cases", when, what, at, len(got[at]), len(want[at]))
			}
		}
	}
	pass(time.Minute)
	p.link.mu.Lock()
	want := p.link.want
	p.link.mu.Unlock()
	same("subscribed to", want, heard)

	p.crash()
	pass(time.Minute)
	queried := map[string][]string{}
	p.link.mu.Lock()
	want = p.link.want
	for _, q := range p.link.queries {
		queried[q.PubsubTopic] = append(queried[q.PubsubTopic], q.ContentTopics...)
	}
	p.link.mu.Unlock()
	delete(queried, "") // by hash
	for at, names := range queried {
		slices.Sort(names)
		queried[at] = slices.Compact(names)
	}
	same("asked for history", queried, asked)
	same("subscribed to again", want, heard)
}

// An account listens to what it needs to be there at all, and to what its
// functions need, from when they are wanted until they are not. Nothing that
// anybody publishes is outside of what somebody listens to.
//
// Proves: SP-14, SP-16, SP-50.
func TestUseCases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(150)
		alice := n.person(t, "Alice", 0)
		const bobbys, carols = 1, 2
		alice.listensFor("a new account")

		if _, err := alice.AddContact(identity(t, bobbys).Public(), "hello"); err != nil {
			t.Fatal(err)
		}
		alice.listensFor("asked somebody who is not there", whoIs(bobbys), hearing(bobbys))
		if _, err := alice.RemoveContact(identity(t, bobbys).Public()); err != nil {
			t.Fatal(err)
		}
		alice.listensFor("no contact any more, and a chat all the same", whoIs(bobbys), hearing(bobbys))
		if _, err := alice.DeleteChat(chat.OneToOneID(identity(t, bobbys).Public())); err != nil {
			t.Fatal(err)
		}
		// They may have heard of it, and answer where only we listen.
		alice.listensFor("nothing to do with each other", hearing(bobbys))
		bobby, carol := n.person(t, "Bobby", bobbys), n.person(t, "Carol", carols)
		befriend(t, alice, bobby)
		alice.listensFor("a contact", whoIs(bobbys), hearing(bobbys))

		befriend(t, bobby, carol)
		g, err := bobby.CreateGroup("the circle", "#112233", keysOf(alice, carol))
		if err != nil {
			t.Fatal(err)
		}
		joined(t, g.ID, alice, bobby, carol)
		carol.says(g.ID, "hello")
		said := alice.says(g.ID, "hello")
		settle(t, alice, bobby, carol)
		alice.listensFor("in a group with a stranger", whoIs(bobbys), hearing(bobbys), whoIs(carols), hearing(carols))

		if _, err := carol.LeaveGroup(g.ID); err != nil {
			t.Fatal(err)
		}
		settle(t, alice, bobby, carol)
		// What they say is heard as long as the session is there.
		alice.listensFor("the stranger has left", whoIs(bobbys), hearing(bobbys), hearing(carols))

		if _, err := alice.BlockContact(bobby.key.Public()); err != nil {
			t.Fatal(err)
		}
		// What happens to the group comes by the session.
		alice.listensFor("the contact is blocked", hearing(bobbys), hearing(carols))
		if _, err := alice.UnblockContact(bobby.key.Public()); err != nil {
			t.Fatal(err)
		}
		alice.listensFor("unblocked", whoIs(bobbys), hearing(bobbys), hearing(carols))

		tablet := n.device(t, "Alice", 0, "tablet")
		eventually(t, time.Minute, "the devices know each other", func() bool { return alice.pair("tablet") && tablet.pair(alice.installation) })
		if err := alice.DeleteMessageForMe(said.ID); err != nil {
			t.Fatal(err)
		}
		alice.listensFor("another device", whoIs(bobbys), hearing(bobbys), hearing(carols), ownDevices)

		names := map[string]bool{}
		for _, p := range []*person{alice, bobby, carol} {
			for _, c := range alone(p) {
				names[topic.Content(c.name)] = true
			}
			for other := range byte(3) {
				names[topic.Content(negotiatedName(p, other))] = true
			}
		}
		all := n.publications(nil)
		for _, e := range all {
			if name := e.Message.GetContentTopic(); !names[name] {
				t.Errorf("%s is published on %s, and nobody has a use for it", name, e.PubsubTopic)
			}
		}
		if len(all) == 0 {
			t.Error("nothing was published")
		}
	})
}

// A community is listened to from when it is followed until it is not, on its
// shards and nowhere else; a channel as long as it is there. Its control node
// hears requests besides.
//
// Proves: SP-14, SP-16, SP-50.
func TestUseCasesOfCommunities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(154)
		olga, alice := n.citizen(t, "Olga", 1, SDSStandard), n.citizen(t, "Alice", 0, SDSStandard)
		w := newTown(t, 200, olga.key.Public(), time.Now(), alice.key.Public())
		alice.listensFor("no community")
		w.settle(alice.Stack, false)
		alice.listensFor("a community is followed", follows(w)...)
		w.settle(alice.Stack, true)
		alice.listensFor("a community is joined", follows(w)...)
		other := newTown(t, 201, olga.key.Public(), time.Now())
		other.settle(alice.Stack, false)
		alice.listensFor("two communities", slices.Concat(follows(w), follows(other))...)
		other.leave(alice.Stack)
		alice.listensFor("one is left", follows(w)...)
		var err error
		w.Community, err = w.DeleteChannel(w.by, w.Description.Channels[0].UUID)
		w.ok(err)
		w.settle(alice.Stack, true)
		alice.listensFor("a channel is deleted", follows(w)...)
		w.leave(alice.Stack)
		alice.listensFor("none is left")

		w.ok(olga.update(func(t *step) error {
			return storage.PutRecord(t.Tx, storage.CommunityKeys, w.Key.CompressedHex(), w.by.Key.Bytes())
		}))
		w.settle(olga.Stack, true)
		olga.listensFor("the control node", append(follows(w), func(*person) useCase {
			return useCase{"what a control node is asked", topic.ControlName(w.Key), onCommunityControl, onLarge}
		})...)
	})
}
