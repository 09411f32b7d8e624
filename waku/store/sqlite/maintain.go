package sqlite

import (
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/parley-im/parley/waku/store"
)

// idsPart is the number of ids read at a time.
const idsPart = 2048

// removePart is the number of entries removed at a time.
const removePart = 32768

// IDs implements store.Maintainer.
func (a *Archive) IDs(ctx context.Context, sp store.Span) iter.Seq2[store.ID, error] {
	return func(yield func(store.ID, error) bool) {
		w := within{from: key{max(0, sp.Start), nil}, to: key{sp.End, nil}, forward: true, limit: idsPart}
		for more := true; more; {
			var part []store.ID
			err := a.read(ctx, func(r *reader) (err error) {
				part, more, err = r.ids(sp.PubsubTopics, &w)
				return err
			})
			if err != nil {
				yield(store.ID{}, err)
				return
			}
			for _, id := range part {
				if !yield(id, nil) {
					return
				}
			}
		}
	}
}

// ids returns some ids within w, which then begins behind them, and whether
// there may be more.
func (r *reader) ids(pubsubs []string, w *within) (ids []store.ID, more bool, err error) {
	if err := r.ctx.Err(); err != nil || w.to.timestamp <= 0 {
		return nil, false, err
	}
	found, err := r.scan(nil, *w)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	r.close()
	for i := range found {
		p := &found[i]
		if len(pubsubs) > 0 {
			pubsub, err := r.pubsub(p)
			if err != nil {
				return nil, false, err
			}
			if !slices.Contains(pubsubs, pubsub) {
				continue
			}
		}
		ids = append(ids, store.ID{Timestamp: p.timestamp, Hash: p.hash})
	}
	edge := found[len(found)-1]
	w.from = edge.key().after()
	return ids, len(found) == w.limit, nil
}

// Stats implements store.Maintainer.
func (a *Archive) Stats(ctx context.Context) (store.Stats, error) {
	var out store.Stats
	counts := make(dayCounts)
	err := a.read(ctx, func(r *reader) error {
		for _, s := range r.slices {
			n, first, last := s.count()
			if n == 0 {
				continue
			}
			if out.Messages == 0 {
				out.Oldest = time.Unix(0, first).UTC()
			}
			out.Messages, out.Newest = out.Messages+int64(n), time.Unix(0, last).UTC()
			chunks := s.view(func(t *tail) {
				for _, d := range daysOf(t.rows, func(id uint32) topic { name, _ := t.name(id); return name }) {
					counts.add(d)
				}
			})
			for _, ch := range chunks {
				for _, d := range ch.days {
					counts.add(d)
				}
			}
		}
		var err error
		out.Bytes, err = a.bytes(r)
		return err
	})
	out.Days = counts.sorted()
	return out, err
}

// bytes is the room of the whole archive.
func (a *Archive) bytes(r *reader) (n int64, err error) {
	for _, s := range r.slices {
		if a.dir != "" {
			n += s.bytes()
			continue
		}
		c, err := r.open(s)
		if err != nil {
			return 0, err
		}
		pages, err := c.number(`PRAGMA page_count`)
		if err != nil {
			return 0, err
		}
		size, err := c.number(`PRAGMA page_size`)
		if err != nil {
			return 0, err
		}
		n += pages * size
	}
	return n, nil
}

// Prune implements store.Maintainer. It works in steps, between which entries are
// kept and queries answered.
//
// Where Bytes is a bound, slices go as a whole unless that would take much
// more than need be; a slice then loses its oldest entries and is written
// anew. An archive has 256 KiB of room for each slice beside its entries.
func (a *Archive) Prune(ctx context.Context, ret store.Retention, now time.Time) (store.Pruned, error) {
	p := pruning{a: a, ctx: ctx}
	before, err := p.bytes()
	if err != nil {
		return store.Pruned{}, err
	}
	if ret.Age > 0 {
		err = p.below(key{now.UnixNano() - int64(ret.Age), nil})
	}
	if ret.Messages > 0 && err == nil {
		err = p.down(ret.Messages)
	}
	if ret.Bytes > 0 && err == nil {
		err = p.shrink(ret.Bytes)
	}
	after, sizeErr := p.bytes()
	return store.Pruned{Messages: p.messages, Bytes: max(0, before-after)}, a.explain(errors.Join(err, sizeErr))
}

// pruning is one call of Prune.
type pruning struct {
	a        *Archive
	ctx      context.Context
	messages int64 // removed
}

func (p *pruning) bytes() (n int64, err error) {
	err = p.a.read(p.ctx, func(r *reader) (err error) {
		n, err = p.a.bytes(r)
		return err
	})
	return n, err
}

// oldest returns the oldest slice with the number of its entries; nil when
// there is none.
func (p *pruning) oldest() (s *slice, n int, err error) {
	err = p.a.read(p.ctx, func(r *reader) error {
		if len(r.slices) > 0 {
			s = r.slices[0]
			n, _, _ = s.count()
		}
		return nil
	})
	return s, n, err
}

