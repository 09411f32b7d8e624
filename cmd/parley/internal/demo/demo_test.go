package demo

import (
	"strings"
	"sync"
	"testing"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	kinds := map[string]int{}
	d, err := Start(t.Context(), func(s Step) {
		mu.Lock()
		defer mu.Unlock()
		kinds[s.Kind]++
		t.Logf("%6.2fs %-8s %-8s %s %s %d", s.Seconds, s.Kind, s.Who, s.Text, strings.TrimPrefix(s.PubsubTopic, "/waku/2/rs/"), s.Bytes)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Play(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if kinds["result"] != 1 || kinds["said"] != len(dialogue) || kinds["contact"] != 3 || kinds["restart"] != 2 || kinds["wire"] < len(dialogue)/2 {
		t.Errorf("steps %v", kinds)
	}
	if len(dialogue) != 40 {
		t.Errorf("%d lines, want twenty each", len(dialogue))
	}
}
