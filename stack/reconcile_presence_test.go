package stack

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/store"
)

// waitingForStores counts the envelopes that store nodes are to be asked for.
func (p *person) waitingForStores() (n int) {
	p.t.Helper()
	err := p.db.View(func(tx *storage.Tx) error {
		return tx.Published(func(*storage.Published) error { n++; return nil })
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// That a store node has a message is a fact beside its delivery.
//
// Proves: SP-71.
func TestStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(211)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		bobby.halt() // it is stored, and not delivered
		sent, err := alice.SendText(bobby.key.Public(), "are you there?", "")
		if err != nil {
			t.Fatal(err)
		}
		published := time.Now()
		pass(time.Second)
		if m, err := alice.Message(sent.ID); err != nil || m.State != chat.Sent || m.Stored != 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		pass(presenceFirst + presencePause)
		m, err := alice.Message(sent.ID)
		if err != nil || m.State != chat.Sent || m.Stored == 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		if at := time.UnixMilli(m.Stored); at.Before(published) || at.After(time.Now()) {
			t.Errorf("stored at %v", at)
		}
		var told []view.Stored
		for _, e := range eventsOf(t, alice.Stack, EventMessageStored) {
			var v view.Stored
			if err := json.Unmarshal(e.Data, &v); err != nil {
				t.Fatal(err)
			}
			if v.ID == sent.ID {
				told = append(told, v)
			}
		}
		if len(told) != 1 || told[0].Stored != m.Stored || told[0].Chat != m.Chat {
			t.Errorf("told %+v", told)
		}
		for _, q := range alice.link.queries {
			if len(q.Hashes) > presenceBatch || len(q.Hashes) > 0 && q.IncludeData {
				t.Errorf("asked %+v", q)
			}
		}
		bobby.start()
		eventually(t, time.Hour, "delivered", func() bool { return delivered(alice) })
		if again, err := alice.Message(sent.ID); err != nil || again.State != chat.Delivered || again.Stored != m.Stored {
			t.Errorf("%+v, %v", again, err)
		}
	})
}

// What store nodes never get is asked for less and less and then no more, and
// what they get late is found.
func TestNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(212)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		node := &storeNode{name: "one", keeps: func(Envelope) bool { return false }}
		alice.withStores(node)
		pass(time.Minute)
		node.asked()
		first, err := alice.SendText(bobby.key.Public(), "one", "")
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "delivered", func() bool { return delivered(alice) })
		pass(time.Minute)
		node.set(func(s *storeNode) { s.keeps = nil })
		pass(2 * time.Minute)
		if m, err := alice.Message(first.ID); err != nil || m.Stored == 0 || m.State != chat.Delivered {
			t.Errorf("what was stored late: %+v, %v", m, err)
		}
		node.set(func(s *storeNode) { s.keeps = func(Envelope) bool { return false } })
		second, err := alice.SendText(bobby.key.Public(), "two", "")
		if err != nil {
			t.Fatal(err)
		}
		node.asked()
		pass(presenceFor)
		asked := 0
		for _, q := range node.asked() {
			if len(q.Hashes) > 0 && !q.IncludeData {
				asked++
			}
		}
		if asked < 2 || asked > 2*presenceTries {
			t.Errorf("asked %d times", asked)
		}
		if n := alice.waitingForStores(); n != 0 {
			t.Errorf("%d envelopes are still to be asked for", n)
		}
		if m, err := alice.Message(second.ID); err != nil || m.Stored != 0 {
			t.Errorf("%+v, %v", m, err)
		}
		if len(eventsOf(t, alice.Stack, EventMessageStored)) == 0 {
			t.Error("nothing was told")
		}
	})
}

// While nobody can be asked, only so many envelopes are remembered, at the limit
// and one past it, and not for ever.
func TestPresenceBounds(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	put := func(many int) {
		t.Helper()
		err := s.update(func(t *step) error {
			for i := range many {
				p := &storage.Published{Due: clock.at.Add(time.Duration(i)), At: clock.at}
				p.Hash[0], p.Hash[1] = byte(i), byte(i>>8)
				if err := t.PutPublished(p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) { return (&person{t: t, db: s.db}).waitingForStores() }
	r := &reconciler{Stack: s, panel: newPanel(noStores{}, &s.stores, s.now), vain: vain{}}
	put(presenceKept)
	clock.advance(time.Minute)
	if _, err := r.askPresence(t.Context()); err == nil || count() != presenceKept {
		t.Errorf("at the limit %d are kept, %v", count(), err)
	}
	put(presenceKept + 1)
	clock.advance(time.Minute)
	if _, err := r.askPresence(t.Context()); err == nil || count() > presenceKept {
		t.Errorf("past the limit %d are kept, %v", count(), err)
	}
	clock.advance(presenceFor)
	for range presenceKept/presenceBatch + 1 {
		if _, err := r.askPresence(t.Context()); err == nil && count() > 0 {
			t.Error("an answer of nobody")
		}
	}
	if got := count(); got != 0 {
		t.Errorf("%d are kept for ever", got)
	}
}

// noStores is a transport without store nodes.
type noStores struct{ Transport }

func (noStores) StoreNodes(string) []string { return nil }
func (noStores) QueryNode(_ context.Context, _ string, _ *store.Query) (*store.Page, error) {
	return nil, errNoStore
}
