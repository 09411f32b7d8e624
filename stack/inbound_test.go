package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/segment"
	"github.com/parley-im/parley/waku/topic"
)

// lowerFamilies are those that a frame in order may change even when the
// application message in it is refused: the layers below have done their part.
// Keys of topics are derived once and kept.
var lowerFamilies = []string{"seen/", "core/", "outbox/", "counter/outbox", "topic-key/"}

// meet lets a forger hear from a stack, so that both have a session.
func (f *forger) meet(s *Stack) {
	f.t.Helper()
	if _, err := s.SendText(f.key.Public(), "hello", ""); err != nil {
		f.t.Fatal(err)
	}
	for _, e := range drain(f.t, s) {
		opened, err := payload.OpenAsymmetric(e.Message.GetPayload(), f.key)
		f.ok(err)
		_, err = f.session.Open(f.st, f.now, f.rand, s.Self(), opened.Payload)
		f.ok(err)
	}
}

// A frame that is wrong at any layer leaves nothing behind but the mark that
// it was seen and a counter that names the cause; an acquaintance's also an
// event.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	self := identity(t, 0).Public()
	cases := []struct {
		name string
		make func(f *forger) Envelope
		// counter is part of the name of the one that goes up.
		counter string
		// unseen: it is not even marked.
		unseen bool
	}{
		{"topic of nobody", func(f *forger) Envelope {
			return f.envelope("nobody's", []byte("bytes"))
		}, "not for any of our topics", true},
		{"payload that is no payload", func(f *forger) Envelope {
			return f.envelope(topic.PartitionedName(self), []byte("garbage"))
		}, "not for any of our topics", true},
		{"wrong key", func(f *forger) Envelope {
			sealed, err := payload.SealAsymmetric([]byte("x"), identity(f.t, 9).Public(), f.key, f.rand)
			f.ok(err)
			return f.envelope(topic.PartitionedName(self), sealed)
		}, "not for any of our topics", true},
		{"unsigned", func(f *forger) Envelope {
			sealed, err := payload.SealAsymmetric(f.encrypt(self, f.sync(self, f.chat(self, "x", f.now))), self, key.Private{}, f.rand)
			f.ok(err)
			return f.envelope(topic.PartitionedName(self), sealed)
		}, "without a signature", true},
		{"segment that is none", func(f *forger) Envelope {
			return f.mail(self, f.segments(100)[0][:60])
		}, "message: ", false},
		{"corrupted ratchet frame", func(f *forger) Envelope {
			return f.mail(self, f.spoil(self, func(m *encryptionpb.EncryptedMessageProtocol) { m.Payload[len(m.Payload)-1] ^= 1 }))
		}, "frame: ", false},
		{"ratchet header without its session", func(f *forger) Envelope {
			return f.mail(self, f.spoil(self, func(m *encryptionpb.EncryptedMessageProtocol) { m.DrHeader.Id[5] ^= 1 }))
		}, "frame: ", false},
		{"ratchet key of wrong size", func(f *forger) Envelope {
			return f.mail(self, f.spoil(self, func(m *encryptionpb.EncryptedMessageProtocol) { m.DrHeader.Key = m.DrHeader.Key[1:] }))
		}, "frame: ", false},
		{"too many skipped", func(f *forger) Envelope {
			return f.mail(self, f.spoil(self, func(m *encryptionpb.EncryptedMessageProtocol) { m.DrHeader.N = 1 << 30 }))
		}, "frame: ", false},
		{"no header", func(f *forger) Envelope {
			return f.mail(self, f.spoil(self, func(m *encryptionpb.EncryptedMessageProtocol) { m.DrHeader, m.X3DhHeader, m.DhHeader = nil, nil, nil }))
		}, "frame: ", false},
		{"hash ratchet frame", func(f *forger) Envelope {
			return f.mail(self, f.spoil(self, func(m *encryptionpb.EncryptedMessageProtocol) {
				m.DrHeader, m.X3DhHeader = nil, nil
				m.HrHeader = &encryptionpb.HRHeader{DeprecatedKeyId: 1, SeqNo: 1}
			}))
		}, "not for this device", false},
		{"bundle of somebody else", func(f *forger) Envelope {
			other := newForger(f.t, 8, f.now)
			return f.mail(self, other.encrypt(self, []byte("x")))
		}, "frame: ", false},
		{"identifier of wrong length", func(f *forger) Envelope {
			return f.mail(self, f.encrypt(self, []byte{0xca, 0xb8, 0x02, 3, 1, 2, 3})) // field 5001, 3 bytes
		}, "frame: ", false},
		{"nothing that any layer knows", func(f *forger) Envelope {
			return f.mail(self, []byte("garbage"))
		}, "message: ", false},
		{"no application message", func(f *forger) Envelope {
			raw, err := proto.Marshal(&apppb.ApplicationMetadataMessage{Type: 1, Payload: []byte("x"), Signature: make([]byte, 65)})
			f.ok(err)
			return f.mail(self, raw)
		}, "message: ", false},
	}
	for _, acquainted := range []bool{false, true} {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%s, acquainted %v", c.name, acquainted), func(t *testing.T) {
				t.Parallel()
				s, clock := still(t, 0)
				f := newForger(t, 1, clock.at)
				f.meet(s)
				if acquainted {
					if _, err := s.AddContact(f.key.Public(), "hello"); err != nil {
						t.Fatal(err)
					}
				}
				hand(t, s, f.mail(self, f.encrypt(self, f.sync(self, f.chat(self, "right", f.now)))))
				drain(t, s)
				e := c.make(f)
				before, counters := content(t, s.db), s.Counters()
				hand(t, s, e)
				after := content(t, s.db)
				changed := difference(before, after)
				names := increased(counters, s.Counters())
				if len(names) != 1 || !strings.Contains(names[0], c.counter) {
					t.Errorf("counters %v, not one of %q", names, c.counter)
				}
				var want []string
				if !c.unseen {
					want = append(want, "seen/")
					if acquainted && strings.HasPrefix(c.counter, "frame") {
						want = append(want, "event/", "counter/event")
					}
				}
				if len(changed) != len(want) || slices.ContainsFunc(want, func(prefix string) bool { return !contains(changed, prefix) }) {
					t.Errorf("changed %v, not %v", changed, want)
				}
				if got := len(eventsOf(t, s, EventUndecryptable)); (got == 1) != slices.Contains(want, "event/") {
					t.Errorf("%d events", got)
				}
				// The session goes on.
				hand(t, s, f.mail(self, f.encrypt(self, f.sync(self, f.chat(self, "still right", f.now.Add(time.Second))))))
				all, err := s.Messages(chat.OneToOneID(f.key.Public()))
				if err != nil || all[len(all)-1].Text != "still right" {
					t.Errorf("afterwards: %v, %v", all, err)
				}
			})
		}
	}
}

