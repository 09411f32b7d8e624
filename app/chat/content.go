package chat

import (
	"strconv"

	apppb "github.com/parley-im/parley/pb/app"
)

// Sticker is the content of a sticker message.
type Sticker struct {
	// Hash names the sticker in its Pack.
	Hash string `json:"hash"`
	Pack int32  `json:"pack"`
}

// Image is the content of an image message. The payload is as it was received:
// show it only through a decoder that expects the worst.
type Image struct {
	// Format is png, jpeg, webp, gif, or unknown_N.
	Format  string `json:"format"`
	Payload []byte `json:"payload,omitempty"`
	// Bytes is the length of a payload that was detached; see [Message.Detach].
	Bytes int `json:"bytes,omitempty"`
	// Width and Height in pixels, as the author says; 0 for unknown.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
	// AlbumID is shared by images that were sent together, AlbumImages of them.
	AlbumID     string `json:"album_id,omitempty"`
	AlbumImages uint32 `json:"album_images,omitempty"`
}

// Audio is the content of an audio message.
type Audio struct {
	// Format is aac, amr, or unknown_N.
	Format  string `json:"format"`
	Payload []byte `json:"payload,omitempty"`
	// Bytes is the length of a payload that was detached; see [Message.Detach].
	Bytes      int    `json:"bytes,omitempty"`
	DurationMS uint64 `json:"duration_ms,omitempty"`
}

// Bridge is the content of a message from another network: who wrote it there
// is only what the bridge says.
type Bridge struct {
	// Name is the network's, as discord.
	Name string `json:"name"`
	// User is the author's name there, UserID their id, Avatar the address of
	// their picture, which nobody should fetch unasked.
	User   string `json:"user"`
	UserID string `json:"user_id,omitempty"`
	Avatar string `json:"avatar,omitempty"`
	// Content is the text.
	Content string `json:"content"`
	// MessageID is the message's id there, ParentID that of the one it answers.
	MessageID string `json:"message_id,omitempty"`
	ParentID  string `json:"parent_id,omitempty"`
}

// Discord is the content of a message that was imported from Discord.
type Discord struct {
	ID   string `json:"id,omitempty"`
	Type string `json:"type,omitempty"`
	// Timestamp and Edited are as Discord writes them.
	Timestamp string `json:"timestamp,omitempty"`
	Edited    string `json:"edited,omitempty"`
	Content   string `json:"content"`
	// Author is the author's name there, Nickname that on the server, Avatar
	// their picture.
	AuthorID string `json:"author_id,omitempty"`
	Author   string `json:"author,omitempty"`
	Nickname string `json:"nickname,omitempty"`
	Avatar   []byte `json:"avatar,omitempty"`
	// AvatarBytes is the length of an avatar that was detached; see
	// [Message.Detach].
	AvatarBytes int `json:"avatar_bytes,omitempty"`
	// ReplyTo is the id there of the message it answers.
	ReplyTo     string              `json:"reply_to,omitempty"`
	Attachments []DiscordAttachment `json:"attachments,omitempty"`
}

// DiscordAttachment is a file of an imported message.
type DiscordAttachment struct {
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`
	Type    string `json:"type,omitempty"` // media type, as image/png
	Size    uint64 `json:"size,omitempty"` // in bytes, as Discord says
	URL     string `json:"url,omitempty"`
	Payload []byte `json:"payload,omitempty"`
	// Bytes is the length of a payload that was detached; see [Message.Detach].
	Bytes int `json:"bytes,omitempty"`
}

// Payment is a request to be paid.
type Payment struct {
	// Receiver is an Ethereum address as 0x….
	Receiver string `json:"receiver"`
	// Symbol is that of the token, as ETH.
	Symbol string `json:"symbol"`
	// Amount is a decimal number of Symbol's tokens.
	Amount string `json:"amount"`
	// ChainID is the number of the Ethereum chain, TokenKey what clients name
	// the token by.
	ChainID  uint32 `json:"chain_id"`
	TokenKey string `json:"token_key,omitempty"`
	// Logo is the address of the token's picture, not to be fetched unasked.
	Logo string `json:"logo,omitempty"`
}

var contentTypes = map[apppb.ChatMessage_ContentType]string{
	apppb.ChatMessage_TEXT_PLAIN:            "text",
	apppb.ChatMessage_STICKER:               "sticker",
	apppb.ChatMessage_STATUS:                "status",
	apppb.ChatMessage_EMOJI:                 "emoji",
	apppb.ChatMessage_TRANSACTION_COMMAND:   "transaction",
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

// numberOf returns the number of a name, 0 for none.
func numberOf[T ~int32](names map[T]string, name string) T {
	for number, its := range names {
		if its == name {
			return number
		}
	}
	return 0
}

// ContentType returns the stable name of a content type.
func ContentType(t apppb.ChatMessage_ContentType) string { return nameOr(contentTypes, t) }

// carry adds what a chat message carries besides its text.
func (out *Message) carry(m *apppb.ChatMessage) {
	out.Community = m.GetCommunity()
	out.Links, out.StatusLinks = LinksFrom(m.GetUnfurledLinks()), StatusLinksFrom(m.GetUnfurledStatusLinks())
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
	if b := m.GetBridgeMessage(); b != nil {
		out.Bridge = &Bridge{
			Name: b.BridgeName, User: b.UserName, UserID: b.UserId, Avatar: b.UserAvatar,
			Content: b.Content, MessageID: b.MessageId, ParentID: b.ParentMessageId,
		}
	}
	out.Discord = discordOf(m.GetDiscordMessage())
	for _, p := range m.GetPaymentRequests()[:min(len(m.GetPaymentRequests()), MaxReceivedPayments)] {
		out.Payments = append(out.Payments, Payment{
			Receiver: p.GetReceiver(), Symbol: p.GetSymbol(), Amount: p.GetAmount(),
			ChainID: p.GetChainId(), TokenKey: p.GetTokenKey(), Logo: p.GetLogoUri(),
		})
	}
}

func discordOf(m *apppb.DiscordMessage) *Discord {
	if m == nil {
		return nil
	}
	d := &Discord{
		ID: m.Id, Type: m.Type, Timestamp: m.Timestamp, Edited: m.TimestampEdited, Content: m.Content,
		AuthorID: m.GetAuthor().GetId(), Author: m.GetAuthor().GetName(), Nickname: m.GetAuthor().GetNickname(),
		Avatar: m.GetAuthor().GetAvatarImagePayload(), ReplyTo: m.GetReference().GetMessageId(),
	}
	for _, a := range m.Attachments {
		d.Attachments = append(d.Attachments, DiscordAttachment{
			ID: a.GetId(), Name: a.GetFileName(), Type: a.GetContentType(), Size: a.GetFileSizeBytes(), URL: a.GetUrl(), Payload: a.GetPayload(),
		})
	}
	return d
}
