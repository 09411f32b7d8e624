package stack

import (
	"errors"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/app/pin"
	"github.com/parley-im/parley/app/reaction"
	"github.com/parley-im/parley/internal/fault"
	apppb "github.com/parley-im/parley/pb/app"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

func (s *Stack) onReaction(t *step, in incoming) error {
	m := new(apppb.EmojiReaction)
	if err := in.read(m); err != nil {
		return err
	}
	return s.reacted(t, in, m)
}

// reacted handles somebody's reaction, on its own or out of a group's update.
func (s *Stack) reacted(t *step, in incoming, m *apppb.EmojiReaction) error {
	r, place, err := reaction.Read(m, in.Author, s.Self(), t.now)
	if err != nil {
		return err
	}
	if err := s.aboutMessage(t, in, place, r.Message, r.Clock); err != nil {
		return err
	}
	return s.putReaction(t, r)
}

// aboutMessage checks that what somebody did to a message of a chat counts, and
// takes note of its clock.
func (s *Stack) aboutMessage(t *step, in incoming, place chat.Place, id message.ID, clock uint64) error {
	if _, err := s.hears(t, in, place); err != nil {
		return err
	}
	target, err := s.target(t, id)
	if err != nil {
		return err
	}
	if target.Chat != place.ID {
		return chat.ErrOtherChat
	}
	room, ok, err := t.Chat(place.ID)
	if err != nil || !ok {
		return err
	}
	return t.PutChat(room.Saw(clock))
}

// putReaction stores a reaction if it is the newest of its kind, and tells of
// it.
func (s *Stack) putReaction(t *step, r reaction.Reaction) error {
	present, err := storage.Reactions[reaction.Reaction](t.Tx, r.Message)
	if err != nil {
		return err
	}
	if err := reaction.Keep(present, r); err != nil {
		return err
	}
	kind := string(r.Emoji.Same())
	before, known, err := storage.GetReaction[reaction.Reaction](t.Tx, r.Message, r.From, kind)
	if err != nil {
		return err
	}
	if known && before.Merge(r) == before {
		return nil
	}
	if err := storage.PutReaction(t.Tx, r.Message, r.From, kind, r); err != nil {
		return err
	}
	return t.event(EventReaction, view.NewReactionChange(r))
}

// React adds an emoji to a message, or takes it back.
func (s *Stack) React(id message.ID, emoji string, retract bool) (r reaction.Reaction, err error) {
	err = s.about(id, func(t *step, a audience, m *chat.Message) error {
		present, err := storage.Reactions[reaction.Reaction](t.Tx, id)
		if err != nil {
			return err
		}
		var body *apppb.EmojiReaction
		body, r, err = reaction.Compose(reaction.Draft{
			Message: m, Kind: a.room.Kind, Emoji: emoji, Retract: retract, Clock: a.clock(t), Present: present,
		}, s.Self())
		if err != nil {
			return reactionError(err)
		}
		if _, err := s.sendChange(t, a, apppb.ApplicationMetadataMessage_EMOJI_REACTION, body, r.Clock); err != nil {
			return err
		}
		return s.putReaction(t, r)
	})
	return r, err
}

func reactionError(err error) error {
	kind := fault.Usage
	switch {
	case errors.Is(err, reaction.ErrNone), errors.Is(err, reaction.ErrTooMany), errors.Is(err, chat.ErrIsDeleted):
		kind = fault.Conflict
	}
	return fault.Wrap(kind, "reacting", err)
}

// about does something to a message in front of all who see it.
func (s *Stack) about(id message.ID, do func(t *step, a audience, m *chat.Message) error) error {
	return s.update(func(t *step) error {
		m, ok, err := t.Message(id)
		if err != nil {
			return err
		}
		if !ok {
			return fault.New(fault.NotFound, "there is no message %s", id)
		}
		if err := said(m); err != nil {
			return err
		}
		a, err := s.audience(t, m.Chat)
		if err != nil {
			return err
		}
		return do(t, a, m)
	})
}

// Reactions returns what messages show of the reactions to them; those without
// any are left out.
func (s *Stack) Reactions(ids []message.ID) (map[message.ID][]reaction.Summary, error) {
	shown := make(map[message.ID][]reaction.Summary)
	err := s.db.View(func(tx *storage.Tx) error {
		all, err := storage.ReactionsTo[reaction.Reaction](tx, ids)
		for id, list := range all {
			if sum := reaction.Summarize(list, s.Self()); len(sum) > 0 {
				shown[id] = sum
			}
		}
		return err
	})
	return shown, err
}

func (s *Stack) onPin(t *step, in incoming) error {
	m := new(apppb.PinMessage)
	if err := in.read(m); err != nil {
		return err
	}
	p, place, err := pin.Read(m, in.Author, s.Self(), in.reference())
	if err != nil {
		return err
	}
	if err := s.aboutMessage(t, in, place, p.Message, p.Clock); err != nil {
		return err
	}
	return s.putPin(t, p)
}

// putPin stores a pin if it is the newest of its message, and tells of it.
func (s *Stack) putPin(t *step, p pin.Pin) error {
	before, known, err := storage.GetPin[pin.Pin](t.Tx, p.Chat, p.Message)
	if err != nil {
		return err
	}
	if known && before.Merge(p) == before {
		return nil
	}
	if err := storage.PutPin(t.Tx, p.Chat, p.Message, p); err != nil {
		return err
	}
	return t.event(EventPin, view.NewPin(p))
}

// Pin pins a message to the top of its chat, or no longer.
func (s *Stack) Pin(id message.ID, pinned bool) (p pin.Pin, err error) {
	err = s.about(id, func(t *step, a audience, m *chat.Message) error {
		present, err := storage.Pins[pin.Pin](t.Tx, m.Chat)
		if err != nil {
			return err
		}
		var body *apppb.PinMessage
		body, p, err = pin.Compose(pin.Draft{Message: m, Place: a.place(), Pinned: pinned, Clock: a.clock(t), Present: present}, s.Self())
		if err != nil {
			return fault.Wrap(fault.Conflict, "pinning", err)
		}
		if _, err := s.sendChange(t, a, apppb.ApplicationMetadataMessage_PIN_MESSAGE, body, p.Clock); err != nil {
			return err
		}
		return s.putPin(t, p)
	})
	return p, err
}

// Pins returns what is pinned in a chat, the oldest first.
func (s *Stack) Pins(id string) (held []pin.Pin, err error) {
	err = s.db.View(func(tx *storage.Tx) error {
		all, err := storage.Pins[pin.Pin](tx, id)
		held = pin.Pinned(all)
		return err
	})
	return held, err
}
