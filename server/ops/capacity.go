package ops

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/parley-im/parley/waku/store"
)

const (
	// statsAge is how old the count of the archive may be that is shown:
	// counting a large one takes a while.
	statsAge = time.Minute
	// statsTimeout bounds one count: who collects metrics does not wait long.
	statsTimeout = 5 * time.Second
	// statsRetry is how long a count that failed is not tried again.
	statsRetry = 10 * time.Second
	// growthDays are the complete days whose growth is taken for the future's.
	growthDays = 7
)

// Capacity is how much a node serves, and for how long its disk lasts.
type Capacity struct {
	// Services are in the order of their protocol ids.
	Services []ServiceUse `json:"services"`
	// Queries are the store queries since the start.
	Queries Latency `json:"queries"`
	// Archive is absent without a store.
	Archive *ArchiveUse `json:"archive,omitempty"`
}

// ServiceUse is the use of one service.
type ServiceUse struct {
	Protocol string `json:"protocol"`
	// Clients served in the last 24 hours.
	Clients int `json:"clients"`
	// RateLimited are the requests since the start that were refused for their
	// rate.
	RateLimited uint64 `json:"rate_limited"`
}

// Latency is a histogram of durations in seconds.
type Latency struct {
	Count uint64 `json:"count"`
	// P50, P95 and P99 are upper bounds, the edges of their buckets; 0 when
	// nothing was measured, and -1 beyond the last edge.
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	// Buckets count what took at most LE and more than the one before.
	Buckets []Bucket `json:"buckets"`
}

// Bucket is one of a histogram's.
type Bucket struct {
	LE    float64 `json:"le"`
	Count uint64  `json:"count"`
}

// ArchiveUse is the state of the archive.
type ArchiveUse struct {
	store.Stats
	// BytesPerDay is what the last complete days added on disk, on average.
	BytesPerDay float64 `json:"bytes_per_day"`
	// DiskFree and DiskTotal are those of the archive's disk; 0 is unknown.
	DiskFree  uint64 `json:"disk_free"`
	DiskTotal uint64 `json:"disk_total"`
	// DaysUntilFull is absent where retention keeps the archive within the
	// disk, where nothing grows, and where it is not known.
	DaysUntilFull *float64 `json:"days_until_full,omitempty"`
}

// statsCache counts the archive now and then.
type statsCache struct {
	ask func(ctx context.Context) (store.Stats, error)
	now func() time.Time

	mu   sync.Mutex
	at   time.Time
	last store.Stats
	// Of a count that failed, until it is tried again.
	failed error
	until  time.Time
}

// get returns a count that is at most statsAge old, or the last one with the
// error of a newer one. Others want it too: it goes on when ctx ends.
func (c *statsCache) get(ctx context.Context) (store.Stats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if !c.at.IsZero() && now.Sub(c.at) < statsAge {
		return c.last, nil
	}
	if c.failed != nil && now.Before(c.until) {
		return c.last, c.failed
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statsTimeout)
	defer cancel()
	stats, err := c.ask(ctx)
	if c.failed = err; err != nil {
		c.until = c.now().Add(statsRetry)
		return c.last, err
	}
	c.at, c.last = now, stats
	return stats, nil
}

// Capacity computes the state of now.
func (s *Server) Capacity(ctx context.Context) (Capacity, error) {
	c := Capacity{Services: s.cfg.Recorder.services(), Queries: s.cfg.Recorder.latency()}
	if s.stats == nil {
		return c, nil
	}
	stats, err := s.stats.get(ctx)
	if err != nil {
		return c, err
	}
	use := &ArchiveUse{Stats: stats, BytesPerDay: growth(stats, s.cfg.Now())}
	if s.cfg.Disk != nil {
		if use.DiskFree, use.DiskTotal, err = s.cfg.Disk(); err != nil {
			s.cfg.Log.Warn("free disk space is unknown", "cause", err)
		} else if days, ok := untilFull(use, s.cfg.Retention()); ok {
			use.DaysUntilFull = &days
		}
	}
	c.Archive = use
	return c, nil
}

// services are the services used so far.
func (r *Recorder) services() []ServiceUse {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	byID := make(map[string]*ServiceUse)
	use := func(id string) *ServiceUse {
		if byID[id] == nil {
			byID[id] = &ServiceUse{Protocol: id}
		}
		return byID[id]
	}
	for id, seen := range r.clients {
		forget(seen, now)
		use(string(id)).Clients = len(seen)
	}
	for id, n := range r.hits {
		use(string(id)).RateLimited = n
	}
	all := make([]ServiceUse, 0, len(byID))
	for _, u := range byID {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b ServiceUse) int {
		if a.Protocol < b.Protocol {
			return -1
		}
		return 1
	})
	return all
}

// latency is the histogram of store queries.
func (r *Recorder) latency() Latency {
	var m dto.Metric
	if err := r.queries.Write(&m); err != nil {
		return Latency{}
	}
	h := m.GetHistogram()
	l := Latency{Count: h.GetSampleCount(), Buckets: []Bucket{}}
	below := uint64(0)
	for _, b := range h.GetBucket() {
		l.Buckets = append(l.Buckets, Bucket{b.GetUpperBound(), b.GetCumulativeCount() - below})
		below = b.GetCumulativeCount()
	}
	l.P50, l.P95, l.P99 = l.quantile(.5), l.quantile(.95), l.quantile(.99)
	return l
}

// quantile is the edge of the bucket in which the quantile q lies.
func (l Latency) quantile(q float64) float64 {
	if l.Count == 0 {
		return 0
	}
	rank, seen := uint64(math.Ceil(q*float64(l.Count))), uint64(0)
	for _, b := range l.Buckets {
		if seen += b.Count; seen >= rank {
			return b.LE
		}
	}
	return -1
}

// growth is how many bytes on disk a day adds, from the last complete days.
func growth(stats store.Stats, now time.Time) float64 {
	today := now.UTC().Truncate(24 * time.Hour)
	var bytes, all int64
	first := today
	for _, d := range stats.Days {
		all += d.Bytes
		if d.Day.Before(today) && !d.Day.Before(today.AddDate(0, 0, -growthDays)) {
			bytes += d.Bytes
			if d.Day.Before(first) {
				first = d.Day
			}
		}
	}
	days := today.Sub(first).Hours() / 24
	if days == 0 || all == 0 {
		return 0
	}
	// What lies on disk beside the messages grows with them.
	return float64(bytes) / days * max(1, float64(stats.Bytes)/float64(all))
}

// untilFull is the number of days until the disk is full; there is none where
// the archive does not grow or is pruned before.
func untilFull(use *ArchiveUse, r store.Retention) (days float64, ok bool) {
	free := float64(use.DiskFree)
	if use.BytesPerDay <= 0 {
		return 0, false
	}
	if r.Bytes > 0 && float64(r.Bytes-use.Bytes) <= free {
		return 0, false
	}
	if r.Age > 0 && use.BytesPerDay*r.Age.Hours()/24-float64(use.Bytes) <= free {
		return 0, false
	}
	if r.Messages > 0 && use.Messages > 0 && float64(use.Bytes)/float64(use.Messages)*float64(r.Messages-use.Messages) <= free {
		return 0, false
	}
	return free / use.BytesPerDay, true
}
