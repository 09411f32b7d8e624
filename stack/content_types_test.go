package stack

import (
	"bytes"
	"image"
	"image/png"
	"slices"
	"testing"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// The images of an album may come in any order, be read in between, and be
// edited: it counts once, and calls for us if any of them does.
func TestAlbumCountsOnce(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]int{"in order": {0, 1, 2}, "backwards": {2, 1, 0}, "mixed": {1, 2, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, clock := still(t, 0)
			f := newForger(t, 1, clock.at)
			at := uint64(clock.at.UnixMilli())
			image := func(i int, album string) []byte {
				m := &apppb.ChatMessage{
					Clock: at + uint64(i), Timestamp: at, ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_IMAGE,
					Payload: &apppb.ChatMessage_Image{Image: &apppb.ImageMessage{Payload: painting(t, byte(i)), Format: apppb.ImageFormat_PNG, AlbumId: album, AlbumImagesCount: 3}},
				}
				if i == 2 {
					m.Text = "for @" + s.Self().Hex()
				}
				return f.wrap(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, m)
			}
			give := func(raw []byte) {
				hand(t, s, f.mail(s.Self(), f.encrypt(s.Self(), f.sync(s.Self(), raw))))
			}
			id := chat.OneToOneID(f.key.Public())
			for i, number := range order {
				give(image(number, "one"))
				mentions := 0
				if slices.Contains(order[:i+1], 2) {
					mentions = 1
				}
				if c, err := s.Chat(id); err != nil || c.UnreadCount != 1 || c.MentionCount != mentions {
					t.Fatalf("after %d images: %d unread, %d mentions, %v", i+1, c.UnreadCount, c.MentionCount, err)
				}
			}
			give(image(4, "another"))
			if c, err := s.Chat(id); err != nil || c.UnreadCount != 2 || c.MentionCount != 1 {
				t.Errorf("two albums: %d unread, %d mentions, %v", c.UnreadCount, c.MentionCount, err)
			}
			// Read up to the first image: the others are still there.
			if c, err := s.MarkRead(id, at+10); err != nil || c.UnreadCount != 0 || c.MentionCount != 0 {
				t.Errorf("after reading: %+v, %v", c, err)
			}
			give(image(20, "one"))
			if c, err := s.Chat(id); err != nil || c.UnreadCount != 1 {
				t.Errorf("an image that comes after reading: %d unread, %v", c.UnreadCount, err)
			}
		})
	}
}

// attach puts payloads into a message that was read without them.
func (s *Stack) attach(m *chat.Message) (err error) {
	payload := func(name string) (data []byte) {
		if err == nil {
			data, err = s.Payload(m.ID, name)
		}
		return data
	}
	switch {
	case m.Image != nil:
		m.Image.Payload = payload(chat.PayloadImage)
	case m.Audio != nil:
		m.Audio.Payload = payload(chat.PayloadAudio)
	case m.CommunityBytes > 0:
		m.Community = payload(chat.PayloadCommunity)
	}
	return err
}

