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
		"forget": forgetSQL, "ids": idsSQL, "ids of pubsub topics": idsOfSQL, "oldest": oldestSQL, "newest": newestOf,
	}
	for i := range 4 {
		data, since := i&1 != 0, i&2 != 0
		out[fmt.Sprintf("lookup, data %v, since %v", data, since)] = lookupSQL(data, since)
	}
	for i := range 8 {
		byTopic, data, forward := i&1 != 0, i&2 != 0, i&4 != 0
		out[fmt.Sprintf("scan, by topic %v, data %v, forward %v", byTopic, data, forward)] = statement(byTopic, data, forward)
	}
	return out
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
