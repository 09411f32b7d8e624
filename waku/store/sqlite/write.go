package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

const (
	// maxGroup bounds the entries that share one commit.
	maxGroup = 2000
	// maxTails bounds the slices that have rows whose index is in memory.
	maxTails = 4
)

const (
	// The number of a row is the one after the last.
	insertSQL      = `INSERT INTO messages (topic, message) VALUES (?1, ?2)`
	lastRowSQL     = `SELECT max(id) FROM messages`
	insertTopicSQL = `INSERT INTO topics (pubsub_topic, content_topic) VALUES (?1, ?2)`
)

// writeLoop commits insertions until work is closed and drained.
func (a *Archive) writeLoop() {
	defer close(a.stopped)
	for in := range a.work {
		group, rows := a.gather(in)
		err := a.write(rows)
		if err != nil {
			err = fmt.Errorf("inserting into the store archive: %w", a.explain(err))
		}
		for _, g := range group {
			g.done <- err
		}
	}
}

// gather returns an insertion with those that wait behind it, to be committed
// together, and their rows.
func (a *Archive) gather(in *insertion) ([]*insertion, []row) {
	group, rows := []*insertion{in}, in.rows
	for len(rows) < maxGroup {
		select {
		case next, ok := <-a.work:
			if !ok {
				return group, rows
			}
			group, rows = append(group, next), append(rows, next.rows...)
		default:
			return group, rows
		}
	}
	return group, rows
}

// write commits rows, those of one slice after those of the other.
func (a *Archive) write(rows []row) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	var order []*slice
	parts := make(map[*slice][]row, 1)
	for i := range rows {
		s, err := a.sliceFor(rows[i].timestamp)
		if err != nil {
			return err
		}
		switch {
		case len(order) == 0:
			order, parts[s] = append(order, s), rows
			continue
		case len(order) == 1 && s == order[0]:
			continue // all of one slice so far
		case len(order) == 1:
			parts[order[0]] = slices.Clip(rows[:i])
		}
		if _, ok := parts[s]; !ok {
			order = append(order, s)
		}
		parts[s] = append(parts[s], rows[i])
	}
	for _, s := range order {
		for part := range slices.Chunk(parts[s], maxGroup) {
			if err := a.commit(s, part); err != nil {
				return err
			}
		}
		a.writes++
		s.written = a.writes
	}
	return a.flushOld()
}

// commit adds the rows that are not there yet to a slice.
func (a *Archive) commit(s *slice, rows []row) (err error) {
	if err := a.reclaim(s); err != nil {
		return err
	}
	fills := len(s.tail.rows)+len(rows) >= a.limits.chunk
	if fills && s.stale != 0 { // a chunk that readers may know goes
		a.reading.Lock()
		defer a.reading.Unlock()
	}
	c, err := a.pool.get(context.Background(), s)
	if err != nil {
		return err
	}
	defer a.pool.put(c)
	s.coming.reset()
	added := make([]*row, 0, len(rows))
	var full *chunk
	err = c.within(func() error {
		next, err := c.number(lastRowSQL)
		if err != nil {
			return err
		}
		st, err := c.prepare(insertSQL)
		if err != nil {
			return err
		}
		for i := range rows {
			r := &rows[i]
			if known, err := s.holds(c, r); err != nil {
				return err
			} else if known {
				continue
			}
			if r.topic, err = s.number(c, r.name); err != nil {
				return err
			}
			if err := errors.Join(st.BindInt64(1, int64(r.topic)), st.BindBlob(2, r.message), st.Exec()); err != nil {
				return err
			}
			next++
			r.id = next
			s.coming.add(&r.hash)
			added = append(added, r)
		}
		if fills {
			full, err = s.flush(c, added)
		}
		return err
	})
	if err != nil {
		clear(s.topics) // numbers given in the transaction do not exist
		return err
	}
	for _, r := range added {
		s.grow(&r.record)
	}
	s.publish(full, added)
	return nil
}

