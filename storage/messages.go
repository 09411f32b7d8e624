package storage

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

func messageKey(chat string, p Position) string {
	return familyMessage + chat + "\x00" + p.key()
}

// hidden tells whether a chat was cleared after a clock; what is hidden is as
// good as deleted.
func hidden(c chat.Chat, clock uint64) bool { return c.ClearedClock > 0 && c.Cleared(clock) }

// shown tells whether a message is to be seen in a chat: of one that was
// deleted for us alone, nothing is.
func shown(m *chat.Message) bool { return m.Deleted == nil || !m.Deleted.ForMe }

// said tells whether a message can be the last of its chat in a list: entries
// that nobody said are not.
func said(m *chat.Message) bool { return shown(m) && !m.IsSystem() }

// PutMessage stores a message, new or changed; chat, clock and id of a stored
// message never change. A new one counts as unread when it was received; a
// changed one counts as before, a deleted one not at all. Nothing is stored
// that was cleared away. Payloads are stored apart and not read with it: see
// [Tx.Payload]. A message that comes back without them keeps those that it says
// it has.
func (tx *Tx) PutMessage(m *chat.Message) error { return tx.putMessage(m, nil) }

// PutMessageAs is PutMessage that says how the message counts, now and until
// it is said otherwise; one that was read counts no more.
func (tx *Tx) PutMessageAs(m *chat.Message, n Notice) error { return tx.putMessage(m, &n) }

func (tx *Tx) putMessage(m *chat.Message, n *Notice) error {
	room, _, err := tx.bareChat(m.Chat)
	if err != nil || hidden(room, m.Clock) {
		return err
	}
	if m.Deleted != nil {
		n = &Notice{}
		if err := tx.DeleteActivity(activity.MessageID(m.ID)); err != nil {
			return err
		}
		if err := tx.DeleteUnsent(m.ID); err != nil {
			return err
		}
	}
	k := messageKey(m.Chat, PositionOf(m))
	raw, known, err := tx.Get(k)
	if err != nil {
		return err
	}
	before := new(chat.Message)
	if known {
		if before, err = contentOf(k, raw); err != nil {
			return err
		}
	}
	m, payloads := m.Detach()
	if err := tx.putPayloads(m, payloads, before.Payloads()); err != nil {
		return err
	}
	if err := tx.putJSON(k, m); err != nil {
		return err
	}
	if !known {
		if err := tx.Put(familyByID+string(m.ID[:]), []byte(k)); err != nil {
			return err
		}
		if n == nil {
			n = &Notice{Unread: m.State == chat.Received && !m.IsSystem()}
		}
		return tx.enter(m, room, *n)
	}
	entry, ok, err := tx.clockEntry(PositionOf(m))
	if err != nil {
		return err
	}
	if !ok { // an older version wrote it, and Work has not come to it yet
		if n == nil {
			n = &Notice{}
		}
		return tx.enter(m, room, *n)
	}
	return tx.revise(m, before, room, entry, n)
}

// enter adds a message to the indexes and to its chat's summary.
func (tx *Tx) enter(m *chat.Message, room chat.Chat, n Notice) error {
	at := PositionOf(m)
	row, err := tx.addText(m)
	if err != nil {
		return err
	}
	if err := tx.putClockEntry(at, clockEntry{row, m.Chat}); err != nil {
		return err
	}
	s, err := tx.Summary(m.Chat)
	if err != nil {
		return err
	}
	was := s
	if n.Unread && m.Clock > lastSeen(room) {
		if err := tx.count(&s, m.Chat, at, n); err != nil {
			return err
		}
	}
	if said(m) && (s.Last.ID == (message.ID{}) || s.Last.position().before(at)) {
		s.Last = preview(m)
	}
	if s == was {
		return nil
	}
	return tx.putSummary(m.Chat, s)
}

// revise brings the indexes and the summary in line with a changed message.
func (tx *Tx) revise(m, before *chat.Message, room chat.Chat, entry clockEntry, n *Notice) error {
	at := PositionOf(m)
	row, err := tx.changeText(m, before, entry.row)
	if err != nil {
		return err
	}
	if row != entry.row {
		if err := tx.putClockEntry(at, clockEntry{row, m.Chat}); err != nil {
			return err
		}
	}
	s, err := tx.Summary(m.Chat)
	if err != nil {
		return err
	}
	was := s
	if n != nil {
		as := *n
		if m.Clock <= lastSeen(room) || !as.Unread {
			as = Notice{}
		}
		if err := tx.count(&s, m.Chat, at, as); err != nil {
			return err
		}
	}
	switch {
	case s.Last.ID == m.ID && shown(m):
		s.Last = preview(m)
	case s.Last.ID == m.ID:
		if s.Last, err = tx.last(room); err != nil {
			return err
		}
	}
	if s == was {
		return nil
	}
	return tx.putSummary(m.Chat, s)
}

