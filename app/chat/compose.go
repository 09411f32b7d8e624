package chat

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits of what is sent. What is received is judged by the size of the whole
// message only (package message) and by who decodes it.
const (
	// MaxImage is the size of an encoded image in bytes (deployed clients).
	MaxImage = 400_000
	// MaxAlbum is how many images may be sent together. Deployed clients on
	// telephones have six, others five.
	MaxAlbum = 5
	// MaxAudioDuration is what clients on telephones record at most; MaxAudio,
	// in bytes, is that at 128 kbit/s, rounded up.
	MaxAudioDuration = 2 * time.Minute
	MaxAudio         = 2_000_000
)

// Errors of drafts.
var (
	ErrDraftKind    = errors.New("not in this kind of chat")
	ErrNotEmoji     = errors.New("not a text of emoji alone")
	ErrNoImages     = errors.New("no images to send")
	ErrAlbumSize    = errors.New("too many images for one album")
	ErrImageSize    = errors.New("image too large to send")
	ErrAudioSize    = errors.New("audio too large to send")
	ErrAudioTooLong = errors.New("audio too long to send")
)

// Draft is what a new message is made of.
type Draft struct {
	// Chat is the chat's id and Kind its kind; see Chat.
	Chat string
	Kind message.ChatKind
	Text string
	// ReplyTo is the message answered, Thread the one whose thread the message
	// belongs to; nil for none.
	ReplyTo *message.ID
	Thread  *message.ID
	// Clock is NextClock's, Now when the message is written.
	Clock uint64
	Now   time.Time
	// Profile is what goes along of ourselves.
	Profile contact.Profile
	// Contact is the other of a 1:1 chat as we know them: our view of the
	// relation goes along. It does not count in other chats.
	Contact contact.Contact
	// Links and StatusLinks are previews of what the text links to.
	Links       []Link
	StatusLinks []StatusLink
}

// TextMessage builds a text, or, if it consists of emoji alone, an emoji
// message, as deployed clients do.
func TextMessage(d Draft) (*apppb.ChatMessage, error) {
	if EmojiOnly(d.Text) {
		return d.build(apppb.ChatMessage_EMOJI, nil)
	}
	return PlainTextMessage(d)
}

// PlainTextMessage builds a text whatever it consists of.
func PlainTextMessage(d Draft) (*apppb.ChatMessage, error) {
	return d.build(apppb.ChatMessage_TEXT_PLAIN, nil)
}

// EmojiMessage builds a message of emoji alone, which is shown larger.
func EmojiMessage(d Draft) (*apppb.ChatMessage, error) {
	if !EmojiOnly(d.Text) {
		return nil, fmt.Errorf("composing: %w", ErrNotEmoji)
	}
	return d.build(apppb.ChatMessage_EMOJI, nil)
}

// ContactRequest builds the message that carries a contact request; d.Contact
// is the contact after [contact.Contact.SendRequest].
func ContactRequest(d Draft) (*apppb.ChatMessage, error) {
	if d.Kind != message.OneToOne {
		return nil, fmt.Errorf("composing a contact request: %w: %s", ErrDraftKind, d.Kind)
	}
	return d.build(apppb.ChatMessage_CONTACT_REQUEST, nil)
}

// Clients that cannot show a sticker or play audio show its text, and drop the
// message if it has none: these stand in.
const (
	stickerText = "Sticker"
	audioText   = "Audio message"
)

// StickerMessage builds a sticker.
func StickerMessage(d Draft, sticker Sticker) (*apppb.ChatMessage, error) {
	d.Text = textOr(d.Text, stickerText)
	return d.build(apppb.ChatMessage_STICKER, func(m *apppb.ChatMessage) {
		m.Payload = &apppb.ChatMessage_Sticker{Sticker: &apppb.StickerMessage{Hash: sticker.Hash, Pack: sticker.Pack}}
	})
}

// AudioMessage builds an audio message.
func AudioMessage(d Draft, audio Audio) (*apppb.ChatMessage, error) {
	if n := len(audio.Payload); n > MaxAudio {
		return nil, fmt.Errorf("composing: %w: %d bytes, at most %d", ErrAudioSize, n, MaxAudio)
	}
	if limit := uint64(MaxAudioDuration.Milliseconds()); audio.DurationMS > limit {
		return nil, fmt.Errorf("composing: %w: %d ms, at most %d", ErrAudioTooLong, audio.DurationMS, limit)
	}
	d.Text = textOr(d.Text, audioText)
	return d.build(apppb.ChatMessage_AUDIO, func(m *apppb.ChatMessage) {
		m.Payload = &apppb.ChatMessage_Audio{Audio: &apppb.AudioMessage{
			Payload: audio.Payload, Type: numberOf(audioFormats, audio.Format), DurationMs: audio.DurationMS,
		}}
	})
}

