package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// Proves: AP-128, AP-154, AP-161.
func TestTextMessage(t *testing.T) {
	t.Parallel()
	to := newKey(t, 1).Public()
	id := message.ID{7}
	now := time.UnixMilli(1_700_000_000_123)
	draft := Draft{
		Chat: to.Hex(), Kind: message.OneToOne, Text: "hello", ReplyTo: &id, Clock: 1_700_000_000_200, Now: now,
		Profile: contact.Profile{DisplayName: "alice", ENSName: "alice.eth", Color: 3},
		Contact: contact.Contact{Local: contact.Sent, LocalClock: 5},
	}
	m, err := TextMessage(draft)
	if err != nil {
		t.Fatal(err)
	}
	want := &apppb.ChatMessage{
		Clock: draft.Clock, Timestamp: uint64(now.UnixMilli()), Text: "hello", ResponseTo: id.String(), EnsName: "alice.eth",
		ChatId: to.Hex(), MessageType: apppb.MessageType_ONE_TO_ONE, ContentType: apppb.ChatMessage_TEXT_PLAIN,
		DisplayName: "alice", CustomizationColor: 3,
		ContactRequestPropagatedState: &apppb.ContactRequestPropagatedState{LocalClock: 5, LocalState: 2},
	}
	if !proto.Equal(m, want) {
		t.Errorf("built %v", m)
	}
	request, err := ContactRequest(draft)
	want.ContentType = apppb.ChatMessage_CONTACT_REQUEST
	if err != nil || !proto.Equal(request, want) {
		t.Errorf("built %v, %v", request, err)
	}
}

