package node

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/waku/store"
)

const (
	// archiveQueue and archiveQueueBytes bound the messages that wait for the
	// archive.
	archiveQueue      = 16384
	archiveQueueBytes = 64 << 20
	// archiveBatch and archiveBatchBytes bound one transaction.
	archiveBatch      = 2000
	archiveBatchBytes = 16 << 20
)

// errBacklog means that a message has no place before the archive.
var errBacklog = errors.New("node: the archive cannot take more")

// archiveJob is a message to write; done, when not nil, has room for the
// outcome and makes the first failure final.
type archiveJob struct {
	entry store.Entry
	done  chan error
	bytes int
	tries int // failed alone since others beside it were written
}

func newJob(e store.Entry) *archiveJob {
	return &archiveJob{entry: e, bytes: proto.Size(e.Message)}
}

// backlog is the queue before the archive, bounded in messages and bytes.
type backlog struct {
	wake chan struct{} // capacity 1: there is something new, or the end

	mu      sync.Mutex
	jobs    []*archiveJob
	bytes   int
	room    chan struct{} // closed when those who wait should look again
	waiting int
	// turnaway has newcomers refused in place of waiting: the archive fails.
	turnaway bool
	closed   bool
}

func newBacklog() *backlog {
	return &backlog{wake: make(chan struct{}, 1), room: make(chan struct{})}
}

// put queues a job. Where there is no room it waits for some until ctx ends,
// unless the archive fails.
func (b *backlog) put(ctx context.Context, j *archiveJob) error {
	for {
		room, err := b.try(j)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			b.leave()
			return errBacklog
		}
		b.leave()
	}
}

// try queues a job if there is room, else it returns what to wait for; then
// the caller must leave.
func (b *backlog) try(j *archiveJob) (<-chan struct{}, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, store.ErrClosed
	case len(b.jobs) == 0, len(b.jobs) < archiveQueue && b.bytes+j.bytes <= archiveQueueBytes:
		b.jobs = append(b.jobs, j)
		b.bytes += j.bytes
		b.signal()
		return nil, nil
	case b.turnaway:
		return nil, errBacklog
	}
	b.waiting++
	return b.room, nil
}

func (b *backlog) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
}

func (b *backlog) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// tellWaiting has those who wait look again; b.mu is held.
func (b *backlog) tellWaiting() {
	if b.waiting > 0 {
		close(b.room)
		b.room = make(chan struct{})
	}
}

// take moves jobs from the queue behind those given, as many as one
// transaction has room for.
func (b *backlog) take(batch []*archiveJob) []*archiveJob {
	size := 0
	for _, j := range batch {
		size += j.bytes
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(b.jobs) && len(batch) < archiveBatch && (len(batch) == 0 || size+b.jobs[n].bytes <= archiveBatchBytes) {
		batch = append(batch, b.jobs[n])
		size += b.jobs[n].bytes
		b.bytes -= b.jobs[n].bytes
		b.jobs[n] = nil
		n++
	}
	if b.jobs = b.jobs[n:]; len(b.jobs) == 0 {
		b.jobs = nil
	}
	if n > 0 {
		b.tellWaiting()
	}
	return batch
}

// refuse sets whether newcomers are turned away where there is no room.
func (b *backlog) refuse(yes bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turnaway != yes {
		b.turnaway = yes
		b.tellWaiting()
	}
}

// close lets nothing in any more.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.tellWaiting()
	b.signal()
}

// end tells whether nothing waits and nothing will come.
func (b *backlog) end() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && len(b.jobs) == 0
}

func (b *backlog) length() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.jobs)
}
