package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	messageSQL = `SELECT message FROM messages WHERE id = ?1`
)

// place is an entry in the index of its slice.
type place struct {
	record
	in *slice
}

// Query implements store.Archive.
func (a *Archive) Query(ctx context.Context, q *store.Query) (page *store.Page, err error) {
	if err := q.Validate(); err != nil {
		return nil, err
	}
	err = a.read(ctx, func(r *reader) error {
		page, err = r.query(q)
		return err
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrUnknownCursor) && !errors.Is(err, store.ErrClosed) {
		err = fmt.Errorf("querying the store archive: %w", err)
	}
	return page, err
}

// read lets do read while nothing is removed.
func (a *Archive) read(ctx context.Context, do func(*reader) error) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return store.ErrClosed
	}
	select {
	case a.readers <- struct{}{}:
		defer func() { <-a.readers }()
	case <-ctx.Done():
		return ctx.Err()
	}
	a.reading.RLock()
	defer a.reading.RUnlock()
	r := &reader{session: session{ctx: ctx, pool: &a.pool}, slices: *a.slices.Load()}
	defer r.close()
	err := do(r)
	if cause := ctx.Err(); err != nil && cause != nil {
		return cause
	}
	return err
}

// reader reads the slices there are at one moment.
type reader struct {
	session
	slices []*slice
	// The pubsub topics by number of the slice asked last.
	pubsubs map[uint32]string
	of      *slice
}

// query answers one page.
func (r *reader) query(q *store.Query) (*store.Page, error) {
	// One more than the page tells whether there is another.
	size := q.PageSize()
	w := within{from: key{q.TimeStart, nil}, to: last, forward: q.Forward, limit: size + 1}
	if q.TimeEnd != 0 {
		w.to = key{q.TimeEnd, nil}
	}
	if q.Cursor != nil {
		at, err := r.find(*q.Cursor)
		if err != nil {
			return nil, err
		}
		if len(at) == 0 {
			return nil, fmt.Errorf("%w: %s", store.ErrUnknownCursor, *q.Cursor)
		}
		if k := at[0].key(); q.Forward && compareKeys(w.from, k.after()) < 0 {
			w.from = k.after()
		} else if !q.Forward && compareKeys(k, w.to) < 0 {
			w.to = k
		}
	}
	var (
		found []place
		err   error
	)
	switch {
	case len(q.Hashes) > 0:
		found, err = r.lookup(q, &w)
	case len(q.ContentTopics) > 0:
		var topics []topic
		for _, content := range q.ContentTopics {
			if t := (topic{q.PubsubTopic, content}); !slices.Contains(topics, t) {
				topics = append(topics, t)
			}
		}
		found, err = r.scan(topics, w)
	default:
		found, err = r.scan(nil, w)
	}
	if err != nil {
		return nil, err
	}
	more := len(found) > size
	found = found[:min(size, len(found))]
	if !q.Forward {
		slices.Reverse(found)
	}
	page := &store.Page{Messages: make([]store.Entry, len(found))}
	for i := range found {
		page.Messages[i].Hash = found[i].hash
	}
	if q.IncludeData {
		err = r.fill(page.Messages, found, q.Encoded)
	}
	if more {
		outer := page.Messages[0].Hash
		if q.Forward {
			outer = page.Messages[size-1].Hash
		}
		page.Cursor = &outer
	}
	return page, err
}

// scan returns the first entries within w, of some topic pairs or, when none
// is given, of all.
func (r *reader) scan(topics []topic, w within) ([]place, error) {
	var out []place
	for i := range r.slices {
		if !w.forward {
			i = len(r.slices) - 1 - i
		}
		s, end := r.slices[i], int64(math.MaxInt64)
		if i+1 < len(r.slices) {
			end = r.slices[i+1].start
		}
		if s.start > w.to.timestamp || end <= w.from.timestamp {
			continue
		}
		part := w
		part.limit = w.limit - len(out)
		found, err := r.scanSlice(s, topics, &part)
		if err != nil {
			return nil, err
		}
		for _, rec := range found {
			out = append(out, place{rec, s})
		}
		if len(out) >= w.limit {
			break
		}
	}
	return out, nil
}

