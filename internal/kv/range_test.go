package kv

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestPrefixEnd(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{"": "", "a": "b", "a/": "a0", "a\xff": "b", "a\xff\xff": "b", "\xff": "", "\xff\xff": "", "a\xfe": "a\xff"} {
		if got := PrefixEnd(prefix); got != want {
			t.Errorf("after %q comes %q, not %q", prefix, got, want)
		}
	}
}

// Every span of a few keys, in both directions and stopped anywhere, is that of
// a sorted list.
func TestMemoryRange(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	stored := []string{"a", "b", "b/", "b/\xff", "c", "\xff"}
	for _, k := range stored {
		m.Put(k, []byte("of "+k))
	}
	bounds := append([]string{"", "aa", "b0", "zz"}, stored...)
	for _, from := range bounds {
		for _, to := range bounds {
			for _, reverse := range []bool{false, true} {
				for stop := range len(stored) + 1 {
					var want, got []string
					for _, k := range stored {
						if k >= from && (to == "" || k < to) {
							want = append(want, k)
						}
					}
					if reverse {
						slices.Reverse(want)
					}
					if stop > 0 && len(want) > stop {
						want = want[:stop]
					}
					err := m.Range(Range{From: from, To: to, Reverse: reverse}, func(k string, v []byte) error {
						if string(v) != "of "+k {
							t.Errorf("%q has %q", k, v)
						}
						if got = append(got, k); len(got) == stop {
							return Stop
						}
						return nil
					})
					if err != nil || !slices.Equal(got, want) {
						t.Errorf("from %q to %q, reverse %v, stop after %d: %q, %v, not %q", from, to, reverse, stop, got, err, want)
					}
				}
			}
		}
	}
	boom := fmt.Errorf("boom")
	if err := m.Range(Prefix("b"), func(string, []byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("the visitor's error became %v", err)
	}
}
