package filter

import (
	"bufio"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

// BenchmarkPushIndex queues a message for one subscriber among many.
func BenchmarkPushIndex(b *testing.B) {
	for _, others := range []int{0, 1000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			s := &Service{limit: rpc.NewLimiter(rpc.Rate{}), reg: *testRegistry(others+1, nil)}
			for i := range others {
				s.reg.request(peer.ID(fmt.Sprint(i)), request(subscribe, testPubsub, topics(i*10+1, 10)...), time.Now())
			}
			s.reg.request("one", request(subscribe, testPubsub, topics(0, 1)...), time.Now())
			m := messageOn(topics(0, 1)[0], string(make([]byte, 512)))
			b.ReportAllocs()
			for b.Loop() {
				s.Push(testPubsub, m)
				s.reg.peers["one"].queue.next()
			}
		})
	}
}

// BenchmarkPushFanOut pushes to subscribers in memory and waits until all of
// them have the message.
func BenchmarkPushFanOut(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			_, hosts := networkOf(b, n+1)
			s := service(b, hosts[0], ServiceConfig{})
			var wg sync.WaitGroup
			for _, h := range hosts[1:] {
				h.SetStreamHandler(PushID, func(stream network.Stream) {
					r := bufio.NewReader(stream)
					for wire.Read(r, MaxPush, new(wakupb.MessagePush)) == nil {
						wg.Done()
					}
					_ = stream.Close()
				})
				if _, err := streamCaller(h)(b.Context(), hosts[0].ID(), request(subscribe, testPubsub, "x")); err != nil {
					b.Fatal(err)
				}
			}
			m := messageOn("x", string(make([]byte, 512)))
			b.ReportAllocs()
			for b.Loop() {
				wg.Add(n)
				s.Push(testPubsub, m)
				wg.Wait()
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}

// BenchmarkPushSocket pushes to one subscriber over loopback, to one that
// reads a message from each stream and to one that keeps its stream.
func BenchmarkPushSocket(b *testing.B) {
	for _, kind := range []string{"ends", "keeps"} {
		b.Run("client="+kind, func(b *testing.B) {
			a, h := rpctest.Sockets(b)
			s := service(b, h, ServiceConfig{})
			got := make(chan struct{})
			a.SetStreamHandler(PushID, func(stream network.Stream) {
				defer func() { _ = stream.Close() }()
				r := bufio.NewReader(stream)
				for wire.Read(r, MaxPush, new(wakupb.MessagePush)) == nil {
					got <- struct{}{}
					if kind == "ends" {
						return
					}
				}
			})
			if _, err := streamCaller(a)(b.Context(), h.ID(), request(subscribe, testPubsub, "x")); err != nil {
				b.Fatal(err)
			}
			m := messageOn("x", string(make([]byte, 512)))
			b.ReportAllocs()
			for b.Loop() {
				s.Push(testPubsub, m)
				<-got
			}
		})
	}
}

// BenchmarkPushSockets pushes messages of 1 KB to subscribers over loopback,
// 32 messages under way, to clients that read a message from each stream and
// to those that keep theirs.
func BenchmarkPushSockets(b *testing.B) {
	for _, n := range []int{1, 10, 20} {
		for _, kind := range []string{"ends", "keeps"} {
			b.Run(fmt.Sprintf("subscribers=%d/client=%s", n, kind), func(b *testing.B) {
				h := rpctest.Listen(b)
				s := service(b, h, ServiceConfig{})
				const window = 32
				slots := make(chan struct{}, window)
				var arrived atomic.Int64
				for range n {
					a := rpctest.Listen(b)
					connect(b, a, h)
					a.SetStreamHandler(PushID, func(stream network.Stream) {
						defer func() { _ = stream.Close() }()
						r := bufio.NewReader(stream)
						for wire.Read(r, MaxPush, new(wakupb.MessagePush)) == nil {
							if arrived.Add(1)%int64(n) == 0 {
								<-slots
							}
							if kind == "ends" {
								return
							}
						}
					})
					if _, err := streamCaller(a)(b.Context(), h.ID(), request(subscribe, testPubsub, "x")); err != nil {
						b.Fatal(err)
					}
				}
				m := messageOn("x", string(make([]byte, 1024)))
				b.ReportAllocs()
				start := cpu()
				for b.Loop() {
					slots <- struct{}{}
					s.Push(testPubsub, m)
				}
				for range window {
					slots <- struct{}{}
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "pushes/s")
				b.ReportMetric(float64(cpu()-start)/float64(b.N*n)/1e3, "cpu-µs/push")
			})
		}
	}
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
