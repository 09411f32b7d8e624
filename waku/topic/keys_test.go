package topic

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// counted is a cache whose derivation is cheap and counted. Each derivation
// waits for release, when that is not nil.
func counted(limit int, release chan struct{}) (*Keys, *atomic.Int64) {
	var n atomic.Int64
	k := NewKeys(limit)
	k.derive = func(name string) (out [KeySize]byte) {
		n.Add(1)
		if release != nil {
			<-release
		}
		copy(out[:], name)
		return out
	}
	return k, &n
}

func TestKeysDeriveOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		k, n := counted(8, release)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got := k.Key("name"); string(got[:4]) != "name" {
					t.Errorf("key %q", got)
				}
			})
		}
		synctest.Wait() // one derives, the others wait for it
		if got := n.Load(); got != 1 {
			t.Errorf("%d derivations at once, want 1", got)
		}
		close(release)
		wg.Wait()
		k.Key("name")
		if got := n.Load(); got != 1 {
			t.Errorf("%d derivations, want 1", got)
		}
	})
}

// kept is the number of names that are kept.
func kept(k *Keys) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.entries)
}

func TestKeysBounded(t *testing.T) {
	t.Parallel()
	k, n := counted(3, nil)
	for _, name := range []string{"a", "b", "c", "a", "d"} { // d drops b
		k.Key(name)
	}
	if got := n.Load(); got != 4 || kept(k) != 3 {
		t.Fatalf("%d derivations and %d kept, want 4 and 3", got, kept(k))
	}
	for _, name := range []string{"a", "c", "d"} {
		k.Key(name)
	}
	if got := n.Load(); got != 4 {
		t.Errorf("%d derivations, want 4: a name in use was dropped", got)
	}
	k.Key("b")
	if got := n.Load(); got != 5 {
		t.Errorf("%d derivations, want 5: b was to be dropped", got)
	}
}

// Waiters of a name that is dropped during its derivation get its key.
func TestKeysDroppedWhileDerived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		k, n := counted(1, release)
		var wg sync.WaitGroup
		for _, name := range []string{"a", "a", "b", "b"} {
			wg.Go(func() {
				if got := k.Key(name); string(got[:1]) != name {
					t.Errorf("key of %s is %q", name, got)
				}
			})
			synctest.Wait()
		}
		if got := n.Load(); got != 2 || kept(k) != 1 {
			t.Errorf("%d derivations and %d kept, want 2 and 1", got, kept(k))
		}
		close(release)
		wg.Wait()
	})
}

func TestKeysConcurrent(t *testing.T) {
	t.Parallel()
	k, _ := counted(5, nil)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 200 {
				name := strconv.Itoa((i*7 + g) % 11)
				if got := k.Key(name); string(got[:len(name)]) != name {
					t.Errorf("key of %s is %q", name, got)
				}
			}
		})
	}
	wg.Wait()
	if kept(k) > 5 {
		t.Errorf("%d kept, at most 5", kept(k))
	}
}

func TestKeysZeroValue(t *testing.T) {
	t.Parallel()
	var k Keys
	if got, want := k.Key("test"), Key("test"); got != want {
		t.Errorf("key %x, want %x", got, want)
	}
	if kept(&k) != 1 {
		t.Errorf("%d kept, want 1", kept(&k))
	}
}

func BenchmarkKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Key("contact-discovery-4999")
	}
}

func BenchmarkKeysHit(b *testing.B) {
	var k Keys
	k.Key("contact-discovery-4999")
	b.ReportAllocs()
	for b.Loop() {
		k.Key("contact-discovery-4999")
	}
}

func BenchmarkContent(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Content("contact-discovery-4999")
	}
}
