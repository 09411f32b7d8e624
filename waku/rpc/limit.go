package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Rate is what one peer is allowed: Burst at once, refilled at PerSecond.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Limiter is a token bucket for each peer. It is safe for concurrent use.
type Limiter struct {
	rate, burst float64 // tokens a second, tokens at most
	mu          sync.Mutex
	buckets     map[peer.ID]bucket
	refused     uint64
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets is the number of peers remembered before those whose bucket is
// full again, which says nothing, are forgotten.
const maxBuckets = 1024

// NewLimiter returns a limiter with full buckets of at least one token. There
// is no limit when r.PerSecond is 0.
func NewLimiter(r Rate) *Limiter {
	return &Limiter{rate: r.PerSecond, burst: float64(max(1, r.Burst)), buckets: make(map[peer.ID]bucket)}
}

// Allow takes a token of p at now and reports whether there was one.
func (l *Limiter) Allow(p peer.ID, now time.Time) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	allowed := l.take(p, now)
	if !allowed {
		l.refused++
	}
	return allowed
}

// Refused returns how many times Allow refused.
func (l *Limiter) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// take takes a token of p at now if there is one; l.mu is held.
func (l *Limiter) take(p peer.ID, now time.Time) bool {
	b, ok := l.buckets[p]
	if !ok {
		if len(l.buckets) >= maxBuckets {
			l.sweep(now)
		}
		b = bucket{l.burst, now}
	}
	b = l.refill(b, now)
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.buckets[p] = b
	return allowed
}

// Wait takes a token of p, waiting for it until ctx ends.
func (l *Limiter) Wait(ctx context.Context, p peer.ID) bool {
	for !l.waited(p) {
		select {
		case <-time.After(time.Duration(float64(time.Second) / l.rate)):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// waited takes a token of p, which is no refusal when there is none yet.
func (l *Limiter) waited(p peer.ID) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.take(p, time.Now())
}

// refill returns b at now; a clock that goes back takes nothing away.
func (l *Limiter) refill(b bucket, now time.Time) bucket {
	if d := now.Sub(b.at); d > 0 {
		b = bucket{min(l.burst, b.tokens+l.rate*d.Seconds()), now}
	}
	return b
}

func (l *Limiter) sweep(now time.Time) {
	for p, b := range l.buckets {
		if l.refill(b, now).tokens >= l.burst {
			delete(l.buckets, p)
		}
	}
}
