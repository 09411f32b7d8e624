package stack

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// chatter lets one write to another, a second apart, and returns the texts.
func chatter(from, to *person, many int) (texts []string) {
	for i := range many {
		text := fmt.Sprintf("%s %03d", from.name, i)
		from.send(to, text)
		texts = append(texts, text)
		pass(time.Second)
	}
	return texts
}

// heard returns what a person has of somebody, in order, requests left out.
func (p *person) heard(from *person) (texts []string) {
	p.t.Helper()
	all, err := p.Messages("")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range all {
		if m.From == from.key.Public() && m.ContentType != "contact_request" {
			texts = append(texts, m.Text)
		}
	}
	return texts
}

// marks are until when topics were fetched, and online.
func marks(t testing.TB, p *person) map[string]time.Time {
	t.Helper()
	all := map[string]time.Time{}
	err := p.db.View(func(tx *storage.Tx) error {
		names, err := tx.Marks("")
		for _, name := range names {
			if name == onlineMark || strings.HasPrefix(name, historyMarks) {
				at, err := tx.Mark(name)
				if err != nil {
					return err
				}
				all[name] = at
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Who was away comes back and gets everything out of the store, in pages,
// before anybody sends it again, and sees how it goes.
//
// Proves: SP-66, SP-67.
func TestComingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(20)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(3 * time.Minute)
		bobby.halt()
		want := chatter(alice, bobby, 250)
		alice.halt() // nobody sends anything again

		var mu sync.Mutex
		var seen []Progress
		bobby.config = func(c *Config) {
			c.OnProgress = func(p Progress) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, p)
			}
		}
		since, err := bobby.LastEvent()
		if err != nil {
			t.Fatal(err)
		}
		bobby.start()
		synctest.Wait()
		if got := bobby.heard(alice); !slices.Equal(got, want) {
			t.Fatalf("%d of %d arrived", len(got), len(want))
		}
		for _, q := range bobby.link.queries {
			if q.PubsubTopic == topic.Pubsub(16, 992) {
				continue // where large messages are, which are looked for by hash
			}
			if !q.IncludeData || len(q.ContentTopics) == 0 || len(q.ContentTopics) > topicsPerQuery || !q.Forward || q.Limit != 100 {
				t.Fatalf("asked %+v", q)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		first, last := seen[0], seen[len(seen)-1]
		if !first.Active || first.Of == 0 || first.Topics != 0 || time.UnixMilli(first.Since).After(time.Now().Add(-4*time.Minute)) {
			t.Errorf("it begins with %+v", first)
		}
		if last.Active || last.Topics != last.Of || last.Error != "" || last.Envelopes < 250 || last.Pages < 3 {
			t.Errorf("it ends with %+v", last)
		}
		if last != bobby.Progress() {
			t.Errorf("the state is %+v, last reported %+v", bobby.Progress(), last)
		}
		histories := 0
		err = bobby.Events(t.Context(), since, false, func(e storage.Event) error {
			if e.Type != EventHistory {
				return nil
			}
			histories++
			var p Progress
			if err := json.Unmarshal(e.Data, &p); err != nil || p.New < 250 || p.New > p.Envelopes || p.Active {
				t.Errorf("event %s, %v", e.Data, err)
			}
			return nil
		})
		if err != nil || histories != 1 {
			t.Errorf("%d history events, %v", histories, err)
		}
	})
}

// While no store answers, nothing is noted as fetched; when one does, all that
// was missed is there.
func TestStoreUnreachableAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(21)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(3 * time.Minute)
		bobby.halt()
		want := chatter(alice, bobby, 30)
		alice.halt()
		n.mu.Lock()
		n.noStore = true
		n.mu.Unlock()
		before := marks(t, bobby)
		bobby.start()
		pass(10 * time.Minute)
		if p := bobby.Progress(); p.Error == "" || p.Topics != 0 {
			t.Errorf("without a store: %+v", p)
		}
		if after := marks(t, bobby); !equalMarks(before, after) {
			t.Errorf("marks went on: %v, %v", before, after)
		}
		bobby.crash()
		pass(time.Minute)
		if after := marks(t, bobby); !equalMarks(before, after) {
			t.Errorf("marks went on over the restart: %v, %v", before, after)
		}
		n.mu.Lock()
		n.noStore = false
		n.mu.Unlock()
		eventually(t, 2*time.Minute, "everything arrives", func() bool { return slices.Equal(bobby.heard(alice), want) })
		// The store came back in the middle of an attempt, perhaps.
		eventually(t, 2*historyRetry, "the fetch ends", func() bool { return !bobby.Progress().Active })
		if p := bobby.Progress(); p.Error != "" || p.Topics != p.Of {
			t.Errorf("with a store: %+v", p)
		}
		pass(2 * time.Minute)
		if after := marks(t, bobby); !after[onlineMark].After(before[onlineMark]) {
			t.Errorf("it is not noted that we listen again: %v", after)
		}
	})
}