// segments cuts a message into several.
func (f *forger) segments(size int) [][]byte {
	f.t.Helper()
	all, err := segment.Split(f.bulk(), size)
	f.ok(err)
	return all
}

// bulk is a long encrypted chat message to identity 0.
func (f *forger) bulk() []byte {
	self := identity(f.t, 0).Public()
	return f.encrypt(self, f.sync(self, f.chat(self, strings.Repeat("long ", 800), f.now)))
}

// spoil changes the entry of an encrypted message.
func (f *forger) spoil(to key.Public, change func(m *encryptionpb.EncryptedMessageProtocol)) []byte {
	f.t.Helper()
	// A copy of the session, since what is spoilt never counts.
	sealed := f.encryptAside(to, f.sync(to, f.chat(to, "spoilt", f.now)))
	var m encryptionpb.ProtocolMessage
	f.ok(proto.Unmarshal(sealed, &m))
	for _, entry := range m.EncryptedMessage {
		change(entry)
	}
	raw, err := proto.Marshal(&m)
	f.ok(err)
	return raw
}

// What a frame in order brings may still be refused by the application: no
// message, no event, no contact, and the others in the frame are handled.
func TestRefusedMessages(t *testing.T) {
	t.Parallel()
	self := identity(t, 0).Public()
	at := func(f *forger, d time.Duration) time.Time { return f.now.Truncate(time.Second).Add(d) }
	cases := map[string]struct {
		body    func(f *forger) []byte
		counter string
	}{
		"clock too far ahead": {func(f *forger) []byte { return f.chat(self, "x", at(f, message.MaxClockAhead+time.Millisecond)) }, message.ErrClockAhead.Error()},
		"clock zero":          {func(f *forger) []byte { return f.chat(self, "x", time.UnixMilli(0)) }, message.ErrClockZero.Error()},
		"text too long":       {func(f *forger) []byte { return f.chat(self, strings.Repeat("x", chat.MaxText+1), f.now) }, chat.ErrTextLength.Error()},
		"no protobuf inside": {func(f *forger) []byte {
			raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, []byte{0xff}, f.key)
			f.ok(err)
			return raw
		}, "message: "},
		"bad signature": {func(f *forger) []byte {
			raw, err := proto.Marshal(&apppb.ApplicationMetadataMessage{Type: 1, Payload: []byte("x"), Signature: make([]byte, 65)})
			f.ok(err)
			return raw
		}, "message: "},
		"another kind of chat": {func(f *forger) []byte {
			return f.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, &apppb.ChatMessage{Clock: uint64(f.now.UnixMilli()), Timestamp: 1, Text: "x", ChatId: "x", MessageType: apppb.MessageType_PUBLIC_GROUP, ContentType: apppb.ChatMessage_TEXT_PLAIN})
		}, errChatKind.Error()},
		"acceptance from the future": {func(f *forger) []byte {
			return f.wrap(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Clock: uint64(at(f, time.Hour).UnixMilli())})
		}, message.ErrClockAhead.Error()},
		"name of an alias": {func(f *forger) []byte {
			return f.wrap(apppb.ApplicationMetadataMessage_CONTACT_UPDATE, &apppb.ContactUpdate{Clock: uint64(f.now.UnixMilli()), DisplayName: "\x01 bad name \x02"})
		}, "message: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, clock := still(t, 0)
			f := newForger(t, 1, clock.at)
			before, counters := content(t, s.db, lowerFamilies...), s.Counters()
			hand(t, s, f.mail(self, f.encrypt(self, f.sync(self, c.body(f)))))
			if changed := difference(before, content(t, s.db, lowerFamilies...)); len(changed) != 0 {
				t.Errorf("changed %v", changed)
			}
			if names := increased(counters, s.Counters()); len(names) != 1 || !strings.Contains(names[0], c.counter) {
				t.Errorf("counters %v, not %q", names, c.counter)
			}
			// One bad message takes no other with it.
			first, last := f.chat(self, "before", f.now), f.chat(self, "after", at(f, message.MaxClockAhead))
			hand(t, s, f.mail(self, f.encrypt(self, f.sync(self, first, c.body(f), last))))
			all, err := s.Messages(chat.OneToOneID(f.key.Public()))
			if err != nil || len(all) != 2 || all[0].Text != "before" || all[1].Text != "after" {
				t.Errorf("around it arrived %v, %v", all, err)
			}
		})
	}
}

