package relay

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/waku/message"
)

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRelay sends messages of 1 KB from one node to the next over
// loopback, 32 of them under way. Processor time is that of both nodes.
func BenchmarkRelay(b *testing.B) {
	const window = 32
	got, own := make(chan struct{}, window), make(chan struct{}, window)
	x, y := benchRelay(b, own), benchRelay(b, got)
	connect(b, x.h, y.h)
	x.awaitPeers(b, shard32, 1)
	y.awaitPeers(b, shard32, 1)
	eventually.True(b, "a mesh", func() bool { return len(x.Mesh(shard32)) == 1 && len(y.Mesh(shard32)) == 1 })
	payload := make([]byte, 1024)
	i, flying := 0, 0
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		for flying == window {
			<-got
			flying--
		}
		i++
		m := message.New(payload, "/waku/1/0x00000001/rfc26", time.Unix(0, int64(i)), false)
		if _, err := x.Publish(context.Background(), shard32, m); err != nil {
			b.Fatal(err)
		}
		flying++
	}
	for ; flying > 0; flying-- {
		<-got
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/1e3, "cpu-µs/message")
}

// benchRelay tells of each message it received from another node.
func benchRelay(b *testing.B, got chan<- struct{}) *testRelay {
	b.Helper()
	r := &testRelay{h: newHost(b)}
	relay, err := New(r.h, Config{Deliver: func(d Delivery) {
		if d.From != r.h.ID() {
			got <- struct{}{}
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	r.Relay = relay
	b.Cleanup(func() { _ = relay.Close() })
	if err := relay.Subscribe(shard32); err != nil {
		b.Fatal(err)
	}
	return r
}
