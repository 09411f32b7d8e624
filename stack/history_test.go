package stack

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/payload"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// A store node takes few topics per query: a client with many asks often.
func TestManyTopicsAreBatched(t *testing.T) {
	t.Parallel()
	s, _ := still(t, 0)
	filters := map[string][]filter{}
	var names []string
	for i := range 10*topicsPerQuery + 1 {
		name := topic.Content(fmt.Sprint("topic ", i))
		names = append(names, name)
		filters[name] = []filter{{contentTopic: name, live: true}}
	}
	s.filters.Store(&filters)
	spans, err := s.missing()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, sp := range spans {
		if len(sp.topics) == 0 || len(sp.topics) > 10 {
			t.Errorf("a query with %d topics", len(sp.topics))
		}
		got[sp.pubsub] = append(got[sp.pubsub], sp.topics...)
	}
	slices.Sort(names)
	for _, pubsub := range s.network.GlobalTopics() {
		slices.Sort(got[pubsub])
		if !slices.Equal(got[pubsub], names) {
			t.Errorf("%d of %d topics on %s", len(got[pubsub]), len(names), pubsub)
		}
	}
}

// A store node that does not page as it should neither holds us up nor makes
// us believe that all is fetched.
func TestHostileStore(t *testing.T) {
	for name, answer := range map[string]func(asked int, q *store.Query) (*store.Page, error){
		"one cursor for ever": func(int, *store.Query) (*store.Page, error) {
			return &store.Page{Messages: []store.Entry{{}}, Cursor: &message.Hash{1}}, nil
		},
		"two cursors in turn": func(asked int, _ *store.Query) (*store.Page, error) {
			return &store.Page{Messages: []store.Entry{{}}, Cursor: &message.Hash{byte(asked % 2)}}, nil
		},
		"cursors without end": func(asked int, _ *store.Query) (*store.Page, error) {
			return &store.Page{Messages: []store.Entry{{}}, Cursor: &message.Hash{byte(asked), byte(asked >> 8), byte(asked >> 16), 1}}, nil
		},
		"empty pages without end": func(asked int, _ *store.Query) (*store.Page, error) {
			return &store.Page{Cursor: &message.Hash{byte(asked), byte(asked >> 8), byte(asked >> 16), 1}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(26)
				asked := 0
				n.answer = func(q *store.Query) (*store.Page, error) { asked++; return answer(asked, q) }
				alice := &person{t: t, net: n, name: "Alice", key: identity(t, 0), db: storage.NewMemory(), installation: "a"}
				s, err := New(Config{Identity: alice.key, InstallationID: "a", Network: networkOf(specified()), DB: alice.db, Keys: n.keys, Profile: contact.Profile{DisplayName: "Alice"}})
				if err != nil {
					t.Fatal(err)
				}
				l := n.join(t.Context())
				err = s.fetchSpan(t.Context(), l, span{pubsub: topic.Pubsub(16, 896), topics: []string{"x"}, since: time.Now()})
				if err == nil {
					t.Error("the fetch counts as complete")
				}
				if len(marks(t, alice)) > 0 {
					t.Errorf("it is noted: %v", marks(t, alice))
				}
			})
		})
	}
}

// An empty page in between is not the end of history.
func TestEmptyPageIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(27)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		bobby.halt()
		want := chatter(alice, bobby, 10)
		alice.halt()
		n.mu.Lock()
		history := slices.Clone(n.history)
		n.answer = func(q *store.Query) (*store.Page, error) {
			if q.Cursor == nil {
				return &store.Page{Cursor: &message.Hash{1}}, nil
			}
			page := new(store.Page)
			for _, e := range history {
				if e.PubsubTopic == q.PubsubTopic && slices.Contains(q.ContentTopics, e.Message.GetContentTopic()) {
					page.Messages = append(page.Messages, store.Entry{Hash: e.Hash, PubsubTopic: e.PubsubTopic, Message: e.Message})
				}
			}
			// Some end with an empty page behind a cursor that they repeat.
			if *q.Cursor == (message.Hash{1}) {
				page.Cursor = &message.Hash{2}
				return page, nil
			}
			return &store.Page{Cursor: q.Cursor}, nil
		}
		n.mu.Unlock()
		bobby.start()
		synctest.Wait()
		if got := bobby.heard(alice); !slices.Equal(got, want) {
			t.Errorf("%v arrived", got)
		}
		if p := bobby.Progress(); p.Error != "" || p.Topics != p.Of {
			t.Errorf("%+v", p)
		}
	})
}

// The query that is repeated asks for what is known by queries alone. What is
// known already makes no event, however often it is fetched.
func TestNothingNewIsNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(70)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(2 * time.Minute)
		before := len(eventsOf(t, bobby.Stack, EventHistory))
		stranger := newForger(t, 2, time.Now())
		for range 60 {
			// Others share our partition.
			sealed, err := payload.SealAsymmetric([]byte("x"), identity(t, 3).Public(), stranger.key, stranger.rand)
			stranger.ok(err)
			stranger.now = time.Now()
			foreign := stranger.envelope(topic.PartitionedName(bobby.key.Public()), sealed)
			n.mu.Lock()
			n.history = append(n.history, foreign)
			n.mu.Unlock()
			alice.send(bobby, "still here")
			pass(time.Minute)
		}
		if p := bobby.Progress(); p.Envelopes != 0 {
			t.Errorf("the repeated query brought %+v", p)
		}
		bobby.link.gaps <- time.Now().Add(-10 * time.Minute)
		synctest.Wait()
		if p := bobby.Progress(); p.Envelopes == 0 || p.New != 0 {
			t.Errorf("the last fetch brought %+v", p)
		}
		if got := len(eventsOf(t, bobby.Stack, EventHistory)) - before; got != 0 {
			t.Errorf("%d events", got)
		}
	})
}

// What comes live and out of the store is handled once.
func TestLiveAndStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(28)
		n.duplication = 1
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		decoded := map[string]int{}
		var mu sync.Mutex
		bobby.halt()
		bobby.config = func(c *Config) {
			c.OnDecoded = func(d Decoded) { mu.Lock(); decoded[d.ID.String()]++; mu.Unlock() }
		}
		bobby.start()
		befriend(t, alice, bobby)
		want := chatter(alice, bobby, 20)
		for range 3 {
			bobby.link.gaps <- time.Now().Add(-time.Hour)
			pass(time.Second)
		}
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })
		if got := bobby.heard(alice); !slices.Equal(got, want) {
			t.Errorf("%v arrived", got)
		}
		mu.Lock()
		defer mu.Unlock()
		for id, times := range decoded {
			if times != 1 {
				t.Errorf("%s was decoded %d times", id, times)
			}
		}
		if len(eventsOf(t, bobby.Stack, EventMessage)) != 21 {
			t.Errorf("%d message events", len(eventsOf(t, bobby.Stack, EventMessage)))
		}
	})
}
