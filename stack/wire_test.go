package stack

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// say sends a message of a type to somebody, past all features.
func (p *person) say(typ message.Type, kind message.ChatKind, body proto.Message, to *person) message.ID {
	p.t.Helper()
	var id message.ID
	err := p.update(func(t *step) (err error) {
		raw, err := message.Encode(body)
		if err != nil {
			return err
		}
		m := outgoing{kind: kind, typ: typ, body: raw}
		if to != nil {
			m.to = []key.Public{to.key.Public()}
		}
		id, err = p.Stack.send(t, m)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// secret is what two people have negotiated.
func (p *person) secret(with *person) (secret [32]byte, ok bool) {
	p.t.Helper()
	err := p.db.View(func(tx *storage.Tx) error {
		all, err := p.session.Secrets(tx.Core("session"))
		for _, n := range all {
			if n.Peer == with.key.Public() {
				secret, ok = n.Secret, true
			}
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return secret, ok
}

func (p *person) negotiated(with *person) string {
	p.t.Helper()
	secret, ok := p.secret(with)
	if !ok {
		p.t.Fatalf("%s has no secret with %s", p.name, with.name)
	}
	return topic.NegotiatedName(secret)
}

func contactCode(p *person) string { return topic.Content(topic.ContactCodeName(p.key.Public())) }
func partition(p *person) string   { return topic.Content(topic.PartitionedName(p.key.Public())) }

// open opens a payload as one of the people could.
func (n *network) open(t *testing.T, e Envelope, people ...*person) (*payload.Opened, string) {
	t.Helper()
	for _, p := range people {
		names := []string{topic.ContactCodeName(p.key.Public())}
		for _, other := range people {
			if secret, ok := p.secret(other); ok {
				names = append(names, topic.NegotiatedName(secret))
			}
		}
		for _, name := range names {
			if topic.Content(name) != e.Message.GetContentTopic() {
				continue
			}
			if opened, err := payload.OpenSymmetric(e.Message.GetPayload(), n.keys.Key(name)); err == nil {
				return opened, name
			}
		}
		for _, name := range []string{topic.PartitionedName(p.key.Public()), topic.PersonalName(p.key.Public())} {
			if topic.Content(name) != e.Message.GetContentTopic() {
				continue
			}
			if opened, err := payload.OpenAsymmetric(e.Message.GetPayload(), p.key); err == nil {
				return opened, name
			}
		}
	}
	t.Fatalf("nobody can open a message on %s", e.Message.GetContentTopic())
	return nil, ""
}

// Everything that two people and their presence put on the network has the
// fields that the specification asks for.
//
// Proves: SP-19, SP-23, SP-30, SP-31, SP-32, SP-33, SP-34, SP-35.
func TestWakuMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(10)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		alice.send(bobby, "hello")
		bobby.send(alice, "hi")
		pass(7 * time.Minute)
		status := func(typ apppb.StatusUpdate_StatusType) *apppb.StatusUpdate {
			return &apppb.StatusUpdate{Clock: uint64(time.Now().Unix()), StatusType: typ}
		}
		synctest.Wait()
		before := len(n.publications(nil))
		alice.say(apppb.ApplicationMetadataMessage_STATUS_UPDATE, message.NoChat, status(apppb.StatusUpdate_AUTOMATIC), nil)
		synctest.Wait()
		afterAutomatic := len(n.publications(nil))
		alice.say(apppb.ApplicationMetadataMessage_STATUS_UPDATE, message.NoChat, status(apppb.StatusUpdate_ALWAYS_ONLINE), nil)
		synctest.Wait()
		all := n.publications(nil)
		if afterAutomatic != before+1 || len(all) != before+2 {
			t.Fatalf("two status updates made %d messages", len(all)-before)
		}
		for i, p := range all {
			m := p.Message
			if m.Version == nil || *m.Version != 1 {
				t.Errorf("message %d has version %v", i, m.Version)
			}
			if at := time.Unix(0, m.GetTimestamp()); !at.Equal(p.at) {
				t.Errorf("message %d of %v says %v", i, p.at, at)
			}
			if want := i == before; m.GetEphemeral() != want {
				t.Errorf("message %d: ephemeral is %v", i, m.GetEphemeral())
			}
			opened, _ := n.open(t, p.Envelope, alice, bobby)
			by := alice
			if p.by == bobby.link {
				by = bobby
			}
			if opened.Signer != by.key.Public() {
				t.Errorf("message %d is not signed by who published it", i)
			}
			if p.light {
				t.Errorf("message %d was pushed", i)
			}
			if p.PubsubTopic != topic.Pubsub(16, 768) && p.PubsubTopic != topic.Pubsub(16, 896) {
				t.Errorf("message %d on %s", i, p.PubsubTopic)
			}
		}
		if len(n.history) != len(all)-1 {
			t.Errorf("the store has %d of %d", len(n.history), len(all))
		}
	})
}

// The layers of a chat message, taken off one by one as its recipient does:
// Waku payload, encryption, MVDS, signed message. The acknowledgement makes it
// delivered.
//
// Proves: SP-25, SP-31.
func TestLayersOfAMessage(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	sent, err := s.SendText(f.key.Public(), "layers", "")
	if err != nil {
		t.Fatal(err)
	}
	all := drain(t, s)
	if len(all) != 1 {
		t.Fatalf("%d envelopes", len(all))
	}
	opened, err := payload.OpenAsymmetric(all[0].Message.GetPayload(), f.key)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := f.session.Open(f.st, f.now, f.rand, s.Self(), opened.Payload)
	if err != nil || inner.Public {
		t.Fatal(inner, err)
	}
	p, err := mvds.Decode(inner.Payload)
	if err != nil || len(p.Messages) != 1 {
		t.Fatal(p, err)
	}
	m, err := message.Open(p.Messages[0].Body, opened.Signer)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID != sent.ID || m.Author != s.Self() || m.Type != apppb.ApplicationMetadataMessage_CHAT_MESSAGE || !m.Signed {
		t.Errorf("%+v is not what was sent", m)
	}
	ack := &mvds.Payload{Acks: []mvds.MessageID{p.Messages[0].ID()}}
	hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), ack.Encode())))
	if got, err := s.Message(sent.ID); err != nil || got.State != chat.Delivered {
		t.Errorf("after the acknowledgement: %+v, %v", got, err)
	}
	// Somebody else's acknowledgement means nothing.
	second, err := s.SendText(f.key.Public(), "second", "")
	if err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	other := newForger(t, 2, clock.at)
	for _, id := range mvdsIDs(t, s) {
		hand(t, s, other.mail(s.Self(), other.encrypt(s.Self(), (&mvds.Payload{Acks: []mvds.MessageID{id}}).Encode())))
	}
	if got, err := s.Message(second.ID); err != nil || got.State == chat.Delivered {
		t.Errorf("a stranger acknowledged: %+v, %v", got, err)
	}
}