// The same envelope, and the same message in other envelopes and payloads, is
// handled once; it is acknowledged each time.
func TestReplays(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	raw := f.chat(s.Self(), "once", clock.at)
	inner := f.sync(s.Self(), raw)
	first := f.mail(s.Self(), f.encrypt(s.Self(), inner))
	hand(t, s, first)
	drain(t, s)
	before := content(t, s.db)
	hand(t, s, first)
	stored := first
	stored.Stored = true
	hand(t, s, stored)
	if changed := difference(before, content(t, s.db)); len(changed) != 0 {
		t.Errorf("a replayed envelope changed %v", changed)
	}
	clock.advance(time.Second)
	before = content(t, s.db, lowerFamilies...)
	f.now = clock.at
	for name, e := range map[string]Envelope{
		"sent again":             f.mail(s.Self(), f.encrypt(s.Self(), inner)),
		"in another payload":     f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), raw, raw))),
		"without reliability":    f.mail(s.Self(), f.encrypt(s.Self(), raw)),
		"without encryption":     f.mail(s.Self(), raw),
		"same ratchet, resealed": f.mail(s.Self(), inner),
	} {
		counters := s.Counters()
		hand(t, s, e)
		if changed := difference(before, content(t, s.db, lowerFamilies...)); len(changed) != 0 {
			t.Errorf("%s: changed %v", name, changed)
		}
		if names := increased(counters, s.Counters()); len(names) != 0 {
			t.Errorf("%s: counters %v", name, names)
		}
	}
	clock.advance(time.Second)
	if _, err := s.tick(); err != nil {
		t.Fatal(err)
	}
	if out := drain(t, s); len(out) == 0 {
		t.Error("it is not acknowledged again")
	}
}

