package service

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres/postgrestest"
	"github.com/parley-im/parley/waku/store/storetest"
)

// TestOpenArchivePostgres: why a database cannot be used is told apart, and
// no word has the password in it.
func TestOpenArchivePostgres(t *testing.T) {
	t.Parallel()
	server, err := postgrestest.Start()
	postgrestest.Check(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	for _, sql := range []string{
		`CREATE ROLE reader LOGIN PASSWORD 'only-reads'`,
		`CREATE DATABASE newer`,
	} {
		if err := server.Exec("postgres", sql); err != nil {
			t.Fatal(err)
		}
	}
	at := func(database string, user *url.Userinfo) string {
		u, err := url.Parse(server.URL(database))
		if err != nil {
			t.Fatal(err)
		}
		if user != nil {
			u.User = user
		}
		return u.String()
	}
	newer := at("newer", nil)
	a, err := OpenArchive(t.Context(), newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := server.Exec("newer", `UPDATE parley_store.state SET version = 1000`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, url string
		kind      fault.Kind
	}{
		{"a wrong password", at("postgres", url.UserPassword("postgres", "the-wrong-one")), fault.Denied},
		{"nobody known", at("postgres", url.UserPassword("somebody", "the-wrong-one")), fault.Denied},
		{"who may not make a schema", at("postgres", url.UserPassword("reader", "only-reads")), fault.Denied},
		{"no such database", at("absent", nil), fault.NotFound},
		{"of a later version", newer, fault.Conflict},
	} {
		a, err := OpenArchive(t.Context(), c.url)
		if err == nil {
			_ = a.Close()
		}
		if fault.KindOf(err) != c.kind || fault.HintOf(err) == "" {
			t.Errorf("%s: %v, of kind %s", c.name, err, fault.KindOf(err))
			continue
		}
		for _, secret := range []string{server.Password(), "the-wrong-one", "only-reads"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error has the password in it", c.name)
			}
		}
	}
	if err := server.Halt(); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenArchive(t.Context(), at("postgres", nil)); fault.KindOf(err) != fault.Unreachable {
		t.Errorf("nobody there: %v", err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
}

// TestPruneDue: an archive is pruned when a tenth of what it keeps has come,
// and not for every little.
func TestPruneDue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r               store.Retention
		messages, bytes int64
		want            bool
	}{
		{store.Retention{}, 1 << 40, 1 << 40, false},
		{store.Retention{Age: time.Hour}, 1 << 40, 1 << 40, false},
		{store.Retention{Messages: 10}, 999, 1 << 40, false},
		{store.Retention{Messages: 10}, 1000, 0, true},
		{store.Retention{Messages: 100_000}, 9999, 0, false},
		{store.Retention{Messages: 100_000}, 10_000, 0, true},
		{store.Retention{Bytes: 1}, 1 << 40, pruneBytes - 1, false},
		{store.Retention{Bytes: 1}, 0, pruneBytes, true},
		{store.Retention{Bytes: 10e9}, 0, 1e9 - 1, false},
		{store.Retention{Bytes: 10e9}, 0, 1e9, true},
	} {
		if got := due(c.r, c.messages, c.bytes); got != c.want {
			t.Errorf("%+v after %d messages, %d bytes: %v", c.r, c.messages, c.bytes, got)
		}
	}
}

// TestPruneUnderLoad: what comes in, however fast, stays near what is kept.
func TestPruneUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, func(c *Config) { c.Retention.Messages = 100 })
	for part := range slices.Chunk(storetest.Entries(20*pruneMessages), pruneMessages) {
		if err := s.archive.Insert(t.Context(), part...); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "the archive within its bounds", func() bool {
		stats, err := s.archive.Stats(t.Context())
		return err == nil && stats.Messages <= 100
	})
}
