package storesync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// DefaultResume is how far back a gap is filled. WAKU-STORE-SYNC recommends
	// at most six hours, so that nobody is asked for too much; pages and rate
	// limits do that too, and a day covers a night's outage.
	DefaultResume = 24 * time.Hour
	// MinGap is the shortest gap that is filled; a shorter one is within the
	// window of synchronization.
	MinGap = time.Minute
	// resumePause is how long a peer that limits the rate of queries is left
	// alone, resumePauses how often in a row.
	resumePause  = time.Second
	resumePauses = 30
)

// ErrResume is a gap that no peer could fill.
var ErrResume = errors.New("storesync: no peer fills the gap")

// Querier asks other nodes' stores; *store.Client is one.
type Querier interface {
	All(ctx context.Context, p peer.ID, q *store.Query, visit func(*store.Page) error) error
	Query(ctx context.Context, p peer.ID, q *store.Query) (*store.Page, error)
}

// Gap is what is to be filled after a time offline.
type Gap struct {
	Archive Archive
	Client  Querier
	// Peers are store nodes; they are tried in random order.
	Peers []peer.ID
	// PubsubTopics are those that are kept; nil is all.
	PubsubTopics []string
	// Since is when the node was last online; zero is the timestamp of the
	// newest entry, or Max ago when there is none.
	Since time.Time
	// Max is how far back the gap may reach; zero is DefaultResume.
	Max time.Duration
}

// Newest returns the timestamp of an archive's newest entry; zero when there
// is none.
func Newest(ctx context.Context, a Archive) (time.Time, error) {
	page, err := a.Query(ctx, &store.Query{IncludeData: true, Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return time.Time{}, err
	}
	return time.Unix(0, page.Messages[0].Message.GetTimestamp()), nil
}

// Resume fills the gap between a node's last time online and now out of the
// stores of others (WAKU-STORE-SYNC, Store Resume). It returns the number of
// messages taken over, those already there included. When a peer fails the next one goes on where
// it ended; with one peer that answers to the end there is no error. A gap
// shorter than MinGap is none.
func Resume(ctx context.Context, g Gap) (n int, err error) {
	now := time.Now()
	if g.Max <= 0 {
		g.Max = DefaultResume
	}
	since := g.Since
	if since.IsZero() {
		if since, err = Newest(ctx, g.Archive); err != nil {
			return 0, err
		}
	}
	if now.Sub(since) < MinGap {
		return 0, nil
	}
	// The last messages before the end may have been on their way.
	from := max(since.Add(-DefaultOffset).UnixNano(), now.Add(-g.Max).UnixNano(), 0)
	peers := slices.Clone(g.Peers)
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	failures := []error{ErrResume}
	for _, p := range peers {
		q := &store.Query{IncludeData: true, Forward: true, TimeStart: from, TimeEnd: now.UnixNano(), Limit: store.MaxPage}
		err := pages(ctx, g.Client, p, q, func(page *store.Page) error {
			taken, last, err := g.keep(ctx, page)
			n += taken
			from = max(from, last)
			return err
		})
		if err == nil || ctx.Err() != nil {
			return n, err
		}
		failures = append(failures, err)
	}
	return n, fmt.Errorf("filling the gap since %s: %w", time.Unix(0, from).UTC().Format(time.DateTime), errors.Join(failures...))
}

// keep inserts those of a page that may be; last is the latest timestamp.
func (g *Gap) keep(ctx context.Context, page *store.Page) (n int, last int64, err error) {
	now := time.Now()
	var fit []store.Entry
	for i := range page.Messages {
		e := &page.Messages[i]
		if len(g.PubsubTopics) > 0 && !slices.Contains(g.PubsubTopics, e.PubsubTopic) || e.Check(now) != nil {
			continue
		}
		fit = append(fit, *e)
		last = max(last, e.Message.GetTimestamp())
	}
	if len(fit) == 0 {
		return 0, 0, nil
	}
	if err := g.Archive.Insert(ctx, fit...); err != nil {
		return 0, 0, err
	}
	return len(fit), last, nil
}

// pages visits all pages of a query; it asks for smaller ones when an answer
// is too large, and waits when it is too early.
func pages(ctx context.Context, c Querier, p peer.ID, q *store.Query, visit func(*store.Page) error) error {
	ask := *q
	for pauses := 0; ; {
		err := c.All(ctx, p, &ask, func(page *store.Page) error {
			if err := visit(page); err != nil {
				return err
			}
			pauses = 0
			if page.Cursor != nil {
				ask.Cursor = page.Cursor
			}
			return nil
		})
		switch {
		case errors.Is(err, store.ErrAnswerSize) && ask.Limit > 1:
			ask.Limit /= 4
			ask.Limit = max(ask.Limit, 1)
		case errors.Is(err, store.ErrTooMany) && pauses < resumePauses:
			pauses++
			select {
			case <-time.After(resumePause):
			case <-ctx.Done():
				return ctx.Err()
			}
		default:
			return err
		}
	}
}

// lookup fetches entries by their hashes, at most store.MaxHashes.
func lookup(ctx context.Context, c Querier, p peer.ID, hashes []message.Hash, data bool) (found []store.Entry, err error) {
	q := &store.Query{IncludeData: data, Hashes: hashes, Forward: true, Limit: store.MaxPage}
	err = pages(ctx, c, p, q, func(page *store.Page) error {
		found = append(found, page.Messages...)
		return nil
	})
	return found, err
}
