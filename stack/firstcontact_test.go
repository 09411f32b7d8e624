package stack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/share"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// What people must know of each other before they talk, and what happens when
// they know less.

// A code that was shown or a link that was handed over says who somebody is;
// the rest is on the network: the two talk although they are never there at the
// same time, whether the one who is asked has published a bundle or not.
//
// Proves: AP-002.
func TestChatBeginsOffline(t *testing.T) {
	for name, published := range map[string]bool{"with a bundle": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(130)
				bobby := n.person(t, "Bobby", 1)
				if published {
					pass(time.Minute)
				}
				bobby.halt()
				if !published {
					n.mu.Lock()
					n.history = nil
					n.mu.Unlock()
				}
				link := (&share.URL{Kind: share.User, Key: bobby.key.Public()}).String()

				alice := n.person(t, "Alice", 0)
				shown, err := share.Parse(link)
				if err != nil || shown.Key != bobby.key.Public() {
					t.Fatalf("%s: %+v, %v", link, shown, err)
				}
				if _, err := alice.AddContact(shown.Key, "hello"); err != nil {
					t.Fatal(err)
				}
				pass(time.Minute)
				alice.send(bobby, "are you there?")
				pass(time.Minute)
				alice.halt()

				pass(24 * time.Hour)
				bobby.start()
				eventually(t, time.Hour, "the request is found", func() bool { return state(bobby, alice) == contact.StateReceived })
				if _, err := bobby.AcceptContact(alice.key.Public()); err != nil {
					t.Fatal(err)
				}
				bobby.send(alice, "I was away")
				pass(time.Minute)
				bobby.halt()

				pass(24 * time.Hour)
				alice.start()
				eventually(t, time.Hour, "the answer is found", func() bool { return state(alice, bobby) == contact.StateMutual })
				pass(time.Minute)
				for _, p := range []*person{alice, bobby} {
					var texts []string
					for _, text := range p.texts() {
						texts = append(texts, strings.SplitN(text, " ", 2)[1])
					}
					slices.Sort(texts)
					if !slices.Equal(texts, []string{"I was away", "are you there?", "hello"}) {
						t.Errorf("%s has %q", p.name, texts)
					}
				}
			})
		})
	}
}

// What others need to write to somebody is there for all who have the key: the
// bundle, signed anew each time, with another pre key after a day.
//
// Proves: AP-211.
func TestBundleBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(131)
		alice := n.person(t, "Alice", 0)
		pass(49*time.Hour + time.Minute)
		type prekey struct {
			version uint32
			key     string
		}
		var seen []prekey
		begin, signedAt := int64(0), int64(0)
		for _, p := range n.publications(alice.link) {
			if p.Message.GetContentTopic() != contactCode(alice) {
				continue
			}
			opened, err := payload.OpenSymmetric(p.Message.GetPayload(), n.keys.Key(topic.ContactCodeName(alice.key.Public())))
			if err != nil || opened.Signer != alice.key.Public() {
				t.Fatalf("by %v: %v", opened, err)
			}
			m := new(encryptionpb.ProtocolMessage)
			if err := proto.Unmarshal(opened.Payload, m); err != nil || len(m.Bundles) != 1 {
				t.Fatalf("%d bundles, %v", len(m.GetBundles()), err)
			}
			b := m.Bundles[0]
			its := b.SignedPreKeys[alice.installation]
			if its == nil || len(b.SignedPreKeys) != 1 || !bytes.Equal(b.Identity, compressed(alice.key.Public())) {
				t.Fatalf("bundle %v", b)
			}
			if b.Timestamp <= signedAt {
				t.Error("not signed anew")
			}
			if signedAt = b.Timestamp; begin == 0 {
				begin = b.Timestamp
			}
			// The bundle is what a stranger needs: whoever has read it can write.
			stranger := newForger(t, 9, time.Now())
			if _, err := stranger.session.ProcessBundle(stranger.st, stranger.now, alice.key.Public(), b); err != nil {
				t.Error(err)
			}
			if one := (prekey{its.Version, string(its.SignedPreKey)}); !slices.Contains(seen, one) {
				seen = append(seen, one)
				if age := time.Duration(b.Timestamp - begin); age < time.Duration(its.Version-1)*24*time.Hour || age > time.Duration(its.Version-1)*30*time.Hour {
					t.Errorf("version %d after %v", its.Version, age)
				}
			}
		}
		if len(seen) != 2 || seen[0].version != 1 || seen[1].version != 2 || seen[0].key == seen[1].key {
			t.Errorf("in two days there were %d pre keys: %v", len(seen), seen)
		}
	})
}

