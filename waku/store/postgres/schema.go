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
//   - messages has no unique key, and one index: each costs the server as much
//     again for every message. That a message is there once is up to the
//     writers, who take turns (lockSQL): each looks up what is not after newest
//     before it adds it.
//   - chunks is the index by time and by topic: a row has about a hundred
//     entries, one after the other, of one topic, or of all for topic 0. What
//     first and last have is key, and entries is what decodeEntries reads.
//     None of it may be compressed or moved elsewhere.
//   - recent has the entries that are in no chunk yet, a row for each commit.
//     state counts them (pending); flushed is the last row that was removed.
//   - Topics have no foreign keys on them: checking those would cost a search
//     for each message.
var migrations = []string{`
CREATE TABLE state (
	id      boolean PRIMARY KEY DEFAULT true CHECK (id),
	version integer NOT NULL,
	epoch   bigint NOT NULL DEFAULT 1,
	newest  bigint NOT NULL DEFAULT 0,
	pending bigint NOT NULL DEFAULT 0,
	flushed bigint NOT NULL DEFAULT 0
);
CREATE TABLE recent (
	id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	entries bytea NOT NULL
);
ALTER TABLE recent ALTER entries SET STORAGE EXTERNAL;
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
CREATE INDEX messages_by_hash ON messages USING hash (hash);
CREATE TABLE chunks (
	topic   integer NOT NULL,
	first   bytea NOT NULL,
	last    bytea NOT NULL,
	entries bytea NOT NULL,
	PRIMARY KEY (topic, first)
) PARTITION BY RANGE (first);
ALTER TABLE chunks ALTER first SET STORAGE PLAIN, ALTER last SET STORAGE PLAIN, ALTER entries SET STORAGE PLAIN;
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
