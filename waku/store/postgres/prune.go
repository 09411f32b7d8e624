package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/parley-im/parley/waku/store"
)

const (
	// maxRewrite bounds what is written anew to give room back, where dropping
	// the whole partition is the alternative.
	maxRewrite = 256 << 20
	// dropPatience is how long dropping a partition waits for those who read
	// it, in PostgreSQL's words. New readers wait behind it.
	dropPatience = `1s`
	// dropTries is how often it is tried.
	dropTries = 30
	// topicsShare is how many topics are looked at in one transaction.
	topicsShare = 5000
)

// PostgreSQL's names of conditions.
const lockNotAvailable = "55P03"

// Prune implements store.Maintainer. Each step is a transaction of its own, so
// that what a failure cuts short is complete as far as it went.
func (a *Archive) Prune(ctx context.Context, r store.Retention, now time.Time) (store.Pruned, error) {
	var done store.Pruned
	if r == (store.Retention{}) {
		return done, nil
	}
	err := a.run(ctx, a.upkeep, "pruning the store archive", func(c *connection) error {
		var before, after int64
		if err := c.QueryRow(ctx, bytesSQL).Scan(&before); err != nil {
			return err
		}
		removed, err := a.prune(ctx, c, r, now)
		done.Messages += removed
		if err != nil {
			return err
		}
		if removed > 0 {
			if err := a.forgetTopics(ctx, c); err != nil {
				return err
			}
		}
		err = c.QueryRow(ctx, bytesSQL).Scan(&after)
		done.Bytes += max(0, before-after)
		return err
	})
	return done, err
}

// prune takes steps until there is nothing left to do, and returns the number
// of messages removed.
func (a *Archive) prune(ctx context.Context, c *connection, r store.Retention, now time.Time) (removed int64, err error) {
	tries := 0
	for {
		n, more, err := a.step(ctx, c, r, now)
		switch {
		case code(err) == lockNotAvailable && tries < dropTries:
			tries++
			rollback(c)
			continue
		case err != nil:
			return removed, err
		}
		removed += n
		if !more {
			return removed, nil
		}
		tries = 0
	}
}

// step removes some of the oldest entries, in a transaction. When more is false
// there was nothing left to remove.
func (a *Archive) step(ctx context.Context, c *connection, r store.Retention, now time.Time) (removed int64, more bool, err error) {
	b := new(pgx.Batch)
	b.Queue(`BEGIN`)
	b.Queue(lockSQL, a.writer.lock)
	b.Queue(`SET LOCAL lock_timeout = '` + dropPatience + `'`)
	if err := c.SendBatch(ctx, b).Close(); err != nil {
		return 0, false, err
	}
	// What is removed shall be in chunks.
	there, err := spans(ctx, c)
	if err != nil {
		return 0, false, err
	}
	if err := flush(ctx, c, there, nil); err != nil {
		return 0, false, err
	}
	parts, err := partitions(ctx, c)
	if err != nil {
		return 0, false, err
	}
	act, err := choose(ctx, c, parts, r, now)
	if err != nil {
		return 0, false, err
	}
	if act != nil {
		if removed, err = act.run(ctx, c); err != nil {
			return 0, false, err
		}
	}
	_, err = c.Exec(ctx, `COMMIT`)
	return removed, act != nil, err
}

// partition is one with what is in it.
type partition struct {
	span
	messages, bytes int64 // as counted
	size            int64 // on disk
}

func partitions(ctx context.Context, c *connection) ([]partition, error) {
	rows, err := c.Query(ctx, `SELECT s.start, s.stop, coalesce(sum(v.messages), 0)::bigint, coalesce(sum(v.bytes), 0)::bigint,
coalesce(pg_total_relation_size(to_regclass('messages_' || s.start)), 0)::bigint + coalesce(pg_total_relation_size(to_regclass('chunks_' || s.start)), 0)::bigint
FROM slices s LEFT JOIN volumes v ON v.slice = s.start GROUP BY s.start, s.stop ORDER BY s.start`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p partition, err error) {
		return p, r.Scan(&p.start, &p.stop, &p.messages, &p.bytes, &p.size)
	})
}

// removal is what one step removes: a partition, or what lies before a place
// in it.
type removal struct {
	of     partition
	whole  bool
	before key
	// shrink has the rest written anew in any case.
	shrink bool
}