// mvdsIDs lists what waits for an acknowledgement.
func mvdsIDs(t testing.TB, s *Stack) (ids []mvds.MessageID) {
	for k := range content(t, s.db) {
		if id, ok := strings.CutPrefix(k, "ref/"); ok {
			ids = append(ids, mvds.MessageID([]byte(id)))
		}
	}
	if len(ids) == 0 {
		t.Fatal("nothing waits for an acknowledgement")
	}
	return ids
}

// The first message goes to the recipient's partition; once both have heard
// each other, everything goes to the topic that they negotiated, in both
// directions (54/WAKU2-X3DH-SESSIONS, Negotiated topic).
//
// Proves: SP-17.
func TestTopicSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(11)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		topics := func(by *person) (all []string) {
			for _, p := range n.publications(by.link) {
				if c := p.Message.GetContentTopic(); c != contactCode(by) {
					all = append(all, c)
				}
			}
			return all
		}
		alice.send(bobby, "first")
		synctest.Wait()
		if got := topics(alice); len(got) == 0 || got[0] != partition(bobby) {
			t.Fatalf("the first message is on %v, not %s", got, partition(bobby))
		}
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })
		bobby.send(alice, "answer")
		eventually(t, time.Minute, "delivered", func() bool { return delivered(bobby) })
		if alice.negotiated(bobby) != bobby.negotiated(alice) {
			t.Fatal("they negotiated different topics")
		}
		common := topic.Content(alice.negotiated(bobby))
		if got := topics(bobby); len(got) == 0 || slices.ContainsFunc(got, func(c string) bool { return c != common }) {
			t.Errorf("who was written to answers on %v, not %s", got, common)
		}
		before := len(topics(alice))
		for range 3 {
			alice.send(bobby, "later")
			pass(time.Second)
			bobby.send(alice, "later")
			pass(time.Second)
		}
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) && delivered(bobby) })
		if got := topics(alice)[before:]; len(got) == 0 || slices.ContainsFunc(got, func(c string) bool { return c != common }) {
			t.Errorf("later messages are on %v, not %s", got, common)
		}
	})
}

