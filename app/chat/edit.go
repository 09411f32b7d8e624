package chat

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Errors of edits and deletions.
var (
	ErrTarget       = errors.New("no message id of what is to be changed")
	ErrOtherChat    = errors.New("change of a message of another chat")
	ErrNotAuthor    = errors.New("change of a message by somebody who may not")
	ErrNotEditable  = errors.New("edit of content that cannot be edited")
	ErrNotDeletable = errors.New("deletion of content that cannot be deleted")
	ErrEditClock    = errors.New("edit older than the message")
	ErrIsDeleted    = errors.New("the message was deleted")
)

// Change is where a change of a message comes from.
type Change struct {
	// ID is the message id of the change itself, Author who signed it.
	ID     message.ID
	Author key.Public
	// Chat is the id of the chat that Match found for it.
	Chat string
	// Moderator tells that Author may delete what others wrote in that chat: as
	// an admin of the group, or with a role in the community.
	Moderator bool
}

// Edited says which edit a message shows. Of several the newest counts, and of
// those of the same clock the one with the greatest id, so that everybody
// shows the same.
type Edited struct {
	Clock uint64     `json:"clock"`
	ID    message.ID `json:"id"`
}

func (e Edited) compare(o Edited) int {
	return cmp.Or(cmp.Compare(e.Clock, o.Clock), bytes.Compare(e.ID[:], o.ID[:]))
}

// editable are the content types whose text can be edited (deployed clients).
var editable = map[string]apppb.ChatMessage_ContentType{
	"text":   apppb.ChatMessage_TEXT_PLAIN,
	"emoji":  apppb.ChatMessage_EMOJI,
	"image":  apppb.ChatMessage_IMAGE,
	"bridge": apppb.ChatMessage_BRIDGE_MESSAGE,
}

// ValidateEdit says why an edit is to be dropped, and which message it is for
// if it is not.
func ValidateEdit(e *apppb.EditMessage, in contact.Incoming) (message.ID, error) {
	if err := message.CheckClock(e.GetClock(), in.WakuTime); err != nil {
		return message.ID{}, err
	}
	if _, err := CheckAddress(e); err != nil {
		return message.ID{}, err
	}
	target, err := Target(e)
	if err != nil {
		return message.ID{}, err
	}
	return target, checkText(e.GetText(), apppb.ChatMessage_TEXT_PLAIN)
}

// Target returns the id of the message that another one is about.
func Target(m interface{ GetMessageId() string }) (message.ID, error) {
	id, err := message.ParseID(m.GetMessageId())
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return id, nil
}

// Edit applies a valid edit and returns the message as it is then, which is m
// itself if the edit changes nothing: the message was deleted, or shows a newer
// edit. In whatever order edits arrive, and however often, the outcome is the
// same.
func (m *Message) Edit(e *apppb.EditMessage, by Change) (*Message, error) {
	switch {
	case by.Chat != m.Chat:
		return m, ErrOtherChat
	case by.Author != m.From:
		return m, fmt.Errorf("editing: %w", ErrNotAuthor)
	case e.GetClock() < m.Clock:
		return m, fmt.Errorf("%w: %d, the message's is %d", ErrEditClock, e.GetClock(), m.Clock)
	case m.Deleted != nil:
		return m, nil
	}
	if _, ok := editable[m.ContentType]; !ok {
		return m, fmt.Errorf("%w: %s", ErrNotEditable, m.ContentType)
	}
	edited := Edited{Clock: e.GetClock(), ID: by.ID}
	if m.Edited != nil && m.Edited.compare(edited) >= 0 {
		return m, nil
	}
	after := *m
	after.Edited = &edited
	after.Links, after.StatusLinks = LinksFrom(e.GetUnfurledLinks()), StatusLinksFrom(e.GetUnfurledStatusLinks())
	if m.Bridge != nil {
		bridge := *m.Bridge
		bridge.Content = e.GetText()
		after.Bridge = &bridge
		return &after, nil
	}
	after.Text = e.GetText()
	after.Mentions, after.MentionsAll = Mentions(after.Text)
	if m.ContentType != "image" {
		after.ContentType = ContentType(textType(e.GetContentType(), after.Text))
	}
	return &after, nil
}

// textType returns which of text and emoji an edited text is. What the edit
// says counts; one that says neither, by its text alone and not by what the
// message was before, which depends on the edits that came already.
func textType(said apppb.ChatMessage_ContentType, text string) apppb.ChatMessage_ContentType {
	switch {
	case said == apppb.ChatMessage_TEXT_PLAIN || said == apppb.ChatMessage_EMOJI:
		return said
	case EmojiOnly(text):
		return apppb.ChatMessage_EMOJI
	}
	return apppb.ChatMessage_TEXT_PLAIN
}

// EditMessage builds the edit that gives a message of ours the text and links
// of a draft.
func EditMessage(m *Message, self key.Public, d Draft) (*apppb.EditMessage, error) {
	typ, err := d.address(m)
	if err != nil {
		return nil, fmt.Errorf("composing an edit: %w", err)
	}
	if m.From != self {
		return nil, fmt.Errorf("composing an edit: %w", ErrNotAuthor)
	}
	content, ok := editable[m.ContentType]
	if !ok {
		return nil, fmt.Errorf("composing an edit: %w: %s", ErrNotEditable, m.ContentType)
	}
	if content == apppb.ChatMessage_TEXT_PLAIN || content == apppb.ChatMessage_EMOJI {
		content = textType(0, d.Text)
	}
	if err := checkLinks(d.Links, d.StatusLinks); err != nil {
		return nil, fmt.Errorf("composing an edit: %w", err)
	}
	e := &apppb.EditMessage{
		Clock: d.Clock, Text: d.Text, ChatId: d.Chat, MessageId: m.ID.String(), MessageType: typ, ContentType: content,
		UnfurledLinks: Unfurled(d.Links), UnfurledStatusLinks: UnfurledStatus(d.StatusLinks),
	}
	if e.Clock < m.Clock {
		return nil, fmt.Errorf("composing an edit: %w", ErrEditClock)
	}
	if _, err := ValidateEdit(e, d.sent()); err != nil {
		return nil, fmt.Errorf("composing an edit: %w", err)
	}
	return e, nil
}
