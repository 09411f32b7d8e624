package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/storetest"
)

func openTest(t testing.TB, path string) *Archive {
	t.Helper()
	return openLimited(t, path, usualLimits)
}

func openLimited(t testing.TB, path string, l limits) *Archive {
	t.Helper()
	a, err := open(path, l)
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

func messageOf(content string, timestamp int64, payload []byte) *wakupb.WakuMessage {
	return &wakupb.WakuMessage{
		Payload: payload, ContentTopic: content, Version: proto.Uint32(1),
		Timestamp: &timestamp, Ephemeral: proto.Bool(false),
	}
}

// entryAt returns an entry of a given payload size.
func entryAt(content string, timestamp int64, seed, size int) store.Entry {
	payload := bytes.Repeat([]byte{byte(seed)}, max(size, 8))
	copy(payload, fmt.Sprintf("%08d", seed))
	m := messageOf(content, timestamp, payload)
	return store.NewEntry(storetest.Pubsub, m)
}

func keep(t testing.TB, a store.Archive, entries ...store.Entry) {
	t.Helper()
	if err := a.Insert(context.Background(), entries...); err != nil {
		t.Fatal(err)
	}
}

// holdsAll fails the test unless every entry is there with its data.
func holdsAll(t testing.TB, a store.Archive, entries []store.Entry) {
	t.Helper()
	for part := range slices.Chunk(entries, store.MaxHashes) {
		q := &store.Query{IncludeData: true}
		for _, e := range part {
			q.Hashes = append(q.Hashes, e.Hash)
		}
		page, err := a.Query(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Messages {
			if message.HashOf(e.PubsubTopic, e.Message) != e.Hash {
				t.Fatalf("%s has another content", e.Hash)
			}
		}
		if len(page.Messages) != len(part) {
			t.Fatalf("%d of %d entries are there", len(page.Messages), len(part))
		}
	}
}

// dayEntries returns n entries a day on some days, in order.
func dayEntries(days, n int) (out []store.Entry) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range days * n {
		at := start.Add(time.Duration(i) * 24 * time.Hour / time.Duration(n))
		out = append(out, entryAt(fmt.Sprintf("/a/1/%d/proto", i%7), at.UnixNano(), i, 30))
	}
	return out
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"+sliceSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i] = strings.TrimSuffix(filepath.Base(all[i]), sliceSuffix)
	}
	return all
}

// TestSlices: a day has a file, a busy one several, pruning removes them, and
// what cannot be of any network has one in common.
func TestSlices(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	a := openTest(t, dir)
	entries := dayEntries(4, 48)
	keep(t, a, entries[96:]...)
	keep(t, a, entries[:96]...)
	keep(t, a, entryAt("/a/1/b/proto", 1, 1, 10), entryAt("/a/1/b/proto", firstDay-1, 1, 10))
	if got, want := files(t, dir), []string{"1970-01-01T00", "2026-03-01T00", "2026-03-02T00", "2026-03-03T00", "2026-03-04T00"}; !slices.Equal(got, want) {
		t.Fatalf("files %v, want %v", got, want)
	}
	now := time.Date(2026, 3, 4, 6, 0, 0, 0, time.UTC)
	got, err := a.Prune(context.Background(), store.Retention{Age: 36 * time.Hour}, now)
	if err != nil || got.Messages != 2+48+36 || got.Bytes <= 0 {
		t.Errorf("pruned %+v, %v", got, err)
	}
	if got, want := files(t, dir), []string{"2026-03-02T00", "2026-03-03T00", "2026-03-04T00"}; !slices.Equal(got, want) {
		t.Fatalf("files %v, want %v", got, want)
	}

	dir = filepath.Join(t.TempDir(), "busy")
	a = openLimited(t, dir, limits{chunk: 50, slice: 1000})
	for part := range slices.Chunk(entries[:96], 5) {
		keep(t, a, part...)
	}
	if n := len(files(t, dir)); n < 6 || n > 48 {
		t.Errorf("%d files for two busy days", n)
	}
	late := entryAt("/a/1/late/proto", entries[3].Message.GetTimestamp()+1, 1, 10)
	keep(t, a, late)
	keep(t, a, entries...) // again
	if st, err := a.Stats(context.Background()); err != nil || st.Messages != int64(len(entries))+1 {
		t.Errorf("%d messages, %v", st.Messages, err)
	}
	holdsAll(t, a, append(entries, late))
}

// TestOpenFilesAreBounded whatever the number of slices.
func TestOpenFilesAreBounded(t *testing.T) {
	t.Parallel()
	a := openTest(t, filepath.Join(t.TempDir(), "store"))
	entries := dayEntries(maxIdle+10, 1)
	keep(t, a, entries...)
	holdsAll(t, a, entries)
	if n := len(a.pool.idle); n > maxIdle {
		t.Errorf("%d connections are open", n)
	}
	with := 0
	for _, s := range *a.slices.Load() {
		if len(s.tail.rows) > 0 {
			with++
		}
	}
	if with > maxTails {
		t.Errorf("%d slices have an index in memory", with)
	}
}