// The contact code is published at the start, every six hours, and when
// somebody is added, and at no other time.
func TestContactCodeSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(12)
		begin := time.Now()
		alice := n.person(t, "Alice", 0)
		published := func() (all []time.Duration) {
			for _, p := range n.publications(nil) {
				if p.Message.GetContentTopic() == contactCode(alice) {
					all = append(all, p.at.Sub(begin).Round(time.Microsecond))
				}
			}
			return all
		}
		pass(13*time.Hour + time.Second)
		if got, want := published(), []time.Duration{0, 6 * time.Hour, 12 * time.Hour}; !slices.Equal(got, want) {
			t.Fatalf("published after %v, not %v", got, want)
		}
		if _, err := alice.AddContact(identity(t, 1).Public(), "hello"); err != nil {
			t.Fatal(err)
		}
		pass(5*time.Hour + 59*time.Minute)
		added := 13*time.Hour + time.Second
		if got := published()[3:]; !slices.Equal(got, []time.Duration{added}) {
			t.Fatalf("published after %v, not when somebody was added", got)
		}
		pass(4 * time.Minute)
		if got := published()[4:]; len(got) != 1 || got[0] < added+6*time.Hour || got[0] > added+6*time.Hour+tickInterval {
			t.Fatalf("published after %v, not six hours later", got)
		}
		alice.halt()
		pass(time.Minute)
		alice.start()
		restarted := time.Since(begin)
		pass(time.Minute)
		if got := published()[5:]; !slices.Equal(got, []time.Duration{restarted}) {
			t.Fatalf("published after %v, not at the start after %v", got, restarted)
		}
	})
}

// Messages to oneself are pushed, to the local shard alone, which nobody
// subscribes to; the other device finds them by query, and acknowledges in the
// same way.
//
// Proves: SP-12, SP-56, SP-64, SP-72, SP-78, SP-79, SP-80, SP-81.
func TestSelfAddressedMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(13)
		phone := n.person(t, "Alice", 0)
		pass(time.Minute)
		var mu sync.Mutex
		var got []message.Type
		body := &apppb.StatusUpdate{Clock: 1, CustomText: "anything"}
		arrived := func() []message.Type {
			mu.Lock()
			defer mu.Unlock()
			return slices.Sorted(slices.Values(got))
		}
		laptop := n.device(t, "Alice", 0, "laptop")
		laptop.halt()
		laptop.config = func(c *Config) {
			c.OnDecoded = func(d Decoded) {
				// The devices say to each other what they are called, too.
				said, err := message.Encode(body)
				if err == nil && d.Author == laptop.key.Public() && bytes.Equal(d.Payload, said) {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, d.Type)
				}
			}
		}
		laptop.start()
		pass(time.Minute)
		pair(t, phone, laptop)
		synctest.Wait()
		before := len(n.publications(nil))
		types := []message.Type{
			apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION,
			apppb.ApplicationMetadataMessage_SYNC_SETTING,
			apppb.ApplicationMetadataMessage_BACKUP,
		}
		for _, typ := range types {
			phone.say(typ, message.NoChat, body, phone)
			pass(time.Second)
		}
		synctest.Wait()
		if early := arrived(); len(early) > 0 {
			t.Errorf("%v arrived without a query", early)
		}
		eventually(t, 12*time.Minute, "they arrive", func() bool { return len(arrived()) == len(types) })
		slices.Sort(types)
		if !slices.Equal(arrived(), types) {
			t.Errorf("%v arrived, not %v", arrived(), types)
		}
		eventually(t, 25*time.Minute, "acknowledged", func() bool { return len(refs(t, phone)) == 0 })
		var local int
		for _, p := range n.publications(nil)[before:] {
			c := p.Message.GetContentTopic()
			if c == contactCode(phone) {
				continue
			}
			local++
			if !p.light || p.PubsubTopic != topic.Pubsub(16, 960) {
				t.Errorf("a message to oneself on %s of %s, pushed: %v", c, p.PubsubTopic, p.light)
			}
		}
		if local < len(types)+1 {
			t.Errorf("%d messages on the local shard", local)
		}
		for _, d := range []*person{phone, laptop} {
			d.link.set(func(l *link) {
				if _, ok := l.want[topic.Pubsub(16, 960)]; ok || len(l.want) != 2 {
					t.Errorf("subscribed to %v", l.want)
				}
				for _, q := range l.queries {
					if q.PubsubTopic == topic.Pubsub(16, 960) && q.IncludeData {
						return
					}
				}
				t.Error("the local shard was never queried")
			})
		}
	})
}

func refs(t *testing.T, p *person) (all []string) {
	for k := range content(t, p.db) {
		if _, ok := strings.CutPrefix(k, "ref/"); ok {
			all = append(all, k)
		}
	}
	return all
}

// pair makes two devices of an account trust each other. They have seen each
// other's contact code.
func pair(t *testing.T, a, b *person) {
	t.Helper()
	synctest.Wait()
	for _, d := range [][2]*person{{a, b}, {b, a}} {
		err := d[0].update(func(t *step) error {
			return d[0].session.SetEnabled(t.Core("session"), d[1].key.Public(), d[1].installation, true)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
