package storesync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// firstWidth is the first stretch of time compared.
	firstWidth = int64(time.Hour)
	// maxWindow bounds the hashes of one store that are held at a time;
	// stretches of time with more are divided, those with less than a quarter
	// are followed by one twice as long.
	maxWindow = 16_384
	// resolveSize is the number of differing messages read at a time.
	resolveSize = 32
)

// Side is one of the two stores of a comparison, or both.
type Side uint8

const (
	A Side = 1 << iota
	B
)

// Difference is an entry that one store has and the other lacks.
type Difference struct {
	// In is the store that has it.
	In Side
	// Entry has no message when the store lists the hash and does not hand
	// the message out, or another one than it listed.
	Entry store.Entry
}

// Summary counts what a comparison found.
type Summary struct{ Same, OnlyA, OnlyB int }

// Compare compares two stores over a span and yields the differences in order; an
// error of yield ends it.
//
// Answers of stores without data carry no timestamps. So hashes are listed by
// stretches of time, as sets, and only those that one side alone has are read
// with their messages, which tell time and pubsub topic. Neither store is held
// in memory; a store that keeps other topics than the span's costs as much as
// if they differed, for a listing does not tell topics either.
func Compare(ctx context.Context, a, b Source, span store.Span, yield func(Difference) error) (sum Summary, err error) {
	if span.Start < 0 || span.Start > span.End {
		return sum, fmt.Errorf("%w: it begins at %d ns and ends at %d ns", ErrOutside, span.Start, span.End)
	}
	for at, width := span.Start, firstWidth; at < span.End; {
		end := at + min(width, span.End-at)
		inA, err := a.Hashes(ctx, at, end, maxWindow)
		var inB []message.Hash
		if err == nil {
			inB, err = b.Hashes(ctx, at, end, maxWindow)
		}
		if errors.Is(err, ErrDense) && end-at > 1 {
			width = (end - at + 3) / 4
			continue
		}
		if err != nil {
			return sum, err
		}
		w := window{ctx: ctx, start: at, end: end, topics: span.PubsubTopics}
		onlyA, onlyB := without(inA, inB), without(inB, inA)
		sum.Same += len(inA) - len(onlyA)
		if err := w.merge(&side{src: a, in: A, hashes: onlyA}, &side{src: b, in: B, hashes: onlyB}, &sum, yield); err != nil {
			return sum, err
		}
		if max(len(inA), len(inB)) < maxWindow/4 && width <= maxTimestamp/2 {
			width *= 2
		}
		at = end
	}
	return sum, nil
}

// without returns what of a is not in b, in order.
func without(a, b []message.Hash) (out []message.Hash) {
	in := make(map[message.Hash]struct{}, len(b))
	for _, h := range b {
		in[h] = struct{}{}
	}
	for _, h := range a {
		if _, ok := in[h]; !ok {
			out = append(out, h)
		}
	}
	return out
}

// window is a stretch of time of a comparison.
type window struct {
	ctx        context.Context
	start, end int64
	topics     []string
}

// side is what one store alone has of a window, read as it is needed.
type side struct {
	src    Source
	in     Side
	hashes []message.Hash // to be read
	ready  []store.Entry
}

// merge yields the differences of both sides in order.
func (w *window) merge(a, b *side, sum *Summary, yield func(Difference) error) error {
	for {
		if err := errors.Join(w.fill(a), w.fill(b)); err != nil {
			return err
		}
		next, count := a, &sum.OnlyA
		switch {
		case len(a.ready) == 0 && len(b.ready) == 0:
			return nil
		case len(a.ready) == 0 || len(b.ready) > 0 && before(&b.ready[0], &a.ready[0]):
			next, count = b, &sum.OnlyB
		}
		*count++
		d := Difference{next.in, next.ready[0]}
		next.ready = next.ready[1:]
		if err := yield(d); err != nil {
			return err
		}
	}
}

// before orders entries; those without a message come first.
func before(a, b *store.Entry) bool {
	return cmp.Or(cmp.Compare(a.Message.GetTimestamp(), b.Message.GetTimestamp()), slices.Compare(a.Hash[:], b.Hash[:])) < 0
}

// fill reads entries of a side until there is one to yield.
func (w *window) fill(s *side) error {
	for len(s.ready) == 0 && len(s.hashes) > 0 {
		n := min(len(s.hashes), resolveSize)
		found, err := s.src.Entries(w.ctx, s.hashes[:n])
		if err != nil {
			return err
		}
		for _, h := range s.hashes[:n] {
			e := store.Entry{Hash: h}
			if i := slices.IndexFunc(found, func(e store.Entry) bool { return e.Hash == h }); i >= 0 {
				e = found[i]
			}
			if w.selects(&e) {
				s.ready = append(s.ready, e)
			}
		}
		s.hashes = s.hashes[n:]
	}
	return nil
}

// selects says whether an entry belongs to the window. Some stores list what is
// at the end of the time they are asked for, which belongs to the next.
func (w *window) selects(e *store.Entry) bool {
	if e.Message == nil {
		return true
	}
	t := e.Message.GetTimestamp()
	return t >= w.start && t < w.end && (len(w.topics) == 0 || slices.Contains(w.topics, e.PubsubTopic))
}

// Repaired counts what was copied.
type Repaired struct {
	Summary
	// ToA and ToB are the messages that the store has now and lacked before.
	ToA, ToB int
}

const (
	// repairBatch and repairBytes bound what is held to be copied, to each
	// store: as much as another node takes in one session, which it limits.
	repairBatch = offerSize
	repairBytes = 16 << 20
)

// Repair copies what a store lacks of a span from the other one, to those of
// the two that into names. When one takes nothing (ErrTakesNone), nothing any
// more (ErrRefused), or not of some topics (ErrScope), the rest is done
// nevertheless, and that error comes at the end.
func Repair(ctx context.Context, a, b Source, span store.Span, into Side) (done Repaired, err error) {
	toA := &repair{dst: a, off: into&A == 0, there: &done.ToA}
	toB := &repair{dst: b, off: into&B == 0, there: &done.ToB}
	done.Summary, err = Compare(ctx, a, b, span, func(d Difference) error {
		if d.Entry.Message == nil {
			return nil
		}
		if d.In == A {
			return toB.add(ctx, d.Entry)
		}
		return toA.add(ctx, d.Entry)
	})
	if err == nil {
		err = errors.Join(toA.flush(ctx), toB.flush(ctx))
	}
	return done, errors.Join(err, toA.refused, toB.refused)
}

// repair copies entries to one store.
type repair struct {
	dst     Source
	off     bool
	refused error // the store takes none
	entries []store.Entry
	bytes   int
	there   *int
}

func (r *repair) add(ctx context.Context, e store.Entry) error {
	if r.off {
		return nil
	}
	r.entries = append(r.entries, e)
	r.bytes += len(e.Message.GetPayload())
	if len(r.entries) < repairBatch && r.bytes < repairBytes {
		return nil
	}
	return r.flush(ctx)
}

func (r *repair) flush(ctx context.Context) error {
	if len(r.entries) == 0 {
		return nil
	}
	n, err := r.dst.Take(ctx, r.entries)
	*r.there += n
	r.entries, r.bytes = nil, 0
	switch {
	case errors.Is(err, ErrTakesNone), errors.Is(err, ErrRefused):
		r.off, r.refused = true, err
	case errors.Is(err, ErrScope):
		r.refused = err
	default:
		return err
	}
	return nil
}
