package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// writeTimeout bounds the writing of a group, waiting for other writers
	// included.
	writeTimeout = 2 * time.Minute
	// maxTopicCache bounds the topic numbers the writer remembers.
	maxTopicCache = 1 << 16
)

// writer writes to an archive over its own connection. Only one goroutine uses
// it.
type writer struct {
	pool  *pool
	lock  int64
	slice time.Duration
	tail  int64 // entries that wait for their chunks to be written
	dirty int   // how often the table recent was emptied since it was cleaned

	// What is remembered of the database, as of its epoch; 0 for nothing.
	epoch   int64
	spans   []span
	topics  map[topic]number
	pubsubs map[string]int32
}

// number are the numbers of a topic pair.
type number struct{ topic, pubsub int32 }

// write keeps the rows of a group, in one transaction.
func (w *writer) write(group []*insertion) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	rows := sync.OnceValue(func() []row { return merge(group) })
	return w.pool.do(ctx, func(c *connection) error {
		err := w.insert(ctx, c, rows)
		if err != nil {
			w.epoch = 0 // what was made in a transaction that was rolled back does not exist
		}
		return err
	})
}

// insert is one transaction. It asks for the rows when it has begun.
func (w *writer) insert(ctx context.Context, c *connection, wait func() []row) error {
	newest, pending, err := w.begin(ctx, c)
	if err != nil {
		return err
	}
	rows := wait()
	if err := w.cover(ctx, c, rows, time.Now().UnixNano()); err != nil {
		return fmt.Errorf("making partitions: %w", err)
	}
	if rows, err = absent(ctx, c, rows, newest); err != nil {
		return fmt.Errorf("looking for duplicates: %w", err)
	}
	if len(rows) == 0 {
		_, err := c.Exec(ctx, `COMMIT`)
		return err
	}
	if err := w.number(ctx, c, rows); err != nil {
		return fmt.Errorf("numbering topics: %w", err)
	}
	// What the indexes need is put together while the server works.
	var wg sync.WaitGroup
	var entries []entry
	var later []byte
	wg.Go(func() {
		entries = entriesOf(rows)
		if pending+int64(len(rows)) < w.tail {
			later = encodeEntries(entries, true)
		}
	})
	_, err = c.PgConn().CopyFrom(ctx, newCopyReader(rows),
		`COPY `+w.target(rows)+` (timestamp, hash, topic, message) FROM STDIN BINARY`)
	wg.Wait()
	if err != nil {
		return err
	}
	if later != nil {
		return w.commit(ctx, c, rows, later)
	}
	if err := flush(ctx, c, w.spans, entries); err != nil {
		return fmt.Errorf("writing chunks: %w", err)
	}
	w.dirty++
	return w.commit(ctx, c, rows, nil)
}

// cleanAfter is how often the table recent is emptied until it is cleaned.
const cleanAfter = 4

// clean has the server use the room of what was in the table recent again. When
// that fails, autovacuum does it, later.
func (w *writer) clean() {
	if w.dirty < cleanAfter {
		return
	}
	w.dirty = 0
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	_ = w.pool.do(ctx, func(c *connection) error {
		_, err := c.Exec(ctx, `VACUUM (SKIP_LOCKED) recent`)
		return err
	})
}

// entriesOf returns what the indexes have of rows.
func entriesOf(rows []row) []entry {
	keys := make([]byte, 0, len(rows)*keySize)
	for i := range rows {
		keys = append(binary.BigEndian.AppendUint64(keys, uint64(rows[i].timestamp)), rows[i].hash[:]...)
	}
	text, out := key(keys), make([]entry, len(rows))
	for i := range rows {
		out[i] = entry{text[i*keySize : (i+1)*keySize], rows[i].number.topic}
	}
	return out
}

// target is the table to copy rows to: their partition, if they have one in
// common, which saves the server from finding it for each.
func (w *writer) target(rows []row) string {
	if s, ok := find(w.spans, rows[0].timestamp); ok && rows[len(rows)-1].timestamp < s.stop {
		return partitionOf("messages", s.start)
	}
	return "messages"
}

// begin begins the transaction, waits for its turn and forgets what is out of
// date. No entry has a timestamp above newest, and as many as are pending are
// in no chunk.
func (w *writer) begin(ctx context.Context, c *connection) (newest, pending int64, err error) {
	var epoch int64
	b := new(pgx.Batch)
	b.Queue(`BEGIN`)
	b.Queue(lockSQL, w.lock)
	b.Queue(`SELECT epoch, newest, pending FROM state`).QueryRow(func(r pgx.Row) error { return r.Scan(&epoch, &newest, &pending) })
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return 0, 0, err
	}
	if epoch == w.epoch {
		return newest, pending, nil
	}
	w.topics, w.pubsubs = make(map[topic]number), make(map[string]int32)
	if w.spans, err = spans(ctx, c); err != nil {
		return 0, 0, err
	}
	w.epoch = epoch
	return newest, pending, nil
}

