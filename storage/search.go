package storage

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/kv"
)

// ErrQuery is a search that cannot be made.
var ErrQuery = errors.New("not a search")

// Query asks for messages by their words.
type Query struct {
	// Text holds the words, all of which must be there. A word is found where
	// a word begins with it; one letter alone, and what stands in double
	// quotes, is found as it is, and words in quotes or without a space
	// between them only beside each other. Case and accents do not count.
	Text string
	// Chat and From narrow the search to a chat and an author.
	Chat string
	From key.Public
	// Next is that of the page before.
	Next string
	// Limit is how many at most; 0 for DefaultPage, never more than MaxPage.
	Limit int
}

// Found is a page of what a search found.
type Found struct {
	// Messages are newest first.
	Messages []*chat.Message
	// Next asks for the page that follows, empty when there is none. A page
	// may be shorter than its limit, and even empty, and have a next one.
	Next string
}

// Search finds messages that are committed, in all chats.
func (db *DB) Search(q Query) (found Found, err error) {
	words, below, err := q.read()
	if err != nil {
		return Found{}, err
	}
	err = db.View(func(tx *Tx) error {
		found, err = tx.search(q, words, below)
		return err
	})
	return found, err
}

func (q Query) read() ([]phrase, int64, error) {
	if len(q.Text) > MaxQueryText {
		return nil, 0, fmt.Errorf("%w: %d bytes, at most %d", ErrQuery, len(q.Text), MaxQueryText)
	}
	words := phrases(q.Text)
	if len(words) == 0 {
		return nil, 0, fmt.Errorf("%w: there is no word in it", ErrQuery)
	}
	below := int64(math.MaxInt64)
	if q.Next != "" {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(q.Next)
		if err != nil || len(raw) != 8 || raw[0] >= 0x80 {
			return nil, 0, fmt.Errorf("%w: not a page", ErrPosition)
		}
		below = int64(binary.BigEndian.Uint64(raw))
	}
	return words, below, nil
}

// searcher is a store with a word index.
type searcher interface {
	search(phrases []phrase, places []string, below int64, limit int) ([]int64, error)
}

func (tx *Tx) search(q Query, words []phrase, below int64) (found Found, err error) {
	find := tx.searchMessages
	if s, ok := tx.base.(searcher); ok {
		find = s.search
	}
	var places []string
	if q.Chat != "" {
		places = append(places, chatPlace(q.Chat))
	}
	if !q.From.IsZero() {
		places = append(places, fromPlace(q.From))
	}
	limit, size := pageLimit(q.Limit), 0
	for visits := 0; ; {
		rows, err := find(words, places, below, limit+1)
		if err != nil {
			return Found{}, err
		}
		for _, row := range rows {
			if len(found.Messages) == limit || size >= maxPageBytes || visits == maxPageVisits {
				found.Next = base64.RawURLEncoding.EncodeToString(number(uint64(below)))
				return found, nil
			}
			visits++
			below = row
			m, n, err := tx.messageOfRow(row)
			if err != nil {
				return Found{}, err
			}
			// Places are hashes, and short.
			if m == nil || q.Chat != "" && m.Chat != q.Chat || !q.From.IsZero() && m.From != q.From {
				continue
			}
			size += n
			found.Messages = append(found.Messages, m)
		}
		if len(rows) <= limit {
			return found, nil
		}
	}
}

// messageOfRow returns the message behind a row of the word index and its
// size, or nil when it is hidden.
func (tx *Tx) messageOfRow(row int64) (*chat.Message, int, error) {
	id, ok, err := tx.Get(rowKey(row))
	if err != nil || !ok || len(id) != message.IDSize {
		return nil, 0, err
	}
	m, ok, err := tx.Message(message.ID(id))
	if err != nil || !ok {
		return nil, 0, err
	}
	return m, len(m.Text), nil
}