// holds reports whether a row is there already.
func (s *slice) holds(c *conn, r *row) (bool, error) {
	if _, ok := s.coming.find(&r.hash); ok {
		return true, nil
	}
	if _, ok := s.tail.hashes.find(&r.hash); ok {
		return true, nil
	}
	for _, ch := range s.chunks {
		if r.timestamp < ch.min || r.timestamp > ch.max || !ch.filter.has(prefix(&r.hash)) {
			continue
		}
		if _, ok, err := c.findIn(ch, &r.hash); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// number returns the number of a topic pair, giving it one if need be.
func (s *slice) number(c *conn, t topic) (uint32, error) {
	if id, ok := s.topics[t]; ok {
		return id, nil
	}
	id, err := c.findTopic(t)
	if err != nil {
		return 0, err
	}
	if id == 0 {
		st, err := c.prepare(insertTopicSQL)
		if err != nil {
			return 0, err
		}
		if err := errors.Join(st.BindText(1, t.pubsub), st.BindText(2, t.content), st.Exec()); err != nil {
			return 0, err
		}
		id = uint32(c.db.LastInsertRowID())
	}
	if len(s.topics) >= maxTopicCache {
		clear(s.topics)
	}
	s.topics[t] = id
	return id, nil
}

// flush writes the index of the tail and of rows that follow it, within the
// caller's transaction. It is nil when there are none.
func (s *slice) flush(c *conn, added []*row) (*chunk, error) {
	if len(s.tail.rows)+len(added) == 0 {
		return nil, nil
	}
	slices.SortFunc(added, func(a, b *row) int { return compareRecords(a.record, b.record) })
	records := make([]record, 0, len(s.tail.rows)+len(added))
	for _, at := range s.tail.byKey {
		r := &s.tail.rows[at]
		for len(added) > 0 && compareRecords(added[0].record, *r) < 0 {
			records, added = append(records, added[0].record), added[1:]
		}
		records = append(records, *r)
	}
	for _, r := range added {
		records = append(records, r.record)
	}
	full, runs, err := s.index(c, records)
	if err == nil {
		err = c.addChunk(full, runs)
	}
	if err == nil && s.stale != 0 {
		err = c.dropChunk(s.stale)
	}
	return full, err
}

// index makes the index of records in the order of entries.
func (s *slice) index(c *conn, records []record) (*chunk, [][]byte, error) {
	var failed error
	names := make(map[uint32]topic)
	s.lastChunk++
	ch, runs := newChunk(s.lastChunk, records, func(id uint32) topic {
		name, ok := s.tail.name(id)
		if !ok {
			name, ok = names[id]
		}
		if !ok {
			var err error
			if name, err = c.topicName(id); err != nil {
				failed = err
			}
			names[id] = name
		}
		return name
	})
	return ch, runs, failed
}

// publish lets readers know of rows and of the chunk that has the index of
// all that were in the tail, with these.
func (s *slice) publish(full *chunk, added []*row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if full != nil {
		s.chunks = append(slices.Clip(s.chunks), full)
		s.tail.reset()
		s.stale = 0
		return
	}
	for _, r := range added {
		s.tail.add(r.record, r.name)
	}
}

// reclaim takes a last chunk that is small back into the tail, so that no
// more chunks come to be than the rows need. writing is held.
func (a *Archive) reclaim(s *slice) error {
	if len(s.tail.rows) > 0 || len(s.chunks) == 0 {
		return nil
	}
	ch := s.chunks[len(s.chunks)-1]
	if ch.byKey.n > a.limits.chunk/2 {
		return nil
	}
	c, err := a.pool.get(context.Background(), s)
	if err != nil {
		return err
	}
	defer a.pool.put(c)
	records, err := c.all(ch)
	if err != nil {
		return err
	}
	slices.SortFunc(records, func(a, b record) int { return int(a.id - b.id) })
	names := make(map[uint32]topic)
	for _, r := range records {
		if _, ok := names[r.topic]; !ok {
			if names[r.topic], err = c.topicName(r.topic); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.tail.add(r, names[r.topic])
	}
	s.chunks, s.stale = s.chunks[:len(s.chunks)-1:len(s.chunks)-1], ch.id
	return nil
}

// flushOld writes the index of the slices not written to of late, for no more
// than maxTails to have rows whose index is in memory. writing is held.
func (a *Archive) flushOld() error {
	var with []*slice
	for _, s := range *a.slices.Load() {
		if cap(s.tail.rows) > 0 {
			with = append(with, s)
		}
	}
	if len(with) <= maxTails {
		return nil
	}
	slices.SortFunc(with, func(a, b *slice) int { return int(int64(b.written) - int64(a.written)) })
	for _, s := range with[maxTails:] {
		// A connection that wrote holds more memory than one that reads, and
		// the last one folds the log into the database.
		if err := errors.Join(a.flush(s), a.pool.drop(s)); err != nil {
			return err
		}
		s.rest()
	}
	return nil
}

// flush writes the index of what is in a slice's tail. writing is held.
func (a *Archive) flush(s *slice) error {
	if len(s.tail.rows) == 0 {
		return nil
	}
	a.reading.Lock()
	defer a.reading.Unlock()
	c, err := a.pool.get(context.Background(), s)
	if err != nil {
		return err
	}
	defer a.pool.put(c)
	var full *chunk
	err = c.within(func() error {
		full, err = s.flush(c, nil)
		return err
	})
	if err == nil {
		s.publish(full, nil)
	}
	return err
}

// rest gives up the memory for more to come, which may be never.
func (s *slice) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail, s.coming, s.topics = newTail(), newHashIndex(), make(map[topic]uint32)
}
