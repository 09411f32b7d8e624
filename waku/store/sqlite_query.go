package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

// The statements of queries. Keys come first, out of an index alone; messages
// are then read one by one under their primary key, and only those of the
// page. A key range is half open, from included.
const (
	topicSQL = `SELECT id FROM topics WHERE content_topic = ?1 AND pubsub_topic = ?2`

	rangeSQL        = `SELECT timestamp, hash FROM messages WHERE (timestamp, hash) >= (?1, ?2) AND (timestamp, hash) < (?3, ?4) ORDER BY timestamp, hash LIMIT ?5`
	rangeBackSQL    = `SELECT timestamp, hash FROM messages WHERE (timestamp, hash) >= (?1, ?2) AND (timestamp, hash) < (?3, ?4) ORDER BY timestamp DESC, hash DESC LIMIT ?5`
	topicRangeSQL   = `SELECT timestamp, hash FROM messages WHERE topic = ?6 AND (timestamp, hash) >= (?1, ?2) AND (timestamp, hash) < (?3, ?4) ORDER BY timestamp, hash LIMIT ?5`
	topicRangeBkSQL = `SELECT timestamp, hash FROM messages WHERE topic = ?6 AND (timestamp, hash) >= (?1, ?2) AND (timestamp, hash) < (?3, ?4) ORDER BY timestamp DESC, hash DESC LIMIT ?5`

	hashSQL    = `SELECT timestamp FROM messages WHERE hash = ?1`
	messageSQL = `SELECT t.pubsub_topic, m.message FROM messages m JOIN topics t ON t.id = m.topic WHERE m.timestamp = ?1 AND m.hash = ?2`
	pubsubSQL  = `SELECT t.pubsub_topic FROM messages m JOIN topics t ON t.id = m.topic WHERE m.timestamp = ?1 AND m.hash = ?2`
)

// key is a place in the order of entries: the primary key of one, or, as the
// bound of a range, a place between two.
type key struct {
	timestamp int64
	hash      []byte
}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), bytes.Compare(a.hash, b.hash))
}

// after is the first place behind k.
func (k key) after() key { return key{k.timestamp, append(slices.Clone(k.hash), 0)} }

// Query implements Archive.
func (s *SQLite) Query(ctx context.Context, q *Query) (page *Page, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	var c *conn
	select {
	case c = <-s.read:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		c.db.SetInterrupt(context.Background())
		s.read <- c
	}()
	c.db.SetInterrupt(ctx)
	page, err = c.query(q)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !errors.Is(err, ErrUnknownCursor):
		return nil, fmt.Errorf("querying the store archive: %w", err)
	}
	return page, err
}

// query answers one page out of one snapshot of the database.
func (c *conn) query(q *Query) (page *Page, err error) {
	tx := c.db.Begin()
	defer func() {
		if endErr := tx.Rollback(); err == nil {
			err = endErr
		}
	}()
	from := key{q.TimeStart, nil}
	to := key{math.MaxInt64, bytes.Repeat([]byte{0xff}, len(message.Hash{})+1)}
	if q.TimeEnd != 0 {
		to = key{q.TimeEnd, nil}
	}
	if q.Cursor != nil {
		at, ok, err := c.findHash(*q.Cursor)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w: %s", ErrUnknownCursor, *q.Cursor)
		}
		if q.Forward && compareKeys(from, at.after()) < 0 {
			from = at.after()
		} else if !q.Forward && compareKeys(at, to) < 0 {
			to = at
		}
	}
	// One more than the page tells whether there is another.
	size := q.PageSize()
	var keys []key
	switch {
	case len(q.Hashes) > 0:
		keys, err = c.lookup(q, from, to)
	case len(q.ContentTopics) > 0:
		keys, err = c.scanTopics(q, from, to, size+1)
	case q.Forward:
		keys, err = c.scan(rangeSQL, 0, from, to, size+1)
	default:
		keys, err = c.scan(rangeBackSQL, 0, from, to, size+1)
	}
	if err != nil {
		return nil, err
	}
	more := len(keys) > size
	keys = keys[:min(size, len(keys))]
	if !q.Forward {
		slices.Reverse(keys)
	}
	page = &Page{Messages: make([]Entry, len(keys))}
	for i, k := range keys {
		if page.Messages[i], err = c.entry(k, q.IncludeData); err != nil {
			return nil, err
		}
	}
	if more {
		page.Cursor = page.edge(q.Forward)
	}
	return page, nil
}

// edge is the hash a further page starts behind.
func (p *Page) edge(forward bool) *message.Hash {
	h := p.Messages[0].Hash
	if forward {
		h = p.Messages[len(p.Messages)-1].Hash
	}
	return &h
}

