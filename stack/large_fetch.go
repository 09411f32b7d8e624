package stack

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/parley-im/parley/storage"
)

// lookForLarge asks a store node what there is for us on the shards for large
// messages, and fetches by hash what is not here.
func (r *reconciler) lookForLarge(ctx context.Context) (found bool, err error) {
	spans, err := r.largeSpans()
	if err != nil || len(spans) == 0 {
		return false, err
	}
	r.turn()
	var first error
	for _, sp := range spans {
		asked := r.now()
		o := r.reconcileSpan(ctx, sp, 1, lookupMostLarge)
		if isIO(o.err) || ctx.Err() != nil {
			return false, o.err
		}
		found = found || o.fetched > 0
		if o.err != nil {
			first = cmpErr(first, o.err)
			continue
		}
		if err := r.noteLooked(sp, asked); err != nil {
			return false, err
		}
	}
	return found, first
}

// noteLooked notes until when a span is complete, if that is worth it.
func (s *Stack) noteLooked(sp span, until time.Time) error {
	var late []string
	err := s.db.View(func(tx *storage.Tx) error {
		for _, name := range sp.topics {
			at, err := tx.Mark(markName(sp.pubsub, name))
			if err != nil {
				return err
			}
			if until.Sub(at) >= largeMarkEvery {
				late = append(late, name)
			}
		}
		return nil
	})
	if err != nil || len(late) == 0 {
		return err
	}
	return s.update(func(t *step) error {
		for _, name := range late {
			if err := t.SetMark(markName(sp.pubsub, name), until); err != nil {
				return err
			}
		}
		return nil
	})
}

// largeSpans are what to look for: each topic from where it was last complete,
// and from the first segment on while some payload of today lacks others.
func (s *Stack) largeSpans() (spans []span, err error) {
	now := s.now()
	content := s.largeContent()
	err = s.db.View(func(tx *storage.Tx) error {
		open, err := s.segments.Since(tx.Core("segment"), now.Add(-largeReach))
		if err != nil {
			return err
		}
		for _, pubsub := range slices.Sorted(maps.Keys(content)) {
			groups := map[time.Time][]string{}
			for _, name := range content[pubsub] {
				since, err := tx.Mark(markName(pubsub, name))
				if err != nil {
					return err
				}
				if !open.IsZero() && open.Before(since) {
					since = open
				}
				since = since.Add(-largeOverlap)
				if oldest := now.Add(-historyMost); since.Before(oldest) {
					since = oldest
				}
				groups[since] = append(groups[since], name)
			}
			for since, names := range groups {
				for part := range slices.Chunk(names, topicsPerQuery) {
					spans = append(spans, span{pubsub: pubsub, topics: part, since: since})
				}
			}
		}
		return nil
	})
	slices.SortFunc(spans, byTime)
	return spans, err
}
