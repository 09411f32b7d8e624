package stack

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/group"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/verify"
	apppb "github.com/parley-im/parley/pb/app"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/topic"
)

// The layers that FuzzReceive puts its bytes into.
const (
	fuzzEnvelope = iota // the payload of the Waku message
	fuzzPayload         // inside the signed Waku payload
	fuzzPublic          // the public part of an encrypted message
	fuzzEntry           // the entry for us, as it is encoded
	fuzzInner           // what the encryption layer carries
	fuzzBody            // the body of an MVDS message
	fuzzMessage         // the inner message; the byte before is its type
	fuzzLayers
)

// bury puts bytes into a layer of an envelope that is in order above it.
func (f *forger) bury(layer byte, to key.Public, data []byte) (Envelope, bool) {
	switch layer {
	case fuzzEnvelope:
		return f.envelope(topic.PartitionedName(to), data), len(data) > 0
	case fuzzPayload:
		return f.mail(to, data), true
	case fuzzPublic:
		sealed, err := f.session.SealPublic(f.st, f.now, f.rand, data)
		if err != nil {
			return Envelope{}, false
		}
		return f.mail(to, sealed), true
	case fuzzEntry:
		entry := new(encryptionpb.EncryptedMessageProtocol)
		if proto.Unmarshal(data, entry) != nil {
			return Envelope{}, false
		}
		raw, err := proto.Marshal(&encryptionpb.ProtocolMessage{
			InstallationId:   f.session.InstallationID,
			EncryptedMessage: map[string]*encryptionpb.EncryptedMessageProtocol{"still-0": entry},
		})
		return f.mail(to, raw), err == nil
	case fuzzInner:
		return f.mail(to, f.encrypt(to, data)), true
	case fuzzBody:
		return f.mail(to, f.encrypt(to, f.sync(to, data))), true
	}
	if len(data) < 2 {
		return Envelope{}, false
	}
	raw, _, err := message.Wrap(message.Type(data[0]), data[1:], f.key)
	if err != nil {
		return Envelope{}, false
	}
	return f.mail(to, f.encrypt(to, f.sync(to, raw))), true
}

// fuzzSeed is a message as it comes to a handler.
type fuzzSeed struct {
	typ  message.Type
	body proto.Message
}