func TestComposeErrors(t *testing.T) {
	t.Parallel()
	to := newKey(t, 1).Public()
	now := time.UnixMilli(1_700_000_000_123)
	good := func() Draft {
		return Draft{Chat: to.Hex(), Kind: message.OneToOne, Text: "hello", Clock: 1_700_000_000_123, Now: now}
	}
	for name, test := range map[string]struct {
		change func(d *Draft)
		want   error
	}{
		"nobody":          {func(d *Draft) { d.Chat = "" }, ErrChatID},
		"no key":          {func(d *Draft) { d.Chat = "somebody" }, ErrChatID},
		"compressed key":  {func(d *Draft) { d.Chat = to.CompressedHex() }, ErrChatID},
		"no kind":         {func(d *Draft) { d.Kind = message.NoChat }, ErrMessageType},
		"unknown kind":    {func(d *Draft) { d.Kind = 99 }, ErrMessageType},
		"nothing":         {func(d *Draft) { d.Text = "" }, ErrTextBlank},
		"text at limit":   {func(d *Draft) { d.Text = strings.Repeat("é", MaxText) }, nil},
		"text over limit": {func(d *Draft) { d.Text = strings.Repeat("é", MaxText+1) }, ErrTextLength},
		"no clock":        {func(d *Draft) { d.Clock = 0 }, message.ErrClockZero},
		"greatest clock":  {func(d *Draft) { d.Clock = math.MaxUint64 }, message.ErrClockAhead},
		"no time":         {func(d *Draft) { d.Now = time.Time{} }, ErrTimestamp},
		"bad name":        {func(d *Draft) { d.Profile.DisplayName = "x" }, contact.ErrNameLength},
		"not UTF-8":       {func(d *Draft) { d.Text = "\xff" }, ErrTextUTF8},
	} {
		d := good()
		test.change(&d)
		m, err := TextMessage(d)
		if !errors.Is(err, test.want) || (m == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

// Everything that a chat message carries is in the timeline, and in its JSON.
//
// Proves: AP-136, AP-137, AP-143, AP-150.
func TestNew(t *testing.T) {
	t.Parallel()
	author := newKey(t, 2).Public()
	base := Message{ID: message.ID{5}, Chat: "c", From: author, Clock: 1_700_000_000_000, Timestamp: 1, State: Received}
	for content, want := range map[apppb.ChatMessage_ContentType]func(m *Message){
		apppb.ChatMessage_TEXT_PLAIN:            func(m *Message) { m.ContentType, m.Text = "text", "hello" },
		apppb.ChatMessage_EMOJI:                 func(m *Message) { m.ContentType, m.Text = "emoji", "hello" },
		apppb.ChatMessage_STATUS:                func(m *Message) { m.ContentType, m.Text = "status", "hello" },
		apppb.ChatMessage_CONTACT_REQUEST:       func(m *Message) { m.ContentType, m.Text = "contact_request", "hello" },
		apppb.ChatMessage_IDENTITY_VERIFICATION: func(m *Message) { m.ContentType, m.Text = "identity_verification", "hello" },
		77:                                      func(m *Message) { m.ContentType, m.Text = "unknown_77", "hello" },
		apppb.ChatMessage_DISCORD_MESSAGE: func(m *Message) {
			m.ContentType = "discord"
			m.Discord = &Discord{
				ID: "1", Type: "Default", Timestamp: "2020", Edited: "2021", Content: "x", AuthorID: "2", Author: "carol",
				Nickname: "caz", Avatar: []byte{3}, ReplyTo: "4",
				Attachments: []DiscordAttachment{{ID: "5", Name: "a.png", Type: "image/png", Size: 6, URL: "https://cdn", Payload: []byte{7}}},
			}
		},
		apppb.ChatMessage_STICKER: func(m *Message) {
			m.ContentType, m.Text, m.Sticker = "sticker", "hello", &Sticker{Hash: "e301", Pack: 2}
		},
		apppb.ChatMessage_IMAGE: func(m *Message) {
			m.ContentType = "image"
			m.Image = &Image{Format: "jpeg", Payload: []byte{1}, Width: 3, Height: 4, AlbumID: "a", AlbumImages: 2}
		},
		apppb.ChatMessage_AUDIO: func(m *Message) {
			m.ContentType, m.Text, m.Audio = "audio", "hello", &Audio{Format: "aac", Payload: []byte{1}, DurationMS: 1500}
		},
		apppb.ChatMessage_COMMUNITY: func(m *Message) { m.ContentType, m.Text, m.Community = "community", "hello", []byte{1} },
		apppb.ChatMessage_BRIDGE_MESSAGE: func(m *Message) {
			m.ContentType = "bridge"
			m.Bridge = &Bridge{Name: "irc", User: "bob", UserID: "8", Avatar: "https://bob", Content: "hi", MessageID: "9", ParentID: "10"}
		},
	} {
		expected := base
		want(&expected)
		got := New(base.ID, author, "c", with(content), Received)
		if !reflect.DeepEqual(*got, expected) {
			t.Errorf("content %d:\n%+v, want\n%+v", content, *got, expected)
		}
		sameJSON(t, got)
	}
	// Each content type has a name of its own; those of a client for itself
	// have none, but for that of the retired messages about payments.
	names := map[string]bool{}
	for number := range apppb.ChatMessage_ContentType_name {
		content := apppb.ChatMessage_ContentType(number)
		name := ContentType(content)
		local := localContent[content] && content != apppb.ChatMessage_TRANSACTION_COMMAND
		if names[name] || strings.HasPrefix(name, "unknown_") != local {
			t.Errorf("content %d is called %s", number, name)
		}
		names[name] = true
	}
}

// sameJSON checks that a message is the same after it was stored.
func sameJSON(t *testing.T, m *Message) {
	t.Helper()
	raw, err := json.Marshal(m)
	var back Message
	if err != nil || json.Unmarshal(raw, &back) != nil || !reflect.DeepEqual(&back, m) {
		t.Errorf("%s became %+v, %v", raw, back, err)
	}
}

// What goes beside the text.
func TestNewExtras(t *testing.T) {
	t.Parallel()
	author, a, b := newKey(t, 2).Public(), newKey(t, 3).Public(), newKey(t, 4).Public()
	thread := message.ID{6}.String()
	m := text()
	m.Text = Mention(a) + " and " + Mention(b) + " " + everyone
	m.ResponseTo, m.ThreadId = message.ID{5}.String(), &thread
	m.DisplayName, m.EnsName, m.CustomizationColor = "alice", "alice.eth", 7
	m.UnfurledLinks = Unfurled(links)
	m.UnfurledStatusLinks = UnfurledStatus(statusLinks(t))
	for range MaxReceivedPayments + 1 {
		m.PaymentRequests = append(m.PaymentRequests, &apppb.PaymentRequest{
			Receiver: "0x1", Symbol: "SNT", Amount: "2.5", ChainId: 10, TokenKey: "k", LogoUri: "l",
		})
	}
	got := New(message.ID{1}, author, "c", m, Received)
	payment := Payment{Receiver: "0x1", Symbol: "SNT", Amount: "2.5", ChainID: 10, TokenKey: "k", Logo: "l"}
	if want := (Author{DisplayName: "alice", ENSName: "alice.eth", Color: 7}); got.Author != want {
		t.Errorf("by %+v", got.Author)
	}
	if !slices.Equal(got.Mentions, []key.Public{a, b}) || !got.MentionsAll || got.Thread != thread || got.ReplyTo != m.ResponseTo {
		t.Errorf("%+v", got)
	}
	if !reflect.DeepEqual(got.Links, links) || !reflect.DeepEqual(got.StatusLinks, statusLinks(t)) {
		t.Errorf("links %+v\n%+v", got.Links, got.StatusLinks)
	}
	if len(got.Payments) != MaxReceivedPayments || got.Payments[0] != payment {
		t.Errorf("payments %+v", got.Payments)
	}
	sameJSON(t, got)
}

func TestCallsFor(t *testing.T) {
	t.Parallel()
	self, other := newKey(t, 1).Public(), newKey(t, 2).Public()
	ours, theirs := &Message{ID: message.ID{1}, From: self}, &Message{ID: message.ID{2}, From: other}
	for name, test := range map[string]struct {
		m        Message
		answered *Message
		want     bool
	}{
		"nothing":          {Message{From: other}, nil, false},
		"mention":          {Message{From: other, Mentions: []key.Public{other, self}}, nil, true},
		"of somebody else": {Message{From: other, Mentions: []key.Public{other}}, nil, false},
		"everybody":        {Message{From: other, MentionsAll: true}, nil, true},
		"our own":          {Message{From: self, MentionsAll: true}, nil, false},
		"reply to us":      {Message{From: other, ReplyTo: ours.ID.String()}, ours, true},
		"reply to others":  {Message{From: other, ReplyTo: theirs.ID.String()}, theirs, false},
		"reply, not here":  {Message{From: other, ReplyTo: ours.ID.String()}, nil, false},
		"another's reply":  {Message{From: other, ReplyTo: theirs.ID.String()}, ours, false},
		"deleted":          {Message{From: other, Deleted: &Deleted{By: other}, MentionsAll: true}, nil, false},
	} {
		if got := test.m.CallsFor(self, test.answered); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Recorded chat messages of deployed clients are valid, come out in the
// timeline, and what Parley can write itself it writes as the same bytes.
//
// Proves: AP-128, AP-161.
func TestVectorsChatMessages(t *testing.T) {
	t.Parallel()
	type recorded struct {
		Name, ID    string
		Type        message.Type
		MessageType string
		Payload     vectors.Hex
	}
	all := append(vectors.Cases[recorded](t, "application_metadata"), vectors.Cases[recorded](t, "sent_raw_messages")...)
	var checked, composed int
	for _, r := range all {
		if r.Type != apppb.ApplicationMetadataMessage_CHAT_MESSAGE && r.MessageType != "CHAT_MESSAGE" {
			continue
		}
		checked++
		t.Run(r.Name+r.ID, func(t *testing.T) {
			var m apppb.ChatMessage
			if err := proto.Unmarshal(r.Payload, &m); err != nil {
				t.Fatal(err)
			}
			// Sent at the very moment its clock tells.
			at := contact.Incoming{WakuTime: time.UnixMilli(int64(m.Clock))}
			if err := Validate(&m, at, message.NoChat); err != nil {
				t.Fatal(err)
			}
			author := newKey(t, 2).Public()
			shown := New(message.ID{1}, author, m.ChatId, &m, Received)
			if shown.Text != m.Text || shown.Clock != m.Clock || shown.Timestamp != m.Timestamp || shown.ReplyTo != m.ResponseTo ||
				strings.HasPrefix(shown.ContentType, "unknown_") {
				t.Errorf("shown as %+v", shown)
			}
			again, err := compose(&m)
			if errors.Is(err, errNotOurs) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			composed++
			if raw, err := message.Encode(again); err != nil || !bytes.Equal(raw, r.Payload) {
				t.Errorf("composed\n%x, recorded\n%x (%v)", raw, []byte(r.Payload), err)
			}
		})
	}
	if checked == 0 || composed == 0 {
		t.Errorf("%d chat messages in the recording, %d to compose", checked, composed)
	}
}

// errNotOurs means that Parley would not write a recorded message so: with the
// album of a single image, or of type EMOJI without an emoji.
var errNotOurs = errors.New("not what Parley writes")

// compose writes a recorded message anew, from what a user would have said.
func compose(m *apppb.ChatMessage) (*apppb.ChatMessage, error) {
	state := m.ContactRequestPropagatedState
	draft := Draft{
		Chat: m.ChatId, Kind: kinds[m.MessageType], Text: m.Text, Clock: m.Clock, Now: time.UnixMilli(int64(m.Timestamp)),
		Profile: contact.Profile{DisplayName: m.DisplayName, ENSName: m.EnsName, Color: m.CustomizationColor},
		Contact: contact.Contact{
			Local: contact.Relation(state.GetLocalState()), LocalClock: state.GetLocalClock(),
			Remote: contact.Relation(state.GetRemoteState()), RemoteClock: state.GetRemoteClock(),
		},
		Links: LinksFrom(m.UnfurledLinks), StatusLinks: StatusLinksFrom(m.UnfurledStatusLinks),
	}
	if m.ResponseTo != "" {
		id, err := message.ParseID(m.ResponseTo)
		if err != nil {
			return nil, err
		}
		draft.ReplyTo = &id
	}
	shown := New(message.ID{}, key.Public{}, m.ChatId, m, Received)
	var again *apppb.ChatMessage
	var err error
	switch m.ContentType {
	case apppb.ChatMessage_TEXT_PLAIN:
		again, err = PlainTextMessage(draft)
	case apppb.ChatMessage_EMOJI:
		if !EmojiOnly(m.Text) {
			return nil, errNotOurs
		}
		again, err = TextMessage(draft)
	case apppb.ChatMessage_CONTACT_REQUEST:
		again, err = ContactRequest(draft)
	case apppb.ChatMessage_STICKER:
		again, err = StickerMessage(draft, *shown.Sticker)
	case apppb.ChatMessage_AUDIO:
		again, err = AudioMessage(draft, *shown.Audio)
	case apppb.ChatMessage_IMAGE:
		if m.GetImage().GetAlbumId() != "" {
			return nil, errNotOurs
		}
		var all []*apppb.ChatMessage
		if all, err = ImageMessages(draft, []Image{*shown.Image}, nil); err == nil {
			again = all[0]
		}
	default:
		return nil, errNotOurs
	}
	// Parley never leaves it out; some of the recorded messages were not sent
	// by a client but only put together.
	if err == nil && state == nil {
		again.ContactRequestPropagatedState = nil
	}
	return again, err
}