// Every kind of content is kept with what it carries and shown as what it is; a
// community as the signed description that deployed clients put there.
//
// Proves: AP-129, AP-149.
func TestContentTypes(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	description, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, []byte{8, 1}, f.key)
	f.ok(err)
	at := uint64(clock.at.UnixMilli())
	for i, c := range []struct {
		change func(m *apppb.ChatMessage)
		typ    apppb.ChatMessage_ContentType
		shown  func(m *chat.Message) bool
	}{
		{func(m *apppb.ChatMessage) {}, apppb.ChatMessage_TEXT_PLAIN, func(m *chat.Message) bool { return m.Text == "text" }},
		{func(m *apppb.ChatMessage) {}, apppb.ChatMessage_STATUS, func(m *chat.Message) bool { return m.Text == "text" }},
		{func(m *apppb.ChatMessage) { m.Text = "🙂" }, apppb.ChatMessage_EMOJI, func(m *chat.Message) bool { return m.Text == "🙂" }},
		{func(m *apppb.ChatMessage) {
			m.Payload = &apppb.ChatMessage_Sticker{Sticker: &apppb.StickerMessage{Hash: "e301", Pack: 3}}
		}, apppb.ChatMessage_STICKER, func(m *chat.Message) bool { return m.Sticker != nil && m.Sticker.Pack == 3 }},
		{func(m *apppb.ChatMessage) {
			m.Payload = &apppb.ChatMessage_Image{Image: &apppb.ImageMessage{Payload: []byte("bytes"), Format: apppb.ImageFormat_PNG}}
		}, apppb.ChatMessage_IMAGE, func(m *chat.Message) bool { return m.Image != nil && string(m.Image.Payload) == "bytes" }},
		{func(m *apppb.ChatMessage) {
			m.Payload = &apppb.ChatMessage_Audio{Audio: &apppb.AudioMessage{Payload: []byte("bytes"), Type: apppb.AudioMessage_AAC}}
		}, apppb.ChatMessage_AUDIO, func(m *chat.Message) bool { return m.Audio != nil && string(m.Audio.Payload) == "bytes" }},
		{func(m *apppb.ChatMessage) { m.Payload = &apppb.ChatMessage_Community{Community: description} }, apppb.ChatMessage_COMMUNITY,
			func(m *chat.Message) bool { return bytes.Equal(m.Community, description) }},
		{func(m *apppb.ChatMessage) {}, apppb.ChatMessage_CONTACT_REQUEST, func(m *chat.Message) bool { return m.Text == "text" }},
		{func(m *apppb.ChatMessage) {
			m.Payload = &apppb.ChatMessage_DiscordMessage{DiscordMessage: &apppb.DiscordMessage{Id: "7", Content: "there"}}
		}, apppb.ChatMessage_DISCORD_MESSAGE, func(m *chat.Message) bool { return m.Discord != nil }},
		{func(m *apppb.ChatMessage) {}, apppb.ChatMessage_IDENTITY_VERIFICATION, func(m *chat.Message) bool { return m.Text == "text" }},
		{func(m *apppb.ChatMessage) {
			m.Payload = &apppb.ChatMessage_BridgeMessage{BridgeMessage: &apppb.BridgeMessage{BridgeName: "discord", UserName: "u", Content: "there"}}
		}, apppb.ChatMessage_BRIDGE_MESSAGE, func(m *chat.Message) bool { return m.Bridge != nil && m.Bridge.Content == "there" }},
	} {
		m := &apppb.ChatMessage{
			Clock: at + uint64(i), Timestamp: at, Text: "text", ChatId: chat.OneToOneID(s.Self()), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: c.typ,
		}
		c.change(m)
		raw, id := f.wrapped(apppb.ApplicationMetadataMessage_CHAT_MESSAGE, m)
		f.deliver(s, raw)
		got, err := s.Message(id)
		if err == nil {
			err = s.attach(got)
		}
		if err != nil || got.ContentType != chat.ContentType(c.typ) || !c.shown(got) {
			t.Errorf("%s: %+v, %v; %v", c.typ, got, err, s.Counters())
		}
	}
	// Commands about payments are messages of types of their own.
	raw, id := f.wrapped(apppb.ApplicationMetadataMessage_REQUEST_TRANSACTION, &apppb.RequestTransaction{
		Clock: at + 50, ChatId: chat.OneToOneID(s.Self()), Address: "0x0000000000000000000000000000000000000001", Value: "1", Contract: "0x0000000000000000000000000000000000000002",
	})
	f.deliver(s, raw)
	if m, err := s.Message(id); err != nil || m.Transaction == nil {
		t.Errorf("%+v, %v; %v", m, err, s.Counters())
	}
}

// A picture however large goes out as one that everybody can take, in messages
// no larger than the network carries.
//
// Proves: AP-142.
func TestLargePicture(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	f := newForger(t, 1, clock.at)
	noise := image.NewNRGBA(image.Rect(0, 0, 600, 600))
	if _, err := f.rand.Read(noise.Pix); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := png.Encode(&raw, noise); err != nil {
		t.Fatal(err)
	}
	sent, err := s.Say(chat.OneToOneID(f.key.Public()), Content{Images: [][]byte{raw.Bytes()}})
	if err != nil || len(sent) != 1 {
		t.Fatal(sent, err)
	}
	if n := len(sent[0].Image.Payload); n > chat.MaxImage || n >= raw.Len() {
		t.Errorf("%d of %d bytes are sent", n, raw.Len())
	}
	for _, r := range records(t, s) {
		if len(r.WakuMessage) > wakumessage.MaxPublishSize {
			t.Errorf("a message of %d bytes", len(r.WakuMessage))
		}
	}
}
