package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/service"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/sqlite"
)

// TestStoreQuery: over any number of pages, both ways, of an archive and of a
// node, exactly what was asked for comes in order.
func TestStoreQuery(t *testing.T) {
	t.Parallel()
	entries := stored(0, 250)
	wanted := func(choose func(i int) bool) (all []message.Hash) {
		for i, e := range entries {
			if choose(i) {
				all = append(all, e.Hash)
			}
		}
		return all
	}
	reversed := func(all []message.Hash) []message.Hash { slices.Reverse(all); return all }
	at := func(i int) string {
		return storedSince.Add(time.Duration(i) * time.Second).UTC().Format(time.RFC3339Nano)
	}
	var lookup []string
	for _, e := range entries[20:180] {
		lookup = append(lookup, "--hash", e.Hash.String())
	}
	all := func(int) bool { return true }
	odd := func(i int) bool { return i%2 == 1 }
	remote := serveStore(t, archiveURL(t, entries...), nil)
	local := archiveURL(t, entries...)
	for name, c := range map[string]struct {
		args []string
		want []message.Hash
	}{
		"all":           {nil, wanted(all)},
		"backward":      {[]string{"--backward"}, reversed(wanted(all))},
		"no data":       {[]string{"--no-data"}, wanted(all)},
		"limit":         {[]string{"--limit", "130"}, wanted(func(i int) bool { return i < 130 })},
		"newest":        {[]string{"--limit", "120", "--backward"}, reversed(wanted(func(i int) bool { return i >= 130 }))},
		"span":          {[]string{"--since", at(30), "--until", at(200)}, wanted(func(i int) bool { return i >= 30 && i < 200 })},
		"topics":        {[]string{"--pubsub-topic", "/waku/2/rs/16/32", "--content-topic", "/test/1/1/proto"}, wanted(odd)},
		"both topics":   {[]string{"--pubsub-topic", "/waku/2/rs/16/32", "--content-topic", "/test/1/1/proto", "--content-topic", "/test/1/0/proto"}, wanted(all)},
		"other topic":   {[]string{"--pubsub-topic", "/waku/2/rs/16/64", "--content-topic", "/test/1/1/proto"}, nil},
		"chosen here":   {[]string{"--content-topic", "/test/1/1/proto", "--no-data", "--limit", "90"}, wanted(odd)[:90]},
		"pubsub alone":  {[]string{"--pubsub-topic", "/waku/2/rs/16/32", "--backward"}, reversed(wanted(all))},
		"pubsub other":  {[]string{"--pubsub-topic", "/waku/2/rs/16/64"}, nil},
		"lookup":        {slices.Concat(lookup, []string{"--hash", entries[25].Hash.String()}), wanted(func(i int) bool { return i >= 20 && i < 180 })},
		"lookup, some":  {slices.Concat(lookup, []string{"--limit", "105"}), wanted(func(i int) bool { return i >= 20 && i < 125 })},
		"long ago":      {[]string{"--until", "2d"}, nil},
		"all, by times": {[]string{"--since", "3h", "--until", "1m"}, wanted(all)},
	} {
		for where, text := range map[string]string{"archive": local, "node": remote} {
			out, words, code := runStore(t, append([]string{"query", text, "--json"}, c.args...)...)
			if got := hashesOf(t, out); code != 0 || words != "" || !slices.Equal(got, c.want) {
				t.Errorf("%s of the %s: exit code %d, %d messages, want %d: %s", name, where, code, len(got), len(c.want), words)
			}
		}
	}
	absent := stored(1000, 1)[0].Hash.String()
	out, words, code := runStore(t, append([]string{"query", remote, "--json", "--hash", absent}, lookup...)...)
	if got := hashesOf(t, out); code != 5 || len(got) != 160 || !strings.Contains(words, "1 of 161 messages are not there") {
		t.Errorf("a hash that is not there: exit code %d, %d messages: %s", code, len(got), words)
	}
	out, _, _ = runStore(t, "query", local, "--json", "--limit", "1")
	var first map[string]any
	if err := json.Unmarshal([]byte(out), &first); err != nil || first["payload"] != "bWVzc2FnZSAw" || first["meta"] != "Bw==" ||
		first["timestamp"] != float64(storedSince.UnixNano()) || first["version"] != 1.0 || first["ephemeral"] != false || len(first) != 8 {
		t.Errorf("%v, %v", first, err)
	}
	if out, _, _ = runStore(t, "query", local, "--json", "--limit", "1", "--no-data"); out != `{"hash":"`+entries[0].Hash.String()+"\"}\n" {
		t.Errorf("no data: %s", out)
	}
}

