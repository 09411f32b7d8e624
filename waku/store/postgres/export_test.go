package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/parley-im/parley/waku/store"
)

// Migrations are those of the package.
var Migrations = migrations

// Bare writes entries to a table without keys as Insert writes them to an
// archive: it checks, encodes and copies them, and does nothing else.
func Bare(ctx context.Context, c *connection, table string, entries []store.Entry) error {
	rows, err := rowsOf(entries, time.Now())
	if err != nil {
		return err
	}
	_, err = c.PgConn().CopyFrom(ctx, newCopyReader(rows), `COPY `+table+` FROM STDIN BINARY`)
	return err
}

// Statements are those that read messages.
func Statements() map[string]string {
	out := map[string]string{
		"read": readSQL, "duplicates": absentSQL,
		"forget": forgetSQL, "pubsub topics": pubsubsSQL, "recent": tailSQL,
	}
	for i := range 4 {
		data, since := i&1 != 0, i&2 != 0
		out[fmt.Sprintf("lookup, data %v, since %v", data, since)] = lookupSQL(data, since)
	}
	for i := range 4 {
		byTopic, forward := i&1 != 0, i&2 != 0
		out[fmt.Sprintf("chunks, by topic %v, forward %v", byTopic, forward)] = chunksSQL(byTopic, forward)
	}
	return out
}

// SetTail changes how many entries of an archive wait for their chunks.
func (a *Archive) SetTail(n int) { a.writer.tail = int64(n) }

// Consistent says what is wrong with the chunks of an archive: that those of a
// topic overlap, or that they do not have the messages there are, each once for
// its topic and once for all. It is called while nothing else goes on, and
// returns the number of chunks of all topics and of single ones.
func (a *Archive) Consistent(ctx context.Context) (all, single int, err error) {
	err = a.read(ctx, "", func(c *connection) error {
		rows, err := c.Query(ctx, `SELECT topic, first, last, entries FROM chunks ORDER BY topic, first`)
		if err != nil {
			return err
		}
		have := map[bool]map[key]int32{true: {}, false: {}}
		var before chunk
		var ch chunk
		var first, last []byte
		_, err = pgx.ForEachRow(rows, []any{&ch.topic, &first, &last, &ch.entries}, func() error {
			ch.first, ch.last = key(first), key(last)
			entries, err := decodeEntries(nil, ch.entries, ch.topic)
			if err != nil || len(entries) == 0 || entries[0].key != ch.first || entries[len(entries)-1].key != ch.last ||
				before.topic == ch.topic && before.last >= ch.first || len(ch.entries) > chunkBytes {
				return fmt.Errorf("chunk %d %x behind %d %x: %d entries, %w", ch.topic, ch.first, before.topic, before.last, len(entries), err)
			}
			for _, e := range entries {
				have[ch.topic == everything][e.key] = e.topic
			}
			if before = ch; ch.topic == everything {
				all++
			} else {
				single++
			}
			return nil
		})
		if err != nil {
			return err
		}
		if rows, err = c.Query(ctx, `SELECT entries FROM recent`); err != nil {
			return err
		}
		var raw []byte
		if _, err = pgx.ForEachRow(rows, []any{&raw}, func() error {
			entries, err := decodeEntries(nil, raw, everything)
			for _, e := range entries {
				have[true][e.key], have[false][e.key] = e.topic, e.topic
			}
			return err
		}); err != nil {
			return err
		}
		if rows, err = c.Query(ctx, `SELECT timestamp, hash, topic FROM messages`); err != nil {
			return err
		}
		var at int64
		var hash []byte
		var topic int32
		n := 0
		_, err = pgx.ForEachRow(rows, []any{&at, &hash, &topic}, func() error {
			n++
			for kind, of := range have {
				if of[bound(at)+key(hash)] != topic {
					return fmt.Errorf("%x of topic %d is not in the chunks of all topics (%v)", hash, topic, kind)
				}
			}
			return nil
		})
		if err == nil && (len(have[true]) != n || len(have[false]) != n) {
			err = fmt.Errorf("%d and %d entries in chunks, %d messages", len(have[true]), len(have[false]), n)
		}
		return err
	})
	return all, single, err
}

// Connect returns a connection as the archive's are.
func Connect(ctx context.Context, url, schema string) (*pgx.Conn, error) {
	cfg, err := connConfig(url, schema)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg)
}

// SpanOf is spanOf.
func SpanOf(timestamp, now int64, width time.Duration, there [][2]int64) (start, stop int64) {
	var spans []span
	for _, s := range there {
		spans = append(spans, span{s[0], s[1]})
	}
	s := spanOf(timestamp, now, width, spans)
	return s.start, s.stop
}

// MigrateTo opens the archive of a schema as a program with other migrations
// would, and closes it.
func MigrateTo(ctx context.Context, url, schema string, migrations []string) error {
	c, err := Connect(ctx, url, schema)
	if err != nil {
		return err
	}
	return errors.Join(migrate(ctx, c, schema, migrations), c.Close(ctx))
}
