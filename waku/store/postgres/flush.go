package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// flush writes the entries of the table recent, and more that are not there,
// to the chunks of their partitions. It needs the writers' turn.
func flush(ctx context.Context, c *connection, spans []span, entries []entry) error {
	rows, err := c.Query(ctx, `DELETE FROM recent RETURNING id, entries`)
	if err != nil {
		return err
	}
	type group struct {
		id      int64
		entries []byte
	}
	groups, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (g group, err error) { return g, r.Scan(&g.id, &g.entries) })
	if err != nil {
		return err
	}
	if len(groups)+len(entries) == 0 {
		return nil
	}
	// In the order in which they came, which is nearly that of entries.
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.id, b.id) })
	end := int64(0)
	waiting := make([]entry, 0, maxTail+len(entries))
	for _, g := range groups {
		if waiting, err = decodeEntries(waiting, g.entries, everything); err != nil {
			return err
		}
		end = g.id
	}
	entries = append(waiting, entries...)
	slices.SortFunc(entries, func(a, b entry) int { return compareKeys(a.key, b.key) })
	for len(entries) > 0 {
		s, ok := find(spans, entries[0].key.timestamp())
		if !ok {
			return fmt.Errorf("there is no partition for %d", entries[0].key.timestamp())
		}
		stop := bound(s.stop)
		n, _ := slices.BinarySearchFunc(entries, stop, func(e entry, k key) int { return compareKeys(e.key, k) })
		if err := addEntries(ctx, c, s, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	_, err = c.Exec(ctx, `UPDATE state SET flushed = greatest(flushed, $1), pending = 0`, end)
	return err
}

// nearSQL asks for the chunks of some topics of a partition that begin behind
// a place, and a few before it.
const nearSQL = `SELECT k.place, c.first, c.last, octet_length(c.entries) FROM unnest($1::integer[], $2::bytea[]) WITH ORDINALITY AS k (topic, first, place)
CROSS JOIN LATERAL (SELECT * FROM chunks_? c WHERE c.topic = k.topic AND c.first >= coalesce(
	(SELECT b.first FROM chunks_? b WHERE b.topic = k.topic AND b.first <= k.first ORDER BY b.first DESC OFFSET 8 LIMIT 1),
	(SELECT b.first FROM chunks_? b WHERE b.topic = k.topic ORDER BY b.first LIMIT 1)) ORDER BY c.first) c`

// takeSQL removes chunks and returns what was in them.
const takeSQL = `DELETE FROM chunks_? c USING unnest($1::integer[], $2::bytea[]) WITH ORDINALITY AS k (topic, first, place)
WHERE c.topic = k.topic AND c.first = k.first RETURNING k.place, c.entries`

// addEntries adds sorted entries to the chunks of a partition.
func addEntries(ctx context.Context, c *connection, s span, entries []entry) error {
	of := func(sql string) string { return strings.ReplaceAll(sql, `?`, fmt.Sprint(s.start)) }
	numbers, lists := []int32{everything}, [][]entry{entries}
	at := make(map[int32]int)
	for _, e := range entries {
		i, ok := at[e.topic]
		if !ok {
			i = len(lists)
			at[e.topic] = i
			numbers, lists = append(numbers, e.topic), append(lists, nil)
		}
		lists[i] = append(lists[i], e)
	}
	firsts := make([][]byte, len(lists))
	for i, l := range lists {
		firsts[i] = []byte(l[0].key)
	}
	rows, err := c.Query(ctx, of(nearSQL), pgx.QueryExecModeExec, numbers, firsts)
	if err != nil {
		return err
	}
	near := make([][]chunk, len(lists))
	var place int64
	var first, last []byte
	var size int
	if _, err := pgx.ForEachRow(rows, []any{&place, &first, &last, &size}, func() error {
		near[place-1] = append(near[place-1], chunk{topic: numbers[place-1], first: key(first), last: key(last), size: size})
		return nil
	}); err != nil {
		return err
	}
	type rewriting struct {
		topic      int32
		old, added []entry
		even       bool
	}
	var (
		anew   []rewriting
		topics []int32 // of the chunks that go
		goes   [][]byte
		into   []int // which of anew they go into
	)
	for i, list := range lists {
		slices.SortFunc(near[i], func(a, b chunk) int { return compareKeys(a.first, b.first) })
		for _, ch := range plan(near[i], list) {
			for _, old := range ch.old {
				topics, goes, into = append(topics, numbers[i]), append(goes, []byte(near[i][old].first)), append(into, len(anew))
			}
			anew = append(anew, rewriting{topic: numbers[i], added: ch.added, even: ch.even})
		}
	}
	if len(goes) > 0 {
		rows, err := c.Query(ctx, of(takeSQL), pgx.QueryExecModeExec, topics, goes)
		if err != nil {
			return err
		}
		var raw []byte
		taken := 0
		if _, err := pgx.ForEachRow(rows, []any{&place, &raw}, func() (err error) {
			r := &anew[into[place-1]]
			taken++
			r.old, err = decodeEntries(r.old, raw, r.topic)
			return err
		}); err != nil {
			return err
		}
		if taken != len(goes) {
			return fmt.Errorf("%w: %d of %d chunks", errCorrupt, taken, len(goes))
		}
	}
	var out []chunk
	for i := range anew {
		r := &anew[i]
		all := r.added
		if len(r.old) > 0 {
			all = append(r.old, r.added...) // mostly in order
			slices.SortFunc(all, func(a, b entry) int { return compareKeys(a.key, b.key) })
		}
		out = append(out, pack(r.topic, all, r.even)...)
	}
	return addChunks(ctx, c, s, out)
}

// addChunks writes chunks of a partition.
func addChunks(ctx context.Context, c *connection, s span, chunks []chunk) error {
	_, err := c.CopyFrom(ctx, pgx.Identifier{fmt.Sprintf("chunks_%d", s.start)}, []string{"topic", "first", "last", "entries"},
		pgx.CopyFromSlice(len(chunks), func(i int) ([]any, error) {
			ch := &chunks[i]
			return []any{ch.topic, []byte(ch.first), []byte(ch.last), ch.entries}, nil
		}))
	return err
}
