package filter

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// coverage works out since when messages may have been missed. Each peer
// covers a span of time: from when it took the last request for all that is
// wanted to the last time it confirmed that the subscription is alive. A peer
// may have been silent since then, so that certainty comes late; spans that
// overlap make up for each other.
type coverage struct {
	// certain is the time up to which the spans join without a gap.
	certain time.Time
	spans   map[peer.ID]span
	// wider tells that nobody covered all of what is wanted yet.
	wider bool
}

type span struct{ start, confirmed time.Time }

// reset forgets everything and counts from at.
func (c *coverage) reset(at time.Time) {
	c.certain, c.spans, c.wider = at, make(map[peer.ID]span), true
}

// widen notes that more is wanted: no peer covers it yet.
func (c *coverage) widen() {
	clear(c.spans)
	c.wider = true
}

// begin, confirm and end tell what became of a peer. When it turns out that
// nothing covered the time from since to the present spans, gap is true.

func (c *coverage) begin(p peer.ID, at time.Time) (since time.Time, gap bool) {
	if _, ok := c.spans[p]; ok {
		return since, false
	}
	c.spans[p] = span{at, at}
	return c.join()
}

func (c *coverage) confirm(p peer.ID, at time.Time) (since time.Time, gap bool) {
	s, ok := c.spans[p]
	if !ok || at.Before(s.confirmed) {
		return since, false
	}
	c.spans[p] = span{s.start, at}
	return c.join()
}

func (c *coverage) end(p peer.ID) (since time.Time, gap bool) {
	delete(c.spans, p)
	return c.join()
}

// join moves certain on as far as the spans go. If none reaches back to it,
// what lies before the earliest one is a gap, and certain moves behind it.
func (c *coverage) join() (since time.Time, gap bool) {
	if len(c.spans) == 0 {
		return since, false
	}
	var earliest time.Time
	for _, s := range c.spans {
		if earliest.IsZero() || s.start.Before(earliest) {
			earliest = s.start
		}
	}
	if c.wider || earliest.After(c.certain) {
		since, gap = c.certain, true
		c.certain, c.wider = earliest, false
	}
	for moved := true; moved; {
		moved = false
		for _, s := range c.spans {
			if !s.start.After(c.certain) && s.confirmed.After(c.certain) {
				c.certain, moved = s.confirmed, true
			}
		}
	}
	return since, gap
}
