package storesync

import (
	"math/rand/v2"
	"testing"

	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
)

const benchIDs, benchDifferences = 100_000, 100

// BenchmarkFingerprint is that of a range of 50,000 ids within 100,000.
func BenchmarkFingerprint(b *testing.B) {
	set := setOf(b, randomIDs(rand.New(rand.NewPCG(1, 2)), benchIDs, 0, hour)...)
	half := Between(hour/4+1, 3*hour/4)
	b.ReportAllocs()
	for b.Loop() {
		set.Fingerprint(half)
	}
}

// BenchmarkNewSet is what a session does before its first fingerprint.
func BenchmarkNewSet(b *testing.B) {
	ids := randomIDs(rand.New(rand.NewPCG(1, 2)), benchIDs, 0, hour)
	b.ReportAllocs()
	for b.Loop() {
		setOf(b, ids...)
	}
}

// BenchmarkReconcile is both sides of a reconciliation of 100,000 ids of which
// 100 differ, encoding included.
func BenchmarkReconcile(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, _, _ := split(rng, randomIDs(rng, benchIDs, 0, hour), benchDifferences)
	setX, setY := setOf(b, x...), setOf(b, y...)
	var rounds, bytes int
	b.ReportAllocs()
	for b.Loop() {
		_, _, rounds, bytes = talk(b, setX, setY, 0, hour)
	}
	b.ReportMetric(float64(rounds), "payloads")
	b.ReportMetric(float64(bytes), "bytes")
}

// BenchmarkDecode is a payload of 1,000 ranges with 50 ids each.
func BenchmarkDecode(b *testing.B) {
	ids := randomIDs(rand.New(rand.NewPCG(1, 2)), 50_000, 0, hour)
	set := setOf(b, ids...)
	var ranges []Range
	for i := range int64(1000) {
		part := Between(i*hour/1000, (i+1)*hour/1000)
		from, to := set.find(part)
		ranges = append(ranges, Range{Bounds: part, Kind: Items, Items: set.ids[from:to]})
	}
	raw, err := (&Payload{Ranges: ranges}).Append(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSync is a session in memory in which 100 of 10,000 messages move.
func BenchmarkSync(b *testing.B) {
	all := entries(topicA, 0, 10_000)
	for b.Loop() {
		b.StopTimer()
		x, y := rpctest.Pair(b)
		here := serve(b, x, archiveOf(b, all[:9_900]...), nil)
		serve(b, y, archiveOf(b, all...), func(c *Config) { c.Rate = rpc.Rate{PerSecond: 1} })
		span := lastDay()
		b.StartTimer()
		r, err := here.Sync(b.Context(), y.ID(), span)
		if err != nil || r.Received != 100 {
			b.Fatalf("%+v, %v", r, err)
		}
		b.StopTimer()
		_ = here.Close()
		b.StartTimer()
	}
}
