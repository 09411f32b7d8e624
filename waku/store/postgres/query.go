package postgres

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// topicShare is how many content topics one statement scans. What it finds
// narrows the range of those that follow.
const topicShare = 16

// key is a place in the order of entries: that of one, or, as the bound of a
// range, a place between two.
type key struct {
	timestamp int64
	hash      []byte
}

// last is behind every entry.
var last = key{math.MaxInt64, bytes.Repeat([]byte{0xff}, message.HashSize+1)}

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), bytes.Compare(a.hash, b.hash))
}

// after is the first place behind k.
func (k key) after() key { return key{k.timestamp, append(slices.Clone(k.hash), 0)} }

// within are the bounds of a scan, from inclusive and to exclusive, and how
// many are wanted.
type within struct {
	from, to key
	forward  bool
	limit    int
	// recent is since when entries are likely to be asked for by their hash.
	recent int64
}

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

// rangeSQL are the conditions of a scan. Those on the timestamp alone choose the
// partitions.
const rangeSQL = `(m.timestamp, m.hash) >= ($1, $2) AND (m.timestamp, m.hash) < ($3, $4) AND m.timestamp >= $1 AND m.timestamp <= $3`

// topicSQL are those of a scan of one topic. They and its order are such that
// only the index by topic will do, whatever the planner takes a topic's share
// to be.
const topicSQL = `(m.topic, m.timestamp) >= (t.id, $1) AND (m.topic, m.timestamp) <= (t.id, $3) AND ` + rangeSQL

// statement returns the text of a scan, by topics or of everything.
func statement(byTopic, data, forward bool) string {
	fields, direction := `m.timestamp, m.hash`, ``
	outer, join := `k.timestamp, k.hash`, ``
	if !forward {
		direction = ` DESC`
	}
	if data {
		fields += `, m.topic, m.message`
		outer += `, p.name, k.message`
		join = ` JOIN topics kt ON kt.id = k.topic JOIN pubsubs p ON p.id = kt.pubsub`
	}
	order := func(of string) string {
		return strings.ReplaceAll(` ORDER BY ?.timestamp`+direction+`, ?.hash`+direction, `?`, of)
	}
	if !byTopic {
		return `SELECT ` + outer + ` FROM (SELECT ` + fields + ` FROM messages m WHERE ` + rangeSQL + order(`m`) + ` LIMIT $5) k` + join + order(`k`)
	}
	return `SELECT ` + outer + ` FROM (SELECT i.* FROM topics t CROSS JOIN LATERAL (SELECT ` + fields + ` FROM messages m WHERE ` + topicSQL +
		` ORDER BY m.topic` + direction + `, ` + strings.TrimPrefix(order(`m`), ` ORDER BY `) + ` LIMIT $5) i WHERE t.key = ANY($6)` + order(`i`) + ` LIMIT $5) k` + join + order(`k`)
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
	// readSQL reads entries whose keys are known.
	readSQL = `SELECT m.timestamp, m.hash, p.name, m.message FROM unnest($1::bigint[], $2::bytea[]) AS k (timestamp, hash)
JOIN messages m ON m.timestamp = k.timestamp AND m.hash = k.hash
JOIN topics t ON t.id = m.topic JOIN pubsubs p ON p.id = t.pubsub`
)

