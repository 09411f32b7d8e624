package segment

import (
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// How far a payload is comes with each of its segments, and what gives way or
// is purged is named.
func TestTake(t *testing.T) {
	t.Parallel()
	from, st := sender(t, 1), kv.NewMemory()
	whole := content(850)
	messages := mustSplit(t, whole, 100)
	take := func(a Assembler, at time.Time, raw []byte) Taken {
		t.Helper()
		taken, err := a.Take(st, at, from, raw)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	// Parity alone tells no number of segments, but the length.
	first := take(Assembler{}, now, messages[len(messages)-1])
	if o := first.Of; first.Status != Incomplete || o.Have != 1 || o.Need != 0 || o.Bytes != 100 || o.Length != 850 || o.From != from || !o.First.Equal(now) {
		t.Errorf("%v, %+v", first.Status, o)
	}
	for i, raw := range messages[:8] {
		taken := take(Assembler{}, now.Add(time.Minute), raw)
		o := taken.Of
		if o.Have != i+2 || o.Need != 9 || o.Bytes != 100*(i+2) || o.Length != 850 || !o.First.Equal(now) || o.Hash != first.Of.Hash {
			t.Errorf("segment %d: %+v", i, o)
		}
		if (taken.Status == Complete) != (i == 7) || (taken.Payload != nil) != (i == 7) {
			t.Errorf("segment %d: %v", i, taken.Status)
		}
	}
	if again := take(Assembler{}, now, messages[0]); again.Status != AlreadyComplete || again.Of.Hash != first.Of.Hash || again.Of.Have != 0 {
		t.Errorf("once more: %+v", again)
	}
	if plain := take(Assembler{}, now, []byte("plain")); plain.Status != Whole || plain.Of != (Open{}) {
		t.Errorf("no segment: %+v", plain)
	}

	one, two, three := mustSplit(t, content(300), 100), mustSplit(t, content(301), 100), mustSplit(t, content(302), 100)
	small := Assembler{SenderGroups: 2}
	a, b := take(small, now, one[0]), take(small, now.Add(1), two[0])
	if c := take(small, now.Add(2), three[0]); len(c.Dropped) != 1 || c.Dropped[0] != a.Of {
		t.Errorf("gave way: %+v", c.Dropped)
	}
	if since, err := (Assembler{}).Since(st, now); err != nil || !since.Equal(now.Add(1)) {
		t.Errorf("open since %v, %v", since, err)
	}
	if since, err := (Assembler{}).Since(st, now.Add(2)); err != nil || !since.Equal(now.Add(2)) {
		t.Errorf("open since %v, %v", since, err)
	}
	if since, err := (Assembler{}).Since(st, now.Add(3)); err != nil || !since.IsZero() {
		t.Errorf("open since %v, %v", since, err)
	}
	stale, err := Assembler{}.Purge(st, now.Add(KeepFor+1))
	if err != nil || len(stale) != 1 || stale[0] != b.Of {
		t.Errorf("purged %+v, %v", stale, err)
	}
	if stale, err := (Assembler{}).Purge(st, now.Add(KeepFor+1)); err != nil || len(stale) != 0 {
		t.Errorf("purged again %+v, %v", stale, err)
	}
}