// cover makes the partitions that rows need and do not have, and the one after
// that of now when its time is near.
func (w *writer) cover(ctx context.Context, c *connection, rows []row, now int64) error {
	made := false
	need := func(t int64) error {
		if _, ok := find(w.spans, t); ok {
			return nil
		}
		s := spanOf(t, now, w.slice, w.spans)
		if err := create(ctx, c, s); err != nil {
			return err
		}
		w.spans = slices.Insert(w.spans, after(w.spans, t), s)
		made = true
		return nil
	}
	for i := range rows {
		if err := need(rows[i].timestamp); err != nil {
			return err
		}
	}
	if ahead := now + int64(w.slice)/8; len(rows) > 0 && rows[len(rows)-1].timestamp > now-int64(w.slice) {
		if err := need(ahead); err != nil {
			return err
		}
	}
	if !made {
		return nil
	}
	var err error
	w.epoch, err = newEpoch(ctx, c)
	return err
}

const absentSQL = `SELECT k.place FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS k (timestamp, hash, place)
JOIN messages m ON m.timestamp = k.timestamp AND m.hash = k.hash
WHERE m.timestamp >= $3 AND m.timestamp <= $4`

// absent returns the rows that are not kept yet. Those after the newest can not
// be; the others are looked up together.
func absent(ctx context.Context, c *connection, rows []row, newest int64) ([]row, error) {
	n := 0
	for n < len(rows) && rows[n].timestamp <= newest {
		n++
	}
	if n == 0 {
		return rows, nil
	}
	timestamps, hashes := make([]int64, n), make([][]byte, n)
	for i := range n {
		timestamps[i], hashes[i] = rows[i].timestamp, rows[i].hash[:]
	}
	found, err := c.Query(ctx, absentSQL, timestamps, hashes, timestamps[0], timestamps[n-1])
	if err != nil {
		return nil, err
	}
	places, err := pgx.CollectRows(found, pgx.RowTo[int64])
	if err != nil || len(places) == 0 {
		return rows, err
	}
	kept := make([]bool, n)
	for _, p := range places {
		kept[p-1] = true
	}
	out := make([]row, 0, len(rows)-len(places))
	for i := range rows {
		if i >= n || !kept[i] {
			out = append(out, rows[i])
		}
	}
	return out, nil
}

// number writes the numbers of their topics into rows, and gives some to the
// topics that have none.
func (w *writer) number(ctx context.Context, c *connection, rows []row) error {
	if len(w.topics) > maxTopicCache {
		clear(w.topics)
		clear(w.pubsubs)
	}
	unknown := w.apply(rows)
	if len(unknown) == 0 {
		return nil
	}
	if err := w.learn(ctx, c, unknown); err != nil {
		return err
	}
	if left := w.apply(rows); len(left) > 0 {
		return fmt.Errorf("%d topics have no number", len(left))
	}
	return nil
}

// apply writes the numbers that are known into rows, and returns the topics
// that have none, each once.
func (w *writer) apply(rows []row) (unknown []topic) {
	var asked map[topic]bool
	for i := range rows {
		r := &rows[i]
		n, ok := w.topics[r.topic]
		if !ok {
			if asked == nil {
				asked = make(map[topic]bool)
			}
			if !asked[r.topic] {
				asked[r.topic] = true
				unknown = append(unknown, r.topic)
			}
			continue
		}
		r.number = n
		binary.BigEndian.PutUint32(r.data[topicAt:], uint32(n.topic))
	}
	return unknown
}

