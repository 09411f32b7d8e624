// Package reaction is how people react to messages with emoji: which reactions
// are to be dropped, which of several by one person holds, and what they add up
// to. It holds rules and values only.
//
// There are two forms. The older one has a number for each of six emoji; the
// newer one any emoji by its code points. One emoji is one reaction, in
// whichever form it came, and what is sent says both where there are both.
//
// Sources: 62/STATUS-PAYLOADS, EmojiReaction; the newer form and the limits are
// those of deployed clients (status-go).
package reaction

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// Limits on the different emoji of one message.
const (
	// MaxDistinct is how many there may be: nobody adds one more, and what is
	// beyond that is not shown (deployed clients).
	MaxDistinct = 20
	// MaxKept is how many are kept. Which 20 are shown must not depend on the
	// order in which they arrive, so more than 20 are; but no flood.
	MaxKept = 100
)

// Errors of this package, one for each cause; those of chat ids, message types
// and targets are in package chat, those of clocks in package message.
var (
	ErrType    = errors.New("reaction without an emoji that can be shown")
	ErrTooMany = errors.New("too many different reactions to one message")
	ErrNone    = errors.New("no such reaction to retract")
)

// Reaction is what somebody thinks of a message: that they reacted with an
// emoji, or no longer do.
type Reaction struct {
	Message message.ID `json:"message"`
	// Chat is the id of the chat the reaction was found to be for.
	Chat string     `json:"chat"`
	From key.Public `json:"from"`
	// Emoji is as it came, so that it can be retracted in the same form.
	Emoji     Emoji  `json:"emoji"`
	Clock     uint64 `json:"clock"`
	Retracted bool   `json:"retracted,omitempty"`
}

// ID returns the name of a person's reaction to a message with an emoji: 0x and
// the hexadecimal digits of keccak256(from ‖ message id ‖ number), each as text.
// The emoji that have no number stand there by their code points. It is the
// same for all forms of the emoji and for the retraction.
func (r Reaction) ID() string {
	same := r.Emoji.Same()
	emoji := string(same)
	if number := types[same]; number != 0 {
		emoji = strconv.Itoa(int(number))
	}
	id := key.Keccak256([]byte(r.From.Hex()), []byte(r.Message.String()), []byte(emoji))
	return "0x" + hex.EncodeToString(id[:])
}

// Validate says why a reaction is to be dropped, nil if it is not. now is the
// local time: deployed clients judge a reaction's clock by that and not by the
// transport's.
func Validate(m *apppb.EmojiReaction, now time.Time) error {
	_, _, err := check(m, now)
	return err
}

func check(m *apppb.EmojiReaction, now time.Time) (message.ID, Emoji, error) {
	if err := message.CheckClock(m.GetClock(), now); err != nil {
		return message.ID{}, "", err
	}
	if _, err := chat.CheckAddress(m); err != nil {
		return message.ID{}, "", err
	}
	target, err := chat.Target(m)
	if err != nil {
		return message.ID{}, "", err
	}
	emoji, err := emojiOf(m)
	return target, emoji, err
}

// emojiOf returns the emoji of a reaction. The newer form counts if it can be
// read, since it is the one that is never less exact.
func emojiOf(m *apppb.EmojiReaction) (Emoji, error) {
	if m.GetEmoji() != "" {
		if emoji, err := ParseEmoji(m.GetEmoji()); err == nil {
			return emoji, nil
		}
	}
	emoji, ok := numbered[m.GetType()]
	if !ok {
		return "", fmt.Errorf("%w: number %d", ErrType, m.GetType())
	}
	return emoji, nil
}

// Read makes a reaction out of a received message, and says where it belongs,
// or why it is to be dropped.
func Read(m *apppb.EmojiReaction, author, self key.Public, now time.Time) (Reaction, chat.Place, error) {
	target, emoji, err := check(m, now)
	if err != nil {
		return Reaction{}, chat.Place{}, err
	}
	place, err := chat.Match(m, author, self)
	if err != nil {
		return Reaction{}, chat.Place{}, err
	}
	return Reaction{
		Message: target, Chat: place.ID, From: author, Emoji: emoji, Clock: m.GetClock(), Retracted: m.GetRetracted(),
	}, place, nil
}

