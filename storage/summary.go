package storage

import (
	"math"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

// MaxPreview is how many characters of the last message a summary keeps.
const MaxPreview = 140

// Summary is what a list shows of a chat beside the chat itself. It is kept up
// to date by whatever writes messages and chats.
type Summary struct {
	// Last is the last message, with the zero ID when there is none.
	Last Preview `json:"last"`
	// Unread messages are newer than the read mark; Mentions of them mention us.
	Unread   int  `json:"unread"`
	Mentions int  `json:"mentions"`
	Pinned   bool `json:"pinned"`
}

// Preview is a message in short.
type Preview struct {
	ID   message.ID `json:"id"`
	From key.Public `json:"from,omitzero"`
	// Text is brief, see [chat.Brief]: at most MaxPreview characters, an ellipsis
	// behind what is left out.
	Text        string     `json:"text"`
	Clock       uint64     `json:"clock"`
	Timestamp   uint64     `json:"timestamp"`
	ContentType string     `json:"content_type"`
	State       chat.State `json:"state"`
	// Deleted tells that it was deleted for everyone.
	Deleted bool `json:"deleted,omitempty"`
}

func (p Preview) position() Position { return Position{p.Clock, p.ID} }

func preview(m *chat.Message) Preview {
	text := m.Text
	if text == "" && m.Bridge != nil {
		text = m.Bridge.Content
	}
	return Preview{
		ID: m.ID, From: m.From, Text: chat.Brief(text, MaxPreview), Clock: m.Clock, Timestamp: m.Timestamp,
		ContentType: m.ContentType, State: m.State, Deleted: m.Deleted != nil,
	}
}

// Summary returns what a list shows of a chat.
func (tx *Tx) Summary(id string) (Summary, error) {
	k := familySummary + id
	return remembered(tx, k, func() (Summary, error) {
		raw, ok, err := tx.Get(k)
		if err != nil || !ok {
			return Summary{}, err
		}
		return decodeSummary(k, raw, key.Public{})
	})
}

func (tx *Tx) putSummary(id string, s Summary) error {
	k := familySummary + id
	if s == (Summary{}) {
		return tx.Delete(k)
	}
	if err := tx.Put(k, encodeSummary(s)); err != nil {
		return err
	}
	tx.remember(k, s)
	return nil
}

// Notice is what a message is to us, beyond what it says.
type Notice struct {
	// Unread messages count until they are read: those of others. Mention
	// tells that it mentions us.
	Unread, Mention bool
}

func unreadKey(chat string, p Position) string { return familyUnread + chat + "\x00" + p.key() }

// unread returns whether a message counts as unread, and whether as a mention.
func (tx *Tx) unread(chat string, p Position) (unread, mention bool, err error) {
	v, ok, err := tx.Get(unreadKey(chat, p))
	return ok, len(v) == 1 && v[0] == 1, err
}

// count changes how a message counts.
func (tx *Tx) count(s *Summary, chat string, p Position, n Notice) error {
	unread, mention, err := tx.unread(chat, p)
	if err != nil || unread == n.Unread && mention == n.Mention {
		return err
	}
	s.Unread += one(n.Unread) - one(unread)
	s.Mentions += one(n.Mention) - one(mention)
	if !n.Unread {
		return tx.Delete(unreadKey(chat, p))
	}
	return tx.Put(unreadKey(chat, p), []byte{byte(one(n.Mention))})
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// inlineMost is how many entries a change of a read mark deletes at once; Work
// deletes the rest.
const inlineMost = 256

// followMarks brings a summary in line with the marks of its chat.
func (tx *Tx) followMarks(before, c chat.Chat) error {
	s, err := tx.Summary(c.ID)
	if err != nil {
		return err
	}
	was := s
	if s.Unread > 0 {
		s.Unread, s.Mentions = 0, 0
		if last := lastSeen(c); last < math.MaxUint64 {
			newer := kv.Prefix(familyUnread + c.ID + "\x00")
			newer.From += string(number(last + 1))
			err := tx.Range(newer, func(k string, v []byte) error {
				if len(k) == len(familyUnread)+len(c.ID)+1+positionSize {
					s.Unread++
					s.Mentions += one(len(v) == 1 && v[0] == 1)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if more, err := tx.forgetRead(c, inlineMost); err != nil {
			return err
		} else if more {
			if err := tx.Put(workRead+c.ID, nil); err != nil {
				return err
			}
		}
	}
	if c.ClearedClock > before.ClearedClock {
		if err := tx.Put(workClear+c.ID, nil); err != nil {
			return err
		}
		if s.Last.Clock <= c.ClearedClock {
			if s.Last, err = tx.last(c); err != nil {
				return err
			}
		}
	}
	if s == was {
		return nil
	}
	return tx.putSummary(c.ID, s)
}

// lastSeen is the clock up to which nothing counts as unread.
func lastSeen(c chat.Chat) uint64 { return max(c.ReadClock, c.ClearedClock) }

// forgetRead deletes marks of unread messages that were read since, at most so
// many, and tells whether there are more.
func (tx *Tx) forgetRead(c chat.Chat, most int) (more bool, err error) {
	r := kv.Range{From: familyUnread + c.ID + "\x00", KeysOnly: true}
	r.To = r.From + Position{Clock: lastSeen(c)}.next()
	return tx.deleteRange(r, len(r.From)+positionSize, most)
}

// next is the key behind all positions of the clock.
func (p Position) next() string { return AfterClock(p.Clock).key() + "\x00" }

// deleteRange deletes at most so many keys of a length in a range.
func (tx *Tx) deleteRange(r kv.Range, length, most int) (more bool, err error) {
	var old []string
	err = tx.Range(r, func(k string, _ []byte) error {
		if len(k) != length {
			return nil
		}
		if len(old) == most {
			more = true
			return kv.Stop
		}
		old = append(old, k)
		return nil
	})
	for _, k := range old {
		if err == nil {
			err = tx.Delete(k)
		}
	}
	return more, err
}

// last returns the preview of the last message that somebody said in a chat
// and that is to be seen.
func (tx *Tx) last(c chat.Chat) (Preview, error) {
	for q := (PageQuery{Chat: c.ID, Limit: 1}); ; q.Limit = DefaultPage {
		page, err := tx.Page(q)
		if err != nil {
			return Preview{}, err
		}
		if i := slices.IndexFunc(page.Messages, said); i >= 0 {
			return preview(page.Messages[i]), nil
		}
		if page.Next.IsZero() {
			return Preview{}, nil
		}
		q.Before = page.Next
	}
}