// below removes the entries before a place.
func (p *pruning) below(cut key) error {
	for _, s := range *p.a.slices.Load() {
		if s.start >= cut.timestamp && s.start != 0 {
			break
		}
		if err := p.cut(s, cut); err != nil {
			return err
		}
	}
	return nil
}

// down removes the oldest entries down to a number.
func (p *pruning) down(bound int64) error {
	var spare int64
	err := p.a.read(p.ctx, func(r *reader) error {
		for _, s := range r.slices {
			n, _, _ := s.count()
			spare += int64(n)
		}
		spare -= bound
		return nil
	})
	if err != nil || spare <= 0 {
		return err
	}
	return p.remove(spare)
}

// remove removes the n oldest entries.
func (p *pruning) remove(n int64) error {
	for n > 0 {
		s, kept, err := p.oldest()
		if err != nil || s == nil {
			return err
		}
		before := p.messages
		if int64(kept) <= n && p.a.dir != "" {
			err = p.drop(s)
		} else {
			var cut key
			if cut, err = p.nth(s, min(n, removePart)); err == nil {
				err = p.cut(s, cut)
			}
		}
		if err != nil {
			return err
		}
		if p.messages == before && p.a.dir == "" {
			return nil // nothing is kept
		}
		n -= p.messages - before
	}
	return nil
}

// nth returns the place behind the n oldest entries of a slice.
func (p *pruning) nth(s *slice, n int64) (cut key, err error) {
	err = p.a.read(p.ctx, func(r *reader) error {
		found, err := r.scanSlice(s, nil, &within{to: last, forward: true, limit: int(n)})
		if len(found) > 0 {
			cut = found[len(found)-1].key().after()
		}
		return err
	})
	return cut, err
}

// shrink removes the oldest entries until the archive takes no more than
// bound bytes.
func (p *pruning) shrink(bound int64) error {
	size, err := p.bytes()
	if err != nil || size <= bound {
		return err
	}
	for _, s := range *p.a.slices.Load() { // what has been removed already takes no room
		if err := p.tidy(s, true); err != nil {
			return err
		}
	}
	for {
		if size, err = p.bytes(); err != nil || size <= bound {
			return err
		}
		s, n, err := p.oldest()
		if err != nil || s == nil {
			return err
		}
		own := s.bytes()
		if p.a.dir == "" {
			own = size
		}
		// A little more than need be, for not to be here again at once.
		spare := size - bound + bound/32
		switch {
		case n == 0 && p.a.dir == "":
			return nil
		case p.a.dir != "" && (n == 0 || own <= spare || own <= bound/8):
			err = p.drop(s)
		default:
			if err = p.remove(1 + int64(float64(n)*min(1, float64(spare)/float64(own)))); err == nil {
				err = p.tidy(s, true)
			}
		}
		if err != nil {
			return err
		}
	}
}

// change lets do remove what readers may know.
func (p *pruning) change(do func() error) error {
	p.a.mu.RLock()
	defer p.a.mu.RUnlock()
	if p.a.closed {
		return store.ErrClosed
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	p.a.writing.Lock()
	defer p.a.writing.Unlock()
	return do()
}

// drop removes a slice.
func (p *pruning) drop(s *slice) error {
	return p.change(func() error { return p.dropNow(s) })
}

func (p *pruning) dropNow(s *slice) error {
	a := p.a
	a.reading.Lock()
	defer a.reading.Unlock()
	all := *a.slices.Load()
	i := slices.Index(all, s)
	if i < 0 {
		return nil // by another call
	}
	n, _, _ := s.count()
	rest := slices.Delete(slices.Clone(all), i, i+1)
	a.slices.Store(&rest)
	p.messages += int64(n)
	err := a.pool.drop(s)
	// The database goes first: without it the other files are nothing.
	for _, suffix := range suffixes {
		if e := os.Remove(s.path + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// cut removes the entries of a slice before a place, and the slice with the
// last of them.
func (p *pruning) cut(s *slice, cut key) error {
	n, first, newest := s.count()
	if n > 0 && first > cut.timestamp {
		return nil
	}
	if p.a.dir != "" && newest < cut.timestamp {
		// Nothing may have come in meanwhile.
		gone := false
		err := p.change(func() error {
			if _, _, newest := s.count(); newest >= cut.timestamp {
				return nil
			}
			gone = true
			return p.dropNow(s)
		})
		if gone || err != nil {
			return err
		}
	}
	if err := p.change(func() error { return p.a.flush(s) }); err != nil {
		return err
	}
	for _, ch := range s.view(func(*tail) {}) {
		if ch.min > cut.timestamp {
			continue
		}
		if err := p.change(func() error { return p.cutChunk(s, ch, cut) }); err != nil {
			return err
		}
	}
	if n, _, _ := s.count(); n == 0 && p.a.dir != "" {
		return p.change(func() error {
			if n, _, _ := s.count(); n > 0 {
				return nil
			}
			return p.dropNow(s)
		})
	}
	return p.tidy(s, false)
}
