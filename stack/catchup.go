package stack

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// historyMost is how far back a topic is fetched the first time; store
	// nodes keep about as much.
	historyMost = 30 * 24 * time.Hour
	// historyOverlap is fetched again at every seam, for clocks that differ
	// and messages that were on their way.
	historyOverlap = time.Minute
	// topicsPerQuery is the most that deployed store nodes take.
	topicsPerQuery = 10
	// historyPage is the page size asked for.
	historyPage = 100
	// historyRetryFirst is the pause before a failed fetch is tried again, which
	// doubles up to historyRetry: at the start a store node is often there a
	// moment later.
	historyRetryFirst = time.Second
	historyRetry      = 10 * time.Second
	// historyTries bounds the attempts of one fetch; the next gap, heartbeat
	// or start tries again, from the same time on.
	historyTries = 9
	// historyPages bounds the pages of one span, so that a store node cannot
	// keep us busy for ever.
	historyPages = 10_000
)

// Errors of store nodes that do not page as they should.
var (
	errRepeats = errors.New("the store node repeats itself")
	errEndless = errors.New("the store node's pages do not end")
)

// Progress tells how fetching missed messages goes.
type Progress struct {
	// Active tells that it goes on.
	Active bool `json:"active"`
	// Since is the oldest time asked for, in milliseconds.
	Since int64 `json:"since,omitempty"`
	// Topics is how many content topics were fetched, Of how many there are to
	// fetch.
	Topics int `json:"topics"`
	Of     int `json:"of"`
	// Pages is how many were read, Envelopes how many were found on them, known
	// ones included, and New how many of those are for us and were not known.
	Pages     int `json:"pages"`
	Envelopes int `json:"envelopes"`
	New       int `json:"new"`
	// Error is that of the last attempt, when it did not get through.
	Error string `json:"error,omitempty"`
}

// Progress returns the state of the running or the last fetch.
func (s *Stack) Progress() Progress {
	s.progressMu.Lock()
	defer s.progressMu.Unlock()
	return s.progress
}

func (s *Stack) report(change func(p *Progress)) {
	s.progressMu.Lock()
	change(&s.progress)
	p := s.progress
	s.progressMu.Unlock()
	if s.onProgress != nil {
		s.onProgress(p)
	}
}

// span is a part of history to fetch: content topics of one pubsub topic from
// a time on.
type span struct {
	pubsub string
	topics []string
	since  time.Time
	// until is the end, the zero time for none.
	until time.Time
	// local: self-addressed, known by queries alone.
	local bool
}

// place is a pubsub topic with the content topics that are for us there.
type place struct {
	pubsub string
	topics []string
	local  bool
}

// parts are the content topics, as many as one query may have at a time.
func (p place) parts() [][]string { return slices.Collect(slices.Chunk(p.topics, topicsPerQuery)) }

// listened is what to ask store nodes for: all that is subscribed to, and what
// is self-addressed. Large messages on shards of their own are not among it.
func (s *Stack) listened() (all []place) {
	want := s.wanted()
	for _, pubsub := range slices.Sorted(maps.Keys(want)) {
		all = append(all, place{pubsub, want[pubsub], false})
	}
	own := s.contentTopics(func(f filter) bool { return f.local })
	for _, pubsub := range s.network.LocalTopics() {
		// Where global traffic shares the shard, most is asked for already.
		rest := slices.DeleteFunc(slices.Clone(own), func(name string) bool { return slices.Contains(want[pubsub], name) })
		all = append(all, place{pubsub, rest, true})
	}
	return all
}

// byTime are spans in the order in which they are fetched: oldest first, and
// always the same.
func byTime(a, b span) int {
	return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.pubsub, b.pubsub), slices.Compare(a.topics, b.topics))
}

// historyMarks are until when topics were fetched.
const historyMarks = "history "

func markName(pubsub, contentTopic string) string { return historyMarks + pubsub + " " + contentTopic }

// onlineMark is until when we certainly listened.
const onlineMark = "online"

// catchUp fetches every topic from where it was last complete.
func (l *listener) catchUp(ctx context.Context) error {
	spans, err := l.missing()
	if err != nil {
		return err
	}
	l.complete, err = l.fetch(ctx, l.transport, spans)
	if l.complete {
		l.fetched = l.now()
	}
	return err
}

// queryLocal fetches what is known by queries alone; everything else has
// arrived live.
func (l *listener) queryLocal(ctx context.Context) error {
	spans, err := l.missing()
	if err != nil {
		return err
	}
	l.fetched = l.now()
	_, err = l.fetch(ctx, l.transport, slices.DeleteFunc(spans, func(sp span) bool { return !sp.local }))
	return err
}

// fillGap fetches every topic from the beginning of a gap.
func (l *listener) fillGap(ctx context.Context, since time.Time) error {
	err := l.update(func(t *step) error {
		online, err := t.Mark(onlineMark)
		if err != nil || !online.After(since) {
			return err
		}
		return t.SetMark(onlineMark, since)
	})
	if err != nil {
		return err
	}
	return l.catchUp(ctx)
}