// scan returns the first keys of a range, the last ones first for the
// statements that run backward.
func (c *conn) scan(sql string, topic int64, from, to key, limit int) (keys []key, err error) {
	st, err := c.prepare(sql)
	if err != nil {
		return nil, err
	}
	err = errors.Join(st.BindInt64(1, from.timestamp), st.BindBlob(2, from.hash),
		st.BindInt64(3, to.timestamp), st.BindBlob(4, to.hash), st.BindInt(5, limit))
	if topic != 0 {
		err = errors.Join(err, st.BindInt64(6, topic))
	}
	if err != nil {
		return nil, err
	}
	err = each(st, func() error {
		keys = append(keys, key{st.ColumnInt64(0), st.ColumnBlob(1, nil)})
		return nil
	})
	return keys, err
}

// scanTopics merges the scans of several topics: each is a range of the
// index, and what is found so far narrows the ranges that follow.
func (c *conn) scanTopics(q *Query, from, to key, limit int) ([]key, error) {
	var found []key
	sql, order := topicRangeBkSQL, func(a, b key) int { return compareKeys(b, a) }
	if q.Forward {
		sql, order = topicRangeSQL, compareKeys
	}
	asked := make(map[string]bool, len(q.ContentTopics))
	for _, content := range q.ContentTopics {
		if asked[content] {
			continue
		}
		asked[content] = true
		id, err := c.findTopic(topic{q.PubsubTopic, content})
		if err != nil {
			return nil, err
		}
		if id == 0 {
			continue
		}
		keys, err := c.scan(sql, id, from, to, limit)
		if err != nil {
			return nil, err
		}
		found = append(found, keys...)
		slices.SortFunc(found, order)
		if len(found) >= limit {
			found = found[:limit]
			if q.Forward {
				to = found[limit-1]
			} else {
				from = found[limit-1].after()
			}
		}
	}
	return found, nil
}

// lookup returns the keys of the asked hashes that are there and in range,
// in the query's direction.
func (c *conn) lookup(q *Query, from, to key) ([]key, error) {
	var found []key
	for _, h := range q.Hashes {
		k, ok, err := c.findHash(h)
		if err != nil {
			return nil, err
		}
		if !ok || compareKeys(k, from) < 0 || compareKeys(k, to) >= 0 {
			continue
		}
		if q.PubsubTopic != "" {
			pubsub, err := c.pubsubOf(k)
			if err != nil {
				return nil, err
			}
			if pubsub != q.PubsubTopic {
				continue
			}
		}
		found = append(found, k)
	}
	slices.SortFunc(found, compareKeys)
	found = slices.CompactFunc(found, func(a, b key) bool { return compareKeys(a, b) == 0 })
	if !q.Forward {
		slices.Reverse(found)
	}
	return found, nil
}

// findTopic returns the number of a topic pair, 0 when it has none.
func (c *conn) findTopic(t topic) (id int64, err error) {
	st, err := c.prepare(topicSQL)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(st.BindText(1, t.content), st.BindText(2, t.pubsub)); err != nil {
		return 0, err
	}
	err = each(st, func() error { id = st.ColumnInt64(0); return nil })
	return id, err
}

// findHash returns the key of the entry with a hash.
func (c *conn) findHash(h message.Hash) (k key, ok bool, err error) {
	st, err := c.prepare(hashSQL)
	if err != nil {
		return k, false, err
	}
	if err := st.BindBlob(1, h[:]); err != nil {
		return k, false, err
	}
	err = each(st, func() error {
		k, ok = key{st.ColumnInt64(0), h[:]}, true
		return nil
	})
	return k, ok, err
}

// pubsubOf returns the pubsub topic of an entry.
func (c *conn) pubsubOf(k key) (pubsub string, err error) {
	st, err := c.prepare(pubsubSQL)
	if err != nil {
		return "", err
	}
	if err := errors.Join(st.BindInt64(1, k.timestamp), st.BindBlob(2, k.hash)); err != nil {
		return "", err
	}
	err = each(st, func() error { pubsub = st.ColumnText(0); return nil })
	return pubsub, err
}

// entry reads one entry, its hash alone without data.
func (c *conn) entry(k key, data bool) (e Entry, err error) {
	e.Hash = message.Hash(k.hash)
	if !data {
		return e, nil
	}
	st, err := c.prepare(messageSQL)
	if err != nil {
		return e, err
	}
	if err := errors.Join(st.BindInt64(1, k.timestamp), st.BindBlob(2, k.hash)); err != nil {
		return e, err
	}
	err = each(st, func() error {
		e.PubsubTopic = st.ColumnText(0)
		e.Message = new(wakupb.WakuMessage)
		return proto.Unmarshal(st.ColumnRawBlob(1), e.Message)
	})
	if err == nil && e.Message == nil {
		err = fmt.Errorf("entry %s has no topic", e.Hash)
	}
	return e, err
}

// each calls visit for every row of a bound statement and resets it.
func each(st *sqlite3.Stmt, visit func() error) (err error) {
	for err == nil && st.Step() {
		err = visit()
	}
	err = errors.Join(err, st.Err())
	return errors.Join(err, st.Reset())
}