// Pages that are too large to be read are asked for smaller.
func TestLargePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(30)
		n.mostAnswer = 1
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(3 * time.Minute)
		bobby.halt()
		want := chatter(alice, bobby, 30)
		alice.halt()
		bobby.start()
		synctest.Wait()
		if got := bobby.heard(alice); !slices.Equal(got, want) {
			t.Fatalf("%d of %d arrived", len(got), len(want))
		}
		if p := bobby.Progress(); p.Error != "" || p.Topics != p.Of {
			t.Errorf("it ends with %+v", p)
		}
	})
}

func equalMarks(a, b map[string]time.Time) bool {
	for name, at := range a {
		if !b[name].Equal(at) {
			return false
		}
	}
	return len(a) == len(b)
}

// What falls into a gap that the transport reports is fetched from its
// beginning, not earlier.
func TestGapIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(22)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(30 * time.Minute)
		since := time.Now()
		bobby.link.set(func(l *link) { l.missing = true })
		want := chatter(alice, bobby, 200)
		alice.halt()
		bobby.link.set(func(l *link) { l.missing, l.queries = false, nil })
		if got := bobby.heard(alice); len(got) != 0 {
			t.Fatalf("%v arrived in the gap", got)
		}
		bobby.link.gaps <- since
		synctest.Wait()
		if got := bobby.heard(alice); !slices.Equal(got, want) {
			t.Errorf("%v arrived", got)
		}
		bobby.link.set(func(l *link) {
			for _, q := range l.queries {
				start := time.Unix(0, q.TimeStart)
				if q.PubsubTopic != topic.Pubsub(16, 960) && (start.Before(since.Add(-2*historyOverlap)) || start.After(since)) {
					t.Errorf("asked from %v, the gap began at %v", start, since)
				}
			}
		})
	})
}

// A silent hour without a report, as of a transport that does not know since
// when, is fetched all the same.
func TestNotListeningIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(23)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		eventually(t, 11*time.Minute, "a fetch of everything", func() bool {
			return time.Since(marks(t, bobby)[markName(topic.Pubsub(16, 960), partition(bobby))]) < time.Minute
		})
		n.mu.Lock()
		n.noStore = true
		n.mu.Unlock()
		bobby.link.set(func(l *link) { l.silent = true })
		pass(2 * time.Minute)
		want := chatter(alice, bobby, 20)
		alice.halt()
		pass(3 * time.Minute)
		bobby.link.set(func(l *link) { l.silent = false })
		n.mu.Lock()
		n.noStore = false
		n.mu.Unlock()
		eventually(t, 2*time.Minute, "everything arrives", func() bool { return slices.Equal(bobby.heard(alice), want) })
	})
}

