package service

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
)

// pruneEvery is how often the archive is pruned to its retention, when not more
// often for what comes in.
const pruneEvery = 10 * time.Minute

// OpenArchive opens the archive at a URL: sqlite:PATH, postgres://…, or memory
// (or nothing).
func OpenArchive(ctx context.Context, url string) (store.Maintainer, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	switch {
	case url == "" || url == "memory":
		a, err := store.OpenSQLite("")
		return a, fault.Wrap(fault.Internal, "opening the archive", err)
	case scheme == "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return nil, fault.New(fault.Usage, "the archive sqlite: names no file").WithHint("give sqlite:PATH")
		}
		a, err := store.OpenSQLite(path)
		if errors.Is(err, store.ErrLocked) {
			return nil, &fault.Error{Kind: fault.Conflict, Op: "opening the archive", Err: err, Hint: "another node uses it; stop it, or give another --store-url"}
		}
		if errors.Is(err, store.ErrNoRoom) {
			return nil, &fault.Error{Kind: fault.Internal, Op: "opening the archive", Err: err, Hint: "make room on the disk first"}
		}
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "opening the archive", err)
		}
		return a, nil
	case scheme == "postgres" || scheme == "postgresql":
		a, err := postgres.Open(ctx, url, postgres.Config{})
		if err != nil {
			return nil, postgresFault(err)
		}
		return a, nil
	}
	// Not the URL itself: there may be a password in it.
	return nil, fault.New(fault.Usage, "no archive is of the kind %q", scheme).WithHint("give sqlite:PATH, postgres://… or memory")
}

// postgresFault says what kind of thing is wrong when an archive in PostgreSQL
// cannot be opened, by what the server answered.
func postgresFault(err error) error {
	e := &fault.Error{Kind: fault.Unreachable, Op: "opening the archive", Err: err, Hint: "check that PostgreSQL runs and can be reached from here"}
	server, answered := errors.AsType[*pgconn.PgError](err)
	switch {
	case errors.Is(err, postgres.ErrURL):
		e.Kind, e.Hint = fault.Usage, "give postgres://user@host/database, the password in PGPASSWORD or ~/.pgpass"
	case errors.Is(err, store.ErrSchema):
		e.Kind, e.Hint = fault.Conflict, "a newer version of parley has made it: use that one"
	case !answered:
	case strings.HasPrefix(server.Code, "28"): // invalid authorization
		e.Kind, e.Hint = fault.Denied, "check the user in the URL, the password in PGPASSWORD or ~/.pgpass, and whom PostgreSQL lets in (pg_hba.conf)"
	case server.Code == "42501": // insufficient privilege
		e.Kind, e.Hint = fault.Denied, "the user must be allowed to create a schema in the database, or own that of the archive"
	case server.Code == "3D000": // no such database
		e.Kind, e.Hint = fault.NotFound, "make the database first: createdb"
	}
	return e
}

// archive is the node's, and counts what comes in.
type archive struct {
	store.Maintainer
	messages, bytes atomic.Int64 // since it was pruned
	// wake, of capacity 1, has it pruned before its time.
	wake chan struct{}
	// retain is what it is pruned to.
	retain atomic.Pointer[store.Retention]
}

func newArchive(m store.Maintainer, r store.Retention) *archive {
	a := &archive{Maintainer: m, wake: make(chan struct{}, 1)}
	a.retain.Store(&r)
	return a
}

// Insert implements store.Archive.
func (a *archive) Insert(ctx context.Context, entries ...store.Entry) error {
	if err := a.Maintainer.Insert(ctx, entries...); err != nil {
		return err
	}
	var bytes int64
	for i := range entries {
		bytes += int64(len(entries[i].Message.GetPayload()))
	}
	messages := a.messages.Add(int64(len(entries)))
	bytes = a.bytes.Add(bytes)
	if due(*a.retain.Load(), messages, bytes) {
		a.poke()
	}
	return nil
}

// bound changes what the archive is pruned to, and has it pruned.
func (a *archive) bound(r store.Retention) {
	a.retain.Store(&r)
	a.poke()
}

func (a *archive) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

const (
	// pruneShare is the part of what is kept that may be there in excess
	// before the archive is pruned before its time; pruneMessages and
	// pruneBytes are the least that is worth it.
	pruneShare    = 10
	pruneMessages = 1000
	pruneBytes    = 4 << 20
)

// due says whether an archive is to be pruned for what came since.
func due(r store.Retention, messages, bytes int64) bool {
	return r.Messages > 0 && messages >= max(r.Messages/pruneShare, pruneMessages) ||
		r.Bytes > 0 && bytes >= max(r.Bytes/pruneShare, pruneBytes)
}

// prune keeps the archive within its retention.
func (s *Service) prune() {
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		s.pruneNow()
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		case <-s.archive.wake:
		}
	}
}

func (s *Service) pruneNow() {
	r := *s.archive.retain.Load()
	s.archive.messages.Store(0)
	s.archive.bytes.Store(0)
	if r == (store.Retention{}) {
		return
	}
	pruned, err := s.archive.Prune(s.ctx, r, time.Now())
	switch {
	case err != nil && s.ctx.Err() == nil:
		s.log.Warn("the archive is not pruned", "cause", err)
	case pruned.Messages > 0:
		s.log.Info("the archive is pruned", "messages", pruned.Messages, "bytes", pruned.Bytes)
	}
}
