package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/proto"
)

// ErrSchema is a database written by a later version of the program.
var ErrSchema = errors.New("store: unknown database schema")

const (
	// schemaVersion is kept as the database's user_version.
	schemaVersion = 1
	// readers is the number of connections that answer queries.
	readers = 3
	// maxGroup bounds the entries that share one commit.
	maxGroup = 2000
	// maxTopicCache bounds the topic ids the writer remembers.
	maxTopicCache = 16384
	busyTimeout   = 10 * time.Second
)

// The table is in the order queries walk it, so that pages are ranges and new
// entries go to its end. Pairs of pubsub and content topic are kept once and
// stand as a number in entries and index. The hash index needs no more than
// the hash: it carries the primary key.
const schema = `
CREATE TABLE topics (
	id            INTEGER PRIMARY KEY,
	pubsub_topic  TEXT NOT NULL,
	content_topic TEXT NOT NULL,
	UNIQUE (content_topic, pubsub_topic)
) STRICT;
CREATE TABLE messages (
	timestamp INTEGER NOT NULL,
	hash      BLOB NOT NULL,
	topic     INTEGER NOT NULL REFERENCES topics (id),
	message   BLOB NOT NULL,
	PRIMARY KEY (timestamp, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_topic ON messages (topic, timestamp, hash);
CREATE INDEX messages_by_hash ON messages (hash);
`

// SQLite is an Archive in one SQLite database: one writer that commits
// concurrent inserts together, and a few readers beside it. A commit outlives
// the process; the newest may be lost when the machine loses power.
type SQLite struct {
	work  chan *insertion
	write chan *conn // the writing connection
	read  chan *conn // idle reading connections
	conns []*conn

	mu      sync.RWMutex // held for reading while an operation is under way
	closed  bool
	stopped chan struct{}
}

var _ Archive = (*SQLite)(nil)

// OpenSQLite opens or creates the archive at path. The path "" or ":memory:"
// is an archive that lives as long as it is open.
func OpenSQLite(path string) (*SQLite, error) {
	s := &SQLite{
		work:    make(chan *insertion, 64),
		write:   make(chan *conn, 1),
		stopped: make(chan struct{}),
	}
	memory := path == "" || path == ":memory:"
	if memory {
		path = ":memory:"
	}
	w, err := s.open(path, 0)
	if err == nil {
		err = w.migrate()
	}
	if err != nil {
		s.closeAll()
		return nil, fmt.Errorf("opening the store archive: %w", err)
	}
	s.write <- w
	if memory {
		s.read = s.write // a database in memory belongs to its connection
	} else {
		s.read = make(chan *conn, readers)
		for range readers {
			r, err := s.open(path, sqlite3.OPEN_READONLY)
			if err != nil {
				s.closeAll()
				return nil, fmt.Errorf("opening the store archive: %w", err)
			}
			s.read <- r
		}
	}
	go s.writeLoop()
	return s, nil
}

func (s *SQLite) open(path string, flags sqlite3.OpenFlag) (*conn, error) {
	if flags == 0 {
		flags = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE
	}
	db, err := sqlite3.OpenFlags(path, flags)
	if err != nil {
		return nil, err
	}
	c := &conn{db: db, stmts: make(map[string]*sqlite3.Stmt)}
	s.conns = append(s.conns, c)
	if err := db.BusyTimeout(busyTimeout); err != nil {
		return nil, err
	}
	if flags&sqlite3.OPEN_READONLY != 0 {
		return c, nil
	}
	return c, db.Exec(`PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;`)
}

// closeAll closes every connection.
func (s *SQLite) closeAll() error {
	var errs []error
	for _, c := range s.conns {
		for _, st := range c.stmts {
			errs = append(errs, st.Close())
		}
		errs = append(errs, c.db.Close())
	}
	return errors.Join(errs...)
}

// Close implements Archive.
func (s *SQLite) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	close(s.work)
	<-s.stopped
	return s.closeAll()
}

// insertion is one call of Insert on its way to the writer.
type insertion struct {
	rows []row
	done chan error
}

// row is an entry in the form it is stored.
type row struct {
	key
	topic   topic
	message []byte
}

// topic is a pair of topics as in the table.
type topic struct{ pubsub, content string }

