package stack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// storeNode is one of several store nodes. It has what was published, as far as
// keeps lets it, and answers honestly unless answer changes that.
type storeNode struct {
	name string

	mu      sync.Mutex
	keeps   func(e Envelope) bool
	answer  func(q *store.Query, honest *store.Page) (*store.Page, error)
	queries []store.Query
}

func (s *storeNode) set(change func(s *storeNode)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// asked returns what the node was asked since the last call.
func (s *storeNode) asked() (all []store.Query) {
	s.set(func(s *storeNode) { all, s.queries = s.queries, nil })
	return all
}

// severalStores is a link that tells its store nodes apart.
type severalStores struct {
	*link
	nodes []*storeNode
}

func (s *severalStores) StoreNodes(string) (names []string) {
	for _, n := range s.nodes {
		names = append(names, n.name)
	}
	return names
}

func (s *severalStores) Query(ctx context.Context, q *store.Query) (*store.Page, error) {
	return s.QueryNode(ctx, s.nodes[0].name, q)
}

func (s *severalStores) QueryNode(_ context.Context, name string, q *store.Query) (*store.Page, error) {
	i := slices.IndexFunc(s.nodes, func(n *storeNode) bool { return n.name == name })
	node := s.nodes[i]
	node.mu.Lock()
	defer node.mu.Unlock()
	node.queries = append(node.queries, *q)
	s.net.mu.Lock()
	var kept []Envelope
	for _, e := range s.net.history {
		if node.keeps == nil || node.keeps(e) {
			kept = append(kept, e)
		}
	}
	s.net.mu.Unlock()
	honest := pageOf(kept, q)
	if node.answer != nil {
		return node.answer(q, honest)
	}
	return honest, nil
}

// withStores gives a person store nodes of their own.
func (p *person) withStores(nodes ...*storeNode) {
	p.halt()
	p.wrap = func(l *link) Transport { return &severalStores{l, nodes} }
	p.start()
}

// lookups are the hashes asked for with data.
func lookups(queries []store.Query) (hashes []message.Hash) {
	for _, q := range queries {
		if q.IncludeData {
			hashes = append(hashes, q.Hashes...)
		}
	}
	return hashes
}

// listings counts the queries for hashes by content.
func listings(queries []store.Query) (n int) {
	for _, q := range queries {
		if !q.IncludeData && len(q.Hashes) == 0 {
			n++
		}
	}
	return n
}

// deaf loses everything that would arrive live, without knowing.
func deaf(l *link) { l.missing = true }

// parted are two friends of whom one hears nothing any more.
func parted(t *testing.T, n *network, nodes ...*storeNode) (alice, bobby *person) {
	t.Helper()
	alice, bobby = n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
	befriend(t, alice, bobby)
	pass(time.Minute)
	if len(nodes) > 0 {
		bobby.withStores(nodes...)
	}
	pass(time.Minute)
	bobby.link.set(deaf)
	return alice, bobby
}

// Every live message is lost and nobody knows: what store nodes have is
// compared by hash, and what is missing fetched by hash, each once.
//
// Proves: SP-68, SP-69.
func TestLossIsRepairedByReconciliation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(201)
		one, two := &storeNode{name: "one"}, &storeNode{name: "two"}
		alice, bobby := parted(t, n, one, two)
		want := chatter(alice, bobby, 120)
		alice.halt() // nobody sends anything again
		one.asked()
		two.asked()
		if got := bobby.heard(alice); len(got) != 0 {
			t.Fatalf("%v arrived live", got)
		}
		pass(reconcileMost + reconcileSettle)
		if got := bobby.heard(alice); !slices.Equal(got, want) {
			t.Fatalf("%d of %d arrived", len(got), len(want))
		}
		pass(2 * reconcileMost)
		seen := map[message.Hash]bool{}
		for _, q := range slices.Concat(one.asked(), two.asked()) {
			if len(q.Hashes) > lookupMost || !q.IncludeData && len(q.ContentTopics) > topicsPerQuery {
				t.Errorf("asked %+v", q)
			}
			if q.IncludeData && len(q.Hashes) == 0 && q.PubsubTopic != topic.Pubsub(16, 960) {
				t.Errorf("fetched without a hash: %+v", q)
			}
			for _, h := range q.Hashes {
				if q.IncludeData && seen[h] {
					t.Errorf("%s was fetched twice", h)
				}
				seen[h] = seen[h] || q.IncludeData
			}
		}
		r := bobby.Reconciliation()
		if r.Rounds < 2 || r.Repaired < len(want) || r.Error != "" || len(r.Stores) != 2 || r.Stores[0].Missing < len(want) || r.Stores[1].Lacking != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// Where nothing was said nothing is fetched or written, and store nodes are
// asked less and less.
func TestNothingToReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(202)
		one := &storeNode{name: "one"}
		alice, bobby := parted(t, n, one)
		alice.halt() // who repeats who she is now and then
		pass(time.Hour)
		one.asked()
		own := []string{"mark/", "core/session/o/bundle", "counter/outbox", "seen/", "setting/" + ownIntroduction} // our own contact code
		before := content(t, bobby.db, own...)
		pass(10 * time.Hour)
		queries := one.asked()
		if got := lookups(queries); len(got) > 0 {
			t.Errorf("%d hashes were looked up", len(got))
		}
		places := 0
		for _, p := range bobby.listened() {
			places += len(p.parts())
		}
		large := len(bobby.largeContent())
		if got, most := listings(queries), places*int(10*time.Hour/reconcileMost+1)+large*int(10*time.Hour/largeMost+1); got == 0 || got > most {
			t.Errorf("%d listings, at most %d", got, most)
		}
		if changed := difference(before, content(t, bobby.db, own...)); len(changed) > 0 {
			t.Errorf("changed: %v", changed)
		}
		if got := bobby.Reconciliation(); got.Repaired != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// Each store node lacks another half: together they have everything, and how
// they differ is known.
func TestStoreNodesDisagree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(203)
		half := func(odd byte) func(Envelope) bool {
			return func(e Envelope) bool { return e.Hash[0]&1 == odd }
		}
		one, two := &storeNode{name: "1"}, &storeNode{name: "2"}
		alice, bobby := parted(t, n, one, two)
		one.set(func(s *storeNode) { s.keeps = half(0) })
		two.set(func(s *storeNode) { s.keeps = half(1) })
		want := chatter(alice, bobby, 40)
		alice.halt()
		eventually(t, 3*reconcileMost, "everything arrives", func() bool { return slices.Equal(bobby.heard(alice), want) })
		r := bobby.Reconciliation()
		if r.Stores[0].Missing < 10 || r.Stores[1].Missing < 10 || r.Stores[0].Lacking < 10 || r.Stores[1].Lacking < 10 {
			t.Errorf("%+v", r.Stores)
		}
		for _, s := range r.Stores {
			if s.Withheld != 0 || s.Wrong != 0 || s.Answers == 0 {
				t.Errorf("%+v", s)
			}
		}
	})
}

