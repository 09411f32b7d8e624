package service

import (
	"slices"
	"testing"
)

func TestPublicFirst(t *testing.T) {
	t.Parallel()
	got := publicFirst([]string{"/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/192.0.2.1/tcp/1", "/ip6/::1/tcp/1", "/dns4/a.example/tcp/1"})
	want := []string{"/ip4/192.0.2.1/tcp/1", "/dns4/a.example/tcp/1", "/ip4/192.168.1.2/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