// TestStoreQueryPages: a store whose answers are too large is asked for
// smaller pages, and one whose pages go round is left.
func TestStoreQueryPages(t *testing.T) {
	t.Parallel()
	entries := stored(0, 40)
	archive, err := sqlite.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	if err := archive.Insert(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
	var asked []uint64
	small := func(ctx context.Context, q *store.Query) (*store.Page, error) {
		if asked = append(asked, q.Limit); q.Limit > 10 {
			return nil, store.ErrAnswerSize
		}
		return archive.Query(ctx, q)
	}
	round := func(ctx context.Context, q *store.Query) (*store.Page, error) {
		again := *q
		again.Cursor = nil
		return archive.Query(ctx, &again)
	}
	s, err := storeQueryFlags{}.selection(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var out, words bytes.Buffer
	a := &app{out: &out, err: &words}
	if err := a.storeQuery(t.Context(), openStore{name: "s", ask: small}, s); err != nil || strings.Count(out.String(), "\n") != 40 || asked[0] != 100 {
		t.Errorf("%v, asked for %v, got %s", err, asked, &out)
	}
	s.queries[0].Limit = 10
	if err := a.storeQuery(t.Context(), openStore{name: "s", ask: round}, s); !errors.Is(err, store.ErrEndless) || fault.KindOf(err) != fault.Invalid {
		t.Errorf("pages that go round: %v", err)
	}
	tiny := func(context.Context, *store.Query) (*store.Page, error) { return nil, store.ErrAnswerSize }
	if err := a.storeQuery(t.Context(), openStore{name: "s", ask: tiny}, s); !errors.Is(err, store.ErrAnswerSize) {
		t.Errorf("an answer that is never small enough: %v", err)
	}
	lie := func(context.Context, *store.Query) (*store.Page, error) {
		return &store.Page{Messages: slices.Clone(entries[:1]), Faults: []store.Fault{{Hash: entries[1].Hash, Err: store.ErrUnasked}}}, nil
	}
	if err := a.storeQuery(t.Context(), openStore{name: "s", ask: lie}, s); err != nil || !strings.Contains(words.String(), "1 item of the answers") {
		t.Errorf("%v: %s", err, &words)
	}
}

// TestStoreSync: each way and both, with archives and nodes, until the stores
// agree; who takes nothing is told of, and the other way is done nevertheless.
func TestStoreSync(t *testing.T) {
	t.Parallel()
	counts := func(args ...string) (s storeSynced, words string, code int) {
		out, words, code := runStore(t, append([]string{"sync", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s%s", err, out, words)
		}
		return s, words, code
	}
	a, b := archiveURL(t, stored(0, 30)...), archiveURL(t, stored(10, 40)...)
	closed := serveStore(t, b, func(c *service.Config) { c.NoSync = true })
	if s, words, code := counts(a, closed); code != 1 || s != (storeSynced{20, 0, 20, 10, 20}) || !strings.Contains(words, "b: giving") || !strings.Contains(words, "hint: a node with store synchronization") {
		t.Errorf("a node that takes nothing: %d, %+v: %s", code, s, words)
	}
	if s, words, code := counts(a, closed, "--into", "a"); code != 0 || s != (storeSynced{0, 0, 40, 10, 0}) {
		t.Errorf("the way that is open: %d, %+v: %s", code, s, words)
	}
	open := serveStore(t, archiveURL(t, stored(45, 15)...), nil)
	if s, words, code := counts(closed, open, "--into", "b", "--since", "all"); code != 0 || s != (storeSynced{0, 35, 5, 35, 10}) {
		t.Errorf("from node to node: %d, %+v: %s", code, s, words)
	}
	other := serveStore(t, archiveURL(t), func(c *service.Config) { c.Shards = []uint16{64} })
	if s, words, code := counts(a, other); code != 1 || s.CopiedToB != 0 || !strings.Contains(words, "does not keep these shards") {
		t.Errorf("a node of another shard: %d, %+v: %s", code, s, words)
	}
	for name, args := range map[string][]string{
		"another topic": {a, open, "--pubsub-topic", "/waku/2/rs/16/64"},
		"earlier":       {a, open, "--until", "1d", "--since", "7d"},
	} {
		if _, words, code := runStore(t, append([]string{"compare"}, args...)...); code != 0 || !strings.Contains(words, "agree") {
			t.Errorf("%s: %d: %s", name, code, words)
		}
	}
	fresh := "sqlite:" + filepath.Join(t.TempDir(), "fresh")
	if _, words, code := runStore(t, "compare", fresh, a); code != 5 {
		t.Errorf("an archive that is not there: %d: %s", code, words)
	}
	if s, words, code := counts(fresh, a); code != 0 || s.CopiedToA != 50 {
		t.Errorf("an archive that is not there yet: %d, %+v: %s", code, s, words)
	}
}

// TestStoreSyncMany: a node limits how often it is given messages; with
// patience it takes them all.
func TestStoreSyncMany(t *testing.T) {
	t.Parallel()
	a, b := archiveURL(t, stored(0, 5700)...), serveStore(t, archiveURL(t), nil)
	if out, words, code := runStore(t, "sync", a, b, "--into", "b"); code != 0 || !strings.HasPrefix(out, "copied 0 messages to a, 5700 to b") {
		t.Errorf("%d: %s%s", code, out, words)
	}
}

// TestStoreNetwork: who is of another network, has no store or does not answer
// is told so.
func TestStoreNetwork(t *testing.T) {
	t.Parallel()
	other := serveStore(t, archiveURL(t), func(c *service.Config) { c.Cluster = 7 })
	if _, words, code := runStore(t, "query", other); code != 3 || !strings.Contains(words, "hint: give the network of the node with --cluster") {
		t.Errorf("another network: %d: %s", code, words)
	}
	if _, words, code := runStore(t, "query", other, "--cluster", "7"); code != 0 || words != "" {
		t.Errorf("the right network: %d: %s", code, words)
	}
	none := serveStore(t, "", func(c *service.Config) { c.Without = node.Without{Store: true} })
	if _, words, code := runStore(t, "query", none); code != 3 || !strings.Contains(words, "no store") {
		t.Errorf("no store: %d: %s", code, words)
	}
	someone := none[strings.LastIndex(none, "/"):]
	if _, words, code := runStore(t, "query", other[:strings.LastIndex(other, "/")]+someone, "--cluster", "7"); code != 3 {
		t.Errorf("somebody else: %d: %s", code, words)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, args := range [][]string{{"query", other}, {"query", archiveURL(t, stored(0, 3)...)}, {"compare", other, none}, {"stats", archiveURL(t, stored(0, 3)...)}} {
		if _, words, code := runStoreUntil(t, ended, args...); code != 1 || !strings.Contains(words, "stopped before the end") {
			t.Errorf("%s, stopped: %d: %s", args[0], code, words)
		}
	}
}

// TestStorePostgres: the same with an archive in PostgreSQL, whose password is
// in the environment and in no word.
func TestStorePostgres(t *testing.T) {
	server, err := postgrestest.Start()
	postgrestest.Check(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	u, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User("postgres")
	t.Setenv("PGPASSWORD", server.Password())
	local := archiveURL(t, stored(0, 60)...)
	var said strings.Builder
	run := func(wantCode int, wantOut string, args ...string) {
		t.Helper()
		out, words, code := runStore(t, args...)
		said.WriteString(out + words)
		if code != wantCode || !strings.Contains(out, wantOut) {
			t.Errorf("%v: %d: %s%s", args, code, out, words)
		}
	}
	run(0, `"copied_to_b":60`, "sync", local, u.String(), "--json")
	run(0, "", "compare", local, u.String())
	run(0, `{"messages":60,`, "stats", u.String(), "--json")
	run(0, `"content_topic":"/test/1/1/proto"`, "query", u.String(), "--json", "--content-topic", "/test/1/1/proto")
	run(0, "removed 40 messages", "prune", u.String(), "--retention", "20")
	run(1, "only in a", "compare", local, u.String())
	u.User = url.UserPassword("postgres", "the-wrong-one")
	run(4, "", "stats", u.String())
	run(4, "", "compare", local, u.String())
	run(2, "", "compare", u.String(), u.String())
	run(5, "", "stats", strings.Replace(u.String(), "the-wrong-one", server.Password(), 1)+"&database=absent")
	run(2, "", "stats", strings.TrimPrefix(u.String(), "postgres:"))
	run(2, "", "stats", strings.Replace(u.String(), "postgres:", "mysql:", 1))
	for _, secret := range []string{server.Password(), "the-wrong-one"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("a password is shown: …%.300s", said.String()[strings.Index(said.String(), secret)-200:])
		}
	}
}

func TestParseMoment(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"0s": now, "90m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7), "2w": now.AddDate(0, 0, -14), "0d": now,
		"2026-03-01":                     time.Date(2026, 3, 1, 0, 0, 0, 0, time.Local),
		"2026-03-01T12:00:00Z":           time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		"2026-03-01T12:00:00.5+02:00":    time.Date(2026, 3, 1, 10, 0, 0, 5e8, time.UTC),
		"2261-06-01T12:00:00.000000001Z": time.Date(2261, 6, 1, 12, 0, 0, 1, time.UTC),
	} {
		if got, err := parseMoment("--since", text, now); err != nil || got != want.UnixNano() {
			t.Errorf("%s: %d, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "-1d", "1.5d", "d", "99999999999d", "200000d", "2262-01-01", "1969-01-01", "2026-03-01 12:00", "1772636400", "all"} {
		if got, err := parseMoment("--until", text, now); fault.ExitCode(err) != 2 {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	if s, err := (spanFlags{since: "all"}).span(now); err != nil || s.Start != 0 || s.End != 0 {
		t.Errorf("all: %+v, %v", s, err)
	}
}

func TestDiskSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_250_000_000: "1.2 GB", 1<<63 - 1: "9.2 EB"} {
		if got := diskSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestStoreProgress: a person hears of long work, and not all the time.
func TestStoreProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var words bytes.Buffer
		p := &storeProgress{app: &app{err: &words}, told: time.Now()}
		for range 100 {
			<-time.After(storeTell / 10)
			p.tell()
		}
		if n := strings.Count(words.String(), "\n"); n != 10 {
			t.Errorf("%d times: %s", n, &words)
		}
	})
}
