package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
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
		To: to, Text: "hello", ReplyTo: &id, Clock: 1_700_000_000_200, Now: now,
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
	good := func() Draft { return Draft{To: to, Text: "hello", Clock: 1_700_000_000_123, Now: now} }
	for name, test := range map[string]struct {
		change func(d *Draft)
		want   error
	}{
		"nobody":          {func(d *Draft) { d.To = key.Public{} }, ErrChatID},
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

// Proves: AP-136, AP-137, AP-143.
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
		apppb.ChatMessage_DISCORD_MESSAGE:       func(m *Message) { m.ContentType = "discord" },
		77:                                      func(m *Message) { m.ContentType, m.Text = "unknown_77", "hello" },
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
			m.ContentType, m.Bridge = "bridge", &Bridge{Name: "irc", User: "bob", Content: "hi"}
		},
	} {
		expected := base
		want(&expected)
		got := New(base.ID, author, "c", with(content), Received)
		if !reflect.DeepEqual(*got, expected) {
			t.Errorf("content %d:\n%+v, want\n%+v", content, *got, expected)
		}
		raw, err := json.Marshal(got)
		var back Message
		if err != nil || json.Unmarshal(raw, &back) != nil || !reflect.DeepEqual(back, expected) {
			t.Errorf("%s became %+v, %v", raw, back, err)
		}
	}
	// Each content type that travels has a name of its own.
	names := map[string]bool{}
	for number := range apppb.ChatMessage_ContentType_name {
		content := apppb.ChatMessage_ContentType(number)
		name := ContentType(content)
		if names[name] || strings.HasPrefix(name, "unknown_") != localContent[content] {
			t.Errorf("content %d is called %s", number, name)
		}
		names[name] = true
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
			if r.MessageType == "" {
				return
			}
			composed++
			again, err := compose(&m)
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := message.Encode(again); err != nil || !bytes.Equal(raw, r.Payload) {
				t.Errorf("composed\n%x, recorded\n%x (%v)", raw, []byte(r.Payload), err)
			}
		})
	}
	if checked == 0 || composed == 0 {
		t.Errorf("%d chat messages in the recording, %d to compose", checked, composed)
	}
}

// compose writes a recorded message anew, from what a user would have said.
func compose(m *apppb.ChatMessage) (*apppb.ChatMessage, error) {
	to, err := key.ParsePublic(m.ChatId)
	if err != nil {
		return nil, err
	}
	state := m.ContactRequestPropagatedState
	draft := Draft{
		To: to, Text: m.Text, Clock: m.Clock, Now: time.UnixMilli(int64(m.Timestamp)),
		Profile: contact.Profile{DisplayName: m.DisplayName, ENSName: m.EnsName, Color: m.CustomizationColor},
		Contact: contact.Contact{
			Local: contact.Relation(state.GetLocalState()), LocalClock: state.GetLocalClock(),
			Remote: contact.Relation(state.GetRemoteState()), RemoteClock: state.GetRemoteClock(),
		},
	}
	if m.ResponseTo != "" {
		id, err := message.ParseID(m.ResponseTo)
		if err != nil {
			return nil, err
		}
		draft.ReplyTo = &id
	}
	if m.ContentType == apppb.ChatMessage_CONTACT_REQUEST {
		return ContactRequest(draft)
	}
	return TextMessage(draft)
}
