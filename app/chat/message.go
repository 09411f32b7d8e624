package chat

import (
	"bytes"
	"cmp"
	"slices"

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
	// Author is what the author says of themselves.
	Author Author `json:"author,omitzero"`
	Text   string `json:"text"`
	// ContentType is what kind of thing is said: text, emoji, sticker, image,
	// audio, community, contact_request, …; see ContentType. It is empty when
	// the message was deleted.
	ContentType string `json:"content_type"`
	// Clock orders the chat; Timestamp is when the author says to have written
	// it. Both in milliseconds.
	Clock     uint64 `json:"clock"`
	Timestamp uint64 `json:"timestamp"`
	State     State  `json:"state"`
	// Stored is when a store node was first known to have a message of ours, in
	// milliseconds, 0 for not known. It stands beside the state.
	Stored int64 `json:"stored,omitempty"`
	// ReplyTo is the id of the message this one answers, Thread that of the
	// message whose thread it belongs to; empty for none.
	ReplyTo string `json:"reply_to,omitempty"`
	Thread  string `json:"thread,omitempty"`
	// Threaded is what the thread that hangs on this message is called, nil for
	// nothing.
	Threaded *Thread `json:"threaded,omitempty"`
	// Mentions are the people the text calls by key, each once and in order;
	// MentionsAll tells that it calls everybody.
	Mentions    []key.Public `json:"mentions,omitempty"`
	MentionsAll bool         `json:"mentions_all,omitempty"`

	// Of these there is one at most.
	Sticker *Sticker `json:"sticker,omitempty"`
	Image   *Image   `json:"image,omitempty"`
	Audio   *Audio   `json:"audio,omitempty"`
	Bridge  *Bridge  `json:"bridge,omitempty"`
	Discord *Discord `json:"discord,omitempty"`
	// Community is a signed application message of type COMMUNITY_DESCRIPTION.
	Community []byte `json:"community,omitempty"`
	// CommunityBytes is the length of one that was detached; see
	// [Message.Detach].
	CommunityBytes int          `json:"community_bytes,omitempty"`
	Transaction    *Transaction `json:"transaction,omitempty"`
	// GroupChange is that of an entry which nobody said; see [Message.IsSystem].
	GroupChange *GroupChange `json:"group_change,omitempty"`

	// Links are previews of what the text links to, made by the author.
	Links       []Link       `json:"links,omitempty"`
	StatusLinks []StatusLink `json:"status_links,omitempty"`
	Payments    []Payment    `json:"payments,omitempty"`

	// Edited is what the newest edit was, nil for none.
	Edited *Edited `json:"edited,omitempty"`
	// Deleted is set when the message was deleted, and there is no content.
	Deleted *Deleted `json:"deleted,omitempty"`
}

// Author is what the author of a message says of themselves, in that message.
// Nothing of it is proven.
type Author struct {
	// DisplayName is what they call themselves.
	DisplayName string `json:"display_name,omitempty"`
	// ENSName is a claim until a resolver confirms it.
	ENSName string `json:"ens_name,omitempty"`
	// Color is the number of a customisation colour, 0 for none.
	Color uint32 `json:"color,omitempty"`
}

// New makes the timeline's message out of a chat message, received and valid
// or about to be sent.
func New(id message.ID, author key.Public, chat string, m *apppb.ChatMessage, state State) *Message {
	out := &Message{
		ID:          id,
		Chat:        chat,
		From:        author,
		Author:      Author{DisplayName: m.GetDisplayName(), ENSName: m.GetEnsName(), Color: m.GetCustomizationColor()},
		Text:        m.GetText(),
		ContentType: ContentType(m.GetContentType()),
		Clock:       m.GetClock(),
		Timestamp:   m.GetTimestamp(),
		State:       state,
		ReplyTo:     m.GetResponseTo(),
		Thread:      m.GetThreadId(),
	}
	out.carry(m)
	out.Mentions, out.MentionsAll = Mentions(out.Text)
	return out
}

// CallsFor tells whether a message of somebody else asks for a person's
// attention: it mentions them or everybody, or answers something of theirs.
// answered is the message it replies to, nil if that is not here.
func (m *Message) CallsFor(who key.Public, answered *Message) bool {
	if m.From == who || m.Deleted != nil {
		return false
	}
	return m.MentionsAll || slices.Contains(m.Mentions, who) ||
		answered != nil && m.ReplyTo == answered.ID.String() && answered.From == who
}

// Compare orders messages as a chat shows them: by clock, and those of the
// same clock by id. What the author's own watch said does not count.
func Compare(a, b *Message) int {
	if c := cmp.Compare(a.Clock, b.Clock); c != 0 {
		return c
	}
	return bytes.Compare(a.ID[:], b.ID[:])
}