// A subscription that the transport refuses is tried again, and until then
// nothing counts as heard.
func TestRefusedSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(24)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		pass(3 * time.Minute)
		bobby.halt()
		before := marks(t, bobby)[onlineMark]
		n.mu.Lock()
		n.noStore = true
		n.mu.Unlock()
		bobby.config = nil
		bobby.startWith(func(l *link) { l.refuse = errNoPeers })
		pass(3 * time.Minute)
		if at := marks(t, bobby)[onlineMark]; !at.Equal(before) {
			t.Errorf("it is noted that we listened at %v", at)
		}
		bobby.link.set(func(l *link) { l.refuse = nil })
		eventually(t, 2*time.Minute, "subscribed", func() bool { return bobby.listens() })
	})
}

func (p *person) listens() bool {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	return len(p.link.want) > 0
}

// A subscription does not wait for a store node that does not answer.
func TestSubscriptionBesideFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(29)
		n.noStore = true
		alice := n.person(t, "Alice", 0)
		pass(historyRetry / 2)
		alice.must(alice.AddContact(identity(t, 1).Public(), "hello"))
		synctest.Wait()
		alice.link.set(func(l *link) {
			want := topic.Content(topic.ContactCodeName(identity(t, 1).Public()))
			if !slices.Contains(l.want[topic.Pubsub(16, 896)], want) {
				t.Errorf("%s is not among %v", want, l.want)
			}
		})
	})
}

// A topic that is new to us is fetched from the beginning, the others are not;
// one that is wanted no longer is forgotten, and after a time without the
// network too, so that its hole is filled when it comes back.
func TestTopicsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(25)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		pass(48 * time.Hour)
		asked := func(name string, from time.Time) (starts []time.Time) {
			alice.link.set(func(l *link) {
				for _, q := range l.queries {
					if slices.Contains(q.ContentTopics, name) && q.PubsubTopic == topic.Pubsub(16, 896) {
						starts = append(starts, time.Unix(0, q.TimeStart))
					}
				}
				l.queries = nil
			})
			return starts
		}
		fromBeginning := func(starts []time.Time) bool {
			return slices.ContainsFunc(starts, func(at time.Time) bool { return time.Since(at) > 29*24*time.Hour })
		}
		asked(contactCode(bobby), time.Time{})
		befriend(t, alice, bobby)
		if starts := asked(contactCode(bobby), time.Time{}); !fromBeginning(starts) {
			t.Errorf("a new topic was asked for from %v", starts)
		}
		mark := markName(topic.Pubsub(16, 896), contactCode(bobby))
		if _, ok := marks(t, alice)[mark]; !ok {
			t.Fatal("the fetched topic is not noted")
		}
		alice.halt()
		pass(time.Minute)
		alice.start()
		synctest.Wait()
		if starts := asked(contactCode(bobby), time.Time{}); len(starts) == 0 || fromBeginning(starts) {
			t.Errorf("after a restart the known topic was asked for from %v", starts)
		}
		// Somebody whom we neither know nor talk to.
		forget := func() {
			t.Helper()
			if _, err := alice.RemoveContact(bobby.key.Public()); err != nil {
				t.Fatal(err)
			}
			if _, err := alice.DeleteChat(chat.OneToOneID(bobby.key.Public())); err != nil {
				t.Fatal(err)
			}
		}
		forget()
		synctest.Wait()
		if _, ok := marks(t, alice)[mark]; ok {
			t.Error("the mark of a topic that is not wanted is kept")
		}
		if _, err := alice.AddContact(bobby.key.Public(), "again"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if starts := asked(contactCode(bobby), time.Time{}); !fromBeginning(starts) {
			t.Errorf("a topic that came back was asked for from %v", starts)
		}
		// Removed while nothing runs.
		alice.halt()
		forget()
		alice.start()
		pass(5 * time.Minute)
		if _, ok := marks(t, alice)[mark]; ok {
			t.Error("the mark of a topic that went between two starts is kept")
		}
	})
}