// learn finds or gives the numbers of topics.
func (w *writer) learn(ctx context.Context, c *connection, unknown []topic) error {
	var keys, names [][]byte
	for _, t := range unknown {
		if _, ok := w.pubsubs[t.pubsub]; !ok {
			w.pubsubs[t.pubsub] = 0
			keys, names = append(keys, pubsubKey(t.pubsub)), append(names, []byte(t.pubsub))
		}
	}
	if len(keys) > 0 {
		if _, err := c.Exec(ctx, `INSERT INTO pubsubs (key, name)
SELECT n.key, n.name FROM unnest($1::bytea[], $2::bytea[]) AS n (key, name)
WHERE NOT EXISTS (SELECT FROM pubsubs p WHERE p.key = n.key)`, keys, names); err != nil {
			return err
		}
		rows, err := c.Query(ctx, `SELECT id, name FROM pubsubs WHERE key = ANY($1)`, keys)
		if err != nil {
			return err
		}
		var id int32
		var name []byte
		if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { w.pubsubs[string(name)] = id; return nil }); err != nil {
			return err
		}
	}
	topicKeys, pubsubs, contents := make([][]byte, len(unknown)), make([]int32, len(unknown)), make([][]byte, len(unknown))
	of := make(map[string]topic, len(unknown))
	for i, t := range unknown {
		topicKeys[i], pubsubs[i], contents[i] = t.key(), w.pubsubs[t.pubsub], []byte(t.content)
		of[string(topicKeys[i])] = t
	}
	if _, err := c.Exec(ctx, `INSERT INTO topics (key, pubsub, content)
SELECT n.key, n.pubsub, n.content FROM unnest($1::bytea[], $2::integer[], $3::bytea[]) AS n (key, pubsub, content)
WHERE NOT EXISTS (SELECT FROM topics t WHERE t.key = n.key)`, topicKeys, pubsubs, contents); err != nil {
		return err
	}
	rows, err := c.Query(ctx, `SELECT id, pubsub, key FROM topics WHERE key = ANY($1)`, topicKeys)
	if err != nil {
		return err
	}
	var n number
	var key []byte
	_, err = pgx.ForEachRow(rows, []any{&n.topic, &n.pubsub, &key}, func() error { w.topics[of[string(key)]] = n; return nil })
	return err
}

// countSQL adds to the volumes, and brings newest up to $6. Of $7 entries, $8 has
// what is kept for later; it is NULL for none.
const countSQL = `WITH counted AS (
	INSERT INTO volumes AS v (slice, day, pubsub, messages, bytes)
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::bigint[])
	ON CONFLICT (slice, day, pubsub) DO UPDATE SET messages = v.messages + excluded.messages, bytes = v.bytes + excluded.bytes
), later AS (
	INSERT INTO recent (entries) SELECT $8::bytea WHERE $8::bytea IS NOT NULL
)
UPDATE state SET newest = greatest(newest, $6), pending = pending + $7`

// commit counts the rows, keeps their entries for later, unless they are nil, and
// ends the transaction.
func (w *writer) commit(ctx context.Context, c *connection, rows []row, entries []byte) error {
	var v volumes
	var s span
	for i := range rows {
		r := &rows[i]
		if r.timestamp < s.start || r.timestamp >= s.stop {
			var ok bool
			if s, ok = find(w.spans, r.timestamp); !ok {
				return fmt.Errorf("there is no partition for %d", r.timestamp)
			}
		}
		v.add(volume{s.start, r.timestamp / day, r.number.pubsub}, int64(r.size()))
	}
	b := new(pgx.Batch)
	pending := 0
	if entries != nil {
		pending = len(rows)
	}
	b.Queue(countSQL, append(v.columns(), rows[len(rows)-1].timestamp, pending, entries)...)
	b.Queue(`COMMIT`)
	return c.SendBatch(ctx, b).Close()
}

// day is one in nanoseconds.
const day = int64(24 * time.Hour)

// volume names what is counted together: a day, counted from 1970, of a
// partition, on a pubsub topic.
type volume struct {
	slice, day int64
	pubsub     int32
}

// volumes are counts of messages and of their bytes.
type volumes struct {
	of              map[volume]int
	last            volume // what was counted last, and where
	at              int
	slices, days    []int64
	pubsubs         []int32
	messages, bytes []int64
}

// add counts a message.
func (v *volumes) add(of volume, bytes int64) {
	if v.of == nil || of != v.last {
		v.last, v.at = of, v.place(of)
	}
	v.messages[v.at]++
	v.bytes[v.at] += bytes
}

// place is where a volume is counted.
func (v *volumes) place(of volume) int {
	i, ok := v.of[of]
	if !ok {
		if v.of == nil {
			v.of = make(map[volume]int)
		}
		i = len(v.slices)
		v.of[of] = i
		v.slices, v.days, v.pubsubs = append(v.slices, of.slice), append(v.days, of.day), append(v.pubsubs, of.pubsub)
		v.messages, v.bytes = append(v.messages, 0), append(v.bytes, 0)
	}
	return i
}

// columns are the first parameters of countSQL.
func (v *volumes) columns() []any { return []any{v.slices, v.days, v.pubsubs, v.messages, v.bytes} }
