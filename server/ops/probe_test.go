package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// probed is a server whose archive answers when and what it is told.
type probed struct {
	*Server
	asked   atomic.Int64
	running atomic.Int64
	most    atomic.Int64 // at once
	log     bytes.Buffer
	mu      sync.Mutex
	answer  func(ctx context.Context) error
}

func newProbed(t *testing.T) *probed {
	p := &probed{answer: func(context.Context) error { return nil }}
	var err error
	p.Server, err = New(Config{
		Status: healthy, Recorder: NewRecorder(nil), Log: slog.New(slog.NewTextHandler(&p.log, nil)),
		Probe: func(ctx context.Context) error {
			p.asked.Add(1)
			p.most.Store(max(p.most.Load(), p.running.Add(1)))
			defer p.running.Add(-1)
			p.mu.Lock()
			answer := p.answer
			p.mu.Unlock()
			return answer(ctx)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *probed) answers(f func(ctx context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// ready asks /readyz, which must not take long.
func (p *probed) ready(t *testing.T) bool {
	t.Helper()
	start := time.Now()
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the answer took %s", took)
	}
	var h Health
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil || h.Ready != (w.Code == http.StatusOK) {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	why := h.Protocols[3].Why
	if h.Ready != (why == "") || strings.Contains(why, "secret") {
		t.Errorf("ready %v: %s", h.Ready, why)
	}
	return h.Ready
}

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// TestProbeHangs: an archive that hangs, or that does not even end when it is
// told to, makes the store unready within five seconds for whoever asks every
// second, is asked once at a time, and is ready again soon after it answers.
func TestProbeHangs(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"hangs": false, "is deaf": true} {
		synctest.Test(t, func(t *testing.T) {
			p := newProbed(t)
			release := make(chan struct{})
			for range 5 {
				if !p.ready(t) {
					t.Fatalf("%s: not ready from the start", name)
				}
				<-time.After(time.Second)
			}
			p.ready(t) // whose answer is still fresh when it begins to hang
			p.answers(hang)
			if deaf {
				p.answers(func(context.Context) error { <-release; return nil })
			}
			start := time.Now()
			for p.ready(t) {
				<-time.After(time.Second)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: ready for %s", name, took)
			}
			before := p.asked.Load()
			for time.Since(start) < time.Minute {
				if p.ready(t) {
					t.Fatalf("%s: ready after %s", name, time.Since(start))
				}
				<-time.After(100 * time.Millisecond)
			}
			if n := p.asked.Load() - before; n > int64(time.Minute/probeTimeout) || deaf && n > 0 {
				t.Errorf("%s: asked %d times in a minute", name, n)
			}
			p.answers(func(context.Context) error { return nil })
			close(release)
			start = time.Now()
			for !p.ready(t) {
				<-time.After(100 * time.Millisecond)
			}
			if took := time.Since(start); took > probeTimeout+2*time.Second {
				t.Errorf("%s: unready for %s", name, took)
			}
			if p.most.Load() != 1 {
				t.Errorf("%s: %d probes at once", name, p.most.Load())
			}
			synctest.Wait()
			if log := p.log.String(); strings.Count(log, "does not answer") != 1 || strings.Count(log, "answers again") != 1 {
				t.Errorf("%s: the log:\n%s", name, log)
			}
		})
	}
}

// TestProbeFails: an archive that answers with an error is not ready at once,
// and the page does not tell the error.
func TestProbeFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbed(t)
		p.answers(func(context.Context) error { return errors.New("the secret cause") })
		start := time.Now()
		for range 10 {
			if p.ready(t) {
				t.Error("ready")
			}
		}
		if time.Since(start) != 0 || p.asked.Load() != 1 {
			t.Errorf("%s, asked %d times", time.Since(start), p.asked.Load())
		}
		<-time.After(probeAge)
		p.answers(func(context.Context) error { return nil })
		if !p.ready(t) {
			t.Error("not ready")
		}
		if log := p.log.String(); !strings.Contains(log, "the secret cause") {
			t.Errorf("the log:\n%s", log)
		}
	})
}

// TestProbeMany: all who ask at the same time share one probe, and the metrics
// say what it does.
func TestProbeMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProbed(t)
		p.answers(hang)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if p.ready(t) {
					t.Error("ready")
				}
			})
		}
		w := httptest.NewRecorder()
		p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if !strings.Contains(w.Body.String(), `parley_ready{protocol="store"} 0`) {
			t.Error("the metrics say that the store is ready")
		}
		wg.Wait()
		if p.asked.Load() != 1 {
			t.Errorf("asked %d times", p.asked.Load())
		}
		<-time.After(probeTimeout) // the probe ends
		synctest.Wait()
	})
}