// noMessage makes up hashes, always others.
func inventor(seed uint64) func(q *store.Query, honest *store.Page) (*store.Page, error) {
	rng := rand.New(rand.NewPCG(seed, 9))
	return func(q *store.Query, honest *store.Page) (*store.Page, error) {
		if len(q.Hashes) > 0 {
			return new(store.Page), nil
		}
		for range 100 {
			var h message.Hash
			for i := range h {
				h[i] = byte(rng.Uint32())
			}
			honest.Messages = append(honest.Messages, store.Entry{Hash: h})
		}
		return honest, nil
	}
}

// wrongMessages answers every lookup with something else under the hash asked
// for.
func wrongMessages(q *store.Query, honest *store.Page) (*store.Page, error) {
	for i := range honest.Messages {
		if m := honest.Messages[i].Message; m != nil && len(q.Hashes) > 0 {
			bent := proto.Clone(m).(*wakupb.WakuMessage)
			bent.Payload = append(bent.Payload, 0)
			honest.Messages[i].Message = bent
		}
	}
	return honest, nil
}

// otherMessages answers every lookup with a good message that was not asked
// for.
func otherMessages(q *store.Query, honest *store.Page) (*store.Page, error) {
	if len(q.Hashes) > 0 {
		for i := range honest.Messages {
			m := message.New([]byte{1, 2, 3}, "/waku/1/0x00000000/rfc26", time.Now(), false)
			honest.Messages[i] = store.Entry{Hash: message.HashOf("/waku/2/rs/16/768", m), PubsubTopic: "/waku/2/rs/16/768", Message: m}
		}
	}
	return honest, nil
}

// endless never comes to an end of its pages.
func endless(q *store.Query, honest *store.Page) (*store.Page, error) {
	if len(q.Hashes) > 0 {
		return new(store.Page), nil
	}
	page := new(store.Page)
	var h message.Hash
	if q.Cursor != nil {
		h = *q.Cursor
	}
	for range 100 {
		for i := range h {
			if h[i]++; h[i] != 0 {
				break
			}
		}
		page.Messages = append(page.Messages, store.Entry{Hash: h})
	}
	page.Cursor = &h
	return page, nil
}

