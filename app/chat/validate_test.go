package chat

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// in is what goes with the messages of the tests.
var in = contact.Incoming{
	WakuTime: time.Unix(1_700_000_000, 0),
	IsAlias:  func(name string) bool { return name == "Hard Tame Cat" },
}

// text returns a valid message.
func text() *apppb.ChatMessage {
	return &apppb.ChatMessage{
		Clock: 1_700_000_000_000, Timestamp: 1, Text: "hello", ChatId: "0x04",
		MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
	}
}

// with returns a valid message with content of a type.
func with(content apppb.ChatMessage_ContentType) *apppb.ChatMessage {
	m := text()
	m.ContentType = content
	switch content {
	case apppb.ChatMessage_STICKER:
		m.Payload = &apppb.ChatMessage_Sticker{Sticker: &apppb.StickerMessage{Hash: "e301", Pack: 2}}
	case apppb.ChatMessage_IMAGE:
		m.Text = ""
		m.Payload = &apppb.ChatMessage_Image{Image: &apppb.ImageMessage{Payload: []byte{1}, Format: apppb.ImageFormat_JPEG, Width: 3, Height: 4, AlbumId: "a", AlbumImagesCount: 2}}
	case apppb.ChatMessage_AUDIO:
		m.Payload = &apppb.ChatMessage_Audio{Audio: &apppb.AudioMessage{Payload: []byte{1}, Type: apppb.AudioMessage_AAC, DurationMs: 1500}}
	case apppb.ChatMessage_COMMUNITY:
		m.Payload = &apppb.ChatMessage_Community{Community: []byte{1}}
	case apppb.ChatMessage_DISCORD_MESSAGE:
		m.Text = ""
		m.Payload = &apppb.ChatMessage_DiscordMessage{DiscordMessage: &apppb.DiscordMessage{
			Id: "1", Type: "Default", Timestamp: "2020", TimestampEdited: "2021", Content: "x",
			Author:    &apppb.DiscordMessageAuthor{Id: "2", Name: "carol", Nickname: "caz", AvatarImagePayload: []byte{3}},
			Reference: &apppb.DiscordMessageReference{MessageId: "4"},
			Attachments: []*apppb.DiscordMessageAttachment{{
				Id: "5", FileName: "a.png", ContentType: "image/png", FileSizeBytes: 6, Url: "https://cdn", Payload: []byte{7},
			}},
		}}
	case apppb.ChatMessage_BRIDGE_MESSAGE:
		m.Text = ""
		m.Payload = &apppb.ChatMessage_BridgeMessage{BridgeMessage: &apppb.BridgeMessage{
			BridgeName: "irc", UserName: "bob", UserAvatar: "https://bob", UserId: "8", Content: "hi", MessageId: "9", ParentMessageId: "10",
		}}
	}
	return m
}

