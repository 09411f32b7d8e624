package sds

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// talk gives a party a log of messages by others, as in a busy channel.
func talk(tb testing.TB, p *party, others, messages int) {
	tb.Helper()
	peers := make([]*party, others)
	for i := range peers {
		peers[i] = newParty(tb, participant(i), p.channel.Config)
	}
	for i := range messages {
		p.now = p.now.Add(time.Second)
		from := peers[i%others]
		from.now = p.now
		out, err := from.channel.Send(from.st, from.now, from.rand, fmt.Appendf(nil, "message %d", i))
		if err != nil {
			tb.Fatal(err)
		}
		for _, to := range append([]*party{p}, peers...) {
			if to == from {
				continue
			}
			in, err := to.channel.Receive(to.st, p.now, to.rand, out.Data, hintOf(out.Data))
			if err != nil || len(in.Delivered) != 1 {
				tb.Fatal(in, err)
			}
		}
	}
}

// participant is a participant id as deployed clients write one: an
// uncompressed public key, 132 characters.
func participant(i int) string { return fmt.Sprintf("0x04%0128x", i+1) }

// What a message costs its sender and each receiver, in channels with logs of
// different lengths.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("log=%d", size), func(b *testing.B) {
			p := newParty(b, participant(0), Default())
			p.channel.Config.Limits.Outgoing = 1 << 30
			talk(b, p, 2, size)
			base := p.st
			b.ReportAllocs()
			bytes, n := 0, 0
			for b.Loop() {
				// Always from the same state, or the outgoing buffer grows.
				out, err := p.channel.Send(base.Copy(), p.now, p.rand, []byte("content"))
				if err != nil {
					b.Fatal(err)
				}
				bytes += len(out.Data)
				n++
			}
			b.ReportMetric(float64(bytes)/float64(n), "B/message")
		})
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{10, 100, 1000} {
		for _, known := range []bool{false, true} {
			b.Run(fmt.Sprintf("log=%d/known=%v", size, known), func(b *testing.B) {
				p := newParty(b, participant(0), Default())
				talk(b, p, 2, size)
				from := newParty(b, participant(9), Default())
				var batch [1000][]byte
				for i := range batch {
					out, err := from.channel.Send(from.st, p.now, from.rand, []byte("content"))
					if err != nil {
						b.Fatal(err)
					}
					batch[i] = out.Data
				}
				receive := func(st kv.Store, data []byte) {
					if _, err := p.channel.Receive(st, p.now, p.rand, data, nil); err != nil {
						b.Fatal(err)
					}
				}
				st := p.st.Copy()
				if known {
					receive(st, batch[0])
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if known {
						receive(st, batch[0])
						continue
					}
					if i%len(batch) == 0 { // begin again, so that the log keeps its length
						b.StopTimer()
						st = p.st.Copy()
						b.StartTimer()
					}
					receive(st, batch[i%len(batch)])
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	p := newParty(b, participant(0), Default())
	talk(b, p, 2, 1000)
	data := p.send("content").Data
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeed(b *testing.B) {
	n := int64(0)
	for b.Loop() {
		if err := newWorld(faults, n).run(); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
