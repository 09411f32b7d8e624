package postgres

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/parley-im/parley/waku/store"
)

// idShare is how many ids one statement of IDs reads.
const idShare = 5000

// pubsubsSQL returns those of some topics that are of some pubsub topics.
const pubsubsSQL = `SELECT t.id FROM topics t JOIN pubsubs p ON p.id = t.pubsub WHERE t.id = ANY($1) AND p.key = ANY($2)`

// IDs implements store.Maintainer. It reads some at a time, so that other
// operations go on while the reader is busy.
func (a *Archive) IDs(ctx context.Context, s store.Span) iter.Seq2[store.ID, error] {
	return func(yield func(store.ID, error) bool) {
		w := within{from: bound(s.Start), to: bound(s.End), forward: true, limit: idShare}
		wanted := make(map[int32]bool) // numbers of topics, which are given once only
		for {
			var share []entry
			err := a.read(ctx, "listing the store archive", func(c *connection) (err error) {
				if share, err = a.scan(ctx, c, w, nil); err == nil && len(s.PubsubTopics) > 0 {
					err = learnWanted(ctx, c, wanted, share, s.PubsubTopics)
				}
				return err
			})
			if err != nil {
				yield(store.ID{}, err)
				return
			}
			for _, e := range share {
				if len(s.PubsubTopics) > 0 && !wanted[e.topic] {
					continue
				}
				if !yield(store.ID{Timestamp: e.key.timestamp(), Hash: e.key.hash()}, nil) {
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

// learnWanted finds out which of the entries' topics are of some pubsub topics,
// as far as it is not known.
func learnWanted(ctx context.Context, c *connection, wanted map[int32]bool, entries []entry, pubsubTopics []string) error {
	var unknown []int32
	for _, e := range entries {
		if _, ok := wanted[e.topic]; !ok {
			unknown = append(unknown, e.topic)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	unknown = slices.Compact(unknown)
	keys := make([][]byte, len(pubsubTopics))
	for i, name := range pubsubTopics {
		keys[i] = pubsubKey(name)
	}
	rows, err := c.Query(ctx, pubsubsSQL, unknown, keys)
	if err != nil {
		return err
	}
	of, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return err
	}
	for _, id := range unknown {
		wanted[id] = slices.Contains(of, id)
	}
	return nil
}

const (
	daysSQL = `SELECT v.day, p.name, sum(v.messages)::bigint, sum(v.bytes)::bigint FROM volumes v JOIN pubsubs p ON p.id = v.pubsub
GROUP BY v.day, p.name HAVING sum(v.messages) > 0 ORDER BY v.day, p.name`
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
		for forward, at := range map[bool]*time.Time{true: &s.Oldest, false: &s.Newest} {
			edge, err := a.scan(ctx, c, within{to: last, from: bound(0), forward: forward, limit: 1}, nil)
			if err != nil {
				return err
			}
			if len(edge) > 0 {
				*at = time.Unix(0, edge[0].key.timestamp()).UTC()
			}
		}
		b := new(pgx.Batch)
		b.Queue(bytesSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&s.Bytes) })
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
