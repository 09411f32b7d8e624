package stack

import (
	"slices"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/storage"
)

// Around is a page of a chat about one of its messages.
type Around struct {
	// Messages are in order.
	Messages []*chat.Message
	// Older and Newer are where the pages begin that follow on either side:
	// Before and After of a query. They are zero when there is no more.
	Older, Newer storage.Position
}

// PageAround reads a page of the chat of a message: about as many before it as
// behind, and no more than limit in all (0 for storage.DefaultPage). A message
// that is not to be seen is not on it, but what is about it is.
func (s *Stack) PageAround(id message.ID, limit int) (a Around, err error) {
	if limit <= 0 {
		limit = storage.DefaultPage
	}
	limit = min(limit, storage.MaxPage)
	err = s.db.View(func(tx *storage.Tx) error {
		m, ok, err := tx.Message(id)
		if err != nil {
			return err
		}
		if !ok {
			return noMessage(id)
		}
		at := storage.PositionOf(m)
		older, err := pageBeside(tx, storage.PageQuery{Chat: m.Chat, Before: at, Limit: (limit - 1) / 2})
		if err != nil {
			return err
		}
		newer, err := pageBeside(tx, storage.PageQuery{Chat: m.Chat, After: at, Oldest: true, Limit: limit - 1 - len(older.Messages)})
		if err != nil {
			return err
		}
		a = Around{append(newer.Messages, append([]*chat.Message{m}, older.Messages...)...), older.Next, newer.Next}
		slices.Reverse(a.Messages)
		if m.Deleted != nil && m.Deleted.ForMe {
			a.Messages = slices.DeleteFunc(a.Messages, func(o *chat.Message) bool { return o == m })
		}
		a.Messages, err = visible(tx, a.Messages)
		return err
	})
	return a, err
}

// pageBeside reads a page at one side of a message. One without room for
// messages begins where the message is.
func pageBeside(tx *storage.Tx, q storage.PageQuery) (storage.Page, error) {
	if q.Limit > 0 {
		return tx.Page(q)
	}
	if q.Oldest {
		return storage.Page{Next: q.After}, nil
	}
	return storage.Page{Next: q.Before}, nil
}
