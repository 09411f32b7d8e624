package postgres

import (
	"context"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// idShare is how many ids one statement of IDs reads.
const idShare = 5000

const (
	idsSQL = `SELECT m.timestamp, m.hash FROM messages m WHERE ` + rangeSQL + ` ORDER BY m.timestamp, m.hash LIMIT $5`
	// idsOfSQL are those of some pubsub topics.
	idsOfSQL = `SELECT m.timestamp, m.hash FROM messages m JOIN topics t ON t.id = m.topic
WHERE t.pubsub = ANY($6) AND ` + rangeSQL + ` ORDER BY m.timestamp, m.hash LIMIT $5`
)

// IDs implements store.Maintainer. It reads some at a time, so that other
// operations go on while the reader is busy.
func (a *Archive) IDs(ctx context.Context, s store.Span) iter.Seq2[store.ID, error] {
	return func(yield func(store.ID, error) bool) {
		w := &within{from: key{s.Start, []byte{}}, to: key{s.End, []byte{}}, forward: true, limit: idShare}
		for {
			var share []found
			err := a.read(ctx, "listing the store archive", func(c *connection) (err error) {
				share, err = ids(ctx, c, w, s.PubsubTopics)
				return err
			})
			if err != nil {
				yield(store.ID{}, err)
				return
			}
			for _, f := range share {
				if !yield(store.ID{Timestamp: f.timestamp, Hash: message.Hash(f.hash)}, nil) {
					return
				}
			}
			if len(share) < w.limit {
				return
			}
			w.narrow(share[len(share)-1].key)
		}
	}
}

func ids(ctx context.Context, c *connection, w *within, pubsubTopics []string) ([]found, error) {
	args := []any{w.from.timestamp, w.from.hash, w.to.timestamp, w.to.hash, w.limit}
	if len(pubsubTopics) == 0 {
		return read(ctx, c, keysOnly, idsSQL, args...)
	}
	keys := make([][]byte, len(pubsubTopics))
	for i, name := range pubsubTopics {
		keys[i] = pubsubKey(name)
	}
	rows, err := c.Query(ctx, `SELECT id FROM pubsubs WHERE key = ANY($1)`, keys)
	if err != nil {
		return nil, err
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil || len(numbers) == 0 {
		return nil, err
	}
	return read(ctx, c, keysOnly, idsOfSQL, append(args, numbers)...)
}

const (
	daysSQL = `SELECT v.day, p.name, sum(v.messages)::bigint, sum(v.bytes)::bigint FROM volumes v JOIN pubsubs p ON p.id = v.pubsub
GROUP BY v.day, p.name HAVING sum(v.messages) > 0 ORDER BY v.day, p.name`
	oldestSQL = `SELECT timestamp FROM messages ORDER BY timestamp LIMIT 1`
	newestOf  = `SELECT timestamp FROM messages ORDER BY timestamp DESC LIMIT 1`
	// bytesSQL is the room of all tables with their indexes. The partitioned
	// table itself has none.
	bytesSQL = `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r'`
)

// Stats implements store.Maintainer.
func (a *Archive) Stats(ctx context.Context) (store.Stats, error) {
	var s store.Stats
	err := a.read(ctx, "counting the store archive", func(c *connection) error {
		s = store.Stats{Days: []store.DayStats{}}
		b := new(pgx.Batch)
		b.Queue(bytesSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&s.Bytes) })
		b.Queue(oldestSQL).Query(edge(&s.Oldest))
		b.Queue(newestOf).Query(edge(&s.Newest))
		b.Queue(daysSQL).Query(func(rows pgx.Rows) error {
			var n int64
			var name []byte
			var d store.DayStats
			_, err := pgx.ForEachRow(rows, []any{&n, &name, &d.Messages, &d.Bytes}, func() error {
				d.Day, d.PubsubTopic = time.Unix(0, n*day).UTC(), string(name)
				s.Days = append(s.Days, d)
				s.Messages += d.Messages
				return nil
			})
			return err
		})
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return store.Stats{}, err
	}
	return s, nil
}

// edge reads a timestamp, if there is one.
func edge(at *time.Time) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var t int64
		_, err := pgx.ForEachRow(rows, []any{&t}, func() error { *at = time.Unix(0, t).UTC(); return nil })
		return err
	}
}
