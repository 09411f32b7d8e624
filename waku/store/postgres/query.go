package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// found is an entry that was found.
type found struct {
	key
	pubsub  string
	message *wakupb.WakuMessage // nil unless decoded
	encoded []byte              // nil unless encoded
}

// form is how messages are wanted.
type form int

const (
	keysOnly form = iota
	encoded
	decoded
)

// formOf is what a query asks for.
func formOf(q *store.Query) form {
	switch {
	case !q.IncludeData:
		return keysOnly
	case q.Encoded:
		return encoded
	}
	return decoded
}

// lookupSQL returns the text of a lookup of hashes among the entries since a
// time, or before it. It walks the partitions for each hash, and no further than
// to where that is: the first one found is the only one.
func lookupSQL(data, since bool) string {
	field, when := ``, `<`
	if data {
		field = `, m.message`
	}
	if since {
		when = `>=`
	}
	return `SELECT m.timestamp, m.hash, p.name` + field + ` FROM unnest($1::bytea[]) AS k (hash)
CROSS JOIN LATERAL (SELECT m.timestamp, m.hash, m.topic` + field + ` FROM messages m WHERE m.hash = k.hash AND m.timestamp ` + when + ` $2 LIMIT 1) m
JOIN topics t ON t.id = m.topic JOIN pubsubs p ON p.id = t.pubsub`
}

const (
	// readSQL reads entries whose keys are known; the first and the last
	// timestamp choose the partitions.
	readSQL = `SELECT m.timestamp, m.hash, p.name, m.message FROM unnest($1::bigint[], $2::bytea[]) AS k (timestamp, hash)
JOIN messages m ON m.timestamp = k.timestamp AND m.hash = k.hash
JOIN topics t ON t.id = m.topic JOIN pubsubs p ON p.id = t.pubsub
WHERE m.timestamp >= $3 AND m.timestamp <= $4`
)

// maxTries bounds how often a page is looked for again because a part of it was
// removed meanwhile.
const maxTries = 4