// missing computes what to fetch. A topic that was fetched once is complete
// until we stopped listening; a new one is fetched from the beginning.
func (s *Stack) missing() (spans []span, err error) {
	now := s.now()
	oldest := now.Add(-historyMost)
	err = s.db.View(func(tx *storage.Tx) error {
		online, err := tx.Mark(onlineMark)
		if err != nil {
			return err
		}
		for _, p := range s.listened() {
			groups := map[time.Time][]string{}
			for _, name := range p.topics {
				done, err := tx.Mark(markName(p.pubsub, name))
				if err != nil {
					return err
				}
				// Listening keeps a fetched topic complete, except those that
				// are only queried.
				if !done.IsZero() && !p.local && online.After(done) {
					done = online
				}
				since := done.Add(-historyOverlap)
				if since.Before(oldest) {
					since = oldest
				}
				groups[since] = append(groups[since], name)
			}
			for since, names := range groups {
				for part := range slices.Chunk(names, topicsPerQuery) {
					spans = append(spans, span{pubsub: p.pubsub, topics: part, since: since, local: p.local})
				}
			}
		}
		return nil
	})
	slices.SortFunc(spans, byTime)
	return spans, err
}

// fetch takes spans from store nodes up the inbound road and tells whether all
// got through. A store that cannot be reached is no error: what is missing
// stays noted as missing.
func (s *Stack) fetch(ctx context.Context, transport Transport, spans []span) (complete bool, err error) {
	if len(spans) == 0 {
		return true, nil
	}
	topics := 0
	for _, sp := range spans {
		topics += len(sp.topics)
	}
	s.report(func(p *Progress) { *p = Progress{Active: true, Of: topics, Since: spans[0].since.UnixMilli()} })
	for try := 1; ; try++ {
		left, err := s.fetchOnce(ctx, transport, spans)
		if errors.Is(err, storage.ErrIO) {
			return false, err
		}
		complete = len(left) == 0
		if complete || ctx.Err() != nil {
			break
		}
		s.report(func(p *Progress) { p.Error = err.Error() })
		if try == historyTries {
			s.log.Warn("missed messages cannot be fetched now", "cause", err)
			break
		}
		spans = left
		select {
		case <-ctx.Done():
			continue
		case <-time.After(min(historyRetryFirst<<(try-1), historyRetry)):
			continue
		case <-s.wakeSubscribe:
			// What is listened to has changed, which must not wait for a store
			// node; everything missing is fetched again after it.
			wake(s.wakeSubscribe)
		}
		break
	}
	s.report(func(p *Progress) {
		p.Active = false
		if complete {
			p.Error = ""
		}
	})
	if p := s.Progress(); p.New > 0 {
		err = s.update(func(t *step) error { return t.event(EventHistory, p) })
	}
	return complete, err
}

// fetchOnce tries every span and returns those that did not get through with
// the last cause.
func (s *Stack) fetchOnce(ctx context.Context, transport Transport, spans []span) (left []span, cause error) {
	for _, sp := range spans {
		err := s.fetchSpan(ctx, transport, sp)
		if errors.Is(err, storage.ErrIO) {
			return nil, err
		}
		if err != nil {
			left, cause = append(left, sp), err
			continue
		}
		s.report(func(p *Progress) { p.Topics += len(sp.topics) })
	}
	return left, cause
}

// fetchSpan reads a span page by page, oldest first, and notes it as complete.
func (s *Stack) fetchSpan(ctx context.Context, transport Transport, sp span) error {
	until := s.now()
	q := &store.Query{
		IncludeData:   true,
		PubsubTopic:   sp.pubsub,
		ContentTopics: sp.topics,
		TimeStart:     sp.since.UnixNano(),
		Forward:       true,
		Limit:         historyPage,
	}
	cursors := make(map[message.Hash]bool)
	var aliens []message.Hash
	for {
		page, err := transport.Query(ctx, q)
		if errors.Is(err, store.ErrAnswerSize) && q.Limit > 1 {
			q.Limit /= 2 // deployed store nodes do not cut pages of large messages
			continue
		}
		if err != nil {
			return err
		}
		fresh := 0
		for _, m := range page.Messages {
			if m.Message == nil {
				continue
			}
			e := Envelope{PubsubTopic: m.PubsubTopic, Message: m.Message, Hash: m.Hash, Stored: true}
			if known, err := s.seen(e); err != nil {
				return err
			} else if known {
				continue
			}
			if err := s.Receive(e); err != nil {
				return err
			}
			// What is not for us is not marked either.
			if ours, err := s.seen(e); err != nil {
				return err
			} else if ours {
				fresh++
			} else if until.Sub(time.Unix(0, m.Message.GetTimestamp())) < reconcileWindow {
				aliens = append(aliens, m.Hash)
			}
		}
		s.report(func(p *Progress) { p.Pages++; p.Envelopes += len(page.Messages); p.New += fresh })
		if page.Cursor == nil {
			break
		}
		if cursors[*page.Cursor] {
			if len(page.Messages) == 0 {
				break // its way to say that there is no more
			}
			return errRepeats
		}
		if len(cursors) == historyPages {
			return errEndless
		}
		cursors[*page.Cursor] = true
		q.Cursor = page.Cursor
	}
	return s.update(func(t *step) error {
		for _, name := range sp.topics {
			if err := t.SetMark(markName(sp.pubsub, name), until); err != nil {
				return err
			}
		}
		// The comparison with store nodes looks that far back, and must not
		// fetch them again.
		for _, h := range aliens {
			if err := t.MarkForeign(h, t.now); err != nil {
				return err
			}
		}
		return nil
	})
}
