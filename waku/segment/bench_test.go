package segment

import (
	"errors"
	"testing"

	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/waku/message"
)

func BenchmarkSplit2MB(b *testing.B) {
	whole := content(2 << 20)
	size := SizeFor(contentTopic, message.MaxPublishSize)
	b.SetBytes(int64(len(whole)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Split(whole, size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssemble2MB(b *testing.B) {
	whole := content(2 << 20)
	messages := mustSplit(b, whole, SizeFor(contentTopic, message.MaxPublishSize))
	data := (len(whole)-1)/SizeFor(contentTopic, message.MaxPublishSize) + 1
	from := sender(b, 1)
	for name, used := range map[string][][]byte{
		"all":  messages[:data],
		"lost": messages[len(messages)-data:],
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(whole)))
			b.ReportAllocs()
			for b.Loop() {
				st := kv.NewMemory()
				var last Status
				for _, raw := range used {
					_, last = add(b, st, from, raw)
				}
				if last != Complete {
					b.Fatal(last)
				}
			}
		})
	}
}

// Most payloads are no segments: what looking costs.
func BenchmarkAddWhole(b *testing.B) {
	raw := content(1 << 10)
	from, st := sender(b, 1), kv.NewMemory()
	b.ReportAllocs()
	for b.Loop() {
		add(b, st, from, raw)
	}
}

// The most work that one small segment can cause: the largest code, and a hash
// that does not fit.
func BenchmarkAddHostile(b *testing.B) {
	messages := mustSplit(b, content(228), 1)
	from, st := sender(b, 1), kv.NewMemory()
	for _, raw := range messages[29:] {
		s := decoded(b, raw)
		s.Payload[0] ^= 1
		add(b, st, from, encoded(b, s))
	}
	for b.Loop() {
		if _, _, err := (Assembler{}).Add(st, now, from, messages[0]); !errors.Is(err, ErrHash) {
			b.Fatal(err)
		}
	}
}
