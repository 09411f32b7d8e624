// Package pin is which messages are pinned to the top of a chat: which pins are
// to be dropped, which of several holds, and how they stand. It holds rules and
// values only.
//
// Sources: 62/STATUS-PAYLOADS, PinMessage; the id and the limits are those of
// deployed clients (status-go, status-desktop).
package pin

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxPinned is how many messages may be pinned in a chat: deployed clients ask
// to unpin one before the next. What others pin is kept whatever their number.
const MaxPinned = 3

// Errors of this package; those of chat ids, message types and targets are in
// package chat, those of clocks in package message.
var (
	ErrTooMany = errors.New("too many messages are pinned in this chat")
	ErrPinned  = errors.New("the message is pinned already")
	ErrNoPin   = errors.New("the message is not pinned")
)

// Pin says that a message is pinned to its chat, or no longer is.
type Pin struct {
	// ID names the message in its chat; see ID.
	ID      string     `json:"id"`
	Message message.ID `json:"message"`
	Chat    string     `json:"chat"`
	// By is who pinned or unpinned it last.
	By     key.Public `json:"by"`
	Clock  uint64     `json:"clock"`
	Pinned bool       `json:"pinned"`
}

// ID returns the id that the pin of a message has on all sides of a chat, in
// hexadecimal: sha256 of the message id and, in a 1:1 chat, the keys of both in
// ascending order, else the chat's id.
func ID(target message.ID, place chat.Place, self key.Public) string {
	h := sha256.New()
	h.Write(target[:])
	if place.Kind == message.OneToOne {
		ours, theirs := self.Bytes(), place.Peer.Bytes()
		if bytes.Compare(theirs, ours) < 0 {
			ours, theirs = theirs, ours
		}
		h.Write(ours)
		h.Write(theirs)
	} else {
		h.Write([]byte(place.ID))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Validate says why a pin is to be dropped, nil if it is not. Deployed clients
// do not look at its clock, which moves the chat's; here it is judged as that
// of a chat message.
func Validate(m *apppb.PinMessage, in contact.Incoming) error {
	_, err := check(m, in)
	return err
}

func check(m *apppb.PinMessage, in contact.Incoming) (message.ID, error) {
	if err := message.CheckClock(m.GetClock(), in.WakuTime); err != nil {
		return message.ID{}, err
	}
	if _, err := chat.CheckAddress(m); err != nil {
		return message.ID{}, err
	}
	return chat.Target(m)
}

// Read makes a pin out of a received message, and says where it belongs, or why
// it is to be dropped. Whether its author may pin there is the caller's to
// judge.
func Read(m *apppb.PinMessage, author, self key.Public, in contact.Incoming) (Pin, chat.Place, error) {
	target, err := check(m, in)
	if err != nil {
		return Pin{}, chat.Place{}, err
	}
	place, err := chat.Match(m, author, self)
	if err != nil {
		return Pin{}, chat.Place{}, err
	}
	return Pin{
		ID: ID(target, place, self), Message: target, Chat: place.ID, By: author, Clock: m.GetClock(), Pinned: m.GetPinned(),
	}, place, nil
}

// Merge returns which of two pins of the same ID holds: the newer, and of two
// with one clock that which unpins, then the one of the greater key. In
// whatever order they arrive, the outcome is the same.
func (p Pin) Merge(o Pin) Pin {
	if p.less(o) {
		return o
	}
	return p
}

func (p Pin) less(o Pin) bool {
	switch {
	case p.Clock != o.Clock:
		return p.Clock < o.Clock
	case p.Pinned != o.Pinned:
		return p.Pinned
	}
	return bytes.Compare(p.By.Bytes(), o.By.Bytes()) < 0
}

// Pinned returns the pins of a chat that hold, the oldest first.
func Pinned(all []Pin) []Pin {
	var held []Pin
	for _, p := range all {
		if p.Pinned {
			held = append(held, p)
		}
	}
	slices.SortFunc(held, func(a, b Pin) int {
		return cmp.Or(cmp.Compare(a.Clock, b.Clock), bytes.Compare(a.Message[:], b.Message[:]))
	})
	return held
}

// Draft is what a new pin of ours is made of.
type Draft struct {
	// Message is what is pinned or unpinned, Place its chat.
	Message *chat.Message
	Place   chat.Place
	Pinned  bool
	// Clock is that of the chat, chat.NextClock's.
	Clock uint64
	// Present are the pins of the chat.
	Present []Pin
}

// Compose builds a pin of ours and what is to be stored of it. A deleted
// message can be unpinned only.
func Compose(d Draft, self key.Public) (*apppb.PinMessage, Pin, error) {
	m, p, err := d.compose(self)
	if err != nil {
		return nil, Pin{}, fmt.Errorf("composing a pin: %w", err)
	}
	return m, p, nil
}

func (d Draft) compose(self key.Public) (*apppb.PinMessage, Pin, error) {
	if d.Message.Chat != d.Place.ID {
		return nil, Pin{}, chat.ErrOtherChat
	}
	typ, err := chat.MessageType(d.Place.Kind)
	if err != nil {
		return nil, Pin{}, err
	}
	held := Pinned(d.Present)
	there := slices.ContainsFunc(held, func(p Pin) bool { return p.Message == d.Message.ID })
	switch {
	case !d.Pinned && !there:
		return nil, Pin{}, ErrNoPin
	case d.Pinned && there:
		return nil, Pin{}, ErrPinned
	case d.Pinned && d.Message.Deleted != nil:
		return nil, Pin{}, chat.ErrIsDeleted
	case d.Pinned && len(held) >= MaxPinned:
		return nil, Pin{}, fmt.Errorf("%w: at most %d", ErrTooMany, MaxPinned)
	}
	m := &apppb.PinMessage{
		Clock: d.Clock, MessageId: d.Message.ID.String(), ChatId: d.Place.ID, Pinned: d.Pinned, MessageType: typ,
	}
	// Nothing goes out that a receiver has to drop. The clock is not judged by
	// the time: it comes from the chat's.
	if err := Validate(m, contact.Incoming{WakuTime: time.UnixMilli(int64(min(d.Clock, 1<<62)))}); err != nil {
		return nil, Pin{}, err
	}
	return m, Pin{
		ID: ID(d.Message.ID, d.Place, self), Message: d.Message.ID, Chat: d.Place.ID, By: self, Clock: d.Clock, Pinned: d.Pinned,
	}, nil
}
