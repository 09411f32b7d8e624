package storage

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// chatRecord is a chat without what is known from elsewhere: the other's key,
// which its id says, and the counts, which are those of its summary.
type chatRecord struct {
	chat.Chat
	Peer         *struct{} `json:"peer,omitempty"`
	UnreadCount  *struct{} `json:"unread_count,omitempty"`
	MentionCount *struct{} `json:"mention_count,omitempty"`
}

// chat restores what the record leaves out.
func (r chatRecord) chat() (chat.Chat, error) {
	c := r.Chat
	if c.Kind != message.OneToOne {
		return c, nil
	}
	var err error
	if c.Peer, err = key.ParsePublic(c.ID); err != nil {
		return c, fmt.Errorf("%w: chat: %w", ErrCorrupt, err)
	}
	return c, nil
}

// counted returns a chat with the counts of its summary.
func counted(c chat.Chat, s Summary) chat.Chat {
	c.UnreadCount, c.MentionCount = s.Unread, s.Mentions
	return c
}

// Chat returns a chat and whether it exists. Its counts are those of its
// summary.
func (tx *Tx) Chat(id string) (chat.Chat, bool, error) {
	c, ok, err := tx.bareChat(id)
	if err != nil || !ok {
		return c, ok, err
	}
	s, err := tx.Summary(id)
	return counted(c, s), true, err
}

// bareChat is Chat without counts.
func (tx *Tx) bareChat(id string) (chat.Chat, bool, error) {
	k := familyChat + id
	c, err := remembered(tx, k, func() (chat.Chat, error) {
		var r chatRecord
		if ok, err := tx.getJSON(k, &r); !ok || err != nil {
			return chat.Chat{}, err
		}
		return r.chat()
	})
	ok := c.ID != ""
	c.ID = id
	return c, ok, err
}

// PutChat stores a chat. Its summary follows the read mark, and when more of
// it is cleared than was, that is hidden at once and deleted by [DB.Work]. A
// read mark that goes back does not make what was read unread again. The counts
// in c do not count: messages are counted as they are stored.
func (tx *Tx) PutChat(c chat.Chat) error {
	c = counted(c, Summary{})
	before, _, err := tx.bareChat(c.ID)
	if err != nil {
		return err
	}
	k := familyChat + c.ID
	if err := tx.putJSON(k, chatRecord{Chat: c}); err != nil {
		return err
	}
	tx.remember(k, c)
	if before.ReadClock != c.ReadClock || before.ClearedClock != c.ClearedClock {
		return tx.followMarks(before, c)
	}
	return nil
}

// Chats returns all chats, ordered by id.
func (tx *Tx) Chats() ([]chat.Chat, error) {
	listed, err := tx.listChats()
	all := make([]chat.Chat, len(listed))
	for i, l := range listed {
		all[i] = l.Chat
	}
	return all, err
}

// listChats returns all chats with their summaries, ordered by id.
func (tx *Tx) listChats() ([]ListedChat, error) {
	var all []ListedChat
	err := tx.Scan(familyChat, func(k string, raw []byte) error {
		var r chatRecord
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
		}
		c, err := r.chat()
		all = append(all, ListedChat{Chat: c})
		return err
	})
	if err != nil {
		return nil, err
	}
	// Both families are in the order of the same ids.
	at := 0
	err = tx.Scan(familySummary, func(k string, raw []byte) error {
		id := k[len(familySummary):]
		for at < len(all) && all[at].ID < id {
			at++
		}
		if at == len(all) || all[at].ID != id {
			return nil // messages of a chat that is not there
		}
		s, err := decodeSummary(k, raw, all[at].Peer)
		all[at] = ListedChat{counted(all[at].Chat, s), s}
		return err
	})
	return all, err
}

// ListedChat is a chat as a list of chats shows it.
type ListedChat struct {
	chat.Chat
	Summary
}

// Activity is the clock that orders a list of chats: that of the last message
// that is there to be seen, else the newest of the chat.
func (l *ListedChat) Activity() uint64 {
	if l.Last.ID == (message.ID{}) {
		return l.LastClock
	}
	return l.Last.Clock
}

// ChatList returns all chats, also those that are not active, with their
// summaries: pinned ones first, then those with the newest activity.
func (tx *Tx) ChatList() ([]ListedChat, error) {
	all, err := tx.listChats()
	if err != nil {
		return nil, err
	}
	// Chats are large: their places are sorted, not they.
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &all[i], &all[j]
		if a.Pinned != b.Pinned {
			return one(b.Pinned) - one(a.Pinned)
		}
		return cmp.Or(cmp.Compare(b.Activity(), a.Activity()), cmp.Compare(i, j))
	})
	sorted := make([]ListedChat, len(all))
	for to, from := range order {
		sorted[to] = all[from]
	}
	return sorted, nil
}

// MarkRead takes note that a chat was read up to a clock, and returns the chat.
func (tx *Tx) MarkRead(id string, clock uint64) (chat.Chat, error) {
	c, ok, err := tx.Chat(id)
	if err != nil || !ok {
		return c, err
	}
	c = c.MarkRead(clock)
	return c, tx.PutChat(c)
}

// ClearHistory hides all messages of a chat at once and returns the chat; Work
// deletes them.
func (tx *Tx) ClearHistory(id string) (chat.Chat, error) {
	c, ok, err := tx.Chat(id)
	if err != nil || !ok {
		return c, err
	}
	c = c.Clear()
	return c, tx.PutChat(c)
}

// DeleteChat clears a chat and takes it, with its draft, out of sight. What
// was said there does not come back; what is said there next shows it again.
func (tx *Tx) DeleteChat(id string) (chat.Chat, error) {
	c, ok, err := tx.Chat(id)
	if err != nil || !ok {
		return c, err
	}
	c = c.Clear()
	c.Active = false
	if err := tx.PutChat(c); err != nil {
		return c, err
	}
	if err := tx.PinChat(id, false); err != nil {
		return c, err
	}
	return c, tx.DeleteDraft(id)
}

// PinChat keeps a chat at the top of the list, or no longer.
func (tx *Tx) PinChat(id string, pinned bool) error {
	s, err := tx.Summary(id)
	if err != nil || s.Pinned == pinned {
		return err
	}
	s.Pinned = pinned
	return tx.putSummary(id, s)
}

func scanJSON[T any](tx *Tx, family string) ([]T, error) {
	var all []T
	err := tx.Scan(family, func(k string, raw []byte) error {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("%w: record %q: %w", ErrCorrupt, k, err)
		}
		all = append(all, v)
		return nil
	})
	return all, err
}
