package postgres

import (
	"context"
	"errors"
	"fmt"
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
coalesce(pg_total_relation_size(to_regclass('messages_' || s.start)), 0)::bigint
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
		if err := c.QueryRow(ctx, `SELECT EXISTS (SELECT FROM messages WHERE timestamp >= $1 AND timestamp < $2)`, first.start, cut).Scan(&any); err != nil {
			return nil, err
		}
		if any {
			return &removal{of: *first, before: key{cut, []byte{}}}, nil
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
	err := c.QueryRow(ctx, `SELECT timestamp, hash FROM `+table(p.start)+` ORDER BY timestamp, hash OFFSET $1 LIMIT 1`, n).
		Scan(&r.before.timestamp, &r.before.hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("partition %s has fewer messages than were counted", table(p.start))
	}
	return r, err
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
	name := table(r.of.start)
	// What the rest would take if written anew: somewhat more than its bytes
	// and those of its indexes.
	rest := (r.of.bytes-bytes)*5/4 + (r.of.messages-removed)*300 + 128<<10
	if gain := r.of.size - rest; !r.shrink && (gain < rest/2 || rest > maxRewrite) {
		_, err := c.Exec(ctx, `DELETE FROM `+name+` WHERE (timestamp, hash) < ($1, $2)`, r.before.timestamp, r.before.hash)
		return removed, err
	}
	fresh := pgx.Identifier{fmt.Sprintf("rewrite_%d", r.of.start)}.Sanitize()
	if err := createTable(ctx, c, fresh); err != nil {
		return 0, err
	}
	if _, err := c.Exec(ctx, `INSERT INTO `+fresh+` SELECT * FROM `+name+` WHERE (timestamp, hash) >= ($1, $2) ORDER BY timestamp, hash`,
		r.before.timestamp, r.before.hash); err != nil {
		return 0, err
	}
	if _, err := c.Exec(ctx, `DROP TABLE `+name+`; ALTER TABLE `+fresh+` RENAME TO `+name); err != nil {
		return 0, err
	}
	return removed, attach(ctx, c, r.of.span)
}

// discount takes what is to be removed out of the volumes, and returns how much
// it is.
func (r *removal) discount(ctx context.Context, c *connection) (messages, bytes int64, err error) {
	err = c.QueryRow(ctx, `WITH gone AS (
	SELECT m.timestamp / $4 AS day, t.pubsub, count(*) AS messages, sum(octet_length(m.message)) AS bytes
	FROM `+table(r.of.start)+` m JOIN topics t ON t.id = m.topic WHERE (m.timestamp, m.hash) < ($1, $2) GROUP BY 1, 2
), changed AS (
	UPDATE volumes v SET messages = v.messages - g.messages, bytes = v.bytes - g.bytes
	FROM gone g WHERE v.slice = $3 AND v.day = g.day AND v.pubsub = g.pubsub
)
SELECT coalesce(sum(messages), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM gone`,
		r.before.timestamp, r.before.hash, r.of.start, day).Scan(&messages, &bytes)
	return messages, bytes, err
}

// drop removes a partition.
func drop(ctx context.Context, c *connection, s span) error {
	if _, err := c.Exec(ctx, `DROP TABLE IF EXISTS `+table(s.start)); err != nil {
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

const forgetSQL = `DELETE FROM topics t WHERE t.id > $1 AND t.id <= $2 AND NOT EXISTS (SELECT FROM messages m WHERE m.topic = t.id)`

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