// TestChunks: the number of chunks of a slice depends on its rows, not on how
// often the archive was opened.
func TestChunks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	entries := dayEntries(1, 300)
	for part := range slices.Chunk(entries, 11) {
		a := openLimited(t, dir, limits{chunk: 40, slice: 1 << 30})
		keep(t, a, part...)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	a := openLimited(t, dir, limits{chunk: 40, slice: 1 << 30})
	holdsAll(t, a, entries)
	if n := len((*a.slices.Load())[0].chunks); n > 300/20+1 {
		t.Errorf("%d chunks", n)
	}
}

// TestLocked: an archive has one owner.
func TestLocked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	a := openTest(t, path)
	if _, err := Open(path + "/"); !errors.Is(err, ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, path)
}

// TestOpenFails on what is no archive, is of a later version, or damaged.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := Open(text); err == nil {
		_ = a.Close()
		t.Error("a text was opened")
	}
	if a, err := Open(filepath.Join(text, "store")); err == nil {
		_ = a.Close()
		t.Error("a path below a file was opened")
	}
	path := filepath.Join(dir, "store")
	a := openTest(t, path)
	keep(t, a, dayEntries(1, 3)...)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	execFile(t, filepath.Join(path, "2026-03-01T00.db"), `PRAGMA user_version = 3`)
	if _, err := Open(path); !errors.Is(err, store.ErrSchema) {
		t.Errorf("later schema: %v", err)
	}
	execFile(t, filepath.Join(path, "2026-03-01T00.db"), `PRAGMA user_version = 2; UPDATE chunks SET fences = x'00'`)
	if _, err := Open(path); !errors.Is(err, errCorrupt) {
		t.Errorf("damaged: %v", err)
	}
}

func execFile(t *testing.T, path, sql string) {
	t.Helper()
	db, err := sqlite3.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Exec(sql), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: an index that does not fit its rows is an error, never a panic,
// and other slices answer.
func TestDamage(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`DELETE FROM blocks`,
		`UPDATE blocks SET data = zeroblob(10)`,
		`UPDATE blocks SET data = CAST(replace(hex(zeroblob(length(data))), '00', char(255)) AS BLOB)`,
		`DELETE FROM messages`,
		`DELETE FROM topics`,
		`UPDATE messages SET message = x'ffff'`,
	} {
		dir := filepath.Join(t.TempDir(), "store")
		a := openTest(t, dir)
		entries := dayEntries(2, 200)
		keep(t, a, entries...)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		execFile(t, filepath.Join(dir, "2026-03-01T00.db"), sql)
		a = openTest(t, dir)
		for _, q := range []*store.Query{
			{Forward: true, IncludeData: true},
			{Hashes: []message.Hash{entries[5].Hash}, IncludeData: true, PubsubTopic: storetest.Pubsub},
			{Forward: true, IncludeData: true, PubsubTopic: storetest.Pubsub, ContentTopics: []string{"/a/1/3/proto"}},
		} {
			if page, err := a.Query(context.Background(), q); err == nil {
				for _, e := range page.Messages {
					if message.HashOf(e.PubsubTopic, e.Message) != e.Hash {
						t.Errorf("%s: %s has another content", sql, e.Hash)
					}
				}
			}
		}
		holdsAll(t, a, entries[200:])
	}
}

// TestSweep: what a removal cut short has left is removed.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"2026-03-01T00.db-wal", "2026-03-01T00.db-shm", "notes-wal"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openTest(t, dir)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "notes-wal" {
		t.Errorf("%v, %v", left, err)
	}
}

// TestPruneTopics: topics go with their last entry.
func TestPruneTopics(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", filepath.Join(t.TempDir(), "store")} {
		a := openLimited(t, path, limits{chunk: 20, slice: 1 << 30})
		entries := dayEntries(1, 100)
		for i := range entries { // one topic each, and one of all
			if i%2 == 0 {
				m := entries[i].Message
				m.ContentTopic = fmt.Sprintf("/own/1/%d/proto", i)
				entries[i] = store.NewEntry(storetest.Pubsub, m)
			}
		}
		for part := range slices.Chunk(entries, 7) {
			keep(t, a, part...)
		}
		for _, left := range []int64{100, 61, 60, 8, 1} {
			if _, err := a.Prune(context.Background(), store.Retention{Messages: left}, time.Now()); err != nil {
				t.Fatal(err)
			}
			want := make(map[string]bool)
			for _, e := range entries[100-left:] {
				want[e.Message.ContentTopic] = true
			}
			s := (*a.slices.Load())[0]
			c, err := a.pool.get(context.Background(), s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.number(`SELECT count(*) FROM topics`)
			a.pool.put(c)
			if err != nil || got != int64(len(want)) {
				t.Errorf("%q: %d topics for %d entries, want %d, %v", path, got, left, len(want), err)
			}
		}
	}
}