// Types that are not handled yet are counted by name and leave their marks;
// numbers without a name too.
func TestUnknownTypes(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	for typ, name := range map[message.Type]string{
		apppb.ApplicationMetadataMessage_COMMUNITY_TOKEN_ACTION: "not handled: COMMUNITY_TOKEN_ACTION",
		message.Type(14):  "not handled: UNKNOWN_14",
		message.Type(999): "not handled: UNKNOWN_999",
	} {
		raw, err := proto.Marshal(&apppb.ApplicationMetadataMessage{Type: typ, Payload: []byte("anything")})
		if err != nil {
			t.Fatal(err)
		}
		before, counters := content(t, s.db, append(lowerFamilies, "app/")...), s.Counters()
		hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), raw))))
		if changed := difference(before, content(t, s.db, append(lowerFamilies, "app/")...)); len(changed) != 0 {
			t.Errorf("%s changed %v", name, changed)
		}
		if names := increased(counters, s.Counters()); !slices.Equal(names, []string{name}) {
			t.Errorf("counters %v, not %s", names, name)
		}
	}
}

// Nothing of somebody blocked is shown or answered, or stored but for the state of the
// layers below; it is acknowledged, so that blocking cannot be told from
// outside and nothing comes late.
func TestBlockedSender(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	f.meet(s)
	hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), f.chat(s.Self(), "welcome", f.now)))))
	if _, err := s.BlockContact(f.key.Public()); err != nil {
		t.Fatal(err)
	}
	drain(t, s)
	clock.advance(time.Second)
	f.now = clock.at
	before, counters := content(t, s.db, lowerFamilies...), s.Counters()
	hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), f.chat(s.Self(), "let me in", f.now)))))
	if changed := difference(before, content(t, s.db, lowerFamilies...)); len(changed) != 0 {
		t.Errorf("changed %v", changed)
	}
	if names := increased(counters, s.Counters()); len(names) != 1 || !strings.Contains(names[0], errBlocked.Error()) {
		t.Errorf("counters %v", names)
	}
	if out := drain(t, s); len(out) != 1 {
		t.Errorf("%d envelopes go out, not the acknowledgement", len(out))
	}
	// Frames that do not open are no news, and devices are not introduced.
	f.session.InstallationID = "another"
	hand(t, s, f.mail(s.Self(), f.spoil(s.Self(), func(m *encryptionpb.EncryptedMessageProtocol) { m.Payload[0] ^= 1 })))
	hand(t, s, f.notForUs(s.Self()))
	if out := drain(t, s); len(out) != 0 || len(eventsOf(t, s, EventUndecryptable)) != 0 {
		t.Errorf("%d envelopes, %d events", len(out), len(eventsOf(t, s, EventUndecryptable)))
	}
	if c, err := s.Contact(f.key.Public()); err != nil || !c.Blocked || c.State() == contact.StateMutual {
		t.Errorf("%+v, %v", c, err)
	}
}