// DeleteMessage deletes a message with all that hangs on it: payloads,
// reactions, pins and its entry of the activity centre. It is no error when it is not there.
func (tx *Tx) DeleteMessage(id message.ID) error {
	k, ok, err := tx.Get(familyByID + string(id[:]))
	if err != nil || !ok {
		return err
	}
	room, at, err := placeOfKey(string(k))
	if err != nil {
		return err
	}
	s, err := tx.Summary(room)
	if err != nil {
		return err
	}
	was := s
	if err := tx.count(&s, room, at, Notice{}); err != nil {
		return err
	}
	if err := tx.erase(room, at); err != nil {
		return err
	}
	if s.Last.ID == id {
		c, _, err := tx.bareChat(room)
		if err != nil {
			return err
		}
		if s.Last, err = tx.last(c); err != nil {
			return err
		}
	}
	if s == was {
		return nil
	}
	return tx.putSummary(room, s)
}

// erase deletes a message without looking at it or its chat's summary.
func (tx *Tx) erase(room string, at Position) error {
	entry, ok, err := tx.clockEntry(at)
	if err != nil {
		return err
	}
	keys := []string{
		messageKey(room, at), familyByID + string(at.ID[:]), unreadKey(room, at), pinKey(room, at.ID), unsentKey(at.ID),
	}
	if ok {
		keys = append(keys, familyClock+at.key())
		if entry.row != 0 {
			tx.index(entry.row, nil)
			keys = append(keys, rowKey(entry.row))
		}
	}
	for _, family := range []string{familyReaction, familyPayload} {
		r := kv.Prefix(family + string(at.ID[:]))
		r.KeysOnly = true
		err = tx.Range(r, func(k string, _ []byte) error {
			keys = append(keys, k)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return tx.DeleteActivity(activity.MessageID(at.ID))
}

// placeOfKey takes a key of familyMessage apart.
func placeOfKey(k string) (room string, at Position, err error) {
	end := len(k) - positionSize
	if end <= len(familyMessage) || k[end-1] != 0 {
		return "", at, fmt.Errorf("%w: message key %q", ErrCorrupt, k)
	}
	return k[len(familyMessage) : end-1], positionOfKey(k[end:]), nil
}

// clockEntry is what the index by clock says of a message. A message is in the
// other indexes and counted if and only if it has one.
type clockEntry struct {
	// row is the message's in the word index, 0 for none.
	row  int64
	chat string
}

func (tx *Tx) clockEntry(at Position) (clockEntry, bool, error) {
	k := familyClock + at.key()
	v, ok, err := tx.Get(k)
	if err != nil || !ok {
		return clockEntry{}, false, err
	}
	e, err := decodeClockEntry(k, v)
	return e, true, err
}

func decodeClockEntry(k string, v []byte) (clockEntry, error) {
	if len(v) < 8 || len(k) != len(familyClock)+positionSize {
		return clockEntry{}, fmt.Errorf("%w: record %q", ErrCorrupt, k)
	}
	return clockEntry{int64(binary.BigEndian.Uint64(v)), string(v[8:])}, nil
}

func (tx *Tx) putClockEntry(at Position, e clockEntry) error {
	return tx.Put(familyClock+at.key(), append(number(uint64(e.row)), e.chat...))
}

// Message returns a message by its id.
func (tx *Tx) Message(id message.ID) (*chat.Message, bool, error) {
	k, ok, err := tx.visible(id)
	if err != nil || !ok {
		return nil, false, err
	}
	m := new(chat.Message)
	ok, err = tx.getJSON(k, m)
	return m, ok, err
}

// visible returns the key of a message that is there and not hidden.
func (tx *Tx) visible(id message.ID) (k string, ok bool, err error) {
	raw, ok, err := tx.Get(familyByID + string(id[:]))
	if err != nil || !ok {
		return "", false, err
	}
	room, at, err := placeOfKey(string(raw))
	if err != nil {
		return "", false, err
	}
	c, _, err := tx.bareChat(room)
	return string(raw), err == nil && !hidden(c, at.Clock), err
}

// Messages returns a chat's messages in order, or those of every chat, chat by
// chat, when id is empty. It reads them all into memory: see [Tx.Page].
func (tx *Tx) Messages(id string) ([]*chat.Message, error) {
	family := familyMessage
	if id != "" {
		family += id + "\x00"
	}
	all, err := scanJSON[*chat.Message](tx, family)
	if err != nil {
		return nil, err
	}
	cleared := make(map[string]chat.Chat)
	for _, m := range all {
		if _, ok := cleared[m.Chat]; !ok {
			if cleared[m.Chat], _, err = tx.bareChat(m.Chat); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(all, func(m *chat.Message) bool {
		return id != "" && m.Chat != id || hidden(cleared[m.Chat], m.Clock)
	}), nil
}

func decodeMessage(k string, raw []byte) (*chat.Message, error) {
	m := new(chat.Message)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
	}
	return m, nil
}
