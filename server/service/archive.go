package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/postgres"
)

// pruneEvery is how often the archive is pruned to its retention.
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
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "opening the archive", err)
		}
		return a, nil
	case scheme == "postgres" || scheme == "postgresql":
		a, err := postgres.Open(ctx, url, postgres.Config{})
		switch {
		case errors.Is(err, postgres.ErrURL):
			return nil, &fault.Error{Kind: fault.Usage, Op: "opening the archive", Err: err, Hint: "give postgres://user@host/database, the password in PGPASSWORD or ~/.pgpass"}
		case err != nil:
			return nil, &fault.Error{Kind: fault.Unreachable, Op: "opening the archive", Err: err, Hint: "check that PostgreSQL runs and that the database exists"}
		}
		return a, nil
	}
	// Not the URL itself: there may be a password in it.
	return nil, fault.New(fault.Usage, "no archive is of the kind %q", scheme).WithHint("give sqlite:PATH, postgres://… or memory")
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
		}
	}
}

func (s *Service) pruneNow() {
	r := *s.retain.Load()
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
