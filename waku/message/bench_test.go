package message

import (
	"crypto/sha256"
	"testing"
	"time"
)

func sum(b []byte) Hash { return sha256.Sum256(b) }

func BenchmarkHashOf(b *testing.B) {
	for name, n := range map[string]int{"1KB": 1 << 10, "100KB": 100 << 10} {
		b.Run(name, func(b *testing.B) {
			m := New(make([]byte, n), contentTopic, time.Unix(1_700_000_000, 0), false)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				HashOf("/waku/2/rs/16/32", m)
			}
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	raw, err := Marshal(New(make([]byte, 1<<10), contentTopic, time.Unix(1_700_000_000, 0), false))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Unmarshal(raw); err != nil {
			b.Fatal(err)
		}
	}
}
