package stack

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/stack/view"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// apart are two friends, one of whom shows the other a picture of many segments
// and is gone when they are published. The other has these store nodes.
func apart(t *testing.T, seed uint64, nodes ...*storeNode) (bobby *person, sent message.ID) {
	t.Helper()
	n := newNetwork(seed)
	alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
	befriend(t, alice, bobby)
	alice.cut(15_000)
	settle(t, alice, bobby)
	bobby.halt()
	sent = alice.show(bobby, noisy(t, 900)).ID
	eventually(t, time.Minute, "it is published", func() bool {
		n, err := alice.Pending()
		return err == nil && n == 0
	})
	out := transfers(t, alice.Stack, view.TransferOut)
	if last := out[len(out)-1]; last.State != view.TransferComplete || last.Of < 20 {
		t.Fatalf("%+v", last)
	}
	alice.halt()
	bobby.withStores(nodes...)
	return bobby, sent
}

// without keeps everything but every many-th segment.
func without(many int) func(e Envelope) bool {
	var mu sync.Mutex
	n, known := 0, map[wakumessage.Hash]bool{}
	return func(e Envelope) bool {
		mu.Lock()
		defer mu.Unlock()
		if e.PubsubTopic != largeTopic {
			return true
		}
		if _, ok := known[e.Hash]; !ok {
			known[e.Hash] = n%many != 0
			n++
		}
		return known[e.Hash]
	}
}

// Segments that one store node lacks are fetched from another one.
func TestSegmentsOfSeveralStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &storeNode{name: "one", keeps: without(2)}
		two := &storeNode{name: "two", keeps: func(e Envelope) bool { return e.PubsubTopic != largeTopic || !one.keeps(e) }}
		bobby, sent := apart(t, 231, one, two)
		eventually(t, 3*largeMost, "it arrives", func() bool { return bobby.has(sent) })
		all := slices.Concat(lookups(one.asked()), lookups(two.asked()))
		seen := map[wakumessage.Hash]bool{}
		for _, h := range all {
			if seen[h] {
				t.Errorf("%s was fetched twice", h)
			}
			seen[h] = true
		}
	})
}

// A store node gets the last segments hours late: they are found as long as
// the payload is not a day old, over a restart too, and the rest is not fetched
// again.
func TestLateSegments(t *testing.T) {
	for name, c := range map[string]struct {
		late time.Duration
		want bool
	}{"within a day": {20 * time.Hour, true}, "after two days": {48 * time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one := &storeNode{name: "one", keeps: without(4)}
				bobby, sent := apart(t, 232, one)
				pass(time.Hour)
				bobby.crash()
				pass(c.late - time.Hour)
				if bobby.has(sent) {
					t.Fatal("it is here without its segments")
				}
				one.asked()
				one.set(func(s *storeNode) { s.keeps = nil })
				pass(2 * largeMost)
				if bobby.has(sent) != c.want {
					t.Errorf("it is here: %v", bobby.has(sent))
				}
				if got := len(lookups(one.asked())); c.want != (got > 0) || got > 10 {
					t.Errorf("%d segments were fetched", got)
				}
			})
		})
	}
}

// While somebody writes, large messages are looked for soon; while nobody does,
// seldom.
func TestLargeIsLookedForWhileSomebodyWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(233)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		looks := func() (many int) {
			bobby.link.set(func(l *link) {
				for _, q := range l.queries {
					if q.PubsubTopic == topic.Pubsub(16, 992) && !q.IncludeData {
						many++
					}
				}
				l.queries = nil
			})
			return many
		}
		pass(time.Hour)
		looks()
		pass(time.Hour)
		if got := looks(); got < int(time.Hour/largeMost)-1 || got > int(time.Hour/largeMost)+1 {
			t.Errorf("%d looks in a quiet hour", got)
		}
		pass(largeMost / 2)
		looks()
		alice.send(bobby, "look what I send next")
		pass(largeFirst + time.Second)
		if looks() == 0 {
			t.Error("no look after a message")
		}
		chatter(alice, bobby, 60)
		if got := looks(); got > int(time.Minute/largeFirst)+1 {
			t.Errorf("%d looks in a lively minute", got)
		}
	})
}
