package view

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/reaction"
)

// Message is a message of a chat. Pictures and recordings are described in it;
// their bytes are had by calls of their own.
type Message struct {
	// ID is the message's.
	ID message.ID `json:"id"`
	// Chat is the other party's key 0x04… in a one-to-one chat, else the
	// group's id.
	Chat string `json:"chat"`
	// From is who wrote it, zQ3sh….
	From key.Public `json:"from"`
	// FromKey is the same key as 0x04….
	FromKey string `json:"from_key"`
	// Author is what the author says of themselves in the message.
	Author chat.Author `json:"author,omitzero"`
	// Text is what is said, empty for some kinds of content.
	Text string `json:"text"`
	// ContentType is text, emoji, sticker, image, audio, contact_request,
	// community, bridge, discord, transaction, status, identity_verification, or
	// unknown_N; empty for a deleted message. It is system for an entry of a
	// group's history, which nobody said.
	ContentType string `json:"content_type"`
	// Clock orders the messages of a chat, in milliseconds.
	Clock uint64 `json:"clock"`
	// Timestamp is when the author says to have written it.
	Timestamp uint64 `json:"timestamp"`
	// State is received, or pending, sent, delivered or failed for our own.
	State chat.State `json:"state"`
	// Stored is when a store node was first known to have a message of ours, so
	// that it can be fetched; it says nothing of its delivery.
	Stored int64 `json:"stored,omitempty"`
	// ReplyTo is the id of the message this one answers.
	ReplyTo string `json:"reply_to,omitempty"`
	// Thread is the id of the message whose thread it is in.
	Thread string `json:"thread,omitempty"`
	// ThreadName is what the thread that hangs on this message is called.
	ThreadName string `json:"thread_name,omitempty"`
	// Mentions are those whom the text calls by key.
	Mentions []Person `json:"mentions,omitempty"`
	// MentionsAll tells that it calls everybody.
	MentionsAll bool `json:"mentions_all,omitempty"`

	// Sticker is that of a message of this type, as are image, audio, bridge,
	// discord and transaction.
	Sticker *chat.Sticker `json:"sticker,omitempty"`
	// Image describes the picture.
	Image *Image `json:"image,omitempty"`
	// Audio describes the recording.
	Audio *Audio `json:"audio,omitempty"`
	// Bridge is what came from another network.
	Bridge *chat.Bridge `json:"bridge,omitempty"`
	// Discord is what was imported from there.
	Discord *Discord `json:"discord,omitempty"`
	// Transaction is a step of a payment, as clients of the past took them.
	Transaction *chat.Transaction `json:"transaction,omitempty"`
	// GroupChange is what the author did to the private group, in an entry of its
	// history.
	GroupChange *GroupEntry `json:"group_change,omitempty"`
	// Payments are requests to be paid.
	Payments []chat.Payment `json:"payments,omitempty"`
	// Links are previews of the web that the author has made.
	Links []Link `json:"links,omitempty"`
	// StatusLinks are previews of share URLs that the author has made.
	StatusLinks []StatusLink `json:"status_links,omitempty"`

	// Reactions are what it was reacted with, by emoji.
	Reactions []Reaction `json:"reactions"`
	// Edited tells that it was.
	Edited bool `json:"edited"`
	// EditedClock is that of the edit shown.
	EditedClock uint64 `json:"edited_clock,omitempty"`
	// Deleted tells that it was, and that there is no content.
	Deleted bool `json:"deleted"`
	// DeletedBy is who deleted it for everyone.
	DeletedBy *Person `json:"deleted_by,omitempty"`
	// DeletedClock is that of this deletion.
	DeletedClock uint64 `json:"deleted_clock,omitempty"`
	// DeletedForMe tells that it was deleted on this account alone.
	DeletedForMe bool `json:"deleted_for_me,omitempty"`
	// Pinned tells that it is at the top of its chat.
	Pinned bool `json:"pinned,omitempty"`
	// Album are the ids of all messages that one call of send has made, when
	// there are several; in its answer alone.
	Album []message.ID `json:"album,omitempty"`
}

// Reaction is what a message shows of its reactions with one emoji.
type Reaction struct {
	// Emoji is the emoji itself.
	Emoji string `json:"emoji"`
	// Code is its code points as 1f44d.
	Code reaction.Emoji `json:"code"`
	// Count is how many reacted with it.
	Count int `json:"count"`
	// Who are those who reacted with it, the first of them first.
	Who []Person `json:"who"`
	// Self tells whether we did.
	Self bool `json:"self"`
}

// NewMessage shows a message that nobody has reacted to or pinned.
func NewMessage(m *chat.Message) Message {
	shown := Message{
		ID:          m.ID,
		Chat:        m.Chat,
		From:        m.From,
		FromKey:     m.From.Hex(),
		Author:      m.Author,
		Text:        m.Text,
		ContentType: m.ContentType,
		Clock:       m.Clock,
		Timestamp:   m.Timestamp,
		State:       m.State,
		Stored:      m.Stored,
		ReplyTo:     m.ReplyTo,
		Thread:      m.Thread,
		Mentions:    NewPeople(m.Mentions),
		MentionsAll: m.MentionsAll,
		Sticker:     m.Sticker,
		Image:       newImage(m.Image),
		Audio:       newAudio(m.Audio),
		Bridge:      m.Bridge,
		Discord:     newDiscord(m.Discord),
		Transaction: m.Transaction,
		GroupChange: newGroupEntry(m.GroupChange),
		Payments:    m.Payments,
		Links:       newLinks(m.Links),
		StatusLinks: newStatusLinks(m.StatusLinks),
		Reactions:   []Reaction{},
		Edited:      m.Edited != nil,
		Deleted:     m.Deleted != nil,
	}
	if m.Threaded != nil {
		shown.ThreadName = m.Threaded.Name
	}
	if m.Edited != nil {
		shown.EditedClock = m.Edited.Clock
	}
	if m.Deleted != nil {
		shown.DeletedForMe, shown.DeletedClock = m.Deleted.ForMe, m.Deleted.Clock
		if !m.Deleted.By.IsZero() {
			by := NewPerson(m.Deleted.By)
			shown.DeletedBy = &by
		}
	}
	return shown
}

// NewReactions shows reactions.
func NewReactions(all []reaction.Summary) []Reaction {
	shown := make([]Reaction, 0, len(all))
	for _, r := range all {
		shown = append(shown, Reaction{r.Emoji, r.Code, r.Count, NewPeople(r.Who), r.Self})
	}
	return shown
}
