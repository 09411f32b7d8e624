package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/server/ops"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/sqlite"
	"github.com/parley-im/parley/waku/store/storetest"
)

// storeHealth is what /readyz says of the store.
func storeHealth(t *testing.T, s *Service) ops.ProtocolHealth {
	t.Helper()
	resp, err := http.Get(s.Metrics() + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var h ops.Health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		t.Fatal(err)
	}
	for _, p := range h.Protocols {
		if p.Protocol == "store" {
			if !p.Ready && resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("not ready, and %s", resp.Status)
			}
			return p
		}
	}
	t.Fatal("no store")
	return ops.ProtocolHealth{}
}

// crossing is a way to a database that can be blocked: then who is at its end
// takes what comes, and answers nothing.
type crossing struct {
	blocked atomic.Bool
	open    chan struct{}
	mu      sync.Mutex
	conns   []net.Conn
}

// newCrossing makes a way from one socket to another.
func newCrossing(t *testing.T, from, to string) *crossing {
	t.Helper()
	l, err := net.Listen("unix", from)
	if err != nil {
		t.Fatal(err)
	}
	c := &crossing{open: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			c.keep(in)
			out, err := net.Dial("unix", to)
			if err != nil {
				t.Error(err)
				return
			}
			c.keep(out)
			wg.Go(func() { c.carry(out, in) })
			wg.Go(func() { c.carry(in, out) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		c.unblock()
		c.mu.Lock()
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.mu.Unlock()
		wg.Wait()
	})
	return c
}

func (c *crossing) keep(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
}

func (c *crossing) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if c.blocked.Load() {
			<-c.open
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (c *crossing) unblock() {
	if c.blocked.Swap(false) {
		close(c.open)
	}
}

// TestDatabaseHangs: a database that takes connections and answers nothing
// makes the store unready, though nobody writes to it, and each answer about it
// comes soon. When it answers again all is well.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.Start()
	postgrestest.Check(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	u, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "crossing") // names of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const socket = ".s.PGSQL.5432"
	way := newCrossing(t, filepath.Join(dir, socket), filepath.Join(server.Dir(), socket))
	u.RawQuery = url.Values{"host": {dir}}.Encode()
	s := start(t, func(c *Config) { c.Metrics, c.Archive = ":0", u.String() })
	eventually.True(t, "the store is ready", func() bool { return storeHealth(t, s).Ready })
	way.blocked.Store(true)
	eventually.True(t, "the store is not ready", func() bool { return !storeHealth(t, s).Ready })
	if st := s.Status(); st.Archive == nil || st.Archive.Failing {
		t.Errorf("something was written: %+v", st.Archive)
	}
	if why := storeHealth(t, s).Why; !strings.Contains(why, "does not answer") {
		t.Errorf("why: %s", why)
	}
	way.unblock()
	eventually.True(t, "the store is ready again", func() bool { return storeHealth(t, s).Ready })
}

// fullArchive is an archive whose disk may be full.
type fullArchive struct {
	store.Maintainer
	full, stuck atomic.Pointer[error] // what Insert and Prune fail with
	pruned      atomic.Int64
}

func (a *fullArchive) Insert(ctx context.Context, entries ...store.Entry) error {
	if err := a.full.Load(); err != nil {
		return *err
	}
	return a.Maintainer.Insert(ctx, entries...)
}

func (a *fullArchive) Prune(ctx context.Context, r store.Retention, now time.Time) (store.Pruned, error) {
	defer a.pruned.Add(1)
	if err := a.stuck.Load(); err != nil {
		return store.Pruned{}, *err
	}
	return a.Maintainer.Prune(ctx, r, now)
}

// output is a log that is read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// TestDiskFull: the log and /readyz say that the disk is full and what to do,
// pruning is tried at once, and said to need room too when it fails for that.
// When there is room again all that waited is kept.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{
		"SQLite":     fmt.Errorf("inserting: %w", sqlite.ErrNoRoom),
		"PostgreSQL": fmt.Errorf("inserting: %w", &pgconn.PgError{Code: "53100", Message: "could not extend file"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log output
			a := &fullArchive{}
			c := newConfig(t)
			c.Metrics, c.Retention.Messages, c.Peers = ":0", 1000, start(t, nil).Addrs()
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			s := startWith(t, c, func(ctx context.Context, url string) (m store.Maintainer, err error) {
				a.Maintainer, err = OpenArchive(ctx, url)
				return a, err
			})
			eventually.True(t, "a mesh and the pruning of the start", func() bool { return meshed(s) && a.pruned.Load() == 1 })
			a.full.Store(&cause)
			a.stuck.Store(&cause)
			hashes := publish(t, s, 3)
			eventually.True(t, "the store is not ready and pruning failed", func() bool {
				h := storeHealth(t, s)
				return !h.Ready && strings.Contains(h.Why, "the disk is full") && strings.Contains(h.Why, makeRoom) && strings.Contains(h.Why, pruneRoom)
			})
			for _, line := range []string{"the disk is full: no message is kept", "the disk is full: the archive is not pruned to its retention"} {
				if got := log.String(); !strings.Contains(got, `level=ERROR msg="`+line) || !strings.Contains(got, makeRoom) {
					t.Errorf("no %s in\n%s", line, got)
				}
			}
			before := a.pruned.Load()
			a.stuck.Store(nil)
			a.full.Store(nil)
			eventually.True(t, "the store is ready", func() bool { return storeHealth(t, s).Ready })
			eventually.True(t, "what waited", func() bool { return has(t, s, hashes) })
			eventually.True(t, "another pruning", func() bool { return a.pruned.Load() > before })
			got := log.String()
			if n := strings.Count(got, "no message is kept"); n != 1 || !strings.Contains(got, "the disk has room again") {
				t.Errorf("said %d times that the disk is full:\n%s", n, got)
			}
		})
	}
}

// TestDiskFullTells: only a disk without room is called full, and pruning that
// works is not mentioned.
func TestDiskFullTells(t *testing.T) {
	t.Parallel()
	m, err := OpenArchive(t.Context(), "memory")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	full := &fullArchive{Maintainer: m}
	a := newArchive(full, store.Retention{}, slog.New(slog.DiscardHandler))
	entry := storetest.Entries(1)[0]
	for i, c := range []struct {
		insert, prune error
		want          string
	}{
		{nil, sqlite.ErrNoRoom, ""}, // messages are kept all the same
		{errors.New("disk on fire"), nil, ""},
		{sqlite.ErrNoRoom, nil, "the disk is full: " + makeRoom},
		{errors.New("and something else"), nil, "the disk is full: " + makeRoom},
		{sqlite.ErrNoRoom, sqlite.ErrNoRoom, "the disk is full: " + makeRoom + "; " + pruneRoom},
		{nil, sqlite.ErrNoRoom, ""},
	} {
		full.full.Store(nil)
		if c.insert != nil {
			full.full.Store(&c.insert)
		}
		if err := a.Insert(t.Context(), entry); !errors.Is(err, c.insert) {
			t.Fatal(err)
		}
		a.pruned(c.prune)
		if got := a.trouble(); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
}
