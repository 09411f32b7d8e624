// Package activity is the activity centre: what concerns the account's owner
// in person and waits to be seen or answered. It says which entry a message
// makes, what entries may become, and which of two entries for the same thing
// counts. It holds rules and values only.
//
// Source: deployed clients (status-go); no specification speaks of it.
package activity

import (
	"errors"
	"fmt"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Kind is what an entry is about. The texts are stable.
type Kind string

// The kinds.
const (
	ContactRequest  Kind = "contact_request"  // somebody asks to be a contact
	Mention         Kind = "mention"          // a message names us
	Reply           Kind = "reply"            // a message answers one of ours
	GroupInvitation Kind = "group_invitation" // somebody asks us to join a group
	GroupAddition   Kind = "group_addition"   // somebody added us to a group
	GroupRequest    Kind = "group_request"    // somebody asks to join a group that we administer
	Verification    Kind = "verification"     // a contact wants to know that it is us

	CommunityRequest  Kind = "community_request"  // somebody asks to join a community that we control
	CommunityAccepted Kind = "community_accepted" // a community that we asked to join has let us in
	CommunityKicked   Kind = "community_kicked"   // a community has removed or banned us
)

// Kinds are all kinds.
var Kinds = []Kind{
	ContactRequest, Mention, Reply, GroupInvitation, GroupAddition, GroupRequest, Verification,
	CommunityRequest, CommunityAccepted, CommunityKicked,
}

// Asks tells whether entries of the kind want an answer.
func (k Kind) Asks() bool {
	switch k {
	case ContactRequest, GroupInvitation, GroupRequest, Verification, CommunityRequest:
		return true
	}
	return false
}

// State is what became of an entry. The texts are stable.
type State string

// The states.
const (
	Unread    State = "unread"
	Read      State = "read"
	Accepted  State = "accepted"
	Dismissed State = "dismissed"
)

// Answered tells whether the state is an answer.
func (s State) Answered() bool { return s == Accepted || s == Dismissed }

// Entry is an entry of the activity centre. It is a value: methods return the
// changed copy.
type Entry struct {
	// ID is the same for the same thing on every device and for ever.
	ID    string `json:"id"`
	Kind  Kind   `json:"kind"`
	State State  `json:"state"`
	// Clock orders the entries: that of the message, in milliseconds.
	Clock uint64 `json:"clock"`
	// Chat is where it happened, From who did it.
	Chat string     `json:"chat,omitempty"`
	From key.Public `json:"from,omitzero"`
	// Message is the message it is about, empty for none: 0x….
	Message string `json:"message,omitempty"`
	// Text is what the message says: a request's greeting, a question.
	Text string `json:"text,omitempty"`
}

// Errors of the rules.
var (
	ErrNoAnswer = errors.New("this entry asks nothing")
	ErrAnswered = errors.New("this entry was answered")
	ErrState    = errors.New("not a state of an entry")
	ErrEntry    = errors.New("not an entry of the activity centre")
)

// To returns the entry in another state. What was read may become unread again
// until it is answered; an answer stays, and giving the same one twice is no
// error. Only entries that ask may be accepted; anything may be dismissed.
func (e Entry) To(s State) (Entry, error) {
	switch s {
	case Unread, Read, Dismissed:
	case Accepted:
		if !e.Kind.Asks() {
			return e, fmt.Errorf("%w: %s", ErrNoAnswer, e.Kind)
		}
	default:
		return e, fmt.Errorf("%w: %q", ErrState, s)
	}
	if e.State.Answered() && s != e.State {
		if s == Read {
			return e, nil // reading it again changes nothing
		}
		return e, fmt.Errorf("%w: %s", ErrAnswered, e.State)
	}
	e.State = s
	return e, nil
}

// Merge returns what is to be kept of an entry that is known and one of the
// same id that has come: the content of the one with the later clock, the one
// that has come when they are the same. The state stays when they are about
// one and the same event, like a message and its edit; what happens again, like
// a second request, is unread again.
func Merge(known, came Entry) Entry {
	if came.Clock < known.Clock {
		return known
	}
	if came.Clock == known.Clock || known.Message != "" && known.Message == came.Message {
		came.State = known.State
	}
	return came
}

// MaxID is the longest id of an entry in bytes.
const MaxID = 512

// Validate tells whether an entry can be kept: it has an id of at
// most MaxID bytes, a known kind and a state.
func (e Entry) Validate() error {
	if e.ID == "" {
		return fmt.Errorf("%w: no id", ErrEntry)
	}
	if len(e.ID) > MaxID {
		return fmt.Errorf("%w: an id of %d bytes, at most %d", ErrEntry, len(e.ID), MaxID)
	}
	for _, k := range Kinds {
		if e.Kind == k {
			switch e.State {
			case Unread, Read, Accepted, Dismissed:
				return nil
			}
			return fmt.Errorf("%w: %w: %q", ErrEntry, ErrState, e.State)
		}
	}
	return fmt.Errorf("%w: unknown kind %q", ErrEntry, e.Kind)
}

// MessageID is the id of the entry that a message makes: one at most, whatever
// it becomes by being edited.
func MessageID(id message.ID) string { return "message/" + id.String() }

// Circumstances are what a message does not say itself.
type Circumstances struct {
	// Own: we wrote it, on whatever device.
	Own bool
	// MentionsMe: its text names us, or everybody where that counts.
	MentionsMe bool
	// ReplyToMine: it answers a message of ours.
	ReplyToMine bool
}

// OfMessage returns the entry that a message makes, and whether it makes one.
// A contact request is one of its own kind; a mention goes before a reply. Our
// own messages make none.
func OfMessage(m *chat.Message, c Circumstances) (Entry, bool) {
	if c.Own {
		return Entry{}, false
	}
	var kind Kind
	switch {
	case m.ContentType == chat.ContentType(apppb.ChatMessage_CONTACT_REQUEST):
		return OfContactRequest(m.From, m.Chat, m.ID.String(), m.Clock, m.Text), true
	case c.MentionsMe:
		kind = Mention
	case c.ReplyToMine:
		kind = Reply
	default:
		return Entry{}, false
	}
	return Entry{
		ID: MessageID(m.ID), Kind: kind, State: Unread, Clock: m.Clock,
		Chat: m.Chat, From: m.From, Message: m.ID.String(), Text: m.Text,
	}, true
}

// OfContactRequest returns the entry of a contact request. There is one per
// person: a second request takes the place of the first. id is that of the
// message it came in, or empty.
func OfContactRequest(from key.Public, chat, id string, clock uint64, text string) Entry {
	return Entry{
		ID: string(ContactRequest) + "/" + from.Hex(), Kind: ContactRequest, State: Unread, Clock: clock,
		Chat: chat, From: from, Message: id, Text: text,
	}
}

// OfGroup returns the entry of an invitation to a group or of being added to
// one, one of each per group, or of somebody's request to join, one per person
// and group. Any other kind is ErrEntry.
func OfGroup(kind Kind, group string, from key.Public, clock uint64, text string) (Entry, error) {
	e := Entry{ID: string(kind) + "/" + group, Kind: kind, State: Unread, Clock: clock, Chat: group, From: from, Text: text}
	switch kind {
	case GroupInvitation, GroupAddition:
	case GroupRequest:
		e.ID += "/" + from.Hex()
	default:
		return Entry{}, fmt.Errorf("%w: %q is not about a group", ErrEntry, kind)
	}
	return e, nil
}

// OfCommunity returns the entry of somebody's request to join a community, one
// per person and community, or of what became of us there, one of each per
// community. community is its id, text its name or the name of who asks. Any
// other kind is ErrEntry.
func OfCommunity(kind Kind, community string, from key.Public, clock uint64, text string) (Entry, error) {
	e := Entry{ID: string(kind) + "/" + community, Kind: kind, State: Unread, Clock: clock, Chat: community, From: from, Text: text}
	switch kind {
	case CommunityAccepted, CommunityKicked:
	case CommunityRequest:
		e.ID += "/" + from.Hex()
	default:
		return Entry{}, fmt.Errorf("%w: %q is not about a community", ErrEntry, kind)
	}
	return e, nil
}

// OfVerification returns the entry of a verification request, one per request.
func OfVerification(id string, from key.Public, chat string, clock uint64, question string) Entry {
	return Entry{
		ID: string(Verification) + "/" + id, Kind: Verification, State: Unread, Clock: clock,
		Chat: chat, From: from, Message: id, Text: question,
	}
}
