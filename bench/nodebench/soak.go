package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// soakSamples is how often a soak looks at the node.
const soakSamples = 12

// soak relays messages at a steady rate for a long time and looks at the
// node's memory and goroutines now and then: after the first minutes, in which
// caches fill, they must not grow.
func (b *bench) soak(ctx context.Context) ([]Measurement, error) {
	if b.duration == 0 {
		return nil, fmt.Errorf("%w: give -duration", errUnsupported)
	}
	sender, err := b.relayer(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer sender.close()
	g := b.begin()
	m := Measurement{}
	tick := time.NewTicker(b.duration / time.Duration(b.messages))
	defer tick.Stop()
	for n := range b.messages {
		if _, err := sender.Publish(ctx, b.pubsub, b.message(n, b.contentTopic("soak", n%10))); err != nil {
			return nil, err
		}
		if n%(b.messages/soakSamples) == 0 {
			m.Samples = append(m.Samples, b.sample(ctx, time.Since(g.start)))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	samples := append(m.Samples, b.sample(ctx, time.Since(g.start)))
	m = g.end("soak", b.messages, nil)
	m.Samples = samples
	return []Measurement{m}, nil
}

// Sample is a look at the node.
type Sample struct {
	Seconds   float64 `json:"seconds"`
	MemoryMiB float64 `json:"memory_mib"`
	// Goroutines and HeapMiB are read from the node's metrics; 0 without.
	Goroutines int     `json:"goroutines,omitempty"`
	HeapMiB    float64 `json:"heap_mib,omitempty"`
}

func (b *bench) sample(ctx context.Context, at time.Duration) Sample {
	s := Sample{Seconds: at.Seconds(), MemoryMiB: residentMemory(b.pid)}
	if b.metrics == "" {
		return s
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.metrics+"/metrics", nil)
	if err != nil {
		return s
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "go_goroutines":
			s.Goroutines = int(v)
		case "go_memstats_heap_alloc_bytes":
			s.HeapMiB = v / (1 << 20)
		}
	}
	return s
}
