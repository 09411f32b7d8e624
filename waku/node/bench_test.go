package node

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
)

func discardLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// BenchmarkRelay is the way of a message of 1 kB from one full node to the
// reader of another, over loopback.
func BenchmarkRelay(b *testing.B) {
	x := start(b, Config{Mode: Full})
	y := full(b, x)
	payload := make([]byte, 1024)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		m := message.New(payload, content, time.Unix(0, int64(i)), false)
		if _, err := x.Publish(context.Background(), shard32, m); err != nil {
			b.Fatal(err)
		}
		<-y.Envelopes()
	}
}

// BenchmarkLightpush is a message of 1 kB from a light node over a service
// node to the reader of another light node.
func BenchmarkLightpush(b *testing.B) {
	s := start(b, Config{Mode: Service, LightpushLimit: lightpush.RateLimit{PerSecond: 1e9, Burst: 1e9}})
	x, y := light(b, s), light(b, s)
	payload := make([]byte, 1024)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		m := message.New(payload, content, time.Unix(0, int64(i)), false)
		if _, err := x.Publish(context.Background(), shard32, m); err != nil {
			b.Fatal(err)
		}
		<-y.Envelopes()
	}
}