// featureSeeds are messages of all features: about something that is not here,
// which wait, and with a group of the forger's that we are in.
func featureSeeds(t testing.TB, f *forger, self key.Public) []fuzzSeed {
	const unknown = "0x0101010101010101010101010101010101010101010101010101010101010101"
	clock := uint64(f.now.UnixMilli())
	room, one := chat.OneToOneID(self), apppb.MessageType_ONE_TO_ONE
	g, _, err := group.Create(f.key, "group", "#112233", []key.Public{self}, clock, f.rand)
	f.ok(err)
	update := func(u group.Update) *apppb.MembershipUpdateMessage {
		raw, err := u.Encode()
		f.ok(err)
		m := new(apppb.MembershipUpdateMessage)
		f.ok(proto.Unmarshal(raw, m))
		return m
	}
	text := func(typ apppb.MessageType, id string, change func(m *apppb.ChatMessage)) *apppb.ChatMessage {
		m := &apppb.ChatMessage{
			Clock: clock, Timestamp: clock, Text: "@" + self.Hex() + " 🙂 https://example.com", ChatId: id,
			MessageType: typ, ContentType: apppb.ChatMessage_TEXT_PLAIN, EnsName: "x.eth", ResponseTo: unknown,
		}
		change(m)
		return m
	}
	image := func(m *apppb.ChatMessage) {
		m.ContentType = apppb.ChatMessage_IMAGE
		m.Payload = &apppb.ChatMessage_Image{Image: &apppb.ImageMessage{Payload: []byte("GIF89a"), Format: apppb.ImageFormat_GIF, AlbumId: "album", AlbumImagesCount: 2}}
	}
	reaction := &apppb.EmojiReaction{Clock: clock, ChatId: g.ID, MessageId: unknown, MessageType: apppb.MessageType_PRIVATE_GROUP, Type: apppb.EmojiReaction_LOVE, Emoji: "2764"}
	all := []fuzzSeed{
		{apppb.ApplicationMetadataMessage_CHAT_MESSAGE, text(one, room, func(m *apppb.ChatMessage) { m.ContentType = apppb.ChatMessage_CONTACT_REQUEST })},
		{apppb.ApplicationMetadataMessage_CHAT_MESSAGE, text(one, room, image)},
		{apppb.ApplicationMetadataMessage_CHAT_MESSAGE, text(one, room, func(m *apppb.ChatMessage) {
			m.UnfurledLinks = []*apppb.UnfurledLink{{Url: "https://example.com", Title: "title"}}
		})},
		{apppb.ApplicationMetadataMessage_CHAT_MESSAGE, text(apppb.MessageType_PRIVATE_GROUP, g.ID, func(*apppb.ChatMessage) {})},
		{apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, update(g.Update())},
		{apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, update(g.Update().WithMessage(text(apppb.MessageType_PRIVATE_GROUP, g.ID, image)))},
		{apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE, update(g.Update().WithReaction(reaction))},
		{apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION, &apppb.GroupChatInvitation{Clock: clock, ChatId: g.ID, IntroductionMessage: "me too", State: apppb.GroupChatInvitation_REQUEST}},
		{apppb.ApplicationMetadataMessage_SYNC_DELETE_FOR_ME_MESSAGE, &apppb.SyncDeleteForMeMessage{Clock: clock, MessageId: unknown}},
		{verify.Ask, &apppb.RequestContactVerification{Clock: clock, Challenge: "who?"}},
		{verify.Accept, &apppb.AcceptContactVerification{Clock: clock, Id: unknown, Response: "me"}},
		{verify.Decline, &apppb.DeclineContactVerification{Clock: clock, Id: unknown}},
		{verify.Cancel, &apppb.CancelContactVerification{Clock: clock, Id: unknown}},
	}
	for id, typ := range map[string]apppb.MessageType{room: one, g.ID: apppb.MessageType_PRIVATE_GROUP} {
		all = append(all,
			fuzzSeed{apppb.ApplicationMetadataMessage_EDIT_MESSAGE, &apppb.EditMessage{Clock: clock, Text: "edited", ChatId: id, MessageId: unknown, MessageType: typ}},
			fuzzSeed{apppb.ApplicationMetadataMessage_DELETE_MESSAGE, &apppb.DeleteMessage{Clock: clock, ChatId: id, MessageId: unknown, MessageType: typ}},
			fuzzSeed{apppb.ApplicationMetadataMessage_EMOJI_REACTION, &apppb.EmojiReaction{Clock: clock, ChatId: id, MessageId: unknown, MessageType: typ, Emoji: "1f44d"}},
			fuzzSeed{apppb.ApplicationMetadataMessage_PIN_MESSAGE, &apppb.PinMessage{Clock: clock, ChatId: id, MessageId: unknown, MessageType: typ, Pinned: true}},
		)
	}
	return all
}

// The seeds reach what they are meant for: none of them is refused before its
// handler has done something, but those that only others may send.
func TestFuzzSeeds(t *testing.T) {
	t.Parallel()
	self := identity(t, 0).Public()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	for _, seed := range featureSeeds(t, f, self) {
		raw := f.wrap(seed.typ, seed.body)
		before := content(t, s.db, lowerFamilies...)
		hand(t, s, f.mail(self, f.encrypt(self, f.sync(self, raw))))
		changed := len(difference(before, content(t, s.db, lowerFamilies...))) > 0
		refused := seed.typ == apppb.ApplicationMetadataMessage_SYNC_DELETE_FOR_ME_MESSAGE || seed.typ == apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION ||
			slices.Contains([]message.Type{verify.Ask, verify.Accept, verify.Decline, verify.Cancel}, seed.typ)
		if changed == refused {
			t.Errorf("%s changes something: %v; counters %v", message.Name(seed.typ), changed, s.Counters())
		}
	}
}