func compressed(pub key.Public) []byte { b := pub.Compressed(); return b[:] }

// A first message of somebody unknown makes a chat that is not shown in the
// list, or none when strangers are not wanted.
//
// Proves: AP-163.
func TestStrangersFirstMessage(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{false, true} {
		s, clock := still(t, 0)
		if err := s.SetContactsOnly(only); err != nil {
			t.Fatal(err)
		}
		f := newForger(t, 1, clock.at)
		counters := s.Counters()
		f.deliver(s, f.chat(s.Self(), "you do not know me", clock.at))
		room, err := s.Chat(chat.OneToOneID(f.key.Public()))
		all, listErr := s.Messages("")
		if listErr != nil {
			t.Fatal(listErr)
		}
		if only {
			if err == nil || len(all) != 0 || !contains(increased(counters, s.Counters()), errStranger.Error()) {
				t.Errorf("a stranger got in: %+v, %v, %v", room, all, s.Counters())
			}
			continue
		}
		if err != nil || room.Active || room.UnreadCount != 1 || len(all) != 1 || all[0].Chat != room.ID {
			t.Errorf("%+v, %v, %v", room, err, all)
		}
	}
}

// A message without a signature is its sender's, as the layer below says, and
// could have been written by whoever received it: so it goes to nobody else,
// whatever is done about it.
//
// Proves: AP-126.
func TestUnsignedStaysHere(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	carol, carolsClock := still(t, 2)
	f.meet(s)
	err := s.db.Update(func(tx *storage.Tx) error {
		for _, pub := range []key.Public{f.key.Public(), carol.Self()} {
			if err := tx.PutContact(contact.Contact{Key: pub, Local: contact.Sent, Remote: contact.Received}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.CreateGroup("three", "", []key.Public{f.key.Public(), carol.Self()})
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(typ message.Type, m proto.Message) []byte {
		body, err := message.Encode(m)
		f.ok(err)
		raw, err := message.Encode(&apppb.ApplicationMetadataMessage{Type: typ, Payload: body})
		f.ok(err)
		return raw
	}
	at := g.Clock() + 1
	first := unsigned(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{
		Clock: at, Timestamp: at, Text: "deniable", ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	})
	second := unsigned(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, f.inGroup(g, "deniable too", at))
	var author []key.Public
	var signed []bool
	s.onDecoded = func(d Decoded) { author, signed = append(author, d.Author), append(signed, d.Signed) }
	f.deliver(s, first, second)
	if who := f.key.Public(); !slices.Equal(author, []key.Public{who, who}) || !slices.Equal(signed, []bool{false, false}) {
		t.Fatalf("authors %v, signed %v", author, signed)
	}
	id := message.NewID(f.key.Public(), second)
	for _, raw := range [][]byte{first, second} {
		if m, err := s.Message(message.NewID(f.key.Public(), raw)); err != nil || m.From != f.key.Public() {
			t.Fatalf("%+v, %v; %v", m, err, s.Counters())
		}
	}

	// Everything that makes something go out to the group.
	var heard []message.Type
	carol.onDecoded = func(d Decoded) {
		heard = append(heard, d.Type)
		if d.Author != s.Self() || !d.Signed || bytes.Contains(d.Raw, []byte("deniable")) {
			t.Errorf("%s of %v went on", message.Name(d.Type), d.Author)
		}
	}
	act := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	act(s.Say(g.ID, Content{Text: "what do you mean?", ReplyTo: id.String()}))
	act(s.React(id, "👍", false))
	act(s.Pin(id, true))
	act(s.RenameGroup(g.ID, "still three"))
	act(s.RemoveMember(g.ID, f.key.Public()))
	for range 20 {
		clock.advance(time.Minute)
		carolsClock.advance(time.Minute)
		for _, one := range []*Stack{s, carol} {
			act(nil, one.update(func(t *step) error { t.flush = true; return one.advertise(t) }))
		}
		hand(t, carol, drain(t, s)...)
		hand(t, s, drain(t, carol)...)
	}
	for _, typ := range []message.Type{
		apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, apppb.ApplicationMetadataMessage_EMOJI_REACTION,
		apppb.ApplicationMetadataMessage_PIN_MESSAGE, apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT,
	} {
		if !slices.Contains(heard, typ) {
			t.Errorf("carol has heard %v only: %v", heard, carol.Counters())
		}
	}
}
