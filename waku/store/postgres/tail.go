package postgres

import (
	"sync"

	"github.com/jackc/pgx/v5"
)

// maxTail is how many entries wait in the table recent for their chunks to be
// written.
const maxTail = 1 << 14

// tailSQL asks for what has come to the table recent since a number, and up to
// which number it was emptied.
const tailSQL = `SELECT s.flushed, r.id, r.entries FROM state s LEFT JOIN recent r ON r.id > greatest(s.flushed, $1)`

// tail is what a process knows of the table recent. What was added to it is read
// once. It is emptied at once, and its rows have ascending numbers in the order
// in which they are committed, for writers take turns.
type tail struct {
	mu      sync.Mutex
	flushed int64
	seen    int64   // the last number read
	entries []entry // in no order; what is in it stays as it is
}

// known is what a tail had at a moment.
type known struct {
	flushed, seen int64
	entries       []entry
}

func (t *tail) known() known {
	t.mu.Lock()
	defer t.mu.Unlock()
	return known{t.flushed, t.seen, t.entries}
}

// forget has everything read again.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushed, t.seen, t.entries = 0, 0, nil
}

// read adds the answer to tailSQL, asked with k.seen, to k. Others profit.
func (t *tail) read(k *known) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		var (
			flushed int64
			id      *int64
			raw     []byte
			more    []entry
		)
		seen := k.seen
		_, err := pgx.ForEachRow(rows, []any{&flushed, &id, &raw}, func() (err error) {
			if id != nil {
				seen = max(seen, *id)
				more, err = decodeEntries(more, raw, everything)
			}
			return err
		})
		if err != nil {
			return err
		}
		if flushed == k.flushed && len(more) == 0 {
			return nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		mine := t.flushed == k.flushed && t.seen == k.seen // nobody was faster
		switch {
		case flushed != k.flushed:
			*k = known{flushed, max(seen, flushed), more}
		case mine:
			*k = known{flushed, seen, append(t.entries, more...)}
		default:
			*k = known{flushed, seen, append(k.entries[:len(k.entries):len(k.entries)], more...)}
		}
		if mine {
			t.flushed, t.seen, t.entries = k.flushed, k.seen, k.entries
		}
		return nil
	}
}