// Whatever comes in at whatever layer: no panic, no error of the database, no
// effect beyond those that its layer can have, and the account works on.
func FuzzReceive(f *testing.F) {
	self := identity(f, 0).Public()
	_, clock := still(f, 0)
	seed := newForger(f, 1, clock.at)
	raw := seed.chat(self, "hello", seed.now)
	var meta apppb.ApplicationMetadataMessage
	if err := proto.Unmarshal(raw, &meta); err != nil {
		f.Fatal(err)
	}
	encrypted := seed.encrypt(self, seed.sync(self, raw))
	var protocol encryptionpb.ProtocolMessage
	if err := proto.Unmarshal(encrypted, &protocol); err != nil {
		f.Fatal(err)
	}
	for _, entry := range protocol.EncryptedMessage {
		b, err := proto.Marshal(entry)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(fuzzEntry), b)
	}
	sealed, err := payload.SealAsymmetric(encrypted, self, seed.key, seed.rand)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(byte(fuzzEnvelope), sealed)
	f.Add(byte(fuzzPayload), encrypted)
	f.Add(byte(fuzzPayload), seed.segments(1000)[0])
	f.Add(byte(fuzzPublic), raw)
	f.Add(byte(fuzzInner), seed.sync(self, raw, raw))
	f.Add(byte(fuzzInner), raw)
	f.Add(byte(fuzzBody), raw)
	f.Add(byte(fuzzMessage), append([]byte{byte(meta.Type)}, meta.Payload...))
	for _, m := range append([]fuzzSeed{
		{apppb.ApplicationMetadataMessage_CONTACT_UPDATE, &apppb.ContactUpdate{Clock: 1, ContactRequestClock: 1, DisplayName: "Mallory"}},
		{apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST, &apppb.AcceptContactRequest{Clock: 1, Id: "0x"}},
		{apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST, &apppb.RetractContactRequest{Clock: 1, Id: "0x"}},
		{apppb.ApplicationMetadataMessage_CHAT_IDENTITY, &apppb.ChatIdentity{Clock: 1, DisplayName: "Mallory"}},
		{apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT, &apppb.ContactCodeAdvertisement{ChatIdentity: &apppb.ChatIdentity{Clock: 1}}},
		{apppb.ApplicationMetadataMessage_STATUS_UPDATE, &apppb.StatusUpdate{Clock: 1, StatusType: apppb.StatusUpdate_ALWAYS_ONLINE}},
	}, featureSeeds(f, seed, self)...) {
		b, err := message.Encode(m.body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(fuzzMessage), append([]byte{byte(m.typ)}, b...))
	}
	f.Fuzz(func(t *testing.T, layer byte, data []byte) {
		layer %= fuzzLayers
		s, clock := still(t, 0)
		f := newForger(t, 1, clock.at)
		e, ok := f.bury(layer, self, data)
		if !ok {
			return
		}
		before := content(t, s.db)
		if err := s.Receive(e); err != nil {
			t.Fatalf("the database: %v", err)
		}
		changed := difference(before, content(t, s.db))
		// An answer has a place in the outbox; nothing that we publish, listen
		// to or have fetched hangs on what others say.
		allowed := []string{"seen/", "core/", "app/", "outbox/", "counter/", "ref/", "message/", "payload/", "message-id/", "message-clock/", "message-row/", "unread/",
			"chat/", "chat-summary/", "contact/", "event/", "topic-key/", "activity/", "activity-clock/", "activity-new/",
			"group/", "group-request/", "reaction/", "pin/", "picture/", "ens/", "waiting/", "waiting-target/"}
		for _, k := range changed {
			if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(k, `"`+prefix) }) {
				t.Errorf("changed %s", k)
			}
		}
		all, err := s.Messages("")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.From != f.key.Public() {
				t.Errorf("a message of %s, who wrote none", m.From)
			}
		}
		contacts, err := s.Contacts()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range contacts {
			if c.Key == self {
				t.Error("we are our own contact")
			}
		}
		seq := uint64(0)
		err = s.Events(t.Context(), 0, false, func(e storage.Event) error {
			if seq++; e.Seq != seq {
				t.Errorf("event %d has number %d", seq, e.Seq)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		// It comes once more and changes nothing; then a right one comes.
		before = content(t, s.db)
		if err := s.Receive(e); err != nil {
			t.Fatal(err)
		}
		if changed := difference(before, content(t, s.db)); len(changed) != 0 {
			t.Errorf("the same again changed %v", changed)
		}
		if _, err := s.tick(); err != nil {
			t.Fatal(err)
		}
		honest := newForger(t, 2, clock.at)
		hand(t, s, honest.mail(self, honest.encrypt(self, honest.sync(self, honest.chat(self, "right", clock.at)))))
		if after, err := s.Messages(""); err != nil || len(after) != len(all)+1 {
			t.Errorf("afterwards %d messages, before %d, %v", len(after), len(all), err)
		}
	})
}
