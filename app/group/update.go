package group

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxUpdateEvents is how many events an update may have to be read: more than
// a group can hold, see [MaxEvents].
const MaxUpdateEvents = 4096

// Errors of updates that cannot be read.
var (
	ErrUpdate        = errors.New("not a membership update")
	ErrUpdateTooLong = errors.New("membership update with too many events")
	ErrEntity        = errors.New("membership update with a message for another chat")
)

// Update is a MembershipUpdateMessage: the events of a group and, perhaps, one
// message to it.
type Update struct {
	ID string
	// Events are signed events as they came or go.
	Events [][]byte
	// Message and Reaction: at most one is there.
	Message  *apppb.ChatMessage
	Reaction *apppb.EmojiReaction
}

// Update returns the update that is to be sent to all members, with the events
// that hold: with any message, for it may be the first that one of them gets.
// Images that a newer one has replaced stay at home.
//
// What is sent passes the checks of deployed clients, too, which know no other
// list than one without a flaw.
func (g Group) Update() Update {
	u := Update{ID: g.ID, Events: make([][]byte, 0, len(g.Events))}
	shown, _ := g.last(func(e Event) bool { return e.Type == ImageChanged })
	for _, e := range g.Events {
		if e.Type == ImageChanged && compare(e, shown) != 0 {
			continue
		}
		u.Events = append(u.Events, e.Raw)
	}
	return u
}

// WithMessage returns the update with a chat message in it.
func (u Update) WithMessage(m *apppb.ChatMessage) Update {
	u.Message, u.Reaction = m, nil
	return u
}

// WithReaction returns the update with a reaction in it. Deployed clients read
// these and send reactions on their own.
func (u Update) WithReaction(r *apppb.EmojiReaction) Update {
	u.Message, u.Reaction = nil, r
	return u
}

// Encode returns the bytes of the MembershipUpdateMessage.
func (u Update) Encode() ([]byte, error) {
	m := &apppb.MembershipUpdateMessage{ChatId: u.ID, Events: u.Events}
	switch {
	case u.Message != nil && u.Reaction != nil:
		return nil, fmt.Errorf("%w: both a message and a reaction", ErrUpdate)
	case u.Message != nil:
		m.ChatEntity = &apppb.MembershipUpdateMessage_Message{Message: u.Message}
	case u.Reaction != nil:
		m.ChatEntity = &apppb.MembershipUpdateMessage_EmojiReaction{EmojiReaction: u.Reaction}
	}
	raw, err := message.Encode(m)
	if err != nil {
		return nil, fmt.Errorf("encoding a membership update: %w", err)
	}
	return raw, nil
}

// ParseUpdate reads a MembershipUpdateMessage and checks its chat id; events
// are judged one by one by [Group.Receive].
func ParseUpdate(raw []byte) (Update, error) {
	if len(raw) > message.MaxSize {
		return Update{}, fmt.Errorf("%w: %d bytes, at most %d", ErrUpdate, len(raw), message.MaxSize)
	}
	var m apppb.MembershipUpdateMessage
	if err := proto.Unmarshal(raw, &m); err != nil {
		return Update{}, fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	if len(m.Events) > MaxUpdateEvents {
		return Update{}, fmt.Errorf("%w: %d, at most %d", ErrUpdateTooLong, len(m.Events), MaxUpdateEvents)
	}
	if _, err := Creator(m.ChatId); err != nil {
		return Update{}, fmt.Errorf("%w: %w", ErrUpdate, err)
	}
	u := Update{ID: m.ChatId, Events: m.Events, Message: m.GetMessage(), Reaction: m.GetEmojiReaction()}
	if u.Message != nil && u.Message.ChatId != u.ID || u.Reaction != nil && u.Reaction.ChatId != u.ID {
		return Update{}, ErrEntity
	}
	return u, nil
}
