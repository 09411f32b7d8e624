package storesync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

var (
	// ErrDense is a stretch of time with more entries than were allowed for.
	ErrDense = errors.New("storesync: too many messages in a stretch of time")
	// ErrTakesNone is a store that cannot be repaired over the network: it
	// answers queries, and takes no messages from us.
	ErrTakesNone = errors.New("storesync: this store takes no messages from others: it does not speak WAKU-SYNC")
)

// Source is a store to be compared with another.
type Source interface {
	// Hashes lists the hashes of the entries with start ≤ timestamp < end, in
	// nanoseconds, in their order; ErrDense when there are more than limit.
	Hashes(ctx context.Context, start, end int64, limit int) ([]message.Hash, error)
	// Entries looks up at most store.MaxHashes hashes; those it does not have
	// are not in the answer.
	Entries(ctx context.Context, hashes []message.Hash) ([]store.Entry, error)
	// Take keeps entries and returns how many of them are there afterwards.
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
	return len(fit), l.Archive.Insert(ctx, fit...)
}

// Remote is the store of another node, as far as it answers store queries.
type Remote struct {
	Host   host.Host
	Peer   peer.ID
	Client Querier
}

// NewRemote returns the store of a node that h is connected to, or has the
// address of.
func NewRemote(h host.Host, p peer.ID) *Remote { return &Remote{h, p, store.NewClient(h)} }

// Hashes implements Source.
func (r *Remote) Hashes(ctx context.Context, start, end int64, limit int) (hashes []message.Hash, err error) {
	q := &store.Query{Forward: true, TimeStart: start, TimeEnd: end, Limit: store.MaxPage}
	err = pages(ctx, r.Client, r.Peer, q, func(page *store.Page) error {
		if len(hashes)+len(page.Messages) > limit {
			return ErrDense
		}
		for i := range page.Messages {
			hashes = append(hashes, page.Messages[i].Hash)
		}
		return nil
	})
	return hashes, err
}

// Entries implements Source.
func (r *Remote) Entries(ctx context.Context, hashes []message.Hash) ([]store.Entry, error) {
	return lookup(ctx, r.Client, r.Peer, hashes, true)
}

const (
	// offerSize is the number of messages offered in one session.
	offerSize = 512
	// offerPause is the time between looking whether they have arrived,
	// offerLooks how often.
	offerPause = 250 * time.Millisecond
	offerLooks = 40
)

// Take implements Source: it begins a reconciliation that lists the entries,
// so that the node misses them, and transfers them. ErrTakesNone when the node
// has no part in that, ErrScope when it has not for the topic of some.
func (r *Remote) Take(ctx context.Context, entries []store.Entry) (there int, err error) {
	byTopic := make(map[string][]store.Entry)
	for _, e := range entries {
		byTopic[e.PubsubTopic] = append(byTopic[e.PubsubTopic], e)
	}
	var failures []error
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		n, err := r.takeTopic(ctx, topic, byTopic[topic])
		there += n
		if err != nil {
			failures = append(failures, fmt.Errorf("giving messages of %s to the store of %s: %w", topic, r.Peer, err))
		}
		if err != nil && !errors.Is(err, ErrScope) {
			break
		}
	}
	return there, errors.Join(failures...)
}

// takeTopic is Take for the entries of one topic.
func (r *Remote) takeTopic(ctx context.Context, topic string, entries []store.Entry) (there int, err error) {
	slices.SortFunc(entries, func(a, b store.Entry) int { return compareIDs(idOf(&a), idOf(&b)) })
	for batch := range slices.Chunk(entries, offerSize) {
		n, err := r.take(ctx, topic, batch)
		there += n
		if err != nil {
			return there, err
		}
	}
	return there, nil
}

func (r *Remote) take(ctx context.Context, topic string, entries []store.Entry) (int, error) {
	if err := r.offer(ctx, topic, entries); err != nil {
		return 0, err
	}
	ids, by := make([]store.ID, len(entries)), make(map[message.Hash]store.Entry, len(entries))
	for i := range entries {
		ids[i] = idOf(&entries[i])
		by[ids[i].Hash] = entries[i]
	}
	_, _, err := transfer(ctx, r.Host, r.Peer, ids, func(_ context.Context, hashes []message.Hash) ([]store.Entry, error) {
		out := make([]store.Entry, len(hashes))
		for i, h := range hashes {
			out[i] = by[h]
		}
		return out, nil
	})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrTakesNone, err)
	}
	return r.present(ctx, ids)
}

// offer lists entries in a reconciliation whose ranges hold nothing else. The
// peer sees at once what it lacks; what else it has is not asked for.
func (r *Remote) offer(ctx context.Context, topic string, entries []store.Entry) (err error) {
	stream, err := open(ctx, r.Host, r.Peer, ReconcileID)
	if err != nil {
		if errors.Is(err, ErrUnsupported) {
			err = fmt.Errorf("%w: %w", ErrTakesNone, err)
		}
		return err
	}
	g := watch(ctx, stream)
	defer func() { g.release(err) }()
	c := &conversation{s: g, r: bufio.NewReader(g), scope: scopeOf(Topics, []string{topic})}
	if err := c.send(offerOf(entries)); err != nil {
		return err
	}
	frame, err := c.read()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTakesNone, err)
	}
	if len(frame) == 0 {
		return ErrScope
	}
	_, err = Decode(frame)
	return err
}

// offerOf returns the ranges of an offer, one nanosecond for each timestamp.
func offerOf(entries []store.Entry) (ranges []Range) {
	for i := range entries {
		id := idOf(&entries[i])
		n := len(ranges)
		if n > 0 && ranges[n-1].Lower.Timestamp == id.Timestamp {
			ranges[n-1].Items = append(ranges[n-1].Items, id)
			continue
		}
		b := Between(id.Timestamp, id.Timestamp+1)
		if n > 0 && ranges[n-1].Upper != b.Lower {
			ranges = append(ranges, Range{Bounds: Bounds{ranges[n-1].Upper, b.Lower}})
		}
		ranges = append(ranges, Range{Bounds: b, Kind: Items, Items: []store.ID{id}, Reconciled: true})
	}
	return ranges
}

// present counts those that have arrived; it waits a little for them.
func (r *Remote) present(ctx context.Context, ids []store.ID) (there int, err error) {
	missing := make([]message.Hash, len(ids))
	for i, id := range ids {
		missing[i] = id.Hash
	}
	for range offerLooks {
		var still []message.Hash
		for hashes := range slices.Chunk(missing, store.MaxHashes) {
			found, err := lookup(ctx, r.Client, r.Peer, hashes, false)
			if err != nil {
				return there, err
			}
			for _, h := range hashes {
				if !slices.ContainsFunc(found, func(e store.Entry) bool { return e.Hash == h }) {
					still = append(still, h)
				}
			}
		}
		missing = still
		if there = len(ids) - len(missing); len(missing) == 0 {
			return there, nil
		}
		select {
		case <-time.After(offerPause):
		case <-ctx.Done():
			return there, ctx.Err()
		}
	}
	return there, nil
}
