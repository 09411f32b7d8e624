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
	// offerSize is the number of messages offered in one session: in the worst
	// case each one is a stretch of time of its own.
	offerSize = MaxIntervals
	// offerPatience is how long a store that ends sessions without an answer is
	// tried again, offerPause the time in between: deployed nodes and this one
	// limit how often a peer begins a session, and have no word for it.
	offerPatience = 30 * time.Second
	offerPause    = time.Second
	// lookPause is the time after which it is looked again for what has not
	// arrived. It doubles, lookTimes times, until something more is there.
	lookPause = 250 * time.Millisecond
	lookTimes = 5
)

// Take implements Source: it begins a reconciliation that lists the entries,
// so that the node misses them, and transfers them. ErrTakesNone when the node
// does not speak WAKU-SYNC, ErrScope when it does not store the topic of some,
// ErrRefused when it would not have them for a while.
func (r *Remote) Take(ctx context.Context, entries []store.Entry) (there int, err error) {
	byTopic := make(map[string][]store.Entry)
	for _, e := range entries {
		byTopic[e.PubsubTopic] = append(byTopic[e.PubsubTopic], e)
	}
	var failures []error
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		of := byTopic[topic]
		slices.SortFunc(of, func(a, b store.Entry) int { return compareIDs(idOf(&a), idOf(&b)) })
		var err error
		for len(of) > 0 && err == nil {
			n := min(len(of), offerSize)
			var taken int
			taken, err = r.take(ctx, topic, of[:n])
			there += taken
			of = of[n:]
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("giving messages of %s to the store of %s: %w", topic, r.Peer, err))
		}
		if err != nil && !errors.Is(err, ErrScope) {
			break
		}
	}
	return there, errors.Join(failures...)
}

// take gives entries of one topic, which are in order, again and again where the
// node ends a session, until none has arrived for offerPatience.
func (r *Remote) take(ctx context.Context, topic string, entries []store.Entry) (there int, err error) {
	for until := time.Now().Add(offerPatience); ; {
		begun, err := r.session(ctx, topic, entries)
		if begun {
			left, lerr := r.left(ctx, entries)
			if n := len(entries) - len(left); n > 0 {
				there += n
				until = time.Now().Add(offerPatience)
			}
			if lerr != nil || len(left) == 0 {
				return there, lerr
			}
			entries = left
		}
		if !errors.Is(err, ErrRefused) || time.Now().After(until) {
			return there, err
		}
		select {
		case <-time.After(offerPause):
		case <-ctx.Done():
			return there, ctx.Err()
		}
	}
}

// session offers entries and transfers them. It has begun when the node has
// read the offer.
func (r *Remote) session(ctx context.Context, topic string, entries []store.Entry) (begun bool, err error) {
	if err := r.offer(ctx, topic, entries); err != nil {
		return false, err
	}
	ids, by := make([]store.ID, len(entries)), make(map[message.Hash]store.Entry, len(entries))
	for i := range entries {
		ids[i] = idOf(&entries[i])
		by[ids[i].Hash] = entries[i]
	}
	_, _, err = transfer(ctx, r.Host, r.Peer, ids, func(_ context.Context, hashes []message.Hash) ([]store.Entry, error) {
		out := make([]store.Entry, len(hashes))
		for i, h := range hashes {
			out[i] = by[h]
		}
		return out, nil
	})
	return true, refusal(ctx, err)
}

// refusal tells why a stream failed: the node does not speak the protocol, or
// has ended the stream.
func refusal(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrUnsupported):
		return fmt.Errorf("%w: %w", ErrTakesNone, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

// offer lists entries in a reconciliation whose ranges hold nothing else. The
// peer sees at once what it lacks; what else it has is not asked for.
func (r *Remote) offer(ctx context.Context, topic string, entries []store.Entry) (err error) {
	stream, err := open(ctx, r.Host, r.Peer, ReconcileID)
	if errors.Is(err, ErrUnsupported) {
		return refusal(ctx, err)
	}
	if err != nil {
		return err
	}
	g := watch(ctx, stream)
	defer func() { g.release(err) }()
	c := &conversation{s: g, r: bufio.NewReader(g), scope: scopeOf(Topics, []string{topic})}
	if err := c.send(offerOf(entries)); err != nil {
		return refusal(ctx, err)
	}
	frame, err := c.read()
	if err != nil {
		return refusal(ctx, err)
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

// left returns those that have not arrived; it waits a little for them.
func (r *Remote) left(ctx context.Context, entries []store.Entry) ([]store.Entry, error) {
	pause := lookPause
	for looks := 0; ; {
		var still []store.Entry
		for chunk := range slices.Chunk(entries, store.MaxHashes) {
			hashes := make([]message.Hash, len(chunk))
			for i := range chunk {
				hashes[i] = chunk[i].Hash
			}
			found, err := lookup(ctx, r.Client, r.Peer, hashes, false)
			if err != nil {
				return entries, err
			}
			for _, e := range chunk {
				if !slices.ContainsFunc(found, func(f store.Entry) bool { return f.Hash == e.Hash }) {
					still = append(still, e)
				}
			}
		}
		if len(still) < len(entries) {
			pause, looks = lookPause, 0
		}
		entries = still
		if looks++; len(entries) == 0 || looks > lookTimes {
			return entries, nil
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return entries, ctx.Err()
		}
	}
}
