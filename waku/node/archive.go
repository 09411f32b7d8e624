package node

import (
	"context"
	"log/slog"
	"sync"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// archiveQueue is the number of messages that wait for the archive.
	// When it is full the relay's deliveries wait too.
	archiveQueue = 1024
	// archiveBatch is the most messages of one transaction.
	archiveBatch = 256
	// archiveTimeout bounds one transaction.
	archiveTimeout = 30 * time.Second
)

// archivist writes messages to an archive, many to a transaction.
type archivist struct {
	archive store.Archive
	log     *slog.Logger
	jobs    chan archiveJob
	stop    chan struct{}
	ended   chan struct{} // nothing is written any more
	once    sync.Once
	wg      sync.WaitGroup
}

// archiveJob is a message to write; done, when not nil, has room for the
// outcome.
type archiveJob struct {
	entry store.Entry
	done  chan error
}

func newArchivist(a store.Archive, log *slog.Logger) *archivist {
	w := &archivist{
		archive: a, log: log,
		jobs: make(chan archiveJob, archiveQueue),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	w.wg.Go(w.run)
	return w
}

// close writes what is queued and ends the writer.
func (w *archivist) close() {
	w.once.Do(func() { close(w.stop) })
	w.wg.Wait()
}

// add queues a message; one that may not be stored is passed over.
func (w *archivist) add(pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	if store.Storable(m, time.Now()) != nil {
		return
	}
	w.send(archiveJob{entry: store.Entry{Hash: hash, PubsubTopic: pubsubTopic, Message: m}})
}

// keep writes a message and waits until it is written. A message that may
// not be stored is no error.
func (w *archivist) keep(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) error {
	if store.Storable(m, time.Now()) != nil {
		return nil
	}
	done := make(chan error, 1)
	if !w.send(archiveJob{store.Entry{Hash: hash, PubsubTopic: pubsubTopic, Message: m}, done}) {
		return store.ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-w.ended:
		return store.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *archivist) send(j archiveJob) bool {
	select {
	case <-w.stop:
		return false
	default:
	}
	select {
	case w.jobs <- j:
		return true
	case <-w.stop:
		return false
	}
}

func (w *archivist) run() {
	defer close(w.ended)
	for {
		select {
		case j := <-w.jobs:
			w.write(w.batch(j))
		case <-w.stop:
			for {
				select {
				case j := <-w.jobs:
					w.write(w.batch(j))
				default:
					return
				}
			}
		}
	}
}

// batch adds to a job those that wait behind it.
func (w *archivist) batch(first archiveJob) []archiveJob {
	jobs := []archiveJob{first}
	for len(jobs) < archiveBatch {
		select {
		case j := <-w.jobs:
			jobs = append(jobs, j)
		default:
			return jobs
		}
	}
	return jobs
}

// write inserts a batch; when it fails, one by one, so that a single entry
// does not cost the others.
func (w *archivist) write(jobs []archiveJob) {
	entries := make([]store.Entry, len(jobs))
	for i, j := range jobs {
		entries[i] = j.entry
	}
	err := w.insert(entries...)
	for _, j := range jobs {
		if err != nil && len(jobs) > 1 {
			w.write([]archiveJob{j})
			continue
		}
		if err != nil {
			w.log.Warn("message not archived", "hash", j.entry.Hash, "cause", err)
		}
		if j.done != nil {
			j.done <- err
		}
	}
}

func (w *archivist) insert(entries ...store.Entry) error {
	ctx, cancel := context.WithTimeout(context.Background(), archiveTimeout)
	defer cancel()
	return w.archive.Insert(ctx, entries...)
}
