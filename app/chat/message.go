package chat

import (
	"bytes"
	"cmp"
	"strconv"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// State is how far a message has come. The texts are stable.
type State string

// The states. Received is for messages of others and our other devices; the
// rest are for what this device sends.
const (
	Pending   State = "pending"   // made, on no peer yet
	Sent      State = "sent"      // published to a peer at least
	Delivered State = "delivered" // acknowledged by a device of the recipient
	Failed    State = "failed"    // given up, until it is tried again
	Received  State = "received"
)

// transitions are the states that may follow each state. Failing is not the
// end: an acknowledgement may come late, and a person may try again.
var transitions = map[State][]State{
	Pending: {Sent, Delivered, Failed},
	Sent:    {Delivered, Failed},
	Failed:  {Pending, Sent, Delivered},
}

// Advance returns the state after something that would make it to, and whether
// that is a change. What is delivered or received stays so, and nothing that
// was published becomes pending again.
func (s State) Advance(to State) (State, bool) {
	for _, next := range transitions[s] {
		if next == to {
			return to, true
		}
	}
	return s, false
}

// Message is a message in a chat's timeline.
type Message struct {
	ID   message.ID `json:"id"`
	Chat string     `json:"chat"`
	From key.Public `json:"from"`
	Text string     `json:"text"`
	// ContentType is what kind of thing is said: text, emoji, sticker, image,
	// audio, community, contact_request, …; see ContentType.
	ContentType string `json:"content_type"`
	// Clock orders the chat; Timestamp is when the author says to have written
	// it. Both in milliseconds.
	Clock     uint64 `json:"clock"`
	Timestamp uint64 `json:"timestamp"`
	State     State  `json:"state"`
	// ReplyTo is the id of the message this one answers, empty for none.
	ReplyTo string `json:"reply_to,omitempty"`

	Sticker *Sticker `json:"sticker,omitempty"`
	Image   *Image   `json:"image,omitempty"`
	Audio   *Audio   `json:"audio,omitempty"`
	Bridge  *Bridge  `json:"bridge,omitempty"`
	// Community is a signed application message of type COMMUNITY_DESCRIPTION.
	Community []byte `json:"community,omitempty"`
}

// Sticker is the content of a sticker message.
type Sticker struct {
	Hash string `json:"hash"`
	Pack int32  `json:"pack"`
}

// Image is the content of an image message. The payload is as it was received:
// show it only through a decoder that expects the worst.
type Image struct {
	// Format is png, jpeg, webp, gif, or a number.
	Format  string `json:"format"`
	Payload []byte `json:"payload"`
	Width   uint32 `json:"width,omitempty"`
	Height  uint32 `json:"height,omitempty"`
	// AlbumID is shared by images that were sent together, AlbumImages of them.
	AlbumID     string `json:"album_id,omitempty"`
	AlbumImages uint32 `json:"album_images,omitempty"`
}

// Audio is the content of an audio message.
type Audio struct {
	// Format is aac, amr, or a number.
	Format     string `json:"format"`
	Payload    []byte `json:"payload"`
	DurationMS uint64 `json:"duration_ms,omitempty"`
}

// Bridge is the content of a message from another network.
type Bridge struct {
	Name    string `json:"name"`
	User    string `json:"user"`
	Content string `json:"content"`
}

var contentTypes = map[apppb.ChatMessage_ContentType]string{
	apppb.ChatMessage_TEXT_PLAIN:            "text",
	apppb.ChatMessage_STICKER:               "sticker",
	apppb.ChatMessage_STATUS:                "status",
	apppb.ChatMessage_EMOJI:                 "emoji",
	apppb.ChatMessage_IMAGE:                 "image",
	apppb.ChatMessage_AUDIO:                 "audio",
	apppb.ChatMessage_COMMUNITY:             "community",
	apppb.ChatMessage_CONTACT_REQUEST:       "contact_request",
	apppb.ChatMessage_DISCORD_MESSAGE:       "discord",
	apppb.ChatMessage_IDENTITY_VERIFICATION: "identity_verification",
	apppb.ChatMessage_BRIDGE_MESSAGE:        "bridge",
}

var imageFormats = map[apppb.ImageFormat]string{
	apppb.ImageFormat_PNG:  "png",
	apppb.ImageFormat_JPEG: "jpeg",
	apppb.ImageFormat_WEBP: "webp",
	apppb.ImageFormat_GIF:  "gif",
}

var audioFormats = map[apppb.AudioMessage_AudioType]string{
	apppb.AudioMessage_AAC: "aac",
	apppb.AudioMessage_AMR: "amr",
}

// nameOr returns the name of an enumeration's number, unknown_N for one that
// this version does not know.
func nameOr[T ~int32](names map[T]string, number T) string {
	if name, ok := names[number]; ok {
		return name
	}
	return "unknown_" + strconv.Itoa(int(number))
}

// ContentType returns the stable name of a content type.
func ContentType(t apppb.ChatMessage_ContentType) string { return nameOr(contentTypes, t) }

// New makes the timeline's message out of a chat message, received and valid
// or about to be sent.
func New(id message.ID, author key.Public, chat string, m *apppb.ChatMessage, state State) *Message {
	out := &Message{
		ID:          id,
		Chat:        chat,
		From:        author,
		Text:        m.GetText(),
		ContentType: ContentType(m.GetContentType()),
		Clock:       m.GetClock(),
		Timestamp:   m.GetTimestamp(),
		State:       state,
		ReplyTo:     m.GetResponseTo(),
		Community:   m.GetCommunity(),
	}
	if sticker := m.GetSticker(); sticker != nil {
		out.Sticker = &Sticker{Hash: sticker.Hash, Pack: sticker.Pack}
	}
	if image := m.GetImage(); image != nil {
		out.Image = &Image{
			Format: nameOr(imageFormats, image.Format), Payload: image.Payload, Width: image.Width, Height: image.Height,
			AlbumID: image.AlbumId, AlbumImages: image.AlbumImagesCount,
		}
	}
	if audio := m.GetAudio(); audio != nil {
		out.Audio = &Audio{Format: nameOr(audioFormats, audio.Type), Payload: audio.Payload, DurationMS: audio.DurationMs}
	}
	if bridge := m.GetBridgeMessage(); bridge != nil {
		out.Bridge = &Bridge{Name: bridge.BridgeName, User: bridge.UserName, Content: bridge.Content}
	}
	return out
}

// Compare orders messages as a chat shows them: by clock, and those of the
// same clock by id. What the author's own watch said does not count.
func Compare(a, b *Message) int {
	if c := cmp.Compare(a.Clock, b.Clock); c != 0 {
		return c
	}
	return bytes.Compare(a.ID[:], b.ID[:])
}
