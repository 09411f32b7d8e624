package stack

import (
	"maps"
	"sync"
)

// counters count what was dropped or skipped, by cause. Their number is
// bounded: causes past it share one name.
type counters struct {
	mu sync.Mutex
	m  map[string]uint64
}

const (
	countersMost  = 256
	countersOther = "other causes"
)

func (c *counters) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[string]uint64)
	}
	if _, ok := c.m[name]; !ok && len(c.m) >= countersMost {
		name = countersOther
	}
	c.m[name]++
}

// Counters returns how often what was dropped or skipped since the start, by
// cause: messages of types not handled, frames that do not decrypt.
func (s *Stack) Counters() map[string]uint64 {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	return maps.Clone(s.counters.m)
}