// Query implements store.Archive.
func (a *Archive) Query(ctx context.Context, q *store.Query) (page *store.Page, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	err = a.read(ctx, "querying the store archive", func(c *connection) (err error) {
		page, err = a.query(ctx, c, q, time.Now().Add(-a.writer.slice).UnixNano())
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func (a *Archive) query(ctx context.Context, c *connection, q *store.Query, recent int64) (*store.Page, error) {
	size := q.PageSize()
	// One more than the page tells whether there is another.
	w := &within{from: bound(q.TimeStart), to: last, forward: q.Forward, limit: size + 1, recent: recent}
	if q.TimeEnd != 0 {
		w.to = bound(q.TimeEnd)
	}
	if q.Cursor != nil {
		if err := w.start(ctx, c, q.Cursor); err != nil {
			return nil, err
		}
	}
	var entries []found
	var more bool
	var err error
	if len(q.Hashes) > 0 {
		entries, err = lookupHashes(ctx, c, q, w)
		more = len(entries) > size
		entries = entries[:min(size, len(entries))]
	} else {
		entries, more, err = a.filter(ctx, c, q, w)
	}
	if err != nil {
		return nil, err
	}
	if !q.Forward {
		slices.Reverse(entries)
	}
	page := &store.Page{Messages: make([]store.Entry, len(entries))}
	for i, f := range entries {
		page.Messages[i].Hash = f.key.hash()
		if q.IncludeData {
			page.Messages[i].PubsubTopic, page.Messages[i].Message, page.Messages[i].Encoded = f.pubsub, f.message, f.encoded
		}
	}
	if n := len(entries); more && q.Forward && n > 0 {
		page.Cursor = &page.Messages[n-1].Hash
	} else if more && n > 0 {
		page.Cursor = &page.Messages[0].Hash
	}
	return page, nil
}

// start has w begin behind a cursor.
func (w *within) start(ctx context.Context, c *connection, cursor *message.Hash) error {
	at, err := lookup(ctx, c, keysOnly, [][]byte{cursor[:]}, w.recent)
	if err != nil {
		return err
	}
	if len(at) == 0 {
		return fmt.Errorf("%w: %s", store.ErrUnknownCursor, *cursor)
	}
	w.narrow(at[0].key)
	return nil
}

// filter returns the page that a content filter asks for, in the order of w, and
// whether more follow it.
func (a *Archive) filter(ctx context.Context, c *connection, q *store.Query, w *within) (page []found, more bool, err error) {
	var keys [][]byte
	if len(q.ContentTopics) > 0 {
		topics := slices.Clone(q.ContentTopics)
		slices.Sort(topics)
		for _, content := range slices.Compact(topics) {
			keys = append(keys, topic{q.PubsubTopic, content}.key())
		}
	}
	for try := 1; ; try++ {
		entries, err := a.scan(ctx, c, *w, keys)
		if err != nil || len(entries) == 0 {
			return nil, false, err
		}
		more = len(entries) == w.limit
		entries = entries[:min(len(entries), w.limit-1)]
		if q.IncludeData {
			page, err = readEntries(ctx, c, formOf(q), entries)
			slices.SortFunc(page, func(a, b found) int { return w.compare(a.key, b.key) })
		} else {
			page = make([]found, len(entries))
			for i, e := range entries {
				page[i].key = e.key
			}
		}
		// When some were removed between finding and reading them, others
		// take their places.
		if err != nil || len(page) == len(entries) || try == maxTries {
			return page, more, err
		}
	}
}

// readEntries returns entries with their messages, those that are there.
func readEntries(ctx context.Context, c *connection, as form, entries []entry) ([]found, error) {
	timestamps, hashes := make([]int64, len(entries)), make([][]byte, len(entries))
	for i, e := range entries {
		timestamps[i], hashes[i] = e.key.timestamp(), []byte(e.key[8:])
	}
	return read(ctx, c, as, readSQL, timestamps, hashes, slices.Min(timestamps), slices.Max(timestamps))
}

// lookupHashes returns the entries of a query's hashes that are there and
// within w.
func lookupHashes(ctx context.Context, c *connection, q *store.Query, w *within) ([]found, error) {
	hashes := make([][]byte, len(q.Hashes))
	for i := range q.Hashes {
		hashes[i] = q.Hashes[i][:]
	}
	slices.SortFunc(hashes, bytes.Compare)
	hashes = slices.CompactFunc(hashes, bytes.Equal)
	entries, err := lookup(ctx, c, formOf(q), hashes, w.recent)
	entries = slices.DeleteFunc(entries, func(f found) bool {
		return q.PubsubTopic != "" && f.pubsub != q.PubsubTopic || !w.has(f.key)
	})
	slices.SortFunc(entries, func(a, b found) int { return w.compare(a.key, b.key) })
	return entries, err
}

// lookup returns the entries of sorted hashes: first those since recent, as
// most that are asked for are, and then, of the hashes that are left, the
// others.
func lookup(ctx context.Context, c *connection, as form, hashes [][]byte, recent int64) ([]found, error) {
	entries, err := read(ctx, c, as, lookupSQL(as != keysOnly, true), hashes, recent)
	if err != nil {
		return nil, err
	}
	there := make([]bool, len(hashes))
	for i := range entries {
		at, _ := slices.BinarySearchFunc(hashes, []byte(entries[i].key[8:]), bytes.Compare)
		there[at] = true
	}
	var left [][]byte
	for i, h := range hashes {
		if !there[i] {
			left = append(left, h)
		}
	}
	if len(left) == 0 {
		return entries, nil
	}
	older, err := read(ctx, c, as, lookupSQL(as != keysOnly, false), left, recent)
	return append(entries, older...), err
}

// read reads what a statement finds: timestamp, hash, and, if there are more
// columns, pubsub topic and message.
func read(ctx context.Context, c *connection, as form, sql string, args ...any) ([]found, error) {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var (
		f       found
		at      int64
		hash    pgtype.DriverBytes
		pubsub  pgtype.DriverBytes
		raw     pgtype.DriverBytes
		columns = []any{&at, &hash, &pubsub, &raw}
		entries []found
	)
	_, err = pgx.ForEachRow(rows, columns[:len(rows.FieldDescriptions())], func() error {
		f.message, f.encoded = nil, nil
		if f.pubsub != string(pubsub) {
			f.pubsub = string(pubsub)
		}
		switch as {
		case encoded:
			f.encoded = append([]byte{}, raw...)
		case decoded:
			f.message = new(wakupb.WakuMessage)
			if err := proto.Unmarshal(raw, f.message); err != nil {
				return err
			}
		}
		if len(hash) != message.HashSize {
			return fmt.Errorf("a hash of %d bytes", len(hash))
		}
		f.key = bound(at) + key(hash)
		entries = append(entries, f)
		return nil
	})
	return entries, err
}
