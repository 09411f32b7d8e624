package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// archiveTimeout bounds one transaction.
	archiveTimeout = 30 * time.Second
	// archivePause is the first pause after a failure of the archive. It
	// doubles with each, up to archiveMaxPause: a client that publishes here
	// may wait so long to hear that its message is not kept.
	archivePause    = 100 * time.Millisecond
	archiveMaxPause = 2 * time.Second
	// archiveTell is how often the log says that the archive fails still.
	archiveTell = 30 * time.Second
	// archiveTries is how often a message may fail alone, from when others
	// beside it were written, before it is given up.
	archiveTries = 5
)

// ArchiveStatus is how it stands with what the node writes to its archive.
type ArchiveStatus struct {
	// Queued messages wait, those of a failed transaction among them.
	Queued int `json:"queued"`
	// Written messages were committed since the start.
	Written uint64 `json:"written"`
	// Failed is the number of transactions that failed, Lost that of messages
	// that were accepted and are not in the archive.
	Failed uint64 `json:"failed"`
	Lost   uint64 `json:"lost"`
	// Failing says that the last transaction failed. It is tried again.
	Failing bool `json:"failing"`
	// LastError is why the last failure was, at LastErrorAt.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// archivist writes messages to an archive, many to a transaction. While the
// archive fails (a full disk, a database that is away) it tries again and
// again, and what comes meanwhile waits; only what has no room any more is
// lost, and counted.
type archivist struct {
	archive store.Archive
	log     *slog.Logger
	observe func(n int, took time.Duration, err error)
	queue   *backlog
	ended   chan struct{} // nothing is written any more
	closing chan struct{}
	stop    context.CancelFunc // ends the patience with what waits
	ctx     context.Context
	once    sync.Once
	wg      sync.WaitGroup

	mu   sync.Mutex
	stat ArchiveStatus
	held int // taken from the queue, not written yet
}

func newArchivist(a store.Archive, log *slog.Logger, observe func(n int, took time.Duration, err error)) *archivist {
	w := &archivist{
		archive: a, log: log, observe: observe, queue: newBacklog(),
		ended: make(chan struct{}), closing: make(chan struct{}),
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.wg.Go(w.run)
	return w
}

// close writes what is queued, for at most patience, and ends the writer. Its
// error tells how many messages are not in the archive.
func (w *archivist) close(patience time.Duration) error {
	var err error
	w.once.Do(func() {
		before := w.status().Lost
		w.queue.close()
		close(w.closing)
		late := time.AfterFunc(patience, w.stop)
		w.wg.Wait()
		late.Stop()
		w.stop()
		if st := w.status(); st.Lost > before {
			err = fmt.Errorf("node: %d accepted messages are not in the archive: %s", st.Lost-before, st.LastError)
		}
	})
	return err
}

func (w *archivist) status() ArchiveStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.stat
	st.Queued = w.queue.length() + w.held
	return st
}

// add queues a message; one that may not be stored is passed over. It waits
// for room while the archive works, until ctx ends: a slow archive slows down
// what comes.
func (w *archivist) add(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	if store.Storable(m, time.Now()) != nil {
		return
	}
	if err := w.queue.put(ctx, newJob(store.Entry{Hash: hash, PubsubTopic: pubsubTopic, Message: m})); err != nil {
		w.lose(1, err)
	}
}

// keep writes a message and waits until it is written; when that fails it is
// not tried again. A message that may not be stored is no error.
func (w *archivist) keep(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) error {
	if store.Storable(m, time.Now()) != nil {
		return nil
	}
	j := newJob(store.Entry{Hash: hash, PubsubTopic: pubsubTopic, Message: m})
	j.done = make(chan error, 1)
	if err := w.queue.put(ctx, j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return err
	case <-w.ended:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run writes batch after batch until the queue has ended.
func (w *archivist) run() {
	defer close(w.ended)
	var left []*archiveJob // to be written again
	pause := archivePause
	var failing, told time.Time // since when, zero for not; when the log heard of it
	for {
		batch := w.queue.take(left)
		if w.ctx.Err() != nil {
			w.giveUp(batch)
			return
		}
		if len(batch) == 0 {
			if w.queue.end() {
				return
			}
			<-w.queue.wake
			continue
		}
		w.hold(len(batch))
		var err error
		if left, err = w.write(batch); err == nil {
			pause = archivePause
			w.queue.refuse(false)
			if !failing.IsZero() {
				w.log.Warn("the archive works again", "failed_for", time.Since(failing).Round(time.Millisecond), "waiting", w.queue.length()+len(left))
				failing, told = time.Time{}, time.Time{}
			}
		} else {
			if failing.IsZero() {
				failing = time.Now()
			}
			w.queue.refuse(true)
			if time.Since(told) >= archiveTell {
				told = time.Now()
				w.log.Warn("the archive fails; it is tried again and again", "waiting", w.status().Queued, "cause", err)
			}
			w.rest(pause)
			pause = min(2*pause, archiveMaxPause)
		}
		w.hold(len(left))
	}
}

// giveUp drops what is left: the patience with it is over.
func (w *archivist) giveUp(batch []*archiveJob) {
	for ; len(batch) > 0; batch = w.queue.take(nil) {
		w.lose(len(batch), errBacklog)
	}
	w.hold(0)
}

// rest waits for d; the node's end cuts longer pauses short.
func (w *archivist) rest(d time.Duration) {
	closing := w.closing
	select {
	case <-closing:
		d = min(d, archivePause)
		closing = nil
	default:
	}
	select {
	case <-time.After(d):
	case <-closing:
	case <-w.ctx.Done():
	}
}

// write inserts a batch and returns what of it is to be tried again. The error
// is that of an archive that takes nothing at all.
func (w *archivist) write(batch []*archiveJob) (left []*archiveJob, err error) {
	err = w.insert(batch)
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, store.ErrClosed):
		w.settle(batch, err)
		w.lose(len(batch), err)
		return nil, err
	}
	if j := batch[0]; len(batch) == 1 {
		if j.tries > 0 {
			j.tries++
		}
		return w.failed(j, err, ownFault(err) || j.tries >= archiveTries), err
	}
	// Either the archive takes nothing, or a message in the batch is to blame:
	// if the first or the last goes alone, the rest is searched for it.
	rest := batch
	if !ownFault(err) {
		for _, probe := range []int{0, len(rest) - 1} {
			one := rest[probe : probe+1]
			if w.insert(one) == nil {
				rest = append(rest[:probe:probe], rest[probe+1:]...)
				return w.search(rest), nil
			}
		}
		return w.undone(batch, err), err
	}
	return w.search(rest), nil
}

// search inserts the halves of what failed, down to the messages to blame,
// and returns those to be tried again.
func (w *archivist) search(jobs []*archiveJob) (left []*archiveJob) {
	if len(jobs) == 0 {
		return nil
	}
	err := w.insert(jobs)
	switch {
	case err == nil:
		return nil
	case len(jobs) > 1:
		half := len(jobs) / 2
		return append(w.search(jobs[:half:half]), w.search(jobs[half:])...)
	}
	jobs[0].tries++
	return w.failed(jobs[0], err, ownFault(err) || jobs[0].tries >= archiveTries)
}

// failed deals with a message that could not be written alone: it returns it
// if it is to be tried again.
func (w *archivist) failed(j *archiveJob, err error, final bool) []*archiveJob {
	if j.done != nil {
		j.done <- err
		return nil
	}
	if final {
		w.log.Warn("message not archived", "hash", j.entry.Hash, "cause", err)
		w.lose(1, err)
		return nil
	}
	return []*archiveJob{j}
}

// undone returns the messages of a batch that nobody waits for.
func (w *archivist) undone(batch []*archiveJob, err error) (left []*archiveJob) {
	for _, j := range batch {
		left = append(left, w.failed(j, err, false)...)
	}
	return left
}

// ownFault says that an archive refused a message for what it is.
func ownFault(err error) bool {
	for _, fault := range []error{
		store.ErrInvalid, store.ErrHashMismatch, store.ErrEphemeral, store.ErrNoTimestamp, store.ErrFuture,
	} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// insert writes messages in one transaction and tells who waits for them when
// it succeeds.
func (w *archivist) insert(jobs []*archiveJob) error {
	entries := make([]store.Entry, len(jobs))
	for i, j := range jobs {
		entries[i] = j.entry
	}
	ctx, cancel := context.WithTimeout(w.ctx, archiveTimeout)
	defer cancel()
	start := time.Now()
	err := w.archive.Insert(ctx, entries...)
	if w.observe != nil {
		w.observe(len(entries), time.Since(start), err)
	}
	w.mu.Lock()
	w.stat.Failing = err != nil
	if err != nil {
		w.stat.Failed++
		w.stat.LastError, w.stat.LastErrorAt = err.Error(), time.Now()
	} else {
		w.stat.Written += uint64(len(jobs))
	}
	w.mu.Unlock()
	if err == nil {
		w.settle(jobs, nil)
	}
	return err
}

// settle tells those who wait for messages.
func (w *archivist) settle(jobs []*archiveJob, err error) {
	for _, j := range jobs {
		if j.done != nil {
			j.done <- err
		}
	}
}

func (w *archivist) hold(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = n
}

// lose counts messages that will not be in the archive.
func (w *archivist) lose(n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stat.Lost += uint64(n)
	if w.stat.LastError == "" {
		w.stat.LastError, w.stat.LastErrorAt = err.Error(), time.Now()
	}
}
