package ops

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// probeTimeout bounds one probe of the archive.
	probeTimeout = 4 * time.Second
	// probePatience is how long an archive may take to answer a probe and be
	// ready, and the longest that who asks for its health waits.
	probePatience = 1500 * time.Millisecond
	// probeAge is how old an answer may be that still counts.
	probeAge = time.Second
)

// errSlow is an archive that has not answered a probe yet.
var errSlow = fmt.Errorf("no answer for %s", probePatience)

// prober asks an archive whether it answers, for all who want to know.
type prober struct {
	ask func(ctx context.Context) error
	now func() time.Time
	log *slog.Logger

	mu      sync.Mutex
	running *probe // nil when none is under way
	at      time.Time
	err     error // of the probe that ended at that time
	failing bool  // as the log was told
}

// probe is one that is under way.
type probe struct {
	ended chan struct{}
	slow  chan struct{} // closed when it takes longer than probePatience
}

// check says what is wrong with the archive, within probePatience. It starts a
// probe only when there is none under way and no fresh answer: an archive that
// hangs is not asked again and again.
func (p *prober) check() error {
	p.mu.Lock()
	if p.running == nil && !p.at.IsZero() && p.now().Sub(p.at) < probeAge {
		defer p.mu.Unlock()
		return p.err
	}
	if p.running == nil {
		p.start()
	}
	r := p.running
	p.mu.Unlock()
	select {
	case <-r.ended:
	case <-r.slow:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == r {
		p.tell(errSlow)
		return errSlow
	}
	return p.err
}

// start starts a probe; the mutex is held.
func (p *prober) start() {
	r := &probe{ended: make(chan struct{}), slow: make(chan struct{})}
	p.running = r
	late := time.AfterFunc(probePatience, func() { close(r.slow) })
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		defer cancel()
		err := p.ask(ctx)
		late.Stop()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.running, p.at, p.err = nil, p.now(), err
		p.tell(err)
		close(r.ended)
	}()
}

// tell tells the log of another state; the mutex is held.
func (p *prober) tell(err error) {
	switch {
	case err != nil && !p.failing:
		p.log.Warn("the archive does not answer", "cause", err)
	case err == nil && p.failing:
		p.log.Warn("the archive answers again")
	}
	p.failing = err != nil
}
