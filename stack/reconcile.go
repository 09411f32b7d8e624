package stack

import (
	"context"
	"errors"
	"time"

	"github.com/parley-im/parley/storage"
)

// Store reconciliation (Status Protocol Stack, Store queries for reliability;
// WAKU-P2P-RELIABILITY, Store-based reliability): what store nodes have is
// compared with what is here, by hashes, and what is missing is fetched by
// hash. So is everything on the shards for large messages, to which nobody
// listens; and store nodes are asked for what was published here.

const (
	// reconcileFirst is the pause after a comparison that found something
	// missing, or after the start. It doubles with each that did not, up to
	// reconcileMost.
	reconcileFirst = 5 * time.Minute
	reconcileMost  = 20 * time.Minute
	// reconcileWindow is how far back the first comparison looks, and
	// reconcileOverlap how far behind the last one each further one begins:
	// store nodes may get messages late.
	reconcileWindow  = time.Hour
	reconcileOverlap = 10 * time.Minute
	// reconcileSettle is the age below which a message may still be on its way.
	reconcileSettle = 30 * time.Second
	// reconcileNodes is how many store nodes are compared at a time.
	reconcileNodes = 2
	// fetchingPause is how long a comparison waits for a fetch that goes on.
	fetchingPause = 10 * time.Second

	// largeFirst is the pause between two looks for large messages while
	// somebody writes to us, which doubles up to largeMost.
	largeFirst = 20 * time.Second
	// topicsPause is how long is waited for more when there are topics that are
	// new to us: they come in bunches.
	topicsPause = time.Second
	largeMost   = 4 * time.Minute
	// largeOverlap is for clocks that differ and store nodes that are late.
	largeOverlap = 10 * time.Minute
	// largeReach is for how long the missing segments of a payload are looked
	// for from its beginning.
	largeReach = 24 * time.Hour
	// largeMarkEvery is how often it is noted until when was looked.
	largeMarkEvery = 5 * time.Minute

	// storeRetryFirst and storeRetryMost bound the pause after store nodes did
	// not answer, which doubles from one to the other.
	storeRetryFirst = 2 * time.Second
	storeRetryMost  = 10 * time.Minute
)

// reconciledMark is until when what store nodes have was compared.
const reconciledMark = "reconciled"

// hints are what wakes the reconciliation.
type hints struct{ topics, heard, published chan struct{} }

func newHints() hints {
	return hints{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)}
}

// job is something done again and again: often while it is worth it, seldom
// otherwise, and less and less while it fails.
type job struct {
	next        time.Time
	pause       time.Duration
	first, most time.Duration
	fails       int
}

func newJob(now time.Time, first, most time.Duration) job {
	return job{next: now.Add(first), pause: first, first: first, most: most}
}

// done sets when the job is done next, after it went well: soon when something
// came of it.
func (j *job) done(now time.Time, found bool) {
	j.fails = 0
	if found {
		j.pause = j.first
	} else {
		j.pause = min(2*j.pause, j.most)
	}
	j.next = now.Add(j.pause)
}

// failed sets when the job is tried again.
func (j *job) failed(now time.Time) {
	pause := storeRetryMost
	if j.fails < 16 {
		pause = min(storeRetryFirst<<j.fails, storeRetryMost)
	}
	j.fails++
	j.next = now.Add(pause)
}

// hurry makes the job due soon, unless it fails just now.
func (j *job) hurry(now time.Time, after time.Duration) {
	j.pause = j.first
	if at := now.Add(after); j.fails == 0 && at.Before(j.next) {
		j.next = at
	}
}

// reconciler compares what store nodes have with what is here.
type reconciler struct {
	*Stack
	panel
	compare, large, presence job
	// asked is when store nodes were asked for what was published, the last time.
	asked time.Time
	// vain counts how often a hash was listed and not given.
	vain vain
}

