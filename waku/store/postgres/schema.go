package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/parley-im/parley/waku/store"
)

// migrations bring the schema from each version to the next, beginning with
// none; the number of those done is the schema's version. What was released is
// never changed.
//
//   - Names of topics are bytes, for they may have zeros in them, and are found
//     by a digest of their own (topic.key), for they may be longer than an index
//     takes.
//   - state counts with epoch how often topics or partitions went or partitions
//     came, which tells each process when what it remembers is out of date.
//     newest is at least the last timestamp.
//   - volumes counts the messages of each partition.
//   - messages has no unique key. That a message is there once is up to the
//     writers, who take turns (lockSQL): each looks up what is not after newest
//     before it adds it. A key over timestamp and hash would cost the server
//     half as much again as the narrow index by time does.
//   - Topics have no foreign keys on them: checking those would cost a search
//     for each message.
var migrations = []string{`
CREATE TABLE state (
	id      boolean PRIMARY KEY DEFAULT true CHECK (id),
	version integer NOT NULL,
	epoch   bigint NOT NULL DEFAULT 1,
	newest  bigint NOT NULL DEFAULT 0
);
CREATE TABLE pubsubs (
	id   integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	key  bytea NOT NULL UNIQUE,
	name bytea NOT NULL
);
CREATE TABLE topics (
	id      integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	pubsub  integer NOT NULL,
	key     bytea NOT NULL UNIQUE,
	content bytea NOT NULL
);
CREATE TABLE slices (
	start bigint PRIMARY KEY,
	stop  bigint NOT NULL
);
CREATE TABLE volumes (
	slice    bigint,
	day      bigint,
	pubsub   integer,
	messages bigint NOT NULL,
	bytes    bigint NOT NULL,
	PRIMARY KEY (slice, day, pubsub)
);
CREATE TABLE messages (
	timestamp bigint NOT NULL,
	hash      bytea NOT NULL,
	topic     integer NOT NULL,
	message   bytea NOT NULL
) PARTITION BY RANGE (timestamp);
ALTER TABLE messages ALTER hash SET STORAGE PLAIN, ALTER message SET STORAGE EXTERNAL;
CREATE INDEX messages_by_time ON messages (timestamp) WITH (deduplicate_items = off);
CREATE INDEX messages_by_topic ON messages (topic, timestamp) WITH (deduplicate_items = off);
CREATE INDEX messages_by_hash ON messages USING hash (hash);
`}

// lockSQL makes the transaction the only one that writes to the archive. It
// takes lockKey.
const lockSQL = `SELECT pg_advisory_xact_lock($1)`

// lockKey is the number of the lock of the archive in a schema; PostgreSQL
// keeps such locks for each database.
func lockKey(schema string) int64 {
	sum := sha256.Sum256([]byte("parley store archive\x00" + schema))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// migrate brings the schema up to the last of the migrations.
func migrate(ctx context.Context, c *connection, schema string, migrations []string) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, lockSQL, lockKey(schema)); err != nil {
		return err
	}
	// Whether it exists is asked first: CREATE SCHEMA IF NOT EXISTS needs the
	// right to create one even where there is one.
	quoted := pgx.Identifier{schema}.Sanitize()
	var exists, filled bool
	if err := tx.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL, to_regclass($2) IS NOT NULL`,
		quoted, quoted+`.state`).Scan(&exists, &filled); err != nil {
		return err
	}
	if !exists {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA `+quoted); err != nil {
			return err
		}
	}
	version := 0
	if filled {
		if err := tx.QueryRow(ctx, `SELECT version FROM state`).Scan(&version); err != nil {
			return err
		}
	}
	if version < 0 || version > len(migrations) {
		return fmt.Errorf("%w: version %d, this program knows %d", store.ErrSchema, version, len(migrations))
	}
	for i, sql := range migrations[version:] {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("bringing the schema to version %d: %w", version+i+1, err)
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO state (version) VALUES ($1) ON CONFLICT (id) DO UPDATE SET version = excluded.version`, len(migrations))
	return errors.Join(err, tx.Commit(ctx))
}