// choose returns the next removal that r asks for, nil for none.
func choose(ctx context.Context, c *connection, parts []partition, r store.Retention, now time.Time) (*removal, error) {
	total := int64(0)
	var first *partition
	for i := range parts {
		p := &parts[i]
		total += p.messages
		if p.messages == 0 && p.stop <= now.UnixNano() {
			return &removal{of: *p, whole: true}, nil
		}
		if p.messages > 0 && first == nil {
			first = p
		}
	}
	if first == nil {
		return nil, nil
	}
	if cut := now.Add(-r.Age).UnixNano(); r.Age > 0 && cut > first.start {
		if first.stop <= cut {
			return &removal{of: *first, whole: true}, nil
		}
		var any bool
		if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+partitionOf("chunks", first.start)+` WHERE topic = 0 AND first < $1)`, pgx.QueryExecModeExec, []byte(bound(cut))).Scan(&any); err != nil {
			return nil, err
		}
		if any {
			return &removal{of: *first, before: bound(cut)}, nil
		}
	}
	if excess := total - r.Messages; r.Messages > 0 && excess > 0 {
		return oldest(ctx, c, first, excess, false)
	}
	if r.Bytes == 0 {
		return nil, nil
	}
	var size int64
	if err := c.QueryRow(ctx, bytesSQL).Scan(&size); err != nil || size <= r.Bytes {
		return nil, err
	}
	excess := size - r.Bytes
	rest := first.size - excess
	if rest <= 0 || rest > maxRewrite && total > first.messages {
		return &removal{of: *first, whole: true}, nil
	}
	// Somewhat more than asked, lest the next message calls for it again.
	keep := int64(float64(first.messages) * float64(rest) / float64(first.size) * 0.9)
	return oldest(ctx, c, first, first.messages-keep, true)
}

// oldest is the removal of the n oldest messages of a partition.
func oldest(ctx context.Context, c *connection, p *partition, n int64, shrink bool) (*removal, error) {
	if n >= p.messages {
		return &removal{of: *p, whole: true}, nil
	}
	r := &removal{of: *p, shrink: shrink}
	err := p.each(ctx, c, func(entries []entry) (bool, error) {
		if n < int64(len(entries)) {
			r.before = entries[n].key
			return false, nil
		}
		n -= int64(len(entries))
		return true, nil
	})
	if err == nil && r.before == "" {
		err = fmt.Errorf("partition %s has fewer messages than were counted", partitionOf("messages", p.start))
	}
	return r, err
}

// each gives the entries of a partition, in order and some at a time, until f
// returns false.
func (p *partition) each(ctx context.Context, c *connection, f func([]entry) (bool, error)) error {
	for from := bound(0); ; {
		rows, err := c.Query(ctx, `SELECT entries FROM `+partitionOf("chunks", p.start)+` WHERE topic = 0 AND first >= $1 ORDER BY first LIMIT 50`,
			pgx.QueryExecModeExec, []byte(from))
		if err != nil {
			return err
		}
		var entries []entry
		var raw []byte
		if _, err := pgx.ForEachRow(rows, []any{&raw}, func() (err error) {
			entries, err = decodeEntries(entries, raw, everything)
			return err
		}); err != nil || len(entries) == 0 {
			return err
		}
		if more, err := f(entries); err != nil || !more {
			return err
		}
		from = entries[len(entries)-1].key.after()
	}
}