// reconcile asks store nodes for what may be missing here, and for what they
// should have of ours, until ctx ends.
func (s *Stack) reconcile(ctx context.Context, transport Transport) error {
	now := s.now()
	r := &reconciler{
		Stack: s, panel: newPanel(transport, &s.stores, s.now), vain: vain{},
		compare:  newJob(now, reconcileFirst, reconcileMost),
		large:    newJob(now, largeFirst, largeMost),
		presence: newJob(now, presenceFirst, presenceMost),
	}
	r.large.next = now
	timer := time.NewTimer(soonest)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wakeStores.topics:
			wake(s.wakeStores.topics)
		case <-s.wakeStores.heard:
			wake(s.wakeStores.heard)
		case <-s.wakeStores.published:
			wake(s.wakeStores.published)
		case <-timer.C:
		}
		r.hear()
		if err := r.due(ctx); err != nil {
			return err
		}
		next := r.compare.next
		for _, at := range []time.Time{r.large.next, r.presence.next} {
			if at.Before(next) {
				next = at
			}
		}
		timer.Reset(max(next.Sub(s.now()), soonest))
	}
}

// hear takes all hints that are there: what is done about them must not depend
// on which came up first.
func (r *reconciler) hear() {
	now := r.now()
	for _, h := range []struct {
		hint  chan struct{}
		job   *job
		after time.Duration
	}{
		{r.wakeStores.heard, &r.large, largeFirst},
		{r.wakeStores.published, &r.presence, presenceFirst},
		{r.wakeStores.topics, &r.large, topicsPause},
	} {
		select {
		case <-h.hint:
			h.job.hurry(now, h.after)
		default:
		}
	}
}

// due does what is due now. Only errors of the database are returned.
func (r *reconciler) due(ctx context.Context) error {
	for _, part := range []struct {
		*job
		do func(ctx context.Context) (found bool, err error)
	}{
		{&r.large, r.lookForLarge},
		{&r.compare, r.compareAll},
		{&r.presence, r.askPresence},
	} {
		if ctx.Err() != nil || r.now().Before(part.next) {
			continue
		}
		found, err := part.do(ctx)
		switch {
		case isIO(err):
			return err
		case errors.Is(err, errMore):
			part.fails, part.next = 0, r.now()
		case errors.Is(err, errFetching):
			part.next = r.now().Add(fetchingPause)
		case err != nil:
			part.failed(r.now())
			r.log.Debug("store nodes", "cause", err)
		default:
			part.done(r.now(), found)
		}
	}
	if r.presence.fails > 0 {
		return nil
	}
	at, err := r.nextPresence()
	if soonest := r.asked.Add(presencePause); at.Before(soonest) {
		at = soonest
	}
	r.presence.next = at
	return err
}

// compareAll compares everything that is listened to or queried, but large
// messages, which are looked for by themselves.
func (r *reconciler) compareAll(ctx context.Context) (found bool, err error) {
	if r.Progress().Active {
		return false, errFetching
	}
	until := r.now().Add(-reconcileSettle)
	spans, err := r.recent(until)
	if err != nil || len(spans) == 0 {
		return false, err
	}
	r.turn()
	var result outcome
	for _, sp := range spans {
		one := r.reconcileSpan(ctx, sp, reconcileNodes, lookupMost)
		result.add(one)
		if isIO(one.err) || ctx.Err() != nil {
			return false, one.err
		}
	}
	r.stores.compared(r.now(), result)
	if result.err != nil {
		return false, result.err
	}
	return result.fetched > 0, r.update(func(t *step) error { return t.SetMark(reconciledMark, until) })
}

// recent are the spans to compare: from a while before the last comparison.
func (s *Stack) recent(until time.Time) (spans []span, err error) {
	var last time.Time
	err = s.db.View(func(tx *storage.Tx) error {
		last, err = tx.Mark(reconciledMark)
		return err
	})
	if err == nil && last.IsZero() {
		// Noted at once: while no store node answers, the window grows.
		last = until.Add(reconcileOverlap - reconcileWindow)
		err = s.update(func(t *step) error { return t.SetMark(reconciledMark, last) })
	}
	if err != nil {
		return nil, err
	}
	since := last.Add(-reconcileOverlap)
	if oldest := until.Add(-historyMost); since.Before(oldest) {
		since = oldest
	}
	for _, in := range s.listened() {
		for _, part := range in.parts() {
			spans = append(spans, span{pubsub: in.pubsub, topics: part, since: since, until: until, local: in.local})
		}
	}
	return spans, nil
}