// Every rule: what is allowed up to the limit, and what is dropped beyond it.
//
// Proves: AP-152, AP-157.
func TestValidate(t *testing.T) {
	t.Parallel()
	limit := uint64(in.WakuTime.UnixMilli()) + 120_000
	type change = func(m *apppb.ChatMessage)
	for name, test := range map[string]struct {
		base   *apppb.ChatMessage
		change change
		want   error
	}{
		"as it is":            {text(), func(m *apppb.ChatMessage) {}, nil},
		"no clock":            {text(), func(m *apppb.ChatMessage) { m.Clock = 0 }, message.ErrClockZero},
		"clock of long ago":   {text(), func(m *apppb.ChatMessage) { m.Clock = 1 }, nil},
		"clock at limit":      {text(), func(m *apppb.ChatMessage) { m.Clock = limit }, nil},
		"clock over limit":    {text(), func(m *apppb.ChatMessage) { m.Clock = limit + 1 }, message.ErrClockAhead},
		"no timestamp":        {text(), func(m *apppb.ChatMessage) { m.Timestamp = 0 }, ErrTimestamp},
		"no chat id":          {text(), func(m *apppb.ChatMessage) { m.ChatId = "" }, ErrChatID},
		"no message type":     {text(), func(m *apppb.ChatMessage) { m.MessageType = 0 }, ErrMessageType},
		"group's system type": {text(), func(m *apppb.ChatMessage) { m.MessageType = 4 }, ErrMessageType},
		"gap's system type":   {text(), func(m *apppb.ChatMessage) { m.MessageType = 6 }, ErrMessageType},
		"a later type":        {text(), func(m *apppb.ChatMessage) { m.MessageType = 7 }, ErrMessageType},
		"another kind":        {text(), func(m *apppb.ChatMessage) { m.MessageType = 5 }, ErrKind},
		"no text":             {text(), func(m *apppb.ChatMessage) { m.Text = "" }, ErrTextBlank},
		"blank text":          {text(), func(m *apppb.ChatMessage) { m.Text = " \n\t " }, ErrTextBlank},
		"text at limit":       {text(), func(m *apppb.ChatMessage) { m.Text = strings.Repeat("é", MaxText) }, nil},
		"text over limit":     {text(), func(m *apppb.ChatMessage) { m.Text = strings.Repeat("é", MaxText+1) }, ErrTextLength},
		"text not UTF-8":      {text(), func(m *apppb.ChatMessage) { m.Text = "a\xff" }, ErrTextUTF8},
		"name at limits":      {text(), func(m *apppb.ChatMessage) { m.DisplayName = strings.Repeat("a", 24) }, nil},
		"long name":           {text(), func(m *apppb.ChatMessage) { m.DisplayName = strings.Repeat("a", 25) }, contact.ErrNameLength},
		"short name":          {text(), func(m *apppb.ChatMessage) { m.DisplayName = "abcd" }, contact.ErrNameLength},
		"ENS name":            {text(), func(m *apppb.ChatMessage) { m.DisplayName = "alice_eth" }, contact.ErrNameENS},
		"generated name":      {text(), func(m *apppb.ChatMessage) { m.DisplayName = "Hard Tame Cat" }, contact.ErrNameAlias},
		"state at limit": {text(), func(m *apppb.ChatMessage) {
			m.ContactRequestPropagatedState = &apppb.ContactRequestPropagatedState{LocalClock: limit}
		}, nil},
		"state over limit": {text(), func(m *apppb.ChatMessage) {
			m.ContactRequestPropagatedState = &apppb.ContactRequestPropagatedState{RemoteClock: limit + 1}
		}, message.ErrClockAhead},

		"no content type":       {text(), func(m *apppb.ChatMessage) { m.ContentType = 0 }, ErrContentType},
		"transaction":           {text(), func(m *apppb.ChatMessage) { m.ContentType = 5 }, ErrContentType},
		"system: group":         {text(), func(m *apppb.ChatMessage) { m.ContentType = 6 }, ErrContentType},
		"system: gap":           {text(), func(m *apppb.ChatMessage) { m.ContentType = 10 }, ErrContentType},
		"system: pinned":        {text(), func(m *apppb.ChatMessage) { m.ContentType = 14 }, ErrContentType},
		"system: sent":          {text(), func(m *apppb.ChatMessage) { m.ContentType = 15 }, ErrContentType},
		"system: accepted":      {text(), func(m *apppb.ChatMessage) { m.ContentType = 16 }, ErrContentType},
		"system: removed":       {text(), func(m *apppb.ChatMessage) { m.ContentType = 17 }, ErrContentType},
		"a later content":       {text(), func(m *apppb.ChatMessage) { m.ContentType = 19 }, nil},
		"a later content, dumb": {text(), func(m *apppb.ChatMessage) { m.ContentType, m.Text = 19, "" }, ErrTextBlank},
		"emoji":                 {with(apppb.ChatMessage_EMOJI), func(m *apppb.ChatMessage) {}, nil},
		"contact request":       {with(apppb.ChatMessage_CONTACT_REQUEST), func(m *apppb.ChatMessage) {}, nil},

		"sticker":            {with(apppb.ChatMessage_STICKER), func(m *apppb.ChatMessage) {}, nil},
		"sticker, no hash":   {with(apppb.ChatMessage_STICKER), func(m *apppb.ChatMessage) { m.GetSticker().Hash = "" }, ErrSticker},
		"sticker, nothing":   {with(apppb.ChatMessage_STICKER), func(m *apppb.ChatMessage) { m.Payload = nil }, ErrSticker},
		"image":              {with(apppb.ChatMessage_IMAGE), func(m *apppb.ChatMessage) {}, nil},
		"image with text":    {with(apppb.ChatMessage_IMAGE), func(m *apppb.ChatMessage) { m.Text = "look" }, nil},
		"image, long text":   {with(apppb.ChatMessage_IMAGE), func(m *apppb.ChatMessage) { m.Text = strings.Repeat("x", MaxText+1) }, ErrTextLength},
		"image, empty":       {with(apppb.ChatMessage_IMAGE), func(m *apppb.ChatMessage) { m.GetImage().Payload = nil }, ErrImage},
		"image, no format":   {with(apppb.ChatMessage_IMAGE), func(m *apppb.ChatMessage) { m.GetImage().Format = 0 }, ErrImage},
		"image, nothing":     {with(apppb.ChatMessage_IMAGE), func(m *apppb.ChatMessage) { m.Payload = nil }, ErrImage},
		"audio":              {with(apppb.ChatMessage_AUDIO), func(m *apppb.ChatMessage) {}, nil},
		"audio, no text":     {with(apppb.ChatMessage_AUDIO), func(m *apppb.ChatMessage) { m.Text = "" }, ErrTextBlank},
		"audio, empty":       {with(apppb.ChatMessage_AUDIO), func(m *apppb.ChatMessage) { m.GetAudio().Payload = nil }, ErrAudio},
		"audio, no type":     {with(apppb.ChatMessage_AUDIO), func(m *apppb.ChatMessage) { m.GetAudio().Type = 0 }, ErrAudio},
		"community":          {with(apppb.ChatMessage_COMMUNITY), func(m *apppb.ChatMessage) {}, nil},
		"community, nothing": {with(apppb.ChatMessage_COMMUNITY), func(m *apppb.ChatMessage) { m.Payload = nil }, ErrCommunity},
		"discord":            {with(apppb.ChatMessage_DISCORD_MESSAGE), func(m *apppb.ChatMessage) {}, nil},
		"discord, nothing":   {with(apppb.ChatMessage_DISCORD_MESSAGE), func(m *apppb.ChatMessage) { m.Payload = nil }, ErrDiscord},
		"bridge":             {with(apppb.ChatMessage_BRIDGE_MESSAGE), func(m *apppb.ChatMessage) {}, nil},
		"bridge, no name":    {with(apppb.ChatMessage_BRIDGE_MESSAGE), func(m *apppb.ChatMessage) { m.GetBridgeMessage().BridgeName = "" }, ErrBridge},
		"bridge, no user":    {with(apppb.ChatMessage_BRIDGE_MESSAGE), func(m *apppb.ChatMessage) { m.GetBridgeMessage().UserName = "" }, ErrBridge},
		"bridge, no content": {with(apppb.ChatMessage_BRIDGE_MESSAGE), func(m *apppb.ChatMessage) { m.GetBridgeMessage().Content = "" }, ErrBridge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.change(test.base)
			if err := Validate(test.base, in, message.OneToOne); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestValidateKinds(t *testing.T) {
	t.Parallel()
	for typ, kind := range kinds {
		m := text()
		m.MessageType = typ
		for _, want := range []message.ChatKind{message.NoChat, message.OneToOne, message.PrivateGroup, message.Community, message.PublicChat} {
			err := Validate(m, in, want)
			if fits := want == message.NoChat || want == kind; fits != (err == nil) || !fits && !errors.Is(err, ErrKind) {
				t.Errorf("type %d as %s: %v", typ, want, err)
			}
		}
		// Anybody can write to a public chat, so no image or sound there.
		for _, content := range []apppb.ChatMessage_ContentType{apppb.ChatMessage_IMAGE, apppb.ChatMessage_AUDIO} {
			m := with(content)
			m.MessageType = typ
			want := error(nil)
			if kind == message.PublicChat {
				want = ErrPublicMedia
			}
			if err := Validate(m, in, kind); !errors.Is(err, want) {
				t.Errorf("content %d in %s: %v", content, kind, err)
			}
		}
	}
	if err := Validate(nil, in, message.OneToOne); err == nil {
		t.Error("no message is a valid message")
	}
}

// Whatever is in a message, it is judged without harm; what is valid can be
// shown, and matched to a chat.
func FuzzValidate(f *testing.F) {
	type recorded struct{ Payload vectors.Hex }
	for _, r := range vectors.Cases[recorded](f, "application_metadata") {
		f.Add([]byte(r.Payload))
	}
	for _, r := range vectors.Cases[recorded](f, "sent_raw_messages") {
		f.Add([]byte(r.Payload))
	}
	self, author := newKey(f, 1).Public(), newKey(f, 2).Public()
	late := contact.Incoming{WakuTime: time.Unix(1<<40, 0)}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m apppb.ChatMessage
		if proto.Unmarshal(raw, &m) != nil {
			return
		}
		Mentions(m.Text)
		place, matchErr := Match(&m, author, self)
		if Validate(&m, late, message.NoChat) != nil {
			return
		}
		if matchErr != nil {
			t.Fatalf("valid, but in no chat: %v", matchErr)
		}
		shown := New(message.ID{1}, author, place.ID, &m, Received)
		if shown.Clock == 0 || shown.ContentType == "" || shown.Chat == "" || len(shown.Text) > 4*MaxText &&
			shown.ContentType != "discord" && shown.ContentType != "bridge" {
			t.Fatalf("valid, but %+v", shown)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	m := text()
	m.DisplayName = "alice"
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(m, in, message.OneToOne); err != nil {
			b.Fatal(err)
		}
	}
}