// Query implements store.Archive.
func (a *Archive) Query(ctx context.Context, q *store.Query) (page *store.Page, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	err = a.read(ctx, "querying the store archive", func(c *connection) (err error) {
		page, err = query(ctx, c, q, time.Now().Add(-a.writer.slice).UnixNano())
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func query(ctx context.Context, c *connection, q *store.Query, recent int64) (*store.Page, error) {
	size := q.PageSize()
	// One more than the page tells whether there is another.
	w := &within{from: key{q.TimeStart, []byte{}}, to: last, forward: q.Forward, limit: size + 1, recent: recent}
	if q.TimeEnd != 0 {
		w.to = key{q.TimeEnd, []byte{}}
	}
	if q.Cursor != nil {
		if err := w.start(ctx, c, q.Cursor); err != nil {
			return nil, err
		}
	}
	var entries []found
	var err error
	switch {
	case len(q.Hashes) > 0:
		entries, err = lookupHashes(ctx, c, q, w)
	case len(q.ContentTopics) > 0:
		entries, err = scanTopics(ctx, c, q, w)
	default:
		entries, err = scan(ctx, c, formOf(q), w, nil)
	}
	if err != nil {
		return nil, err
	}
	more := len(entries) > size
	entries = entries[:min(size, len(entries))]
	if !q.Forward {
		slices.Reverse(entries)
	}
	page := &store.Page{Messages: make([]store.Entry, len(entries))}
	for i, f := range entries {
		page.Messages[i].Hash = message.Hash(f.hash)
		if q.IncludeData {
			page.Messages[i].PubsubTopic, page.Messages[i].Message, page.Messages[i].Encoded = f.pubsub, f.message, f.encoded
		}
	}
	if more && q.Forward {
		page.Cursor = &page.Messages[size-1].Hash
	} else if more {
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

// narrow has w begin behind k, unless it does anyway.
func (w *within) narrow(k key) {
	if w.forward && compareKeys(w.from, k.after()) < 0 {
		w.from = k.after()
	} else if !w.forward && compareKeys(k, w.to) < 0 {
		w.to = k
	}
}

// compare is the order of what w finds.
func (w *within) compare(a, b found) int {
	if w.forward {
		return compareKeys(a.key, b.key)
	}
	return compareKeys(b.key, a.key)
}

// scan returns the first entries within w of the topics with the given keys, or
// of all topics for nil.
func scan(ctx context.Context, c *connection, as form, w *within, topics [][]byte) ([]found, error) {
	args := []any{w.from.timestamp, w.from.hash, w.to.timestamp, w.to.hash, w.limit}
	if topics != nil {
		args = append(args, topics)
	}
	return read(ctx, c, as, statement(topics != nil, as != keysOnly, w.forward), args...)
}

// scanTopics merges the scans of a query's topics.
func scanTopics(ctx context.Context, c *connection, q *store.Query, w *within) ([]found, error) {
	topics := slices.Clone(q.ContentTopics)
	slices.Sort(topics)
	var keys [][]byte
	for _, content := range slices.Compact(topics) {
		keys = append(keys, topic{q.PubsubTopic, content}.key())
	}
	if len(keys) <= topicShare {
		return scan(ctx, c, formOf(q), w, keys)
	}
	// The messages are read when it is known which.
	var entries []found
	rest := *w
	for share := range slices.Chunk(keys, topicShare) {
		more, err := scan(ctx, c, keysOnly, &rest, share)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
		slices.SortFunc(entries, w.compare)
		if len(entries) >= w.limit {
			entries = entries[:w.limit]
			if end := entries[w.limit-1].key; w.forward {
				rest.to = end
			} else {
				rest.from = end.after()
			}
		}
	}
	if !q.IncludeData {
		return entries, nil
	}
	timestamps, hashes := make([]int64, len(entries)), make([][]byte, len(entries))
	for i, e := range entries {
		timestamps[i], hashes[i] = e.timestamp, e.hash
	}
	entries, err := read(ctx, c, formOf(q), readSQL, timestamps, hashes)
	slices.SortFunc(entries, w.compare)
	return entries, err
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
		return q.PubsubTopic != "" && f.pubsub != q.PubsubTopic || compareKeys(f.key, w.from) < 0 || compareKeys(f.key, w.to) >= 0
	})
	slices.SortFunc(entries, w.compare)
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
		at, _ := slices.BinarySearchFunc(hashes, entries[i].hash, bytes.Compare)
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
		pubsub  pgtype.DriverBytes
		raw     pgtype.DriverBytes
		columns = []any{&f.timestamp, &f.hash, &pubsub, &raw}
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
		if len(f.hash) != message.HashSize {
			return fmt.Errorf("a hash of %d bytes", len(f.hash))
		}
		entries = append(entries, f)
		f.hash = nil
		return nil
	})
	return entries, err
}
