package postgres

import (
	"context"
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/jackc/pgx/v5"
)

// span is the time of a partition, in nanoseconds since 1970: start included,
// stop not.
type span struct{ start, stop int64 }

// coarser is how many slices one of the next coarser kind spans, and how many
// slices of a kind there are before now until the coarser ones begin.
const coarser = 64

// spanOf is the span of the partition to be made for a timestamp where slices
// are of a given width, and clear of the partitions there are, in order.
func spanOf(timestamp, now int64, width time.Duration, there []span) span {
	w, end := int64(width), int64(math.MaxInt64)
	for w <= math.MaxInt64/coarser {
		fine := now - coarser*w
		fine -= fine % w
		if timestamp >= fine {
			break
		}
		end, w = fine, w*coarser
	}
	s := span{start: timestamp - timestamp%w, stop: end}
	if s.start <= end-w {
		s.stop = s.start + w
	}
	i := after(there, timestamp)
	if i > 0 {
		s.start = max(s.start, there[i-1].stop)
	}
	if i < len(there) {
		s.stop = min(s.stop, there[i].start)
	}
	return s
}

// after is the place of the first span that starts after a timestamp.
func after(spans []span, timestamp int64) int {
	return sort.Search(len(spans), func(i int) bool { return spans[i].start > timestamp })
}

// find returns the span that has a timestamp.
func find(spans []span, timestamp int64) (span, bool) {
	i := after(spans, timestamp)
	if i == 0 || timestamp >= spans[i-1].stop {
		return span{}, false
	}
	return spans[i-1], true
}

// tables are those that have a partition for each span.
var tables = []string{"messages", "chunks"}

// partitionOf is the name of a table's partition that starts at a time.
func partitionOf(table string, start int64) string {
	return pgx.Identifier{fmt.Sprintf("%s_%d", table, start)}.Sanitize()
}

// createTable makes a table to be attached to another as a partition.
func createTable(ctx context.Context, c *connection, table, name string) error {
	_, err := c.Exec(ctx, `CREATE TABLE `+name+` (LIKE `+table+` INCLUDING ALL)`)
	return err
}

// attach makes a table the partition of a span. It does not stop readers, as
// creating the table as a partition would.
func attach(ctx context.Context, c *connection, table string, s span) error {
	from, to := fmt.Sprint(s.start), fmt.Sprint(s.stop)
	if table == "chunks" {
		from, to = fmt.Sprintf(`'\x%016x'`, s.start), fmt.Sprintf(`'\x%016x'`, s.stop)
	}
	_, err := c.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)`, table, partitionOf(table, s.start), from, to))
	return err
}

// create makes the partitions of a span.
func create(ctx context.Context, c *connection, s span) error {
	for _, table := range tables {
		if err := createTable(ctx, c, table, partitionOf(table, s.start)); err != nil {
			return err
		}
		if err := attach(ctx, c, table, s); err != nil {
			return err
		}
	}
	_, err := c.Exec(ctx, `INSERT INTO slices (start, stop) VALUES ($1, $2)`, s.start, s.stop)
	return err
}

// spans reads the spans of all partitions, in order.
func spans(ctx context.Context, c *connection) ([]span, error) {
	rows, err := c.Query(ctx, `SELECT start, stop FROM slices ORDER BY start`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (s span, err error) {
		return s, r.Scan(&s.start, &s.stop)
	})
}

// newEpoch tells every process that topics or partitions have changed.
func newEpoch(ctx context.Context, c *connection) (epoch int64, err error) {
	err = c.QueryRow(ctx, `UPDATE state SET epoch = epoch + 1 RETURNING epoch`).Scan(&epoch)
	return epoch, err
}