// scanSlice returns the first entries of a slice within w. What is found
// narrows w for what is looked through after it.
func (r *reader) scanSlice(s *slice, topics []topic, w *within) ([]record, error) {
	var found []record
	chunks := s.view(func(t *tail) {
		if len(topics) == 0 {
			found = t.scan(found, nil, w)
		}
		for i := range topics {
			found = w.reduce(t.scan(found, &topics[i], w))
		}
	})
	keys := make([]uint64, len(topics))
	for i, t := range topics {
		keys[i] = t.filterKey()
	}
	found = w.reduce(found)
	var c *conn
	ids := make([]uint32, len(topics)) // asked for when first needed
	known := false
	for i := range chunks {
		ch := chunks[i]
		if !w.forward {
			ch = chunks[len(chunks)-1-i]
		}
		if ch.max < w.from.timestamp || ch.min > w.to.timestamp {
			continue
		}
		var hit []int
		for i, k := range keys {
			if ch.filter.has(k) {
				hit = append(hit, i)
			}
		}
		if len(hit) == 0 && len(topics) > 0 {
			continue
		}
		var err error
		if c == nil {
			if c, err = r.open(s); err != nil {
				return nil, err
			}
		}
		if len(topics) == 0 {
			if found, err = c.scanChunk(found, ch, 0, w); err != nil {
				return nil, err
			}
			found = w.reduce(found)
			continue
		}
		if !known {
			for i, t := range topics {
				if ids[i], err = c.findTopic(t); err != nil {
					return nil, err
				}
			}
			known = true
		}
		for _, i := range hit {
			if ids[i] == 0 {
				continue
			}
			if found, err = c.scanChunk(found, ch, ids[i], w); err != nil {
				return nil, err
			}
			found = w.reduce(found)
		}
	}
	return found, nil
}

// find returns the places of hashes, those that are there, each once.
func (r *reader) find(hashes ...message.Hash) (out []place, err error) {
	missing := slices.Clone(hashes)
	slices.SortFunc(missing, func(a, b message.Hash) int { return bytes.Compare(a[:], b[:]) })
	missing = slices.Compact(missing)
	for i := range r.slices { // the newest are asked for most
		s := r.slices[len(r.slices)-1-i]
		chunks := s.view(func(t *tail) {
			missing = slices.DeleteFunc(missing, func(h message.Hash) bool {
				rec, ok := t.find(&h)
				if ok {
					out = append(out, place{rec, s})
				}
				return ok
			})
		})
		var c *conn
		for j := range chunks {
			ch := chunks[len(chunks)-1-j]
			missing = slices.DeleteFunc(missing, func(h message.Hash) bool {
				if err != nil || !ch.filter.has(prefix(&h)) {
					return false
				}
				if c == nil {
					if c, err = r.open(s); err != nil {
						return false
					}
				}
				var (
					rec record
					ok  bool
				)
				if rec, ok, err = c.findIn(ch, &h); ok {
					out = append(out, place{rec, s})
				}
				return ok
			})
			if err != nil {
				return nil, err
			}
		}
		if len(missing) == 0 {
			break
		}
	}
	return out, nil
}

// lookup returns the asked hashes that are there and within w, in the query's
// direction.
func (r *reader) lookup(q *store.Query, w *within) ([]place, error) {
	found, err := r.find(q.Hashes...)
	if err != nil {
		return nil, err
	}
	r.close() // the snapshot may be older than what was found
	slices.SortFunc(found, func(a, b place) int { return compareRecords(a.record, b.record) })
	if !q.Forward {
		slices.Reverse(found)
	}
	kept := found[:0]
	for _, p := range found {
		if k := p.key(); compareKeys(k, w.from) < 0 || compareKeys(k, w.to) >= 0 {
			continue
		}
		if q.PubsubTopic != "" {
			pubsub, err := r.pubsub(&p)
			if err != nil {
				return nil, err
			}
			if pubsub != q.PubsubTopic {
				continue
			}
		}
		kept = append(kept, p)
	}
	return kept, nil
}

// pubsub returns the pubsub topic of an entry.
func (r *reader) pubsub(p *place) (string, error) {
	if r.of != p.in {
		r.of, r.pubsubs = p.in, make(map[uint32]string)
	}
	if name, ok := r.pubsubs[p.topic]; ok {
		return name, nil
	}
	c, err := r.at(p.in)
	if err != nil {
		return "", err
	}
	t, err := c.topicName(p.topic)
	if err == nil {
		r.pubsubs[p.topic] = t.pubsub
	}
	return t.pubsub, err
}

// fill reads what entries have beside their hash.
func (r *reader) fill(entries []store.Entry, found []place, encoded bool) error {
	r.close() // the snapshot may be older than what was found
	for i := range found {
		p, e := &found[i], &entries[i]
		var err error
		if e.PubsubTopic, err = r.pubsub(p); err != nil {
			return err
		}
		c, err := r.at(p.in)
		if err != nil {
			return err
		}
		st, err := c.prepare(messageSQL)
		if err != nil {
			return err
		}
		if err := st.BindInt64(1, p.id); err != nil {
			return err
		}
		err = each(st, func() error {
			if encoded {
				e.Encoded = st.ColumnBlob(0, []byte{})
				return nil
			}
			e.Message = new(wakupb.WakuMessage)
			return proto.Unmarshal(st.ColumnRawBlob(0), e.Message)
		})
		if err == nil && e.Message == nil && e.Encoded == nil {
			err = fmt.Errorf("%w: no row %d of entry %s", errCorrupt, p.id, e.Hash)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