// ImageMessages builds a message for each image, and of several an album, whose
// id is made with rand. Text, links and reply go with the first; the clocks
// count up from the draft's. What the images say of an album does not count.
func ImageMessages(d Draft, images []Image, rand io.Reader) ([]*apppb.ChatMessage, error) {
	if len(images) == 0 {
		return nil, fmt.Errorf("composing: %w", ErrNoImages)
	}
	if len(images) > MaxAlbum {
		return nil, fmt.Errorf("composing: %w: %d, at most %d", ErrAlbumSize, len(images), MaxAlbum)
	}
	if d.Clock > math.MaxUint64-uint64(len(images)) {
		return nil, fmt.Errorf("composing: %w", message.ErrClockAhead)
	}
	var album string
	var count uint32
	if len(images) > 1 {
		id, err := uuid.NewRandomFromReader(rand)
		if err != nil {
			return nil, fmt.Errorf("composing an album: %w", err)
		}
		album, count = id.String(), uint32(len(images))
	}
	all := make([]*apppb.ChatMessage, len(images))
	for i, image := range images {
		if n := len(image.Payload); n > MaxImage {
			return nil, fmt.Errorf("composing: %w: %d bytes, at most %d", ErrImageSize, n, MaxImage)
		}
		m, err := d.build(apppb.ChatMessage_IMAGE, func(m *apppb.ChatMessage) {
			m.Payload = &apppb.ChatMessage_Image{Image: &apppb.ImageMessage{
				Payload: image.Payload, Format: numberOf(imageFormats, image.Format),
				Width: image.Width, Height: image.Height, AlbumId: album, AlbumImagesCount: count,
			}}
		})
		if err != nil {
			return nil, err
		}
		all[i] = m
		d.Clock++
		d.Text, d.ReplyTo, d.Links, d.StatusLinks = "", nil, nil, nil
	}
	return all, nil
}

func textOr(text, standIn string) string {
	if strings.TrimSpace(text) == "" {
		return standIn
	}
	return text
}

// build builds a message of some content; carry adds what the text is not.
func (d Draft) build(content apppb.ChatMessage_ContentType, carry func(m *apppb.ChatMessage)) (*apppb.ChatMessage, error) {
	typ, err := d.messageType()
	if err != nil {
		return nil, fmt.Errorf("composing: %w", err)
	}
	if err := checkLinks(d.Links, d.StatusLinks); err != nil {
		return nil, fmt.Errorf("composing: %w", err)
	}
	m := &apppb.ChatMessage{
		Clock:               d.Clock,
		Timestamp:           uint64(max(d.Now.UnixMilli(), 0)),
		Text:                d.Text,
		EnsName:             d.Profile.ENSName,
		ChatId:              d.Chat,
		MessageType:         typ,
		ContentType:         content,
		DisplayName:         d.Profile.DisplayName,
		UnfurledLinks:       Unfurled(d.Links),
		UnfurledStatusLinks: UnfurledStatus(d.StatusLinks),
		CustomizationColor:  d.Profile.Color,
	}
	if d.Kind == message.OneToOne {
		m.ContactRequestPropagatedState = d.Contact.Propagated()
	}
	if d.ReplyTo != nil {
		m.ResponseTo = d.ReplyTo.String()
	}
	if d.Thread != nil {
		thread := d.Thread.String()
		m.ThreadId = &thread
	}
	if carry != nil {
		carry(m)
	}
	// Nothing goes out that a receiver has to drop.
	if err := Validate(m, d.sent(), d.Kind); err != nil {
		return nil, fmt.Errorf("composing: %w", err)
	}
	return m, nil
}

// messageType returns the type of messages to the draft's chat, whose id has to
// be one.
func (d Draft) messageType() (apppb.MessageType, error) {
	typ, err := MessageType(d.Kind)
	if err != nil {
		return 0, err
	}
	if d.Chat == "" {
		return 0, ErrChatID
	}
	if d.Kind == message.OneToOne {
		if peer, err := key.ParsePublic(d.Chat); err != nil || OneToOneID(peer) != d.Chat {
			return 0, fmt.Errorf("%w: not a key in its 0x04 form", ErrChatID)
		}
	}
	return typ, nil
}

// address returns the type of messages to the draft's chat, which has to be
// that of a message that still is one.
func (d Draft) address(m *Message) (apppb.MessageType, error) {
	typ, err := d.messageType()
	switch {
	case err != nil:
		return 0, err
	case d.Chat != m.Chat:
		return 0, ErrOtherChat
	case m.Deleted != nil:
		return 0, ErrIsDeleted
	}
	return typ, nil
}

// sent returns what a receiver would know of the draft's message. The clock is
// not judged by it: the transport's time is not known yet.
func (d Draft) sent() contact.Incoming {
	at := max(d.Clock, uint64(max(d.Now.UnixMilli(), 0)))
	return contact.Incoming{WakuTime: time.UnixMilli(int64(min(at, 1<<62)))}
}
