package rest

import (
	"errors"
	"testing"
)

// The shards are those that deployed nwaku computes for these topics.
func TestAutoshard(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]uint16{
		"/toychat/2/huilong/proto":       3,
		"/0/toychat/2/huilong/proto":     3,
		"/toychat/2/huilong/proto2":      3,
		"/toychat2/2/huilong/proto":      6,
		"/0/toychat2/2/huilong/proto":    6,
		"/0/toychat/4/huilong/proto2":    7,
		"/app-1/2/default-content/proto": 7,
		"/app-2/2/default-content/proto": 5,
		"/app-3/2/default-content/proto": 2,
	} {
		if got, err := Autoshard(name, 8); err != nil || got != want {
			t.Errorf("%s: %d %v, want %d", name, got, err, want)
		}
	}
	for name, text := range map[string]string{
		"invalidContentTopic":        "autosharding error: invalid format: content-topic 'invalidContentTopic' must start with slash",
		"/1/toychat/2/huilong/proto": "autosharding error: Generation > 0 are not supported yet",
		"/toychat/2/huilong":         "",
		"/toychat//huilong/proto":    "",
		"/x/toychat/2/huilong/proto": "",
		"":                           "",
	} {
		_, err := Autoshard(name, 8)
		if !errors.Is(err, ErrAutoshard) || text != "" && err.Error() != text {
			t.Errorf("%q: %v, want %q", name, err, text)
		}
	}
	if _, err := Autoshard("/toychat/2/huilong/proto", 0); !errors.Is(err, ErrAutoshard) {
		t.Errorf("no shards: %v", err)
	}
	if got, err := Autoshard("/toychat/2/huilong/proto", 1); err != nil || got != 0 {
		t.Errorf("one shard: %d %v", got, err)
	}
}
