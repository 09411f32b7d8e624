package service

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
	"github.com/parley-im/parley/waku/store/sqlite"
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
		a, err := sqlite.Open("")
		return a, fault.Wrap(fault.Internal, "opening the archive", err)
	case scheme == "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return nil, fault.New(fault.Usage, "the archive sqlite: names no file").WithHint("give sqlite:PATH")
		}
		a, err := sqlite.Open(path)
		if errors.Is(err, sqlite.ErrLocked) {
			return nil, &fault.Error{Kind: fault.Conflict, Op: "opening the archive", Err: err, Hint: "another node uses it; stop it, or give another --store-url"}
		}
		if errors.Is(err, sqlite.ErrNoRoom) {
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
	log    *slog.Logger
	// full says that there was no room for the last messages, stuck that there
	// was none for the last pruning.
	full, stuck atomic.Bool
}

func newArchive(m store.Maintainer, r store.Retention, log *slog.Logger) *archive {
	a := &archive{Maintainer: m, wake: make(chan struct{}, 1), log: log}
	a.retain.Store(&r)
	return a
}

// Insert implements store.Archive.
func (a *archive) Insert(ctx context.Context, entries ...store.Entry) error {
	err := a.Maintainer.Insert(ctx, entries...)
	a.inserted(err)
	if err != nil {
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

// What an operator is told to do about a full disk.
const (
	makeRoom  = "make room on the disk, or move the archive to a larger one"
	pruneRoom = "pruning to the retention takes room too, about as much as the largest part of the archive (the newest file, or partition)"
)

// noRoom says whether an archive failed for want of room on the disk.
func noRoom(err error) bool {
	server, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, sqlite.ErrNoRoom) || ok && server.Code == "53100" // disk full
}

// inserted notes how an insertion ended. A disk that has become full, or has
// room again, is told once, and has the archive pruned: whole parts that are
// too old go without any room.
func (a *archive) inserted(err error) {
	full := noRoom(err)
	if err != nil && !full || a.full.Swap(full) == full {
		return
	}
	if full {
		a.log.Error("the disk is full: no message is kept", "do", makeRoom, "cause", err)
	} else {
		a.log.Warn("the disk has room again")
	}
	a.poke()
}

// pruned notes how a pruning ended.
func (a *archive) pruned(err error) {
	stuck := noRoom(err)
	if a.stuck.Store(stuck); stuck {
		a.log.Error("the disk is full: the archive is not pruned to its retention", "do", makeRoom, "note", pruneRoom, "cause", err)
	}
}

// trouble says what keeps messages from being kept and what to do about it.
func (a *archive) trouble() string {
	switch {
	case !a.full.Load():
		return ""
	case a.stuck.Load():
		return "the disk is full: " + makeRoom + "; " + pruneRoom
	}
	return "the disk is full: " + makeRoom
}

// probe asks the archive for its newest entry, which it reads from the disk or
// the database.
func (a *archive) probe(ctx context.Context) error {
	_, err := a.Query(ctx, &store.Query{Limit: 1})
	return err
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
	s.archive.pruned(err)
	switch {
	case err != nil && s.ctx.Err() == nil && !noRoom(err):
		s.log.Warn("the archive is not pruned", "cause", err)
	case pruned.Messages > 0:
		s.log.Info("the archive is pruned", "messages", pruned.Messages, "bytes", pruned.Bytes)
	}
}
