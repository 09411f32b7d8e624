package chat

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxText is the length of a message's text, in characters (deployed clients).
const MaxText = 4096

// Errors of Validate, one for each cause; clocks have theirs in package
// message, names in package contact.
var (
	ErrTimestamp   = errors.New("chat message without timestamp")
	ErrMessageType = errors.New("chat message of a type that does not travel")
	ErrKind        = errors.New("chat message for another kind of chat")
	ErrContentType = errors.New("chat message with content that does not travel")
	ErrTextBlank   = errors.New("chat message without text")
	ErrTextLength  = errors.New("chat message with too long a text")
	ErrTextUTF8    = errors.New("chat message whose text is not UTF-8")
	ErrSticker     = errors.New("sticker without hash")
	ErrImage       = errors.New("image without content or format")
	ErrAudio       = errors.New("audio without content or type")
	ErrCommunity   = errors.New("community without description")
	ErrDiscord     = errors.New("message from Discord without content")
	ErrBridge      = errors.New("bridge message without bridge, author or content")
	ErrPublicMedia = errors.New("image or audio in a public chat")
)

// localContent are the content types that a client makes for itself.
var localContent = map[apppb.ChatMessage_ContentType]bool{
	apppb.ChatMessage_UNKNOWN_CONTENT_TYPE:                 true,
	apppb.ChatMessage_TRANSACTION_COMMAND:                  true,
	apppb.ChatMessage_SYSTEM_MESSAGE_CONTENT_PRIVATE_GROUP: true,
	apppb.ChatMessage_SYSTEM_MESSAGE_GAP:                   true,
	apppb.ChatMessage_SYSTEM_MESSAGE_PINNED_MESSAGE:        true,
	apppb.ChatMessage_SYSTEM_MESSAGE_MUTUAL_EVENT_SENT:     true,
	apppb.ChatMessage_SYSTEM_MESSAGE_MUTUAL_EVENT_ACCEPTED: true,
	apppb.ChatMessage_SYSTEM_MESSAGE_MUTUAL_EVENT_REMOVED:  true,
}

// Validate says why a received message is to be dropped, nil if it is not.
// kind is the kind of chat it must be for, message.NoChat for any. Content
// types of later versions pass if they bring a text to show.
func Validate(m *apppb.ChatMessage, in contact.Incoming, kind message.ChatKind) error {
	if err := message.CheckClock(m.GetClock(), in.WakuTime); err != nil {
		return err
	}
	if m.GetTimestamp() == 0 {
		return ErrTimestamp
	}
	its, err := CheckAddress(m)
	if err != nil {
		return err
	}
	if kind != message.NoChat && its != kind {
		return fmt.Errorf("%w: %s, not %s", ErrKind, its, kind)
	}
	if err := checkContent(m); err != nil {
		return err
	}
	if _, err := contact.CheckReceivedName(m.GetDisplayName(), in.IsAlias); err != nil {
		return err
	}
	return contact.CheckPropagated(m.GetContactRequestPropagatedState(), in.WakuTime)
}

// checkContent checks what is said, apart from when, where and by whom.
func checkContent(m *apppb.ChatMessage) error {
	content := m.GetContentType()
	if localContent[content] {
		return fmt.Errorf("%w: %d", ErrContentType, content)
	}
	public := m.GetMessageType() == apppb.MessageType_PUBLIC_GROUP
	switch content {
	case apppb.ChatMessage_STICKER:
		if m.GetSticker().GetHash() == "" {
			return ErrSticker
		}
	case apppb.ChatMessage_IMAGE:
		image := m.GetImage()
		if len(image.GetPayload()) == 0 || image.GetFormat() == apppb.ImageFormat_UNKNOWN_IMAGE_FORMAT {
			return ErrImage
		}
		if public {
			return ErrPublicMedia
		}
	case apppb.ChatMessage_AUDIO:
		audio := m.GetAudio()
		if len(audio.GetPayload()) == 0 || audio.GetType() == apppb.AudioMessage_UNKNOWN_AUDIO_TYPE {
			return ErrAudio
		}
		if public {
			return ErrPublicMedia
		}
	case apppb.ChatMessage_COMMUNITY:
		if len(m.GetCommunity()) == 0 {
			return ErrCommunity
		}
	case apppb.ChatMessage_DISCORD_MESSAGE:
		if m.GetDiscordMessage() == nil {
			return ErrDiscord
		}
	case apppb.ChatMessage_BRIDGE_MESSAGE:
		bridge := m.GetBridgeMessage()
		if bridge.GetBridgeName() == "" || bridge.GetUserName() == "" || bridge.GetContent() == "" {
			return ErrBridge
		}
	}
	return checkText(m.GetText(), content)
}

// checkText checks the text beside some content.
func checkText(text string, content apppb.ChatMessage_ContentType) error {
	switch content {
	case apppb.ChatMessage_DISCORD_MESSAGE, apppb.ChatMessage_BRIDGE_MESSAGE:
		return nil // theirs is in the payload
	case apppb.ChatMessage_IMAGE:
		if text == "" {
			return nil
		}
	}
	if !utf8.ValidString(text) {
		return ErrTextUTF8
	}
	if n := utf8.RuneCountInString(text); n > MaxText {
		return fmt.Errorf("%w: %d characters, at most %d", ErrTextLength, n, MaxText)
	}
	if strings.TrimSpace(text) == "" {
		return ErrTextBlank
	}
	return nil
}