// Insert implements Archive.
func (s *SQLite) Insert(ctx context.Context, entries ...Entry) error {
	now := time.Now()
	in := &insertion{rows: make([]row, 0, len(entries)), done: make(chan error, 1)}
	for i := range entries {
		e := &entries[i]
		if err := e.Check(now); err != nil {
			return err
		}
		raw, err := proto.Marshal(e.Message)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		in.rows = append(in.rows, row{
			key:     key{e.Message.GetTimestamp(), e.Hash[:]},
			topic:   topic{e.PubsubTopic, e.Message.GetContentTopic()},
			message: raw,
		})
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	if len(in.rows) == 0 {
		return nil
	}
	select {
	case s.work <- in:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-in.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeLoop commits insertions, those that wait together at once, until work
// is closed and drained.
func (s *SQLite) writeLoop() {
	defer close(s.stopped)
	topics := make(map[topic]int64)
	for in := range s.work {
		c := <-s.write
		group, size := []*insertion{in}, len(in.rows)
	gather:
		for size < maxGroup {
			select {
			case next, ok := <-s.work:
				if !ok {
					break gather
				}
				group, size = append(group, next), size+len(next.rows)
			default:
				break gather
			}
		}
		err := c.insert(group, topics)
		s.write <- c
		if err != nil {
			// Ids given in the rolled back transaction do not exist.
			clear(topics)
			err = fmt.Errorf("inserting into the store archive: %w", err)
		}
		for _, g := range group {
			g.done <- err
		}
	}
}

// conn is a connection with its prepared statements.
type conn struct {
	db    *sqlite3.Conn
	stmts map[string]*sqlite3.Stmt
}

// prepare returns the statement of a text, reset and ready to be bound.
func (c *conn) prepare(sql string) (*sqlite3.Stmt, error) {
	if st, ok := c.stmts[sql]; ok {
		return st, nil
	}
	st, _, err := c.db.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, err
	}
	c.stmts[sql] = st
	return st, nil
}

// migrate brings the schema up to schemaVersion.
func (c *conn) migrate() (err error) {
	st, _, err := c.db.Prepare(`PRAGMA user_version`)
	if err != nil {
		return err
	}
	st.Step()
	version := st.ColumnInt(0)
	if err := errors.Join(st.Err(), st.Close()); err != nil {
		return err
	}
	switch version {
	case schemaVersion:
		return nil
	case 0:
	default:
		return fmt.Errorf("%w: version %d, this program knows %d", ErrSchema, version, schemaVersion)
	}
	tx, err := c.db.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	return c.db.Exec(schema + fmt.Sprintf(`PRAGMA user_version = %d;`, schemaVersion))
}

const (
	insertSQL      = `INSERT INTO messages (timestamp, hash, topic, message) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING`
	insertTopicSQL = `INSERT INTO topics (pubsub_topic, content_topic) VALUES (?1, ?2)`
)

// insert writes the rows of a group in one transaction.
func (c *conn) insert(group []*insertion, topics map[topic]int64) (err error) {
	tx, err := c.db.BeginImmediate()
	if err != nil {
		return err
	}
	defer tx.End(&err)
	st, err := c.prepare(insertSQL)
	if err != nil {
		return err
	}
	for _, in := range group {
		for i := range in.rows {
			r := &in.rows[i]
			id, err := c.topicID(r.topic, topics)
			if err != nil {
				return err
			}
			if err := errors.Join(st.BindInt64(1, r.timestamp), st.BindBlob(2, r.hash),
				st.BindInt64(3, id), st.BindBlob(4, r.message)); err != nil {
				return err
			}
			if err := st.Exec(); err != nil {
				return err
			}
		}
	}
	return nil
}

// topicID returns the number of a topic pair, giving it one if need be.
func (c *conn) topicID(t topic, known map[topic]int64) (int64, error) {
	if id, ok := known[t]; ok {
		return id, nil
	}
	id, err := c.findTopic(t)
	if err == nil && id == 0 {
		var st *sqlite3.Stmt
		if st, err = c.prepare(insertTopicSQL); err != nil {
			return 0, err
		}
		err = errors.Join(st.BindText(1, t.pubsub), st.BindText(2, t.content))
		if err == nil {
			err = st.Exec()
		}
		id = c.db.LastInsertRowID()
	}
	if err != nil {
		return 0, err
	}
	if len(known) >= maxTopicCache {
		clear(known)
	}
	known[t] = id
	return id, nil
}