// TestQueryIsBounded counts SQLite's steps: a page out of many entries costs
// hardly more than one out of few.
func TestQueryIsBounded(t *testing.T) {
	t.Parallel()
	steps := func(n int) (total int) {
		a := openLimited(t, filepath.Join(t.TempDir(), "store"), limits{chunk: 100, slice: 1 << 30})
		var entries []store.Entry
		for i := range n {
			entries = append(entries, entryAt(fmt.Sprintf("/a/1/%d/proto", i%5), int64(1000+i), i, 10))
		}
		keep(t, a, entries...)
		for _, forward := range []bool{true, false} {
			q := &store.Query{Forward: forward, PubsubTopic: "/waku/2/rs/16/32", IncludeData: true,
				ContentTopics: []string{"/a/1/0/proto", "/a/1/1/proto", "/a/1/2/proto"}, TimeStart: 1, TimeEnd: math.MaxInt64,
				Cursor: &entries[n/2].Hash}
			if page, err := a.Query(context.Background(), q); err != nil || len(page.Messages) != store.DefaultPage {
				t.Fatal(err)
			}
		}
		for _, c := range a.pool.idle {
			for _, st := range c.stmts {
				if st.ReadOnly() {
					total += st.Status(sqlite3.STMTSTATUS_VM_STEP, false)
				}
				if scans := st.Status(sqlite3.STMTSTATUS_FULLSCAN_STEP, false); scans > 100 {
					t.Errorf("%s reads a whole table: %d steps", st.SQL(), scans)
				}
			}
		}
		return total
	}
	few, many := steps(400), steps(8000)
	if many > 2*few {
		t.Errorf("%d steps for a page out of 8000 entries, %d out of 400", many, few)
	}
}

// TestGroupCommit: inserts that wait together share a commit, up to a bound.
func TestGroupCommit(t *testing.T) {
	t.Parallel()
	a := &Archive{work: make(chan *insertion, 64)}
	first := &insertion{rows: make([]row, 1)}
	for range 50 {
		a.work <- &insertion{rows: make([]row, 2)}
	}
	if group, rows := a.gather(first); len(group) != 51 || len(rows) != 101 {
		t.Errorf("%d inserts with %d rows together", len(group), len(rows))
	}
	for range 50 {
		a.work <- &insertion{rows: make([]row, maxGroup/4)}
	}
	if group, rows := a.gather(first); len(group) != 5 || len(rows) != maxGroup+1 || len(a.work) != 46 {
		t.Errorf("%d inserts with %d rows together, %d wait", len(group), len(rows), len(a.work))
	}
	close(a.work)
	for range 45 {
		<-a.work
	}
	if group, _ := a.gather(<-a.work); len(group) != 1 {
		t.Errorf("%d inserts at the end", len(group))
	}
}

// TestFilter has no false negatives and few false positives.
func TestFilter(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 100, 18_000} {
		f := newFilter(n)
		key := func(i int) uint64 { h := message.HashOf(fmt.Sprint(i), nil); return prefix(&h) }
		for i := range n {
			f.add(key(i))
		}
		f, ok := filterOf(f.bytes())
		if !ok {
			t.Fatal("not read back")
		}
		wrong := 0
		for i := range n {
			if !f.has(key(i)) {
				t.Fatalf("%d of %d is missing", i, n)
			}
			if f.has(key(-1 - i)) {
				wrong++
			}
		}
		if wrong > 1+n/100 {
			t.Errorf("%d of %d absent keys seem to be there", wrong, n)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, ok := filterOf(make([]byte, n)); ok {
			t.Errorf("%d bytes are a filter", n)
		}
	}
}

// TestHashIndex behaves as a map does.
func TestHashIndex(t *testing.T) {
	t.Parallel()
	x := newHashIndex()
	for range 2 {
		for i := range 5000 {
			h := message.HashOf(fmt.Sprint(i), nil)
			if at, ok := x.find(&h); ok {
				t.Fatalf("%d is there at %d", i, at)
			}
			x.add(&h)
			for _, j := range []int{0, i / 2, i} {
				h := message.HashOf(fmt.Sprint(j), nil)
				if at, ok := x.find(&h); !ok || at != j {
					t.Fatalf("%d is at %d, %v", j, at, ok)
				}
			}
		}
		x.reset()
	}
	// Hashes that begin alike are told apart.
	a, b := message.Hash{1, 2, 3}, message.Hash{1, 2, 3}
	b[31] = 1
	x.add(&a)
	if _, ok := x.find(&b); ok {
		t.Error("another hash is found")
	}
}
