package sqlite

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// chunk is the index of rows of a slice that came one after the other:
//
//   - byKey holds their records in the order of entries; the place of one in
//     it is its rank,
//   - byTopic holds topic number and rank, sorted,
//   - byHash holds the first 6 bytes of the hash and the rank, sorted.
//
// These are written once, in blocks of about 4 KiB, with the rows' own pages
// for neighbours: a database index of the same content would touch as many
// pages as rows. What is kept in memory of a chunk is little: what its blocks
// begin with, and a filter over its hashes and topic pairs.
type chunk struct {
	id          int64
	first, last int64 // the rows
	min, max    int64 // their timestamps
	byKey       run
	byTopic     run
	byHash      run
	filter      filter
	days        []store.DayStats
}

// run is a sorted sequence of equally long items in blocks.
type run struct {
	base   int64    // the number of the first block
	n      int      // items
	width  int      // bytes of an item
	sorted int      // of these, those that they are sorted by
	per    int      // items in a block
	fence  []uint64 // the first 8 bytes of each block
}

const (
	keyRun = iota
	topicRun
	hashRun

	blockSize = 4096
	// runBlocks is the room of block numbers for one run, chunkBlocks for
	// one chunk.
	runBlocks   = 1 << 16
	chunkBlocks = 4 * runBlocks

	topicItem = 8 // topic and rank, 4 bytes each
	hashItem  = 8 // the start of the hash, and the rank
	rankBits  = 16
	rankMask  = 1<<rankBits - 1
	// maxRows bounds the rows of a chunk, for ranks to fit.
	maxRows = 1 << rankBits
)

func (c *chunk) setRuns(n int) {
	for kind, r := range c.runs() {
		width := [...]int{recordSize, topicItem, hashItem}[kind]
		sorted := [...]int{keySize, topicItem, hashItem}[kind]
		*r = run{base: c.id*chunkBlocks + int64(kind)*runBlocks, n: n, width: width, sorted: sorted, per: blockSize / width}
	}
}

func (c *chunk) runs() []*run { return []*run{&c.byKey, &c.byTopic, &c.byHash} }

func (r *run) blocks() int { return (r.n + r.per - 1) / r.per }

// newChunk makes the index of rows in the order of entries, and its blocks,
// those of each run.
func newChunk(id int64, rows []record, name func(uint32) topic) (*chunk, [][]byte) {
	c := &chunk{id: id, min: rows[0].timestamp, max: rows[len(rows)-1].timestamp, first: rows[0].id}
	for i := range rows {
		c.first, c.last = min(c.first, rows[i].id), max(c.last, rows[i].id)
	}
	c.setRuns(len(rows))
	c.filter = newFilter(len(rows) + len(rows)/8)

	runs := make([][]byte, 3)
	for kind, r := range c.runs() {
		runs[kind] = make([]byte, 0, r.n*r.width)
	}
	topics, hashes := make([]uint64, len(rows)), make([]uint64, len(rows))
	for rank := range rows {
		r := &rows[rank]
		runs[keyRun] = r.appendTo(runs[keyRun], c.first)
		topics[rank] = uint64(r.topic)<<32 | uint64(rank)
		hashes[rank] = prefix(&r.hash)&^rankMask | uint64(rank)
		c.filter.add(prefix(&r.hash))
	}
	slices.Sort(topics)
	slices.Sort(hashes)
	for i, t := range topics {
		if i == 0 || t>>32 != topics[i-1]>>32 {
			c.filter.add(name(uint32(t >> 32)).filterKey())
		}
		runs[topicRun] = binary.BigEndian.AppendUint64(runs[topicRun], t)
		runs[hashRun] = binary.BigEndian.AppendUint64(runs[hashRun], hashes[i])
	}
	for kind, r := range c.runs() {
		for b := range slices.Chunk(runs[kind], r.per*r.width) {
			r.fence = append(r.fence, binary.BigEndian.Uint64(b))
		}
	}
	c.days = daysOf(rows, name)
	return c, runs
}

// daysOf counts rows by day and pubsub topic.
func daysOf(rows []record, name func(uint32) topic) []store.DayStats {
	type part struct {
		day   int64
		topic uint32
	}
	type sum struct{ messages, bytes int64 }
	parts := make(map[part]*sum)
	for i := range rows {
		k := part{floor(rows[i].timestamp, 24*time.Hour), rows[i].topic}
		p := parts[k]
		if p == nil {
			p = new(sum)
			parts[k] = p
		}
		p.messages++
		p.bytes += int64(rows[i].size)
	}
	counts := make(dayCounts)
	for k, p := range parts {
		counts.add(store.DayStats{Day: time.Unix(0, k.day).UTC(), PubsubTopic: name(k.topic).pubsub, Messages: p.messages, Bytes: p.bytes})
	}
	return counts.sorted()
}

