package storage

import (
	"math"
	"slices"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/kv"
)

// Limits of a page.
const (
	// DefaultPage is how many entries a page has when nobody says, MaxPage how
	// many at most.
	DefaultPage = 50
	MaxPage     = 500
	// maxPageBytes ends a page of large messages early, maxPageVisits one that
	// finds little among much that is hidden.
	maxPageBytes  = 8 << 20
	maxPageVisits = 20_000
)

// PageQuery asks for a page of messages.
type PageQuery struct {
	// Chat is the chat's id; empty for those of all chats, by clock.
	Chat string
	// After and Before bound the page, exclusively; the zero position does not.
	After, Before Position
	// Oldest asks for the messages next to After instead of the newest ones.
	Oldest bool
	// Limit is how many at most; 0 for DefaultPage, never more than MaxPage.
	Limit int
}

// Page is a page of messages.
type Page struct {
	// Messages are newest first, also on a page of the oldest ones.
	Messages []*chat.Message
	// Next is where the next page begins: Before of the query, or After when
	// the oldest are asked for. It is zero when there is no more. A page may be
	// shorter than its limit, and even empty, and have a next one.
	Next Position
}

// Page reads a page of messages at the cost of what is on it; what was deleted
// for us alone is left out. Walking on from page to page visits every message
// once that is there all the time.
func (tx *Tx) Page(q PageQuery) (Page, error) {
	limit := pageLimit(q.Limit)
	var (
		p      Page
		last   Position
		seen   int
		size   int
		filled bool
	)
	// take adds a message that is to be seen.
	take := func(k string, raw []byte) error {
		m, err := decodeMessage(k, raw)
		if err != nil {
			return err
		}
		size += len(raw)
		if shown(m) {
			p.Messages = append(p.Messages, m)
		}
		return nil
	}
	visit := func(at Position, read func() error) error {
		if len(p.Messages) == limit || size >= maxPageBytes || seen == maxPageVisits {
			filled = true
			return kv.Stop
		}
		seen++
		last = at
		return read()
	}
	var err error
	if q.Chat != "" {
		err = tx.pageOfChat(q, limit, func(at Position, k string, raw []byte) error {
			return visit(at, func() error { return take(k, raw) })
		})
	} else {
		err = tx.pageOfAll(q, limit, func(at Position, chat string) error {
			return visit(at, func() error {
				c, _, err := tx.bareChat(chat)
				if err != nil || hidden(c, at.Clock) {
					return err
				}
				k := messageKey(chat, at)
				raw, ok, err := tx.Get(k)
				if err != nil || !ok {
					return err
				}
				return take(k, raw)
			})
		})
	}
	if err != nil {
		return Page{}, err
	}
	if filled {
		p.Next = last
	}
	if q.Oldest {
		slices.Reverse(p.Messages)
	}
	return p, nil
}

func pageLimit(limit int) int {
	if limit <= 0 {
		return DefaultPage
	}
	return min(limit, MaxPage)
}

// span is the range of positions behind a prefix of keys.
func (q PageQuery) span(prefix string, limit int) kv.Range {
	r := kv.Prefix(prefix)
	r.Reverse, r.Expect = !q.Oldest, limit+1
	if !q.After.IsZero() {
		r.From = prefix + q.After.key() + "\x00"
	}
	if !q.Before.IsZero() {
		r.To = prefix + q.Before.key()
	}
	return r
}

func (tx *Tx) pageOfChat(q PageQuery, limit int, visit func(at Position, k string, raw []byte) error) error {
	prefix := familyMessage + q.Chat + "\x00"
	r := q.span(prefix, limit)
	c, _, err := tx.bareChat(q.Chat)
	if err != nil || c.ClearedClock == math.MaxUint64 {
		return err
	}
	if c.ClearedClock > 0 {
		r.From = max(r.From, prefix+string(number(c.ClearedClock+1)))
	}
	return tx.Range(r, func(k string, raw []byte) error {
		if len(k) != len(prefix)+positionSize {
			return nil // of a chat whose id begins with this one's
		}
		return visit(positionOfKey(k[len(prefix):]), k, raw)
	})
}

func (tx *Tx) pageOfAll(q PageQuery, limit int, visit func(at Position, chat string) error) error {
	return tx.Range(q.span(familyClock, limit), func(k string, v []byte) error {
		e, err := decodeClockEntry(k, v)
		if err != nil {
			return err
		}
		return visit(positionOfKey(k[len(familyClock):]), e.chat)
	})
}
