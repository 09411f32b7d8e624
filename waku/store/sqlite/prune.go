package sqlite

import (
	"context"
	"slices"
	"sort"
)

const (
	dropRowSQL   = `DELETE FROM messages WHERE id = ?1`
	dropRowsSQL  = `DELETE FROM messages WHERE id >= ?1 AND id <= ?2`
	dropTopicSQL = `DELETE FROM topics WHERE id = ?1`
)

// minTidy is the least room worth writing a slice anew for, in bytes.
const minTidy = 4 << 20

// cutChunk removes the entries of a chunk before a place, with the chunk, and
// makes one for those that remain. writing is held.
func (p *pruning) cutChunk(s *slice, ch *chunk, cut key) error {
	a := p.a
	a.reading.Lock()
	defer a.reading.Unlock()
	at := slices.Index(s.chunks, ch)
	if at < 0 {
		return nil // it was changed meanwhile
	}
	c, err := a.pool.get(context.Background(), s)
	if err != nil {
		return err
	}
	defer a.pool.put(c)
	rows, err := c.all(ch)
	if err != nil {
		return err
	}
	split := sort.Search(len(rows), func(i int) bool { return compareKeys(rows[i].key(), cut) >= 0 })
	if split == 0 {
		return nil
	}
	gone, rest := rows[:split], rows[split:]
	chunks := slices.Delete(slices.Clone(s.chunks), at, at+1)
	err = c.within(func() error {
		if err := c.dropChunk(ch.id); err != nil {
			return err
		}
		if len(rest) == 0 {
			if err := c.exec(dropRowsSQL, ch.first, ch.last); err != nil {
				return err
			}
		} else {
			for i := range gone {
				if err := c.exec(dropRowSQL, gone[i].id); err != nil {
					return err
				}
			}
			left, runs, err := s.index(c, rest)
			if err != nil {
				return err
			}
			if err := c.addChunk(left, runs); err != nil {
				return err
			}
			chunks = slices.Insert(chunks, at, left)
		}
		return p.cutTopics(s, c, chunks, gone)
	})
	if err != nil {
		return err
	}
	clear(s.topics)
	s.mu.Lock()
	s.chunks = chunks
	s.mu.Unlock()
	s.measure()
	p.messages += int64(len(gone))
	return nil
}

// cutTopics removes the topic pairs of removed entries that no other has.
func (p *pruning) cutTopics(s *slice, c *conn, chunks []*chunk, gone []record) error {
	asked := make(map[uint32]bool)
	for i := range gone {
		id := gone[i].topic
		if asked[id] {
			continue
		}
		asked[id] = true
		name, err := c.topicName(id)
		if err != nil {
			return err
		}
		used, err := c.uses(chunks, id, name)
		if err != nil {
			return err
		}
		if _, ok := s.tail.name(id); used || ok {
			continue
		}
		if err := c.exec(dropTopicSQL, int64(id)); err != nil {
			return err
		}
	}
	return nil
}

// uses reports whether an entry in the chunks has a topic pair.
func (c *conn) uses(chunks []*chunk, id uint32, name topic) (bool, error) {
	filterKey := name.filterKey()
	for _, ch := range chunks {
		if !ch.filter.has(filterKey) {
			continue
		}
		found, err := c.scanChunk(nil, ch, id, &within{to: last, forward: true, limit: 1})
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
		}
	}
	return false, nil
}

// tidy gives room back to the disk that removed entries leave in a slice,
// when it is much or when all is wanted.
func (p *pruning) tidy(s *slice, all bool) error {
	return p.change(func() error {
		a := p.a
		if !slices.Contains(*a.slices.Load(), s) {
			return nil
		}
		a.reading.Lock()
		defer a.reading.Unlock()
		c, err := a.pool.get(context.Background(), s)
		if err != nil {
			return err
		}
		defer a.pool.put(c)
		free, err := c.number(`PRAGMA freelist_count`)
		if err != nil {
			return err
		}
		pages, err := c.number(`PRAGMA page_count`)
		if err != nil {
			return err
		}
		size, err := c.number(`PRAGMA page_size`)
		if err != nil {
			return err
		}
		if !all && (free*2 < pages || free*size < minTidy) {
			return nil
		}
		if free > 0 {
			if err := c.db.Exec(`VACUUM`); err != nil {
				return err
			}
		}
		if a.dir != "" {
			return c.db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
		}
		return nil
	})
}
