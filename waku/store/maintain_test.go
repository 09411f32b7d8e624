package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/store"
)

func TestParseRetention(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]store.Retention{
		"30d":                 {Age: 30 * 24 * time.Hour},
		"90m":                 {Age: 90 * time.Minute},
		"10GB":                {Bytes: 10e9},
		"500 MiB":             {Bytes: 500 << 20},
		"1000000":             {Messages: 1e6},
		"2w, 1tb,7":           {Age: 14 * 24 * time.Hour, Bytes: 1e12, Messages: 7},
		"9223372036854775807": {Messages: 1<<63 - 1},
	} {
		if got, err := store.ParseRetention(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "d", "0", "0d", "-1d", "1.5GB", "30x", "30d,", "1d,2d", "5,6",
		"9223372036854775808", "106752d", "9223372036854775807kb",
	} {
		if got, err := store.ParseRetention(text); !errors.Is(err, store.ErrRetention) || got != (store.Retention{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}