// Merge returns which of two reactions of the same ID holds: the newer, and of
// two with one clock the retraction, then the one whose emoji is written
// longer. In whatever order they arrive, the outcome is the same.
func (r Reaction) Merge(o Reaction) Reaction {
	if r.less(o) {
		return o
	}
	return r
}

func (r Reaction) less(o Reaction) bool {
	switch {
	case r.Clock != o.Clock:
		return r.Clock < o.Clock
	case r.Retracted != o.Retracted:
		return o.Retracted
	case len(r.Emoji) != len(o.Emoji):
		return len(r.Emoji) < len(o.Emoji)
	}
	return r.Emoji < o.Emoji
}

// Keep says whether one more reaction to a message may be stored beside all
// that are, retracted ones too.
func Keep(stored []Reaction, r Reaction) error { return within(stored, r, MaxKept, true) }

// within checks that r would not be beyond a number of different emoji.
func within(all []Reaction, r Reaction, limit int, retracted bool) error {
	same := r.Emoji.Same()
	distinct := make(map[Emoji]bool)
	for _, other := range all {
		if other.Retracted && !retracted {
			continue
		}
		distinct[other.Emoji.Same()] = true
	}
	if !distinct[same] && len(distinct) >= limit {
		return fmt.Errorf("%w: at most %d", ErrTooMany, limit)
	}
	return nil
}

// Draft is what a new reaction of ours is made of.
type Draft struct {
	// Message is what is reacted to; it must not be deleted.
	Message *chat.Message
	Kind    message.ChatKind
	// Emoji is what ParseEmoji reads.
	Emoji string
	// Retract withdraws the reaction.
	Retract bool
	// Clock is that of the chat, chat.NextClock's.
	Clock uint64
	// Present are the reactions that are there.
	Present []Reaction
}

// Compose builds a reaction of ours and what is to be stored of it. A
// retraction takes the form the reaction had.
func Compose(d Draft, self key.Public) (*apppb.EmojiReaction, Reaction, error) {
	m, r, err := d.compose(self)
	if err != nil {
		return nil, Reaction{}, fmt.Errorf("composing a reaction: %w", err)
	}
	return m, r, nil
}

func (d Draft) compose(self key.Public) (*apppb.EmojiReaction, Reaction, error) {
	if d.Message.Deleted != nil {
		return nil, Reaction{}, chat.ErrIsDeleted
	}
	typ, err := chat.MessageType(d.Kind)
	if err != nil {
		return nil, Reaction{}, err
	}
	emoji, err := ParseEmoji(d.Emoji)
	if err != nil {
		return nil, Reaction{}, err
	}
	r := Reaction{Message: d.Message.ID, Chat: d.Message.Chat, From: self, Emoji: emoji, Clock: d.Clock, Retracted: d.Retract}
	if d.Retract {
		i := slices.IndexFunc(d.Present, func(o Reaction) bool {
			return o.From == self && !o.Retracted && o.Emoji.Same() == emoji.Same()
		})
		if i < 0 {
			return nil, Reaction{}, ErrNone
		}
		r.Emoji = d.Present[i].Emoji
	} else if err := within(d.Present, r, MaxDistinct, false); err != nil {
		return nil, Reaction{}, err
	}
	m := &apppb.EmojiReaction{
		Clock: d.Clock, ChatId: r.Chat, MessageId: r.Message.String(), MessageType: typ,
		Type: r.Emoji.Type(), Emoji: string(r.Emoji), Retracted: d.Retract,
	}
	// Nothing goes out that a receiver has to drop. The clock is not judged by
	// the time: it comes from the chat's.
	return m, r, Validate(m, time.UnixMilli(int64(min(d.Clock, 1<<62))))
}