// dayCounts are counts by day and pubsub topic.
type dayCounts map[dayTopic]store.DayStats

type dayTopic struct {
	day    int64
	pubsub string
}

func (d dayCounts) add(s store.DayStats) {
	k := dayTopic{s.Day.Unix(), s.PubsubTopic}
	s.Messages += d[k].Messages
	s.Bytes += d[k].Bytes
	d[k] = s
}

func (d dayCounts) sorted() []store.DayStats {
	out := make([]store.DayStats, 0, len(d))
	for _, s := range d {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b store.DayStats) int {
		return cmp.Or(a.Day.Compare(b.Day), cmp.Compare(a.PubsubTopic, b.PubsubTopic))
	})
	return out
}

const (
	chunksSQL     = `SELECT id, first, last, count, oldest, newest, fences, filter, days FROM chunks ORDER BY first`
	addChunkSQL   = `INSERT INTO chunks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)`
	dropChunkSQL  = `DELETE FROM chunks WHERE id = ?1`
	addBlockSQL   = `INSERT INTO blocks VALUES (?1, ?2)`
	dropBlocksSQL = `DELETE FROM blocks WHERE id >= ?1 AND id < ?2`
	blockSQL      = `SELECT data FROM blocks WHERE id = ?1`
)

// errCorrupt is an index that makes no sense.
var errCorrupt = errors.New("store: the database is corrupt")

// addChunk writes a chunk with its blocks, within the caller's transaction.
func (c *conn) addChunk(ch *chunk, runs [][]byte) error {
	st, err := c.prepare(addBlockSQL)
	if err != nil {
		return err
	}
	var fences []byte
	for kind, r := range ch.runs() {
		id := r.base
		for b := range slices.Chunk(runs[kind], r.per*r.width) {
			if err := errors.Join(st.BindInt64(1, id), st.BindBlob(2, b), st.Exec()); err != nil {
				return err
			}
			id++
		}
		for _, f := range r.fence {
			fences = binary.BigEndian.AppendUint64(fences, f)
		}
	}
	days, err := json.Marshal(ch.days)
	if err != nil {
		return err
	}
	if st, err = c.prepare(addChunkSQL); err != nil {
		return err
	}
	return errors.Join(st.BindInt64(1, ch.id), st.BindInt64(2, ch.first), st.BindInt64(3, ch.last),
		st.BindInt(4, ch.byKey.n), st.BindInt64(5, ch.min), st.BindInt64(6, ch.max),
		st.BindBlob(7, fences), st.BindBlob(8, ch.filter.bytes()), st.BindBlob(9, days), st.Exec())
}

// dropChunk removes a chunk with its blocks, within the caller's transaction.
func (c *conn) dropChunk(id int64) error {
	return errors.Join(c.exec(dropBlocksSQL, id*chunkBlocks, (id+1)*chunkBlocks), c.exec(dropChunkSQL, id))
}

// chunks reads what is kept in memory of the slice's chunks.
func (c *conn) chunks() (out []*chunk, err error) {
	st, err := c.prepare(chunksSQL)
	if err != nil {
		return nil, err
	}
	err = each(st, func() error {
		ch := &chunk{
			id: st.ColumnInt64(0), first: st.ColumnInt64(1), last: st.ColumnInt64(2),
			min: st.ColumnInt64(4), max: st.ColumnInt64(5),
		}
		n := st.ColumnInt64(3)
		fences, days := st.ColumnRawBlob(6), st.ColumnRawBlob(8)
		if n <= 0 || n > maxRows {
			return fmt.Errorf("%w: chunk %d has %d rows", errCorrupt, ch.id, n)
		}
		ch.setRuns(int(n))
		for _, r := range ch.runs() {
			for range r.blocks() {
				if len(fences) < 8 {
					return fmt.Errorf("%w: chunk %d", errCorrupt, ch.id)
				}
				r.fence = append(r.fence, binary.BigEndian.Uint64(fences))
				fences = fences[8:]
			}
		}
		if err := json.Unmarshal(days, &ch.days); err != nil {
			return fmt.Errorf("%w: chunk %d: %w", errCorrupt, ch.id, err)
		}
		var ok bool
		if ch.filter, ok = filterOf(st.ColumnRawBlob(7)); !ok {
			return fmt.Errorf("%w: chunk %d has no filter", errCorrupt, ch.id)
		}
		out = append(out, ch)
		return nil
	})
	return out, err
}

