package stack

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

// A message in a channel of communities of several sizes: who may write there
// is asked of the description each time.
func BenchmarkChannelMessage(b *testing.B) {
	for _, members := range []int{10, 1000, 5000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			author := identity(b, 21)
			keys, rand := []key.Public{identity(b, 0).Public(), author.Public()}, &counterRand{1 << 50}
			for len(keys) < members {
				k, err := key.Generate(rand)
				if err != nil {
					b.Fatal(err)
				}
				keys = append(keys, k.Public())
			}
			w := newTown(b, 220, identity(b, 20).Public(), time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC), keys...)
			s, clock := resident(b, 0, SDSNone, w)
			f := newForger(b, 21, clock.at)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				f.now = f.now.Add(time.Millisecond)
				e := f.toTown(w, f.inChannel(w, 0, f.now.String()))
				b.StartTimer()
				hand(b, s, e)
			}
			if n := len(textsOf(b, s, w.channel(0))); n == 0 {
				b.Error("nothing was heard")
			}
		})
	}
}