// searchMessages reads messages to find words: for a store without an index.
func (tx *Tx) searchMessages(phrases []phrase, places []string, below int64, limit int) (rows []int64, err error) {
	r := kv.Range{From: familyRow, To: rowKey(below), Reverse: true}
	err = tx.Range(r, func(k string, id []byte) error {
		row := int64(binary.BigEndian.Uint64([]byte(k[len(familyRow):])))
		m, _, err := tx.messageOfRow(row)
		if err != nil || m == nil {
			return err
		}
		text := words(searchText(m.Text, m.Bridge))
		for _, p := range phrases {
			if !p.in(text) {
				return nil
			}
		}
		for _, place := range places {
			if place != chatPlace(m.Chat) && place != fromPlace(m.From) {
				return nil
			}
		}
		if rows = append(rows, row); len(rows) == limit {
			return kv.Stop
		}
		return nil
	})
	return rows, err
}

// text is what the word index holds of a message.
type text struct {
	// words are those of the message, folded, and place the tokens of its chat
	// and its author, with spaces between them.
	words, place string
	// fresh tells that the row was not there before the transaction.
	fresh bool
}

// index notes what becomes of a row of the word index.
func (tx *Tx) index(row int64, t *text) {
	if before, ok := tx.texts[row]; ok && t != nil {
		fresh := before != nil && (before.fresh || t.fresh)
		t = &text{t.words, t.place, fresh}
	}
	if tx.texts == nil {
		tx.texts = make(map[int64]*text)
	}
	tx.texts[row] = t
}

// searchText is what is searched of a message.
func searchText(text string, bridge *chat.Bridge) string {
	if bridge != nil && bridge.Content != text {
		text += " " + bridge.Content
	}
	return text
}

func newText(m *chat.Message) *text {
	return &text{words: indexed(searchText(m.Text, m.Bridge)), place: chatPlace(m.Chat) + " " + fromPlace(m.From)}
}

func chatPlace(id string) string { return place("c", []byte(id)) }

func fromPlace(pub key.Public) string { return place("f", pub.Bytes()) }

// place is a word that stands for a chat or an author, short because every
// message has it.
func place(kind string, name []byte) string {
	sum := sha256.Sum256(name)
	return kind + hex.EncodeToString(sum[:8])
}

// addText adds a message to the word index and returns its row, 0 when it has
// no words.
func (tx *Tx) addText(m *chat.Message) (int64, error) {
	t := newText(m)
	if t.words == "" {
		return 0, nil
	}
	row, err := tx.newRow(PositionOf(m))
	if err != nil {
		return 0, err
	}
	t.fresh = true
	tx.index(row, t)
	return row, tx.Put(rowKey(row), m.ID[:])
}

// changeText brings the row of a message in line with its text and returns the
// row it has now.
func (tx *Tx) changeText(m, before *chat.Message, row int64) (int64, error) {
	if searchText(before.Text, before.Bridge) == searchText(m.Text, m.Bridge) {
		return row, nil
	}
	if row == 0 {
		return tx.addText(m)
	}
	t := newText(m)
	if t.words == "" {
		tx.index(row, nil)
		return 0, tx.Delete(rowKey(row))
	}
	tx.index(row, t)
	return row, nil
}

const (
	// A row is the clock, then as many bits of the id: rows are in the order of
	// messages, but for those of one millisecond and like ids.
	rowIDBits  = 20
	rowClocks  = 1<<(63-rowIDBits) - 1
	rowHighest = math.MaxInt64
)

func rowKey(row int64) string { return familyRow + string(number(uint64(row))) }

// newRow finds a free row for a message at its place or behind it.
func (tx *Tx) newRow(at Position) (int64, error) {
	bits := int64(binary.BigEndian.Uint32(at.ID[:]) >> (32 - rowIDBits))
	row := int64(min(at.Clock, rowClocks))<<rowIDBits | bits
	for {
		if row == rowHighest { // no search begins above it
			row = 0
		}
		if row == 0 { // says that there is none
			row = 1
		}
		if _, taken, err := tx.Get(rowKey(row)); err != nil || !taken {
			return row, err
		}
		row++
	}
}