// block reads a block; it is valid until the next call.
func (c *conn) block(r *run, i int) (b []byte, err error) {
	id := r.base + int64(i)
	if c.blockID == id && c.blockData != nil {
		return c.blockData, nil
	}
	st, err := c.prepare(blockSQL)
	if err != nil {
		return nil, err
	}
	if err := st.BindInt64(1, id); err != nil {
		return nil, err
	}
	c.blockID, b = 0, c.blockData[:0]
	c.blockData = nil
	err = each(st, func() error {
		b = append(b, st.ColumnRawBlob(0)...)
		return nil
	})
	if want := min(r.per, r.n-i*r.per) * r.width; err == nil && len(b) != want {
		err = fmt.Errorf("%w: block %d has %d bytes, not %d", errCorrupt, id, len(b), want)
	}
	if err != nil {
		return nil, err
	}
	c.blockID, c.blockData = id, b
	return b, nil
}

// item returns the i-th item of a run; it is valid until the next call.
func (c *conn) item(r *run, i int) ([]byte, error) {
	b, err := c.block(r, i/r.per)
	if err != nil {
		return nil, err
	}
	at := i % r.per * r.width
	return b[at : at+r.width], nil
}

// lower returns the number of items below a key.
func (c *conn) lower(r *run, key []byte) (int, error) {
	var head [8]byte
	copy(head[:], key)
	start := binary.BigEndian.Uint64(head[:])
	// The first block that may have an item that is not below: the one before
	// the first that begins with as much.
	i := max(0, sort.Search(len(r.fence), func(i int) bool { return r.fence[i] >= start })-1)
	for ; i < len(r.fence); i++ {
		b, err := c.block(r, i)
		if err != nil {
			return 0, err
		}
		items := len(b) / r.width
		at := sort.Search(items, func(j int) bool { return bytes.Compare(b[j*r.width:j*r.width+r.sorted], key) >= 0 })
		if at < items {
			return i*r.per + at, nil
		}
	}
	return r.n, nil
}

// record returns the record of a rank.
func (c *conn) record(ch *chunk, rank int) (record, error) {
	b, err := c.item(&ch.byKey, rank)
	if err != nil {
		return record{}, err
	}
	return recordOf(b, ch.first), nil
}

// all returns the records of a chunk in the order of entries.
func (c *conn) all(ch *chunk) ([]record, error) {
	out := make([]record, ch.byKey.n)
	for i := range out {
		var err error
		if out[i], err = c.record(ch, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// findIn returns the record of a hash.
func (c *conn) findIn(ch *chunk, h *message.Hash) (r record, ok bool, err error) {
	start := prefix(h) &^ rankMask
	at, err := c.lower(&ch.byHash, binary.BigEndian.AppendUint64(nil, start))
	for ; err == nil && at < ch.byHash.n; at++ {
		item, err := c.item(&ch.byHash, at)
		if err != nil {
			return r, false, err
		}
		found := binary.BigEndian.Uint64(item)
		if found&^rankMask != start {
			break
		}
		rank := int(found & rankMask)
		if rank >= ch.byKey.n {
			return r, false, fmt.Errorf("%w: chunk %d has no rank %d", errCorrupt, ch.id, rank)
		}
		r, err = c.record(ch, rank)
		if err != nil || r.hash == *h {
			return r, err == nil, err
		}
	}
	return record{}, false, err
}

// scanChunk appends the records of a topic within w, or of all topics for
// topic 0, to found.
func (c *conn) scanChunk(found []record, ch *chunk, topic uint32, w *within) ([]record, error) {
	from, err := c.lower(&ch.byKey, w.from.encode())
	if err != nil {
		return nil, err
	}
	to, err := c.lower(&ch.byKey, w.to.encode())
	if err != nil {
		return nil, err
	}
	var ranks []int
	if topic == 0 {
		from, to = w.cut(from, to)
		for rank := from; rank < to; rank++ {
			ranks = append(ranks, rank)
		}
	} else if ranks, err = c.ranks(ch, topic, from, to, w); err != nil {
		return nil, err
	}
	for _, rank := range ranks {
		r, err := c.record(ch, rank)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// ranks returns those of a topic among the ranks from including to excluding.
func (c *conn) ranks(ch *chunk, topic uint32, from, to int, w *within) ([]int, error) {
	bound := func(rank int) (int, error) {
		return c.lower(&ch.byTopic, binary.BigEndian.AppendUint64(nil, uint64(topic)<<32|uint64(rank)))
	}
	first, err := bound(from)
	if err != nil {
		return nil, err
	}
	end, err := bound(to)
	if err != nil {
		return nil, err
	}
	first, end = w.cut(first, end)
	var out []int
	for i := first; i < end; i++ {
		item, err := c.item(&ch.byTopic, i)
		if err != nil {
			return nil, err
		}
		rank := int(binary.BigEndian.Uint32(item[4:]))
		if rank >= ch.byKey.n {
			return nil, fmt.Errorf("%w: chunk %d has no rank %d", errCorrupt, ch.id, rank)
		}
		out = append(out, rank)
	}
	return out, nil
}
