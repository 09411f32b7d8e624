package postgres

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// within are the bounds of a scan, from inclusive and to exclusive, and how
// many entries are wanted.
type within struct {
	from, to key
	forward  bool
	limit    int
	// recent is since when entries are likely to be asked for by their hash.
	recent int64
}

func compareKeys(a, b key) int { return strings.Compare(string(a), string(b)) }

// has says whether k is within w.
func (w *within) has(k key) bool { return w.from <= k && k < w.to }

// narrow has w begin behind k, unless it does anyway.
func (w *within) narrow(k key) {
	if w.forward {
		w.from = max(w.from, k.after())
	} else {
		w.to = min(w.to, k)
	}
}

// end has w end with k, included, unless it does before.
func (w *within) end(k key) {
	if w.forward {
		w.to = min(w.to, k.after())
	} else {
		w.from = max(w.from, k)
	}
}

// compare is the order of what w finds.
func (w *within) compare(a, b key) int {
	if w.forward {
		return compareKeys(a, b)
	}
	return compareKeys(b, a)
}

// reduce returns the first entries within w, in its order, each once: what was
// in the table recent may be found in a chunk as well.
func (w *within) reduce(entries []entry) []entry {
	slices.SortFunc(entries, func(a, b entry) int { return w.compare(a.key, b.key) })
	entries = slices.CompactFunc(entries, func(a, b entry) bool { return a.key == b.key })
	return entries[:min(w.limit, len(entries))]
}

const (
	// topicShare is how many content topics one statement scans. What it
	// finds narrows the range of those that follow.
	topicShare = 32
	// perChunk is how many entries a chunk has, if not much less.
	perChunk = 90
	// maxChunks bounds the chunks of a topic that one statement reads.
	maxChunks = 256
)

const topicsSQL = `SELECT id FROM topics WHERE key = ANY($1)`

// floorSQL is the start of the partition that has the timestamp that a place
// begins with: what begins before that ends before that.
const floorSQL = `coalesce((SELECT int8send(s.start) FROM slices s WHERE s.start <= $4 ORDER BY s.start DESC LIMIT 1), '')`

// chunksSQL returns the text that asks for chunks within $1 and $2, at most $3
// of each topic, beside one that begins before $1. $4 is the timestamp of $1,
// $5 are the keys of topics.
func chunksSQL(byTopic, forward bool) string {
	of := func(topic string) string {
		chunks := `(SELECT c.topic, c.entries, c.last >= $1 AS counts FROM chunks c WHERE c.topic = ` + topic + ` AND c.first >= ` + floorSQL + ` AND c.first < $2
ORDER BY c.first DESC LIMIT $3)`
		if forward {
			chunks = `(SELECT f.topic, f.entries, false AS counts FROM
(SELECT c.topic, c.last, c.entries FROM chunks c WHERE c.topic = ` + topic + ` AND c.first >= ` + floorSQL + ` AND c.first < $1 ORDER BY c.first DESC LIMIT 1) f WHERE f.last >= $1)
UNION ALL
(SELECT c.topic, c.entries, true AS counts FROM chunks c WHERE c.topic = ` + topic + ` AND c.first >= $1 AND c.first < $2 ORDER BY c.first LIMIT $3)`
		}
		return chunks
	}
	if !byTopic {
		return `SELECT c.topic, c.counts, c.entries FROM (` + of(`0`) + `) c`
	}
	return `SELECT c.topic, c.counts, c.entries FROM topics t CROSS JOIN LATERAL (` + of(`t.id`) + `) c WHERE t.key = ANY($5)`
}

// scan returns the first entries within w of the topics with the given keys, or
// of all topics for nil.
func (a *Archive) scan(ctx context.Context, c *connection, w within, topics [][]byte) (found []entry, err error) {
	if topics == nil {
		return a.walk(ctx, c, w, nil)
	}
	for share := range slices.Chunk(topics, topicShare) {
		more, err := a.walk(ctx, c, w, share)
		if err != nil {
			return nil, err
		}
		if found = w.reduce(append(found, more...)); len(found) == w.limit {
			w.end(found[w.limit-1].key)
		}
	}
	return found, nil
}

// walk reads chunks until they have what is wanted.
func (a *Archive) walk(ctx context.Context, c *connection, w within, topics [][]byte) (found []entry, err error) {
	rest := w
	share := max(1, (w.limit/max(1, len(topics))+perChunk-1)/perChunk)
	for first := true; rest.from < rest.to; first = false {
		k := a.tail.known()
		b := new(pgx.Batch)
		var numbers []int32
		if first {
			// What is in no chunk yet is read before the chunks: it may get
			// there meanwhile.
			if topics != nil {
				b.Queue(topicsSQL, topics).Query(func(rows pgx.Rows) (err error) {
					numbers, err = pgx.CollectRows(rows, pgx.RowTo[int32])
					return err
				})
			}
			b.Queue(tailSQL, k.seen).Query(a.tail.read(&k))
		}
		// The last entries of the topics of which there may be more chunks.
		type seen struct {
			chunks int
			last   key
		}
		per := make(map[int32]*seen, len(topics))
		var more []entry
		args := []any{[]byte(rest.from), []byte(rest.to), share, rest.from.timestamp()}
		if topics != nil {
			args = append(args, topics)
		}
		b.Queue(chunksSQL(topics != nil, w.forward), args...).Query(func(rows pgx.Rows) error {
			var topic int32
			var counts bool
			var raw pgtype.DriverBytes
			_, err := pgx.ForEachRow(rows, []any{&topic, &counts, &raw}, func() error {
				n := len(more)
				var err error
				if more, err = decodeEntries(more, raw, topic); err != nil || len(more) == n {
					return corrupt(topic, err)
				}
				p := per[topic]
				if p == nil {
					p = new(seen)
					per[topic] = p
				}
				edge := more[len(more)-1].key
				if !w.forward {
					edge, counts = more[n].key, true
				}
				if p.last == "" || w.compare(edge, p.last) > 0 {
					p.last = edge
				}
				if counts {
					p.chunks++
				}
				return nil
			})
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return nil, err
		}
		// Of the topics with more chunks nothing is known behind the last.
		horizon, open := rest, false
		for _, p := range per {
			if p.chunks >= share {
				horizon.end(p.last)
				open = true
			}
		}
		for _, e := range more {
			if horizon.has(e.key) {
				found = append(found, e)
			}
		}
		if first {
			for _, e := range k.entries {
				if w.has(e.key) && (topics == nil || slices.Contains(numbers, e.topic)) {
					found = append(found, e)
				}
			}
		}
		found = w.reduce(found)
		if !open || len(found) == w.limit && horizon.has(found[w.limit-1].key) {
			break
		}
		if w.forward {
			rest.from = horizon.to
		} else {
			rest.to = horizon.from
		}
		share = min(4*share, maxChunks)
	}
	return found, nil
}
