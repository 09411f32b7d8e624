package storage

import (
	"errors"
	"fmt"

	"github.com/tidwall/btree"

	"github.com/parley-im/parley/internal/kv"
)

// Scan implements kv.Store.
func (tx *Tx) Scan(prefix string, visit func(key string, value []byte) error) error {
	return tx.Range(kv.Prefix(prefix), visit)
}

// Range implements kv.Ranger: the transaction's own writes are merged into what
// was there before.
func (tx *Tx) Range(r kv.Range, visit func(key string, value []byte) error) error {
	own := newWalk(tx.writes, r)
	// upTo visits the transaction's own writes that come no later than a key,
	// and tells whether that key is one of them.
	upTo := func(key string) (replaced bool, err error) {
		for own.more && !own.later(key) {
			replaced = own.it.Key() == key
			if err := own.visit(visit); err != nil {
				return replaced, err
			}
		}
		return replaced, nil
	}
	stopped := false
	err := tx.base.Range(r, func(key string, value []byte) error {
		replaced, err := upTo(key)
		if err == nil && !replaced {
			err = visit(key, value)
		}
		stopped = err != nil
		return err
	})
	if err != nil && !stopped && !errors.Is(err, ErrIO) {
		err = fmt.Errorf("%w: %w", ErrIO, err)
	}
	for err == nil && !stopped && own.more {
		err = own.visit(visit)
	}
	if errors.Is(err, kv.Stop) {
		return nil
	}
	return err
}

// walk goes through a range of a transaction's own writes.
type walk struct {
	it btree.MapIter[string, []byte]
	r  kv.Range
	// more tells that the iterator stands on a key of the range.
	more bool
}

func newWalk(writes *btree.Map[string, []byte], r kv.Range) *walk {
	w := &walk{it: writes.Iter(), r: r}
	switch {
	case !r.Reverse:
		w.more = w.it.Seek(r.From)
	case r.To != "" && w.it.Seek(r.To):
		w.more = w.it.Prev()
	default:
		w.more = w.it.Last()
	}
	w.check()
	return w
}

func (w *walk) check() {
	w.more = w.more && w.it.Key() >= w.r.From && (w.r.To == "" || w.it.Key() < w.r.To)
}

// later tells whether the walk stands behind a key.
func (w *walk) later(key string) bool {
	if w.r.Reverse {
		return w.it.Key() < key
	}
	return w.it.Key() > key
}

// visit shows the entry it stands on, unless that is a deletion, and goes on.
func (w *walk) visit(visit func(string, []byte) error) error {
	if value := w.it.Value(); value != nil {
		if err := visit(w.it.Key(), value); err != nil {
			return err
		}
	}
	if w.r.Reverse {
		w.more = w.it.Prev()
	} else {
		w.more = w.it.Next()
	}
	w.check()
	return nil
}
