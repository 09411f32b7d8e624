package rest

import (
	"errors"
	"fmt"
	"testing"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
)

func give(f *feed, pubsub string, m *wakupb.WakuMessage) {
	f.deliver(pubsub, m, message.HashOf(pubsub, m))
}

func taken(t testing.TB, f *feed, s subject) []string {
	t.Helper()
	items, ok := f.take(func(o subject) bool { return o == s })
	if !ok {
		t.Fatalf("no subscription %v", s)
	}
	out := []string{}
	for _, it := range items {
		out = append(out, string(it.msg.Payload))
	}
	return out
}

func TestFeed(t *testing.T) {
	t.Parallel()
	f := newFeed(3)
	all, one := subject{pubsub: shard32}, subject{shard32, content}
	if added, err := f.subscribe(all, one, all); err != nil || len(added) != 2 {
		t.Fatal(added, err)
	}
	if added, err := f.subscribe(one); err != nil || len(added) != 0 {
		t.Fatal(added, err)
	}
	texts := []string{}
	for range 4 {
		m := fresh(content)
		texts = append(texts, string(m.Payload))
		give(f, shard32, m)
		give(f, shard32, m) // the same again
	}
	other := fresh("/other/1/x/proto")
	give(f, shard32, other)
	give(f, "/waku/2/rs/16/33", fresh(content))
	if got, want := taken(t, f, all), []string{texts[2], texts[3], string(other.Payload)}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := taken(t, f, one), texts[1:]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := taken(t, f, all); len(got) != 0 {
		t.Errorf("read twice: %q", got)
	}
	give(f, shard32, fresh(content))
	f.unsubscribe(all, one)
	if _, ok := f.take(everything); ok || f.bytes != 0 {
		t.Errorf("something is left: %v, %d bytes", ok, f.bytes)
	}
}

func TestFeedLimits(t *testing.T) {
	t.Parallel()
	f := newFeed(MaxCacheBytes) // messages do not count here
	subjects := []subject{}
	for i := range MaxSubscriptions {
		subjects = append(subjects, subject{shard32, fmt.Sprint(i)})
	}
	if _, err := f.subscribe(subjects...); err != nil {
		t.Fatal(err)
	}
	if _, err := f.subscribe(subject{pubsub: shard32}); !errors.Is(err, errSubscriptions) {
		t.Fatal(err)
	}
	payload := make([]byte, 1<<20)
	const n = MaxCacheBytes>>20 + 8
	for i := range n {
		payload = append(payload[:0:0], payload...)
		payload[0], payload[1] = byte(i), byte(i>>8)
		give(f, shard32, &wakupb.WakuMessage{Payload: payload, ContentTopic: fmt.Sprint(i % 7)})
		if f.bytes > MaxCacheBytes {
			t.Fatalf("%d bytes are kept", f.bytes)
		}
	}
	items, _ := f.take(everything)
	if len(items) != MaxCacheBytes>>20-1 { // each is a little more than 1 MiB
		t.Errorf("%d messages are kept", len(items))
	}
	for i, it := range items {
		if got := int(it.msg.Payload[0]) + int(it.msg.Payload[1])<<8; got != n-len(items)+i {
			t.Fatalf("message %d is at place %d: not the newest are kept, in order", got, i)
		}
	}
	if f.bytes != 0 {
		t.Errorf("%d bytes in empty boxes", f.bytes)
	}
}

func BenchmarkFeed(b *testing.B) {
	f := newFeed(DefaultCache)
	_, _ = f.subscribe(subject{pubsub: shard32}, subject{shard32, content})
	m := message.New(make([]byte, 1024), content, fixed, false)
	var hash message.Hash
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		hash[0], hash[1], hash[2], hash[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		f.deliver(shard32, m, hash)
	}
}
