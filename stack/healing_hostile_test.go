package stack

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/crypto/ecies"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/encryption/session"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	wakupb "github.com/parley-im/parley/pb/waku"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// outlay is what a stack has spent on healing: how its bundle's pre key goes on,
// the envelopes that wait to go out, and the events of sessions.
type outlay struct {
	adverts, renewals, events, breaks int
}

func (o *outlay) look(t *testing.T, s *Stack, last *string) {
	t.Helper()
	o.adverts += len(drain(t, s))
	own := content(t, s.db)["core/session/o/renewed"]
	if own != *last {
		o.renewals++
		*last = own
	}
	o.events = 0
	for _, kind := range []string{EventSessionBroken, EventSessionHealed, EventUndecryptable} {
		o.events += len(eventsOf(t, s, kind))
	}
	o.breaks = 0
	for k := range content(t, s.db) {
		if strings.HasPrefix(k, "core/session/h/") {
			o.breaks++
		}
	}
}

// again makes another envelope of the same payload, as anybody can.
func again(e Envelope, n int) Envelope {
	m := proto.Clone(e.Message).(*wakupb.WakuMessage)
	at := m.GetTimestamp() + int64(n)
	m.Timestamp = &at
	return Envelope{PubsubTopic: e.PubsubTopic, Message: m, Hash: wakumessage.HashOf(e.PubsubTopic, m)}
}

// Whoever listens can repeat every envelope under other names, now and days
// later: nothing comes of it.
func TestRepeatedEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(320)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		converse(alice, bobby, "before", 5)
		settle(t, alice, bobby)
		flood := func() {
			before, sent := len(eventsOf(t, bobby.Stack, EventUndecryptable)), n.between(bobby, time.Time{})
			for i := range 20 {
				for _, p := range n.publications(alice.link) {
					hand(t, bobby.Stack, again(p.Envelope, i+1))
				}
			}
			synctest.Wait()
			if all, err := bobby.Sessions(); err != nil || len(all) != 0 {
				t.Errorf("sessions %+v, %v", all, err)
			}
			if news := len(eventsOf(t, bobby.Stack, EventUndecryptable)) - before; news > 1 {
				t.Errorf("%d events", news)
			}
			// Messages in DH form open again; they are acknowledged, once in an epoch.
			if out := n.between(bobby, time.Time{}) - sent; out > 1 {
				t.Errorf("%d envelopes go out", out)
			}
		}
		flood()
		pass(20 * time.Minute)
		flood()
		pass(72 * time.Hour)
		flood()
		saidA, saidB := converse(alice, bobby, "after", 3)
		settle(t, alice, bobby)
		heardOnce(t, bobby, alice, saidA...)
		heardOnce(t, alice, bobby, saidB...)
		if said := alice.sessionsSaid() + bobby.sessionsSaid(); said != "" {
			t.Error(said)
		}
	})
}

// passOn opens the Waku encryption of an envelope on a topic of two and seals the
// content, with its author's signature, to another.
func passOn(t *testing.T, e Envelope, topicKey [32]byte, to key.Public) Envelope {
	t.Helper()
	block, err := aes.NewCipher(topicKey[:])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	data := e.Message.GetPayload()
	framed, err := aead.Open(nil, data[len(data)-12:], data[:len(data)-12], nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := crypto.UnmarshalPubkey(to.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ecies.Encrypt(rand.Reader, ecies.ImportECDSAPublic(other), framed, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := wakumessage.New(sealed, topic.Content(topic.PartitionedName(to)), time.Now(), false)
	return Envelope{PubsubTopic: e.PubsubTopic, Message: m, Hash: wakumessage.HashOf(e.PubsubTopic, m)}
}

// Mallory is written to by Alice, and says that her device has the name of
// Bobby's. What Alice signs for her she passes on to Bobby, for whom it looks as
// if Alice had lost her state. While Alice and Bobby talk nothing comes of it;
// when they do not, at most a new session, which loses nothing, and less and less
// often.
func TestPassedOnFrames(t *testing.T) {
	for _, talking := range []bool{true, false} {
		t.Run(fmt.Sprint("talking ", talking), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(321)
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				converse(alice, bobby, "before", 3)
				settle(t, alice, bobby)
				mallory := newForger(t, 5, time.Now())
				mallory.session.InstallationID = bobby.installation
				secret, err := mallory.key.ECDH(alice.key.Public())
				if err != nil {
					t.Fatal(err)
				}
				name := topic.NegotiatedName(secret)
				begin, passed := time.Now(), 0
				var saidA, saidB []string
				for hour := range 48 {
					mallory.now = time.Now()
					// Alice writes to her in a session that she makes: she has Mallory's
					// bundle from what Mallory writes.
					hand(t, alice.Stack, mallory.mail(alice.key.Public(), mallory.encrypt(alice.key.Public(), mallory.sync(alice.key.Public(), mallory.chat(alice.key.Public(), fmt.Sprint("write to me ", hour), time.Now())))))
					pass(time.Second)
					since := time.Now()
					for i := range 4 {
						if _, err := alice.SendText(mallory.key.Public(), fmt.Sprint("for Mallory ", hour, i), ""); err != nil {
							t.Fatal(err)
						}
						pass(2 * time.Second)
					}
					for _, p := range n.publications(alice.link) {
						if !p.at.Before(since) && p.Message.GetContentTopic() == topic.Content(name) {
							hand(t, bobby.Stack, passOn(t, p.Envelope, alice.topicKey(name), bobby.key.Public()))
							passed++
						}
						if talking && passed%2 == 1 {
							text := fmt.Sprint("hour ", hour, " ", passed)
							alice.send(bobby, text)
							saidA = append(saidA, text)
							passed++
							pass(2 * time.Second)
						}
					}
					pass(time.Hour)
				}
				if passed < 100 {
					t.Fatalf("only %d frames were passed on", passed)
				}
				all, err := bobby.Sessions()
				if err != nil {
					t.Fatal(err)
				}
				attempts := 0
				for _, s := range all {
					attempts += s.Attempts
				}
				if most := map[bool]int{true: 0, false: 6}[talking]; attempts > most {
					t.Errorf("%d attempts in %v: %+v", attempts, time.Since(begin), all)
				}
				a, b := converse(alice, bobby, "after", 3)
				saidA, saidB = append(saidA, a...), append(saidB, b...)
				eventually(t, time.Hour, "all arrives", func() bool { return delivered(bobby) && len(bobby.heard(alice)) >= len(saidA) })
				heardOnce(t, bobby, alice, saidA...)
				heardOnce(t, alice, bobby, saidB...)
				t.Logf("%d passed on: %s", passed, bobby.sessionsSaid())
			})
		})
	}
}