// run removes, within the caller's transaction.
func (r *removal) run(ctx context.Context, c *connection) (int64, error) {
	if r.whole {
		return r.of.messages, drop(ctx, c, r.of.span)
	}
	removed, bytes, err := r.discount(ctx, c)
	if err != nil {
		return 0, err
	}
	if removed == r.of.messages {
		return removed, drop(ctx, c, r.of.span)
	}
	// What the rest would take if written anew: somewhat more than its bytes
	// and those of its indexes.
	rest := (r.of.bytes-bytes)*5/4 + (r.of.messages-removed)*300 + 128<<10
	gain := r.of.size - rest
	anew := r.shrink || gain >= rest/2 && rest <= maxRewrite
	if !anew {
		err := r.each(ctx, c, func(hashes [][]byte) error {
			_, err := c.Exec(ctx, `DELETE FROM `+partitionOf("messages", r.of.start)+` m USING unnest($1::bytea[]) AS k (hash) WHERE m.hash = k.hash`,
				pgx.QueryExecModeExec, hashes)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if err := r.trim(ctx, c); err != nil || !anew {
		return removed, err
	}
	for _, table := range tables {
		name, fresh := partitionOf(table, r.of.start), partitionOf("rewrite_"+table, r.of.start)
		if err := createTable(ctx, c, table, fresh); err != nil {
			return 0, err
		}
		var args []any
		rest := ``
		if table == "messages" {
			rest = ` WHERE (timestamp, hash) >= ($1, $2)`
			args = []any{pgx.QueryExecModeExec, r.before.timestamp(), []byte(r.before[8:])}
		}
		if _, err := c.Exec(ctx, `INSERT INTO `+fresh+` SELECT * FROM `+name+rest, args...); err != nil {
			return 0, err
		}
		if _, err := c.Exec(ctx, `DROP TABLE `+name+`; ALTER TABLE `+fresh+` RENAME TO `+name); err != nil {
			return 0, err
		}
		if err := attach(ctx, c, table, r.of.span); err != nil {
			return 0, err
		}
	}
	return removed, nil
}

// each gives the hashes of what is to be removed, some at a time.
func (r *removal) each(ctx context.Context, c *connection, f func([][]byte) error) error {
	return r.of.each(ctx, c, func(entries []entry) (bool, error) {
		n, _ := slices.BinarySearchFunc(entries, r.before, func(e entry, k key) int { return compareKeys(e.key, k) })
		if n == 0 {
			return false, nil
		}
		hashes := make([][]byte, n)
		for i := range hashes {
			hashes[i] = []byte(entries[i].key[8:])
		}
		return n == len(entries), f(hashes)
	})
}

// trim takes what is to be removed out of the chunks.
func (r *removal) trim(ctx context.Context, c *connection) error {
	rows, err := c.Query(ctx, `DELETE FROM `+partitionOf("chunks", r.of.start)+` WHERE first < $1 RETURNING topic, CASE WHEN last >= $1 THEN entries ELSE '' END`,
		pgx.QueryExecModeExec, []byte(r.before))
	if err != nil {
		return err
	}
	var kept []chunk
	var topic int32
	var raw []byte
	if _, err := pgx.ForEachRow(rows, []any{&topic, &raw}, func() error {
		entries, err := decodeEntries(nil, raw, topic)
		n, _ := slices.BinarySearchFunc(entries, r.before, func(e entry, k key) int { return compareKeys(e.key, k) })
		kept = append(kept, pack(topic, entries[n:], false)...)
		return err
	}); err != nil {
		return err
	}
	return addChunks(ctx, c, r.of.span, kept)
}

// discount takes what is to be removed out of the volumes, and returns how much
// it is.
func (r *removal) discount(ctx context.Context, c *connection) (messages, bytes int64, err error) {
	err = r.each(ctx, c, func(hashes [][]byte) error {
		var n, size int64
		err := c.QueryRow(ctx, `WITH gone AS (
	SELECT m.timestamp / $3::bigint AS day, t.pubsub, count(*) AS messages, sum(octet_length(m.message)) AS bytes
	FROM unnest($1::bytea[]) AS k (hash) JOIN `+partitionOf("messages", r.of.start)+` m ON m.hash = k.hash JOIN topics t ON t.id = m.topic GROUP BY 1, 2
), changed AS (
	UPDATE volumes v SET messages = v.messages - g.messages, bytes = v.bytes - g.bytes
	FROM gone g WHERE v.slice = $2::bigint AND v.day = g.day AND v.pubsub = g.pubsub
)
SELECT coalesce(sum(messages), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM gone`,
			pgx.QueryExecModeExec, hashes, r.of.start, day).Scan(&n, &size)
		messages, bytes = messages+n, bytes+size
		return err
	})
	return messages, bytes, err
}

// drop removes a partition.
func drop(ctx context.Context, c *connection, s span) error {
	if _, err := c.Exec(ctx, `DROP TABLE IF EXISTS `+partitionOf("messages", s.start)+`, `+partitionOf("chunks", s.start)); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, `DELETE FROM volumes WHERE slice = $1`, s.start); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, `DELETE FROM slices WHERE start = $1`, s.start); err != nil {
		return err
	}
	_, err := newEpoch(ctx, c)
	return err
}

const forgetSQL = `DELETE FROM topics t WHERE t.id > $1 AND t.id <= $2 AND NOT EXISTS (SELECT FROM chunks c WHERE c.topic = t.id)`

// forgetTopics removes the topics that have no message left, some at a time,
// and the counts that are zero.
func (a *Archive) forgetTopics(ctx context.Context, c *connection) error {
	for next := int32(0); ; {
		var end *int32
		var gone int64
		b := new(pgx.Batch)
		b.Queue(`BEGIN`)
		b.Queue(lockSQL, a.writer.lock)
		b.Queue(`SELECT max(id) FROM (SELECT id FROM topics WHERE id > $1 ORDER BY id LIMIT $2) t`, next, topicsShare).
			QueryRow(func(r pgx.Row) error { return r.Scan(&end) })
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if end != nil {
			there, err := spans(ctx, c)
			if err != nil {
				return err
			}
			if err := flush(ctx, c, there, nil); err != nil {
				return err
			}
			tag, err := c.Exec(ctx, forgetSQL, next, *end)
			if err != nil {
				return err
			}
			gone, next = tag.RowsAffected(), *end
		} else {
			if _, err := c.Exec(ctx, `DELETE FROM volumes WHERE messages = 0`); err != nil {
				return err
			}
			tag, err := c.Exec(ctx, `DELETE FROM pubsubs p WHERE NOT EXISTS (SELECT FROM topics t WHERE t.pubsub = p.id) AND NOT EXISTS (SELECT FROM volumes v WHERE v.pubsub = p.id)`)
			if err != nil {
				return err
			}
			gone = tag.RowsAffected()
		}
		if gone > 0 {
			if _, err := newEpoch(ctx, c); err != nil {
				return err
			}
		}
		if _, err := c.Exec(ctx, `COMMIT`); err != nil || end == nil {
			return err
		}
	}
}
