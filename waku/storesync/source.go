package storesync

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

var (
	// ErrDense is a stretch of time with more entries than were allowed for.
	ErrDense = errors.New("storesync: too many messages in a stretch of time")
	// ErrTakesNone is a store that cannot be repaired over the network: it
	// answers queries, and does not speak WAKU-SYNC.
	ErrTakesNone = errors.New("storesync: this store takes no messages from others: it does not speak WAKU-SYNC")
	// ErrRefused is a store that speaks WAKU-SYNC and ended every session that
	// was begun for some time, which it does not say why.
	ErrRefused = errors.New("storesync: this store takes no messages at the moment: it is asked too often, or does not trust this node")
)

// Source is a store to be compared with another.
type Source interface {
	// Hashes lists the hashes of the entries with start ≤ timestamp < end, in
	// nanoseconds, in their order; ErrDense when there are more than limit.
	Hashes(ctx context.Context, start, end int64, limit int) ([]message.Hash, error)
	// Entries looks up at most store.MaxHashes hashes; those it does not have
	// are not in the answer.
	Entries(ctx context.Context, hashes []message.Hash) ([]store.Entry, error)
	// Take keeps entries and returns how many of them are there afterwards,
	// whatever became of the others.
	Take(ctx context.Context, entries []store.Entry) (int, error)
}

// Local is an archive at hand.
type Local struct{ Archive Archive }

// Hashes implements Source.
func (l Local) Hashes(ctx context.Context, start, end int64, limit int) (hashes []message.Hash, err error) {
	for id, err := range l.Archive.IDs(ctx, store.Span{Start: start, End: end}) {
		if err != nil {
			return nil, err
		}
		if len(hashes) == limit {
			return nil, ErrDense
		}
		hashes = append(hashes, id.Hash)
	}
	return hashes, nil
}

// Entries implements Source.
func (l Local) Entries(ctx context.Context, hashes []message.Hash) ([]store.Entry, error) {
	page, err := l.Archive.Query(ctx, &store.Query{IncludeData: true, Hashes: hashes, Forward: true, Limit: store.MaxPage})
	if err != nil {
		return nil, err
	}
	return page.Messages, nil
}

// Take implements Source. What may not be stored is left out.
func (l Local) Take(ctx context.Context, entries []store.Entry) (int, error) {
	now := time.Now()
	fit := slices.DeleteFunc(slices.Clone(entries), func(e store.Entry) bool { return e.Check(now) != nil })
	if len(fit) == 0 {
		return 0, nil
	}
	if err := l.Archive.Insert(ctx, fit...); err != nil {
		return 0, err
	}
	return len(fit), nil
}