// A store node that lies costs little and keeps nothing back: hashes that do not
// exist, pages without end, pages in a circle, other messages than those asked
// for. It is left alone, and what another one has arrives.
func TestLyingStoreNodes(t *testing.T) {
	for name, lie := range map[string]func(q *store.Query, honest *store.Page) (*store.Page, error){
		"inventor": inventor(1),
		"wrong":    wrongMessages,
		"other":    otherMessages,
		"endless":  endless,
		"circle": func(q *store.Query, honest *store.Page) (*store.Page, error) {
			if len(q.Hashes) == 0 {
				honest.Messages = append(honest.Messages, store.Entry{Hash: message.Hash{1}})
				honest.Cursor = &message.Hash{1}
			}
			return honest, nil
		},
		"nothing": func(q *store.Query, honest *store.Page) (*store.Page, error) {
			if len(q.Hashes) > 0 {
				return new(store.Page), nil
			}
			return honest, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(204)
				honest, liar := &storeNode{name: "b honest"}, &storeNode{name: "a liar"}
				alice, bobby := parted(t, n, honest, liar)
				liar.set(func(s *storeNode) { s.answer = lie })
				want := chatter(alice, bobby, 20)
				alice.halt()
				eventually(t, 2*reconcileMost, "everything arrives", func() bool { return slices.Equal(bobby.heard(alice), want) })
				r := bobby.Reconciliation()
				l := r.Stores[0]
				if l.Node != "a liar" || l.Withheld+l.Wrong == 0 && l.Error == "" || l.PausedUntil == 0 {
					t.Errorf("of the liar it is known: %+v", l)
				}
				if h := r.Stores[1]; h.Withheld != 0 || h.Wrong != 0 || h.Error != "" {
					t.Errorf("of the honest one it is known: %+v", h)
				}
				liar.asked()
				pass(12 * time.Hour)
				asked := liar.asked()
				if got := len(lookups(asked)); got > 2000 {
					t.Errorf("%d hashes were looked up at the liar in 12 hours", got)
				}
				if got := len(asked); got > 12*1000 {
					t.Errorf("the liar was asked %d times in 12 hours", got)
				}
				if got := bobby.heard(alice); !slices.Equal(got, want) {
					t.Errorf("then there is %v", got)
				}
			})
		})
	}
}

// A liar that is all there is does not keep the client busy.
func TestLoneLiar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(205)
		liar := &storeNode{name: "liar"}
		_, bobby := parted(t, n, liar)
		liar.set(func(s *storeNode) { s.answer = inventor(2) })
		own := []string{"mark/", "published/", "core/", "outbox/", "counter/", "seen/", "setting/" + ownIntroduction}
		before := content(t, bobby.db, own...)
		pass(6 * time.Hour)
		if got := len(liar.asked()); got > 6*300 {
			t.Errorf("asked %d times in 6 hours", got)
		}
		if changed := difference(before, content(t, bobby.db, own...)); len(changed) > 0 {
			t.Errorf("it changed %v", changed)
		}
	})
}

// While no store node answers, the client asks less and less; when one does
// again, all that was lost meanwhile arrives.
func TestStoreNodesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(206)
		one, two := &storeNode{name: "one"}, &storeNode{name: "two"}
		alice, bobby := parted(t, n, one, two)
		away := func(*store.Query, *store.Page) (*store.Page, error) { return nil, errNoStore }
		for _, s := range []*storeNode{one, two} {
			s.set(func(s *storeNode) { s.answer = away })
		}
		want := chatter(alice, bobby, 20)
		alice.halt()
		pass(time.Hour)
		one.asked()
		two.asked()
		pass(6 * time.Hour)
		if got := len(one.asked()) + len(two.asked()); got == 0 || got > 6*200 {
			t.Errorf("asked %d times in 6 hours", got)
		}
		if r := bobby.Reconciliation(); r.Error == "" || r.Stores[0].Error == "" || r.Stores[1].Error == "" {
			t.Errorf("%+v", r)
		}
		two.set(func(s *storeNode) { s.answer = nil })
		eventually(t, storeRetryMost+reconcileMost, "everything arrives", func() bool { return slices.Equal(bobby.heard(alice), want) })
		pass(reconcileMost)
		if r := bobby.Reconciliation(); r.Error != "" || r.Stores[1].Error != "" {
			t.Errorf("%+v", r)
		}
	})
}

// What is for others on a topic of ours is looked at once, over restarts.
func TestForeignIsFetchedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(207)
		one := &storeNode{name: "one"}
		_, bobby := parted(t, n, one)
		f := newForger(t, 9, time.Now())
		for i := range 30 {
			f.now = time.Now()
			e := f.envelope(topic.PartitionedName(bobby.key.Public()), f.mail(identity(t, 8).Public(), fmt.Append(nil, i)).Message.GetPayload())
			n.mu.Lock()
			n.history = append(n.history, e)
			n.mu.Unlock()
			pass(time.Second)
		}
		one.asked()
		pass(reconcileMost + reconcileSettle)
		if got := lookups(one.asked()); len(got) != 30 {
			t.Fatalf("%d hashes were looked up", len(got))
		}
		pass(reconcileMost)
		bobby.crash()
		pass(2 * reconcileMost)
		if got := lookups(one.asked()); len(got) != 0 {
			t.Errorf("%d hashes were looked up again", len(got))
		}
	})
}

// Self-addressed messages that one store node does not have are found at
// another, and are never subscribed to.
//
// Proves: SP-12, SP-72, SP-81.
func TestLocalIsReconciled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(208)
		_, bobby := parted(t, n)
		local := false
		for _, p := range bobby.listened() {
			if p.pubsub == topic.Pubsub(16, 960) {
				local = p.local && slices.Contains(p.topics, partition(bobby))
			}
		}
		if !local {
			t.Errorf("the local shard is not compared: %+v", bobby.listened())
		}
		for pubsub := range bobby.wanted() {
			if pubsub == topic.Pubsub(16, 960) || pubsub == topic.Pubsub(16, 992) {
				t.Errorf("%s is subscribed to", pubsub)
			}
		}
	})
}
