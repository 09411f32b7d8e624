package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/waku/message"
)

func openTest(t testing.TB, path string) *SQLite {
	t.Helper()
	a, err := OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// entryAt returns an entry of a given payload size.
func entryAt(content string, timestamp int64, seed, size int) Entry {
	payload := bytes.Repeat([]byte{byte(seed)}, max(size, 8))
	copy(payload, fmt.Sprintf("%08d", seed))
	m := messageOf(content, timestamp, payload)
	return NewEntry("/waku/2/rs/16/32", m)
}

// TestQueryPlans: every key statement walks an index in order, within its
// range on both sides, and reads nothing else.
func TestQueryPlans(t *testing.T) {
	t.Parallel()
	a := openTest(t, "")
	if err := a.Insert(context.Background(), entryAt("/a/1/b/proto", 1, 1, 10)); err != nil {
		t.Fatal(err)
	}
	c := <-a.read
	defer func() { a.read <- c }()
	const bounds = "(timestamp,hash)>(?,?) AND (timestamp,hash)<(?,?)"
	for sql, want := range map[string]string{
		rangeSQL:        "SEARCH messages USING PRIMARY KEY (" + bounds + ")",
		rangeBackSQL:    "SEARCH messages USING PRIMARY KEY (" + bounds + ")",
		topicRangeSQL:   "SEARCH messages USING COVERING INDEX messages_by_topic (topic=? AND " + bounds + ")",
		topicRangeBkSQL: "SEARCH messages USING COVERING INDEX messages_by_topic (topic=? AND " + bounds + ")",
		hashSQL:         "SEARCH messages USING COVERING INDEX messages_by_hash (hash=?)",
		topicSQL:        "SEARCH topics USING COVERING INDEX sqlite_autoindex_topics_1 (content_topic=? AND pubsub_topic=?)",
		messageSQL:      "SEARCH m USING PRIMARY KEY (timestamp=? AND hash=?); SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
		pubsubSQL:       "SEARCH m USING INDEX messages_by_hash (hash=? AND timestamp=?); SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
	} {
		st, _, err := c.db.Prepare("EXPLAIN QUERY PLAN " + sql)
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		if err := each(st, func() error { steps = append(steps, st.ColumnText(3)); return nil }); err != nil {
			t.Fatal(err)
		}
		_ = st.Close()
		if got := strings.Join(steps, "; "); got != want {
			t.Errorf("%s\n got %s\nwant %s", sql, got, want)
		}
	}
}

// TestQueryIsBounded counts SQLite's steps: a page out of many entries costs
// no more than one out of few.
func TestQueryIsBounded(t *testing.T) {
	t.Parallel()
	steps := func(n int) (total int) {
		a := openTest(t, "")
		var entries []Entry
		for i := range n {
			entries = append(entries, entryAt(fmt.Sprintf("/a/1/%d/proto", i%5), int64(1000+i), i, 10))
		}
		if err := a.Insert(context.Background(), entries...); err != nil {
			t.Fatal(err)
		}
		for _, forward := range []bool{true, false} {
			q := &Query{Forward: forward, PubsubTopic: "/waku/2/rs/16/32", IncludeData: true,
				ContentTopics: []string{"/a/1/0/proto", "/a/1/1/proto", "/a/1/2/proto"}, TimeStart: 1, TimeEnd: math.MaxInt64}
			if _, err := a.Query(context.Background(), q); err != nil {
				t.Fatal(err)
			}
		}
		c := <-a.read
		defer func() { a.read <- c }()
		for _, st := range c.stmts {
			if st.ReadOnly() {
				total += st.Status(sqlite3.STMTSTATUS_VM_STEP, false)
				if sorts := st.Status(sqlite3.STMTSTATUS_SORT, false); sorts != 0 {
					t.Errorf("%s sorts", st.SQL())
				}
			}
		}
		return total
	}
	few, many := steps(200), steps(4000)
	if many > few+few/4 {
		t.Errorf("%d steps for a page out of 4000 entries, %d out of 200", many, few)
	}
}

// TestReopen: entries outlive the archive, and a database of a later version
// is refused.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	a := openTest(t, path)
	e := entryAt("/a/1/b/proto", 5, 1, 10)
	if err := a.Insert(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = openTest(t, path)
	page, err := a.Query(context.Background(), &Query{Hashes: []message.Hash{e.Hash}, IncludeData: true})
	if err != nil || len(page.Messages) != 1 || !proto.Equal(page.Messages[0].Message, e.Message) {
		t.Fatalf("%v, %v", page, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Exec("PRAGMA user_version = 2"), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSQLite(path); !errors.Is(err, ErrSchema) {
		t.Fatalf("later schema: %v", err)
	}
}

// TestGroupCommit: inserts that wait together share commits.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	a := openTest(t, filepath.Join(t.TempDir(), "store.db"))
	w := <-a.write
	var commits int
	w.db.CommitHook(func() bool { commits++; return true })
	const n = 50
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := a.Insert(context.Background(), entryAt("/a/1/b/proto", int64(i+1), i, 10)); err != nil {
				t.Error(err)
			}
		})
	}
	for len(a.work) < n-1 { // all but the one the writer holds
		runtime.Gosched()
	}
	a.write <- w
	wg.Wait()
	w = <-a.write
	defer func() { a.write <- w }()
	if commits != 1 {
		t.Errorf("%d commits for %d inserts that waited together", commits, n)
	}
}

// TestOpenFails on a path that is no database.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	if _, err := OpenSQLite(t.TempDir()); err == nil {
		t.Fatal("a folder was opened")
	}
}
