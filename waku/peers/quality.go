package peers

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	// smoothing is the weight of the latest request.
	smoothing = 0.25
	// What is assumed of a peer that was never asked, and what the memory of
	// one returns to, by half in qualityHalfLife: a peer that failed once is
	// tried again some time.
	priorSuccess    = 0.75
	priorTook       = time.Second
	qualityHalfLife = 30 * time.Minute
	// failureCost is the time that a failed request costs.
	failureCost = 10 * time.Second
	// A service whose success is below poorSuccess after poorAfter requests
	// counts as none.
	poorSuccess = 0.35
	poorAfter   = 3
	// maxTook bounds what one answer counts.
	maxTook = time.Minute
)

// quality is how a peer served one protocol.
type quality struct {
	success float64 // 0 to 1
	took    time.Duration
	at      time.Time
	served  int
}

// successAt is the smoothed success, the closer to what is assumed of anybody
// the longer ago it was.
func (q *quality) successAt(now time.Time) float64 {
	if q.served == 0 {
		return priorSuccess
	}
	age := max(now.Sub(q.at), 0)
	return priorSuccess + (q.success-priorSuccess)*math.Exp2(-float64(age)/float64(qualityHalfLife))
}

func (q *quality) add(ok bool, took time.Duration, now time.Time) {
	result := 0.0
	if ok {
		result = 1
		took = min(max(took, 0), maxTook)
		if q.took == 0 {
			q.took = took
		} else {
			q.took += time.Duration(smoothing * float64(took-q.took))
		}
	}
	s := q.successAt(now)
	q.success = s + smoothing*(result-s)
	q.at = now
	q.served = min(q.served+1, math.MaxInt32)
}

// cost is the time that a request takes with failures in mind.
func (q *quality) cost(now time.Time) time.Duration {
	took := q.took
	if took == 0 {
		took = priorTook
	}
	s := q.successAt(now)
	return time.Duration(s*float64(took) + (1-s)*float64(failureCost))
}

func (q *quality) poor(now time.Time) bool {
	return q.served >= poorAfter && q.successAt(now) < poorSuccess
}

// Served notes how a peer served a request: whether it did, and how long that
// took. A peer that is not known, or a set of capabilities, changes nothing.
func (b *Book) Served(id peer.ID, c Capability, ok bool, took time.Duration, now time.Time) {
	e := b.entries[id]
	i, single := c.index()
	if e == nil || !single {
		return
	}
	e.quality[i].add(ok, took, now)
}

// Rank orders peers by what a request of one capability costs with them, the
// best first; those of equal cost by chance.
func (b *Book) Rank(ids []peer.ID, c Capability, now time.Time, r *rand.Rand) []peer.ID {
	i, single := c.index()
	type ranked struct {
		id   peer.ID
		cost time.Duration
	}
	list := make([]ranked, len(ids))
	for k, id := range ids {
		q := new(quality)
		if e := b.entries[id]; e != nil && single {
			q = &e.quality[i]
		}
		list[k] = ranked{id, q.cost(now)}
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b ranked) int { return int(a.cost.Milliseconds() - b.cost.Milliseconds()) })
	out := make([]peer.ID, len(list))
	for k := range list {
		out[k] = list[k].id
	}
	return out
}
