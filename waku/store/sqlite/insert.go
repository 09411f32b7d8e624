package sqlite

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/waku/store"
)

// insertion is one call of Insert on its way to the writer.
type insertion struct {
	rows []row
	done chan error
}

// row is an entry in the form it is stored.
type row struct {
	record
	name    topic
	message []byte
}

// Insert implements store.Archive.
func (a *Archive) Insert(ctx context.Context, entries ...store.Entry) error {
	in := &insertion{rows: make([]row, len(entries)), done: make(chan error, 1)}
	if err := prepareRows(in.rows, entries, time.Now()); err != nil {
		return err
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return store.ErrClosed
	}
	if len(in.rows) == 0 {
		return nil
	}
	select {
	case a.work <- in:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-in.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parallelRows is the number of rows that are worth a goroutine.
const parallelRows = 128

// prepareRows checks entries and puts them in the form they are stored, which
// is most of the work of an insert that is not the database's.
func prepareRows(rows []row, entries []store.Entry, now time.Time) error {
	if len(rows) <= parallelRows {
		for i := range entries {
			if err := rows[i].set(&entries[i], now); err != nil {
				return err
			}
		}
		return nil
	}
	half := len(rows) / 2
	var (
		wg  sync.WaitGroup
		err error
	)
	wg.Go(func() { err = prepareRows(rows[:half], entries[:half], now) })
	other := prepareRows(rows[half:], entries[half:], now)
	wg.Wait()
	if err == nil {
		err = other
	}
	return err
}

func (r *row) set(e *store.Entry, now time.Time) error {
	if err := e.Check(now); err != nil {
		return err
	}
	raw, err := proto.Marshal(e.Message)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	r.record = record{timestamp: e.Message.GetTimestamp(), hash: e.Hash, size: uint32(len(raw))}
	r.name, r.message = topic{e.PubsubTopic, e.Message.GetContentTopic()}, raw
	return nil
}
