package sqlite

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// sliceVersion is kept as the user_version of a slice's database.
	sliceVersion = 2
	// maxTopicCache bounds the topic numbers a slice remembers.
	maxTopicCache = 16384
)

// Rows come in the order of their arrival, which costs no more than a table
// without any key. What the index needs to know of them can be told from the
// message, should the process end before they are in a chunk.
const sliceSchema = `
CREATE TABLE topics (
	id            INTEGER PRIMARY KEY,
	pubsub_topic  TEXT NOT NULL,
	content_topic TEXT NOT NULL,
	UNIQUE (content_topic, pubsub_topic)
) STRICT;
CREATE TABLE messages (
	id      INTEGER PRIMARY KEY,
	topic   INTEGER NOT NULL,
	message BLOB NOT NULL
) STRICT;
CREATE TABLE chunks (
	id     INTEGER PRIMARY KEY,
	first  INTEGER NOT NULL,
	last   INTEGER NOT NULL,
	count  INTEGER NOT NULL,
	oldest INTEGER NOT NULL,
	newest INTEGER NOT NULL,
	fences BLOB NOT NULL,
	filter BLOB NOT NULL,
	days   BLOB NOT NULL
) STRICT;
CREATE TABLE blocks (
	id   INTEGER PRIMARY KEY,
	data BLOB NOT NULL
) STRICT;
`

const (
	topicSQL      = `SELECT id FROM topics WHERE content_topic = ?1 AND pubsub_topic = ?2`
	topicNameSQL  = `SELECT pubsub_topic, content_topic FROM topics WHERE id = ?1`
	newestRowsSQL = `SELECT id, topic, message FROM messages WHERE id > ?1 ORDER BY id`
)

// slice is the entries of a span of time, in a database of their own.
type slice struct {
	path  string
	start int64 // the first timestamp; the next slice or the day ends it

	// mu guards what readers see. It is changed after the commit that makes
	// it true; slices of chunks are replaced, never changed.
	mu     sync.RWMutex
	chunks []*chunk // in the order of their rows
	tail   *tail

	// What follows is the writer's.
	lastChunk       int64 // the number given last
	stale           int64 // a chunk that the next one takes in; 0 is none
	payload, newest int64 // the bytes of the messages, and the last timestamp
	topics          map[topic]uint32
	coming          *hashIndex // what one commit adds
	written         uint64     // tells which slice was written to last
}

// load reads what is kept in memory of a slice.
func (s *slice) load(c *conn) error {
	if err := c.migrate(); err != nil {
		return err
	}
	s.topics, s.coming, s.tail = make(map[topic]uint32), newHashIndex(), newTail()
	var err error
	if s.chunks, err = c.chunks(); err != nil {
		return err
	}
	var last int64 // the last row with an index
	for _, ch := range s.chunks {
		last, s.lastChunk = max(last, ch.last), max(s.lastChunk, ch.id)
	}
	st, err := c.prepare(newestRowsSQL)
	if err != nil {
		return err
	}
	if err := st.BindInt64(1, last); err != nil {
		return err
	}
	err = each(st, func() error {
		r := record{id: st.ColumnInt64(0), topic: uint32(st.ColumnInt64(1))}
		name, ok := s.tail.name(r.topic)
		var err error
		if !ok {
			name, err = c.topicName(r.topic)
		}
		if err != nil {
			return err
		}
		raw, m := st.ColumnRawBlob(2), new(wakupb.WakuMessage)
		if err := proto.Unmarshal(raw, m); err != nil {
			return fmt.Errorf("%w: row %d: %w", errCorrupt, r.id, err)
		}
		r.timestamp, r.hash, r.size = m.GetTimestamp(), message.HashOf(name.pubsub, m), uint32(len(raw))
		s.tail.add(r, name)
		return nil
	})
	s.measure()
	return err
}

// measure counts anew what the writer needs to know.
func (s *slice) measure() {
	s.payload, s.newest = 0, 0
	for _, ch := range s.chunks {
		s.newest = max(s.newest, ch.max)
		for _, d := range ch.days {
			s.payload += d.Bytes
		}
	}
	for i := range s.tail.rows {
		s.grow(&s.tail.rows[i])
	}
}

func (s *slice) grow(r *record) {
	s.payload, s.newest = s.payload+int64(r.size), max(s.newest, r.timestamp)
}

// migrate makes the schema.
func (c *conn) migrate() error {
	version, err := c.number(`PRAGMA user_version`)
	if err != nil {
		return err
	}
	switch version {
	case sliceVersion:
		return nil
	case 0:
	default:
		return fmt.Errorf("%w: %s has version %d, this program knows %d", store.ErrSchema, c.of.path, version, sliceVersion)
	}
	return c.within(func() error {
		return c.db.Exec(sliceSchema + fmt.Sprintf(`PRAGMA user_version = %d;`, sliceVersion))
	})
}

// view returns what a reader needs of the index at one moment: the chunks,
// and what look takes from the tail.
func (s *slice) view(look func(*tail)) []*chunk {
	s.mu.RLock()
	defer s.mu.RUnlock()
	look(s.tail)
	return s.chunks
}

// count returns the number of entries and the timestamps of the first and the
// last, which are 0 when there is none.
func (s *slice) count() (n int, first, last int64) {
	chunks := s.view(func(t *tail) {
		if n = len(t.rows); n > 0 {
			first, last = t.rows[t.byKey[0]].timestamp, t.rows[t.byKey[n-1]].timestamp
		}
	})
	for _, ch := range chunks {
		if n == 0 {
			first, last = ch.min, ch.max
		}
		n, first, last = n+ch.byKey.n, min(first, ch.min), max(last, ch.max)
	}
	return n, first, last
}

// bytes is the room on disk.
func (s *slice) bytes() (n int64) {
	for _, suffix := range suffixes {
		if info, err := os.Stat(s.path + suffix); err == nil {
			n += info.Size()
		}
	}
	return n
}

// suffixes are those of the files of a database.
var suffixes = []string{"", "-wal", "-shm"}

// findTopic returns the number of a topic pair, 0 when it has none.
func (c *conn) findTopic(t topic) (id uint32, err error) {
	st, err := c.prepare(topicSQL)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(st.BindText(1, t.content), st.BindText(2, t.pubsub)); err != nil {
		return 0, err
	}
	err = each(st, func() error { id = uint32(st.ColumnInt64(0)); return nil })
	return id, err
}

// topicName returns the topic pair of a number.
func (c *conn) topicName(id uint32) (t topic, err error) {
	st, err := c.prepare(topicNameSQL)
	if err != nil {
		return t, err
	}
	if err := st.BindInt64(1, int64(id)); err != nil {
		return t, err
	}
	err = each(st, func() error {
		t = topic{st.ColumnText(0), st.ColumnText(1)}
		return nil
	})
	if err == nil && t == (topic{}) {
		err = fmt.Errorf("%w: no topic %d", errCorrupt, id)
	}
	return t, err
}
