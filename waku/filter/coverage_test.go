package filter

import (
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// TestCoverage tells gaps as soon as they are certain, and none else.
func TestCoverage(t *testing.T) {
	t.Parallel()
	type step struct {
		what string
		p    peer.ID
		at   int
		gap  int // the since reported; -1 for none
	}
	for name, steps := range map[string][]step{
		"first subscription": {{"begin", "a", 2, 0}, {"confirm", "a", 60, -1}},
		"one peer replaced by another": {
			{"begin", "a", 1, 0}, {"confirm", "a", 60, -1}, {"end", "a", 0, -1}, {"begin", "b", 130, 60}},
		"the other peer went on": {
			{"begin", "a", 1, 0}, {"begin", "b", 2, -1}, {"confirm", "a", 60, -1}, {"confirm", "b", 61, -1},
			{"end", "a", 0, -1}, {"begin", "c", 130, -1}, {"confirm", "b", 125, -1}, {"confirm", "b", 185, -1}, {"end", "b", 0, -1}},
		"the other peer had been dead for long": {
			{"begin", "a", 1, 0}, {"begin", "b", 2, -1}, {"confirm", "a", 60, -1}, {"confirm", "b", 30, -1},
			{"end", "a", 0, -1}, {"begin", "a", 70, -1}, // b may still cover 60 to 70
			{"end", "b", 0, 60}, {"confirm", "a", 130, -1}},
		"confirmations out of order": {
			{"begin", "a", 1, 0}, {"confirm", "a", 60, -1}, {"confirm", "a", 50, -1}, {"end", "a", 0, -1}, {"begin", "b", 80, 60}},
		"spans join through another": {
			{"begin", "a", 1, 0}, {"begin", "b", 20, -1}, {"begin", "c", 40, -1}, {"confirm", "b", 50, -1}, {"confirm", "c", 90, -1},
			{"end", "c", 0, -1}, {"confirm", "a", 30, -1}, {"end", "a", 0, -1}, {"end", "b", 0, -1}, {"begin", "d", 100, 50}},
		"at once": {{"begin", "a", 0, 0}, {"begin", "b", 0, -1}},
		"more is wanted": {
			{"begin", "a", 1, 0}, {"confirm", "a", 60, -1}, {"widen", "", 0, -1}, {"begin", "a", 75, 60}, {"confirm", "a", 120, -1}},
		"unknown peers": {{"confirm", "x", 5, -1}, {"end", "x", 0, -1}, {"begin", "a", 9, 0}},
	} {
		c := new(coverage)
		at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
		c.reset(at(0))
		for i, s := range steps {
			var since time.Time
			var gap bool
			switch s.what {
			case "begin":
				since, gap = c.begin(s.p, at(s.at))
			case "confirm":
				since, gap = c.confirm(s.p, at(s.at))
			case "end":
				since, gap = c.end(s.p)
			case "widen":
				c.widen()
			}
			if gap != (s.gap >= 0) || gap && !since.Equal(at(s.gap)) {
				t.Errorf("%s, step %d: gap %v since %d, want %d", name, i, gap, since.Unix(), s.gap)
			}
		}
	}
}
