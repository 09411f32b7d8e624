package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/parley-im/parley/waku/message"
)

// ErrRetention is a retention policy that cannot be read.
var ErrRetention = errors.New("store: retention is an age like 30d, a size like 10GB, a number of messages like 1000000, or several of them with commas between")

// ID names an entry; IDs are in the order of the archive, by timestamp, then by
// hash.
type ID struct {
	Timestamp int64 // nanoseconds since 1970
	Hash      message.Hash
}

// Span is a part of an archive: the entries with Start ≤ timestamp < End, both
// in nanoseconds, of some pubsub topics, or of all where none is named.
type Span struct {
	Start, End   int64
	PubsubTopics []string
}

// Retention bounds what an archive keeps; zero is no bound.
type Retention struct {
	// Age is how old the oldest entry may be, by its timestamp.
	Age time.Duration
	// Bytes is the room on disk, everything included.
	Bytes int64
	// Messages is the number of entries.
	Messages int64
}

// Stats tells what an archive holds.
type Stats struct {
	Messages int64 `json:"messages"`
	// Bytes is the room on disk, indexes and all; in memory for an archive
	// there.
	Bytes int64 `json:"bytes"`
	// Oldest and Newest are the timestamps of the first and the last entry;
	// zero when there is none.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"`
	// Days are the entries by day (UTC) of their timestamp and by pubsub topic,
	// in that order.
	Days []DayStats `json:"days"`
}

// DayStats are the entries of one day on one pubsub topic.
type DayStats struct {
	Day         time.Time `json:"day"`
	PubsubTopic string    `json:"pubsub_topic"`
	Messages    int64     `json:"messages"`
	// Bytes are those of the messages as stored, without indexes.
	Bytes int64 `json:"bytes"`
}

// Pruned is what pruning removed.
type Pruned struct {
	Messages int64 `json:"messages"`
	// Bytes is the room given back to the disk.
	Bytes int64 `json:"bytes"`
}

// Maintainer is an archive as its operator and its peers in store
// synchronization see it. Those of the packages sqlite and postgres are.
type Maintainer interface {
	Archive
	// IDs gives what is kept of a span, in order. An error ends it. Entries
	// inserted meanwhile may be among them or not.
	IDs(ctx context.Context, s Span) iter.Seq2[ID, error]
	// Stats counts what is kept. It may take a second in a large archive.
	Stats(ctx context.Context) (Stats, error)
	// Prune removes the oldest entries until the rest is within r at now, and
	// gives their room back to the disk. No entry older than r.Age is left.
	Prune(ctx context.Context, r Retention, now time.Time) (Pruned, error)
}

// ParseRetention reads a policy as operators write it: 30d, 12h, 10GB, 500MiB,
// 1000000, or several with commas between.
func ParseRetention(text string) (Retention, error) {
	var r Retention
	for part := range strings.SplitSeq(text, ",") {
		if err := r.add(strings.TrimSpace(part)); err != nil {
			return Retention{}, fmt.Errorf("%w: %q", err, part)
		}
	}
	return r, nil
}

func (r *Retention) add(part string) error {
	digits := strings.IndexFunc(part, func(c rune) bool { return c < '0' || c > '9' })
	if digits < 0 {
		digits = len(part)
	}
	n, err := strconv.ParseInt(part[:digits], 10, 64)
	if err != nil || n <= 0 {
		return ErrRetention
	}
	target, unit := &r.Messages, int64(1)
	switch name := strings.ToLower(strings.TrimSpace(part[digits:])); {
	case name == "":
	case ages[name] > 0:
		target, unit = (*int64)(&r.Age), int64(ages[name])
	case sizes[name] > 0:
		target, unit = &r.Bytes, sizes[name]
	default:
		return ErrRetention
	}
	if *target != 0 || n > (1<<63-1)/unit {
		return ErrRetention
	}
	*target = n * unit
	return nil
}

var (
	ages = map[string]time.Duration{
		"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	sizes = map[string]int64{
		"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}
)