// broken makes a frame of a forger's own session that does not open, with a
// bundle that was signed now.
func (f *forger) broken(to key.Public, n int) []byte {
	f.t.Helper()
	var m encryptionpb.ProtocolMessage
	f.ok(proto.Unmarshal(f.encryptAside(to, fmt.Append(nil, n)), &m))
	for _, e := range m.EncryptedMessage {
		e.Payload[len(e.Payload)-1] ^= 1
	}
	raw, err := proto.Marshal(&m)
	f.ok(err)
	return raw
}

// A contact floods with what cannot be read, for a week: attempts become rare,
// few pre keys are used up, and other sessions go on.
func TestHostileContact(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	hostile, friend := newForger(t, 1, clock.at), newForger(t, 2, clock.at)
	hostile.meet(s)
	friend.meet(s)
	for _, f := range []*forger{hostile, friend} {
		if _, err := s.AddContact(f.key.Public(), "hello"); err != nil {
			t.Fatal(err)
		}
		hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), f.chat(s.Self(), "hello", f.now)))))
	}
	drain(t, s)
	var spent outlay
	last := ""
	const floods = 7 * 24 * 2
	for i := range floods {
		clock.advance(30 * time.Minute)
		hostile.now = clock.at
		for n := range 3 {
			hand(t, s, hostile.mail(s.Self(), hostile.broken(s.Self(), 10*i+n)))
		}
		if i%8 == 7 {
			spent.look(t, s, &last)
		}
	}
	if spent.adverts > 11 || spent.adverts < 5 || spent.renewals > 2 || spent.breaks != 1 {
		t.Errorf("a week of %d frames costs %+v", 3*floods, spent)
	}
	if spent.events > floods+20 {
		t.Errorf("%d events", spent.events)
	}
	clock.advance(time.Second)
	friend.now = clock.at
	hand(t, s, friend.mail(s.Self(), friend.encrypt(s.Self(), friend.sync(s.Self(), friend.chat(s.Self(), "still here", friend.now)))))
	if all, err := s.Messages(""); err != nil || all[len(all)-1].Text != "still here" {
		t.Errorf("%v, %v", all, err)
	}
}

// Strangers, a new one with each message, are told of our bundle at most, and
// that only so often.
func TestHostileStrangers(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	friend := newForger(t, 2, clock.at)
	friend.meet(s)
	drain(t, s)
	var spent outlay
	last := ""
	before := content(t, s.db)
	for i := range session.MaxAdvertisements + 30 {
		f := newForger(t, 9, clock.at)
		var err error
		f.key, err = key.Generate(rand.Reader)
		f.ok(err)
		f.session.Identity = f.key
		// In a session that never was, with pre keys that never were.
		for _, n := range []int{0, 1} {
			other := &session.Protocol{Identity: s.identity, InstallationID: s.session.InstallationID}
			bundle, err := other.Bundle(f.st.Copy(), f.now, f.rand)
			f.ok(err)
			_, err = f.session.ProcessBundle(f.st, f.now, s.Self(), bundle)
			f.ok(err)
			hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), fmt.Append(nil, i, n))))
		}
		spent.look(t, s, &last)
	}
	if spent.adverts != session.MaxAdvertisements || spent.renewals != 0 || spent.breaks != 0 || spent.events != 0 {
		t.Errorf("costs %+v", spent)
	}
	kept := slices.DeleteFunc(difference(before, content(t, s.db)), func(k string) bool { return strings.Contains(k, "seen/") })
	if len(kept) > 4*session.MaxAdvertisements {
		t.Errorf("%d records are kept", len(kept))
	}
	clock.advance(time.Hour)
	if err := s.update(func(t *step) error { return s.introduce(t, friend.key.Public(), false) }); err != nil {
		t.Fatal(err)
	}
	if out := drain(t, s); len(out) != 1 {
		t.Errorf("%d answers an hour later", len(out))
	}
}
