package rest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

// recent is the number of messages remembered so that none is given twice:
// filter peers send each one several times, and the node's own come back.
const recent = 8192

// errSubscriptions is one subscription more than there may be.
var errSubscriptions = errors.New("too many subscriptions")

// item is a message on its way to readers.
type item struct {
	pubsub string
	msg    *wakupb.WakuMessage
	hash   message.Hash
	size   int
	seq    uint64 // in the order of arrival
}

// subject is what a subscription is of: a pubsub topic, with a content topic
// or with all of them when that is empty.
type subject struct{ pubsub, content string }

// feed keeps messages for the subscriptions until they are read, and gives
// them to the event streams. It is safe for concurrent use, and nothing in it
// waits for a reader.
type feed struct {
	limit int // of messages for a subscription

	mu      sync.Mutex
	seen    *lru.Cache[message.Hash, struct{}]
	boxes   map[subject][]item
	bytes   int // in all boxes
	seq     uint64
	streams map[*stream]struct{}
}

func newFeed(limit int) *feed {
	seen, _ := lru.New[message.Hash, struct{}](recent) // fails for a size below 1
	return &feed{
		limit: limit, seen: seen,
		boxes: make(map[subject][]item), streams: make(map[*stream]struct{}),
	}
}

// deliver takes a message in, once.
func (f *feed) deliver(pubsub string, m *wakupb.WakuMessage, hash message.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, _ := f.seen.ContainsOrAdd(hash, struct{}{}); known {
		return
	}
	f.seq++
	it := item{pubsub: pubsub, msg: m, hash: hash, size: proto.Size(m), seq: f.seq}
	for _, s := range []subject{{pubsub, ""}, {pubsub, m.GetContentTopic()}} {
		if box, ok := f.boxes[s]; ok {
			f.keep(s, box, it)
		}
	}
	for s := range f.streams {
		s.offer(it)
	}
}

// keep adds a message to a box, and drops the oldest while there are too many
// in it or too many bytes in all of them.
func (f *feed) keep(s subject, box []item, it item) {
	if len(box) >= f.limit {
		f.bytes -= box[0].size
		box = box[1:]
	}
	f.boxes[s] = append(box, it)
	f.bytes += it.size
	for f.bytes > MaxCacheBytes {
		f.dropOldest()
	}
}

func (f *feed) dropOldest() {
	var at subject
	var oldest *item
	for s, box := range f.boxes {
		if len(box) > 0 && (oldest == nil || box[0].seq < oldest.seq) {
			at, oldest = s, &box[0]
		}
	}
	f.bytes -= oldest.size
	f.boxes[at] = f.boxes[at][1:]
}

// subscribe begins to keep the messages of subjects; what is kept already of
// those subscribed before stays. It returns those that are new.
func (f *feed) subscribe(subjects ...subject) (added []subject, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range subjects {
		if _, ok := f.boxes[s]; !ok && !slices.Contains(added, s) {
			added = append(added, s)
		}
	}
	if n := len(f.boxes) + len(added); n > MaxSubscriptions {
		return nil, fmt.Errorf("%w: %d, at most %d", errSubscriptions, n, MaxSubscriptions)
	}
	for _, s := range added {
		f.boxes[s] = nil
	}
	return added, nil
}

// unsubscribe forgets subjects and what is kept of them.
func (f *feed) unsubscribe(subjects ...subject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range subjects {
		for _, it := range f.boxes[s] {
			f.bytes -= it.size
		}
		delete(f.boxes, s)
	}
}

// subjects are those subscribed to that match.
func (f *feed) subjects(match func(subject) bool) (out []subject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.boxes {
		if match(s) {
			out = append(out, s)
		}
	}
	return out
}

// take empties the boxes that match and returns what was in them, in the
// order of arrival; ok is false when none matches.
func (f *feed) take(match func(subject) bool) (items []item, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s, box := range f.boxes {
		if !match(s) {
			continue
		}
		ok = true
		for _, it := range box {
			f.bytes -= it.size
		}
		items = append(items, box...)
		f.boxes[s] = nil
	}
	slices.SortFunc(items, func(a, b item) int { return int(int64(a.seq) - int64(b.seq)) })
	return items, ok
}

// open adds an event stream, close takes it out.
func (f *feed) open(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams[s] = struct{}{}
}

func (f *feed) close(s *stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.streams, s)
}
