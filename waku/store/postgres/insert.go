package postgres

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// maxGroup bounds the entries of concurrent insertions that share one
	// commit.
	maxGroup = 4000
	// minShare is the fewest entries that are worth a goroutine of their own.
	minShare = 64
)

// topic is a pair of topics.
type topic struct{ pubsub, content string }

// key is what a topic pair is found by.
func (t topic) key() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(len(t.pubsub)))
	sum := sha256.Sum256(append(append(b, t.pubsub...), t.content...))
	return sum[:]
}

// pubsubKey is what a pubsub topic is found by.
func pubsubKey(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

// row is an entry in the form it is stored.
type row struct {
	timestamp int64
	hash      message.Hash
	topic     topic
	number    number // known to the writer
	// data is the row as COPY has it in binary: the number of columns, and
	// each with its length before it.
	data []byte
}

// The layout of row.data; the message comes last.
const (
	columns   = 4
	topicAt   = 2 + 4 + 8 + 4 + message.HashSize + 4
	messageAt = topicAt + 4 + 4
)

// size is that of the message as stored.
func (r *row) size() int { return len(r.data) - messageAt }

func compareRows(a, b row) int {
	return cmp.Or(cmp.Compare(a.timestamp, b.timestamp), bytes.Compare(a.hash[:], b.hash[:]))
}

// insertion is one call of Insert on its way to the writer.
type insertion struct {
	size int // entries
	// ready is closed when they are checked and encoded: when rows is there, or
	// refused says what is wrong with them.
	ready   chan struct{}
	rows    []row
	refused error
	done    chan error
}

// encode makes the rows.
func (in *insertion) encode(entries []store.Entry) {
	defer close(in.ready)
	rows, err := rowsOf(entries, time.Now())
	if err != nil {
		in.refused = err
		return
	}
	in.rows = rows
}

// Insert implements store.Archive. Calls at the same time share a commit. The
// entries are checked and encoded while the writer begins.
func (a *Archive) Insert(ctx context.Context, entries ...store.Entry) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return store.ErrClosed
	}
	if len(entries) == 0 {
		return nil
	}
	in := &insertion{size: len(entries), ready: make(chan struct{}), done: make(chan error, 1)}
	select {
	case a.work <- in:
	case <-ctx.Done():
		return ctx.Err()
	}
	runtime.Gosched() // for the writer to ask the server before encoding takes the processors
	if in.encode(entries); in.refused != nil {
		return in.refused
	}
	select {
	case err := <-in.done:
		return failure(ctx, "inserting into the store archive", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rowsOf checks and encodes entries, many of them at the same time.
func rowsOf(entries []store.Entry, now time.Time) ([]row, error) {
	rows := make([]row, len(entries))
	share := max(minShare, (len(entries)+workers()-1)/workers())
	if len(entries) <= share {
		return rows, encode(rows, entries, now)
	}
	errs := make([]error, (len(entries)+share-1)/share)
	var wg sync.WaitGroup
	for i := range errs {
		from, to := i*share, min(len(entries), (i+1)*share)
		wg.Go(func() { errs[i] = encode(rows[from:to], entries[from:to], now) })
	}
	wg.Wait()
	for _, err := range errs { // the first, as without sharing
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// encode fills rows from entries.
func encode(rows []row, entries []store.Entry, now time.Time) error {
	size := 0
	for i := range entries {
		if err := entries[i].Check(now); err != nil {
			return err
		}
		size += messageAt + proto.Size(entries[i].Message)
	}
	buffer := make([]byte, 0, size)
	for i := range entries {
		e, start := &entries[i], len(buffer)
		t := e.Message.GetTimestamp()
		b := binary.BigEndian.AppendUint16(buffer, columns)
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(t))
		b = append(binary.BigEndian.AppendUint32(b, message.HashSize), e.Hash[:]...)
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, 4), 0) // the topic's number
		b = binary.BigEndian.AppendUint32(b, 0)                                   // the message's length
		b, err := proto.MarshalOptions{}.MarshalAppend(b, e.Message)
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrInvalid, err)
		}
		data := b[start:len(b):len(b)]
		binary.BigEndian.PutUint32(data[messageAt-4:], uint32(len(data)-messageAt))
		rows[i] = row{timestamp: t, hash: e.Hash, topic: topic{e.PubsubTopic, e.Message.GetContentTopic()}, data: data}
		buffer = b
	}
	return nil
}

// writeLoop commits insertions, those that wait together at once, until work
// is closed and drained.
func (a *Archive) writeLoop() {
	defer close(a.stopped)
	for in := range a.work {
		group, size := []*insertion{in}, in.size
	gather:
		for size < maxGroup {
			select {
			case next, ok := <-a.work:
				if !ok {
					break gather
				}
				group, size = append(group, next), size+next.size
			default:
				break gather
			}
		}
		err := a.writer.write(group)
		if err != nil && len(group) > 1 && code(err) != "" {
			// The server refused something: only whose it is shall fail.
			for _, in := range group {
				in.done <- a.writer.write([]*insertion{in})
			}
			continue
		}
		for _, in := range group {
			in.done <- err
		}
		a.writer.clean()
	}
}

// merge waits for the rows of a group and returns them in order, each once. It
// may change the rows of a group of one.
func merge(group []*insertion) []row {
	<-group[0].ready
	rows := group[0].rows
	if len(group) > 1 {
		rows = nil
		for _, in := range group {
			<-in.ready
			rows = append(rows, in.rows...)
		}
	}
	if !slices.IsSortedFunc(rows, compareRows) {
		rows = slices.Clone(rows)
		slices.SortFunc(rows, compareRows)
	}
	return slices.CompactFunc(rows, func(a, b row) bool { return compareRows(a, b) == 0 })
}

// copyHeader and copyTrailer are around the rows of a binary COPY.
var (
	copyHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	copyTrailer = []byte{0xff, 0xff}
)

// copyReader reads rows as a binary COPY.
type copyReader struct {
	rows []row
	part []byte // what is left of the row before, or of the header
	end  bool
}

func newCopyReader(rows []row) *copyReader { return &copyReader{rows: rows, part: copyHeader} }

// Read implements io.Reader.
func (r *copyReader) Read(b []byte) (n int, err error) {
	for n < len(b) {
		if len(r.part) == 0 && !r.next() {
			break
		}
		k := copy(b[n:], r.part)
		r.part, n = r.part[k:], n+k
	}
	if n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *copyReader) next() bool {
	switch {
	case len(r.rows) > 0:
		r.part, r.rows = r.rows[0].data, r.rows[1:]
	case !r.end:
		r.part, r.end = copyTrailer, true
	default:
		return false
	}
	return true
}
