package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/storetest"
)

// TestRestart: while the server is down operations fail and say so; when it is
// back they work again on what was kept, whatever they were.
func TestRestart(t *testing.T) {
	t.Parallel()
	postgrestest.Shared(t) // skips where there is none
	server, err := postgrestest.Start()
	postgrestest.Check(t, err)
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx := context.Background()
	a := open(t, server.URL("postgres"), postgres.Config{Readers: 2})
	entries := storetest.Entries(30)
	operations := map[string]func() error{
		"insert": func() error { return a.Insert(ctx, entries[10:20]...) },
		"query":  func() error { _, err := a.Query(ctx, &store.Query{IncludeData: true}); return err },
		"ids": func() error {
			for _, err := range a.IDs(ctx, store.Span{End: 1 << 62}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"stats": func() error { _, err := a.Stats(ctx); return err },
		"prune": func() error {
			_, err := a.Prune(ctx, store.Retention{Messages: 1000}, time.Now())
			return err
		},
	}
	insert(t, a, entries[:10]...)
	for name, operation := range operations {
		for range 3 { // on every connection
			if err := operation(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := server.Halt(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := operation(); err == nil {
				t.Fatalf("%s without a server: no error", name)
			} else if strings.Contains(err.Error(), server.Password()) {
				t.Fatalf("%s without a server: %v has the password in it", name, strings.ReplaceAll(err.Error(), server.Password(), "***"))
			}
		}
		if err := server.Resume(); err != nil {
			t.Fatal(err)
		}
		if err := operation(); err != nil {
			t.Fatalf("%s after a restart: %v", name, err)
		}
		// A restart that nobody noticed.
		if err := errors.Join(server.Halt(), server.Resume()); err != nil {
			t.Fatal(err)
		}
		if err := operation(); err != nil {
			t.Fatalf("%s after another restart: %v", name, err)
		}
	}
	insert(t, a, entries[20:]...)
	stats, err := a.Stats(ctx)
	if err != nil || stats.Messages != 30 {
		t.Fatalf("%d messages, %v", stats.Messages, err)
	}
}

// TestSecrets: no error of any way to fail has the password in its text.
func TestSecrets(t *testing.T) {
	t.Parallel()
	server := postgrestest.Shared(t)
	const password = `p@ss w:rd/?#%&='"x`
	good, err := url.Parse(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	host := good.Query().Get("host")
	with := func(change func(*url.URL)) string {
		u := *good
		u.User = url.UserPassword("postgres", password)
		change(&u)
		return u.String()
	}
	refused := with(func(*url.URL) {})
	for name, text := range map[string]string{
		"wrong password":    refused,
		"no such user":      with(func(u *url.URL) { u.User = url.UserPassword("nobody", password) }),
		"no such host":      with(func(u *url.URL) { u.Host, u.RawQuery = "host.invalid", "connect_timeout=2" }),
		"nobody listens":    with(func(u *url.URL) { u.Host, u.RawQuery = "127.0.0.1:1", "" }),
		"no such folder":    with(func(u *url.URL) { u.RawQuery = "host=/nowhere" }),
		"database so named": with(func(u *url.URL) { u.Path = "/" + password }),
		"unknown setting":   with(func(u *url.URL) { u.RawQuery += "&sslmode=perhaps" }),
		"no port":           "postgres://postgres:" + url.QueryEscape(password) + "@localhost:port/x",
		"no escapes":        "postgres://postgres:" + password + "@localhost/x",
		"half an escape":    "postgres://postgres:" + password + "%zz@localhost/x",
		"as words":          "host=" + host + " user=postgres password=" + strings.ReplaceAll(password, " ", ""),
		"broken words":      "host=" + host + " user=postgres password='" + password,
		"another scheme":    "mysql://postgres:" + password + "@localhost/x",
		"wrong server":      strings.Replace(server.URL("absent"), "postgres:", "postgres:", 1),
	} {
		a, err := postgres.Open(context.Background(), text, postgres.Config{})
		if err == nil {
			_ = a.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		for _, form := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
			for _, secret := range []string{password, url.QueryEscape(password), url.PathEscape(password), "w:rd", "ss%20w", "ss+w", server.Password()} {
				if strings.Contains(form, secret) {
					t.Errorf("%s: the error has %q of the password in it", name, secret)
				}
			}
		}
	}
	named := with(func(u *url.URL) { u.User, u.Path = good.User, "/"+server.Password() })
	var refusal *pgconn.PgError
	if _, err := postgres.Open(context.Background(), named, postgres.Config{}); !errors.As(err, &refusal) || refusal.Code != "3D000" || strings.Contains(refusal.Error(), server.Password()) {
		t.Errorf("a database named like the password: %v", err)
	}
	if _, err := postgres.Open(context.Background(), "postgres://localhost:port/x", postgres.Config{}); !errors.Is(err, postgres.ErrURL) {
		t.Errorf("a URL that is none: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := postgres.Open(ctx, refused, postgres.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// TestPatience: dropping a partition waits for who reads it only for a while,
// and other readers do not wait for ever behind it. A transaction of someone
// else holds a partition until pruning has failed to get it once.
func TestPatience(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, address, cfg := fresh(t, postgres.Config{})
	insert(t, a, storetest.SpreadEntries(100, 10, time.Hour)...)
	c, err := postgres.Connect(ctx, address, cfg.Schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(ctx) })
	if _, err := c.Exec(ctx, `BEGIN; SELECT count(*) FROM messages`); err != nil {
		t.Fatal(err)
	}
	pruned := make(chan error, 1)
	go func() {
		_, err := a.Prune(ctx, store.Retention{Age: time.Hour}, time.Now())
		pruned <- err
	}()
	// A query begun behind the waiting removal is answered.
	if _, err := a.Query(ctx, &store.Query{IncludeData: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := <-pruned; err != nil {
		t.Fatal(err)
	}
	if stats, err := a.Stats(ctx); err != nil || stats.Messages != 0 {
		t.Fatal(stats, err)
	}
}

// TestPlans: every statement that reads messages walks an index, and those of
// chunks in its order, with the planner's statistics and without.
func TestPlans(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a, address, cfg := fresh(t, postgres.Config{})
	c, err := postgres.Connect(ctx, address, cfg.Schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(ctx) })
	i := 0 // statements prepared
	check := func(when string) {
		for name, sql := range postgres.Statements() {
			i++
			statement := fmt.Sprintf("plan%d", i)
			described, err := c.Prepare(ctx, statement, sql)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			explain := "EXPLAIN EXECUTE " + statement
			if n := len(described.ParamOIDs); n > 0 {
				explain += "(NULL" + strings.Repeat(", NULL", n-1) + ")"
			}
			rows, err := c.Query(ctx, explain, pgx.QueryExecModeSimpleProtocol)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			plan := strings.Join(lines, "\n")
			if strings.Contains(plan, "Seq Scan on messages_") {
				t.Errorf("%s, %s: reads everything:\n%s", when, name, plan)
			}
			if strings.Contains(plan, "Seq Scan on chunks_") || strings.Contains(plan, "Seq Scan on recent") {
				t.Errorf("%s, %s: reads every chunk:\n%s", when, name, plan)
			}
			if strings.HasPrefix(name, "chunks") && (!strings.Contains(plan, "_pkey") || regexp.MustCompile(`Sort|Merge`).MatchString(plan)) {
				t.Errorf("%s, %s: not in the order of the index:\n%s", when, name, plan)
			}
			if byHash := regexp.MustCompile(`lookup|read|duplicates`); byHash.MatchString(name) && !strings.Contains(plan, "_hash_idx") {
				t.Errorf("%s, %s: not by hash:\n%s", when, name, plan)
			}
			if _, err := c.Exec(ctx, "DEALLOCATE "+statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	insert(t, a, storetest.SpreadEntries(5, 10, 24*time.Hour)...)
	check("empty")
	for part := range 10 {
		insert(t, a, storetest.SpreadEntries(2000+part, 10, 3*time.Minute)...)
	}
	check("filled")
	if _, err := c.Exec(ctx, `ANALYZE messages`); err != nil {
		t.Fatal(err)
	}
	check("analyzed")
}
