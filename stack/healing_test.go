package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// restore ends a person and starts again with another database.
func (p *person) restore(db *storage.DB) {
	p.t.Helper()
	p.halt()
	p.db = db
	p.start()
}

// converse is some talk, in which both turn their ratchets several times. It returns
// what each says.
func converse(a, b *person, what string, rounds int) (saidA, saidB []string) {
	for i := range rounds {
		x, y := fmt.Sprint(what, " a", i), fmt.Sprint(what, " b", i)
		a.send(b, x)
		pass(2 * time.Second)
		b.send(a, y)
		pass(2 * time.Second)
		saidA, saidB = append(saidA, x), append(saidB, y)
	}
	return saidA, saidB
}

// heardOnce fails unless a person has each text of somebody exactly once.
func heardOnce(t *testing.T, p, from *person, texts ...string) {
	t.Helper()
	count := map[string]int{}
	for _, text := range p.heard(from) {
		count[text]++
	}
	for _, text := range texts {
		if count[text] != 1 {
			t.Errorf("%s has %q of %s %d times", p.name, text, from.name, count[text])
		}
	}
}

// broken are the sessions of a person that are not healed.
func (p *person) broken() (open []view.Session) {
	p.t.Helper()
	all, err := p.Sessions()
	if err != nil {
		p.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(s view.Session) bool { return s.Healed != 0 })
}

func healed(people ...*person) func() bool {
	return func() bool {
		return !slices.ContainsFunc(people, func(p *person) bool { return !delivered(p) || len(p.broken()) > 0 })
	}
}

// adverts counts the messages on somebody's partition by a person.
func (n *network) between(by *person, after time.Time) (count int) {
	for _, p := range n.publications(by.link) {
		if p.at.After(after) {
			count++
		}
	}
	return count
}

// One side goes back to a copy of its database taken some messages earlier, at
// once or a day later, with a store and without: what both say from then on
// arrives once, what the other says within minutes, and both tell why. What was
// acknowledged and is lost with the later state comes again, too.
//
// Proves: SP-25.
func TestRollback(t *testing.T) {
	for _, c := range []struct {
		name        string
		rounds      int
		later       time.Duration
		noStore     bool
		silentFirst bool
	}{
		{"one message", 1, time.Minute, false, false},
		{"at once", 5, 0, false, false},
		{"many messages", 40, time.Hour, false, false},
		{"without a store", 5, time.Hour, true, false},
		{"days later", 5, 73 * time.Hour, false, false},
		{"the other speaks first", 5, time.Hour, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(301)
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				beforeA, beforeB := converse(alice, bobby, "before", 3)
				copied := alice.db.Clone()
				lostA, lostB := converse(alice, bobby, "lost", c.rounds)
				settle(t, alice, bobby)
				n.mu.Lock()
				n.noStore = c.noStore
				n.mu.Unlock()
				pass(c.later)
				alice.restore(copied)
				begin := time.Now()
				var afterA, afterB []string
				if c.silentFirst {
					bobby.send(alice, "first")
					afterB = append(afterB, "first")
					pass(time.Minute)
				}
				x, y := converse(alice, bobby, "after", 5)
				afterA, afterB = append(afterA, x...), append(afterB, y...)
				eventually(t, 30*time.Minute, "both sides are well", healed(alice, bobby))
				t.Logf("well %v after the rollback; Alice %+v; Bobby %+v", time.Since(begin), alice.sessionsSaid(), bobby.sessionsSaid())
				heardOnce(t, bobby, alice, slices.Concat(beforeA, lostA, afterA)...)
				heardOnce(t, alice, bobby, slices.Concat(beforeB, lostB, afterB)...)
				// And it stays well, in few words.
				quiet := time.Now()
				x, y = converse(alice, bobby, "later", 3)
				settle(t, alice, bobby)
				heardOnce(t, bobby, alice, x...)
				heardOnce(t, alice, bobby, y...)
				if got := n.between(alice, quiet) + n.between(bobby, quiet); got > 16 {
					t.Errorf("%d envelopes for six messages", got)
				}
			})
		})
	}
}

func (p *person) sessionsSaid() string {
	all, err := p.Sessions()
	if err != nil {
		p.t.Fatal(err)
	}
	var said []string
	for _, s := range all {
		said = append(said, fmt.Sprintf("%s: %s, %d messages, %d attempts", s.State, s.Cause, s.Messages, s.Attempts))
	}
	return strings.Join(said, "; ")
}

// Both sides go back, each to another earlier state, at the same time.
func TestBothRollBack(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		t.Run(fmt.Sprint("lossy ", lossy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(302)
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				beforeA, beforeB := converse(alice, bobby, "before", 3)
				copyA := alice.db.Clone()
				converse(alice, bobby, "between", 4)
				copyB := bobby.db.Clone()
				converse(alice, bobby, "lost", 4)
				settle(t, alice, bobby)
				n.mu.Lock()
				n.history = nil // the store has forgotten, too
				if lossy {
					n.loss, n.duplication, n.delay = 0.2, 0.2, 3*time.Second
				}
				n.mu.Unlock()
				pass(time.Hour)
				alice.halt()
				bobby.halt()
				alice.restore(copyA)
				bobby.restore(copyB)
				afterA, afterB := converse(alice, bobby, "after", 5)
				eventually(t, 12*time.Hour, "both sides are well", healed(alice, bobby))
				settle(t, alice, bobby)
				heardOnce(t, bobby, alice, slices.Concat(beforeA, afterA)...)
				heardOnce(t, alice, bobby, slices.Concat(beforeB, afterB)...)
				eventually(t, time.Hour, "what was offered again comes", func() bool { return slices.Contains(alice.heard(bobby), "between b3") })
				for i := range 4 { // what Bobby still knew was acknowledged, and Alice has lost
					heardOnce(t, alice, bobby, fmt.Sprint("between b", i))
				}
				t.Logf("Alice %s; Bobby %s", alice.sessionsSaid(), bobby.sessionsSaid())
			})
		})
	}
}

// One side is set up again with the same key and nothing else: as the same
// device, or as another one.
func TestReinstalled(t *testing.T) {
	for _, c := range []struct {
		name         string
		installation string
		first        string // who speaks first
	}{
		{"same device, speaks first", "Bobby-installation", "bobby"},
		{"same device, is spoken to", "Bobby-installation", "alice"},
		{"other device, speaks first", "Bobby-2", "bobby"},
		{"other device, is spoken to", "Bobby-2", "alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(303)
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				converse(alice, bobby, "before", 3)
				settle(t, alice, bobby)
				pass(time.Hour)
				bobby.halt()
				alice.send(bobby, "are you there?") // on its way while he is set up
				pass(30 * time.Hour)
				bobby.installation = c.installation
				bobby.restore(keysKept(t, bobby.key))
				var saidA, saidB []string
				if c.first == "bobby" {
					pass(time.Minute)
					if _, err := bobby.AddContact(alice.key.Public(), "me again"); err != nil {
						t.Fatal(err)
					}
					pass(time.Minute)
				}
				for i := range 4 {
					text := fmt.Sprint("after a", i)
					alice.send(bobby, text)
					saidA = append(saidA, text)
					pass(5 * time.Second)
				}
				eventually(t, 10*time.Minute, "Bobby hears Alice", func() bool { return len(bobby.heard(alice)) >= 5 })
				for i := range 4 {
					text := fmt.Sprint("after b", i)
					bobby.send(alice, text)
					saidB = append(saidB, text)
					pass(5 * time.Second)
				}
				eventually(t, 30*time.Minute, "both sides are well", healed(alice, bobby))
				heardOnce(t, bobby, alice, append(saidA, "are you there?")...)
				heardOnce(t, alice, bobby, saidB...)
				t.Logf("Alice %s; Bobby %s", alice.sessionsSaid(), bobby.sessionsSaid())
			})
		})
	}
}

// spoil changes the records of the encryption layer whose keys have a prefix.
func (p *person) spoil(prefix string, change func(v []byte) []byte) {
	p.t.Helper()
	changed := 0
	err := p.db.Update(func(tx *storage.Tx) error {
		core, all := tx.Core("session"), map[string][]byte{}
		err := core.Scan(prefix, func(k string, v []byte) error {
			all[k] = change(slices.Clone(v))
			return nil
		})
		for k, v := range all {
			if err == nil {
				changed++
				err = core.Put(k, v)
			}
		}
		return err
	})
	if err != nil || changed == 0 {
		p.t.Fatalf("%d records of %q spoilt, %v", changed, prefix, err)
	}
}

// Records of the encryption layer are damaged: cut short, or with other keys.
func TestDamagedState(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		change       func(v []byte) []byte
	}{
		{"session cut short", "s/", func(v []byte) []byte { return v[:len(v)/2] }},
		{"session with other keys", "s/", func(v []byte) []byte {
			for i := 60; i < 60+96; i++ { // roots and chains
				v[i] ^= 0x55
			}
			return v
		}},
		{"what is known of the peer", "p/", func(v []byte) []byte { return v[:3] }},
		{"own bundle", "o/bundle", func([]byte) []byte { return []byte("?") }},
		{"own pre keys", "o/pre/", func([]byte) []byte { return []byte("?") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(304)
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				converse(alice, bobby, "before", 3)
				settle(t, alice, bobby)
				alice.spoil(c.prefix, c.change)
				pass(11 * time.Minute) // the bundles are signed anew
				saidA, saidB := converse(alice, bobby, "after", 5)
				eventually(t, 2*time.Hour, "both sides are well", healed(alice, bobby))
				heardOnce(t, bobby, alice, saidA...)
				heardOnce(t, alice, bobby, saidB...)
				t.Logf("Alice %s; Bobby %s", alice.sessionsSaid(), bobby.sessionsSaid())
			})
		})
	}
}

// Whoever restarts, and whatever is lost, in the middle of healing: it goes on.
func TestRestartWhileHealing(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(310 + seed)
				alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
				befriend(t, alice, bobby)
				converse(alice, bobby, "before", 2)
				copied := alice.db.Clone()
				converse(alice, bobby, "lost", 3)
				settle(t, alice, bobby)
				pass(time.Hour)
				n.mu.Lock()
				n.noStore = seed%2 == 0
				n.loss, n.delay = 0.15, 2*time.Second
				n.mu.Unlock()
				alice.restore(copied)
				var saidA, saidB []string
				for i := range 8 {
					x, y := converse(alice, bobby, fmt.Sprint("after ", i), 1)
					saidA, saidB = append(saidA, x...), append(saidB, y...)
					pass(time.Duration((seed*7+uint64(i)*13)%40) * 100 * time.Millisecond)
					if (seed+uint64(i))%2 == 0 {
						alice.crash()
					} else {
						bobby.crash()
					}
				}
				// When luck is bad, the next chance is that of a day later.
				eventually(t, 4*24*time.Hour, "both sides are well", healed(alice, bobby))
				heardOnce(t, bobby, alice, saidA...)
				heardOnce(t, alice, bobby, saidB...)
			})
		})
	}
}

// A session of two members of a group who are no contacts heals, too: what was
// said to the group goes over the links of two, and comes again where it was lost.
//
// Proves: SP-26.
func TestHealingInGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(305)
		alice, bobby, carol, club := circle(t, n)
		say := func(p *person, what string) (all []string) {
			for i := range 3 {
				text := fmt.Sprint(p.name, " ", what, " ", i)
				p.says(club, text)
				all = append(all, text)
				pass(5 * time.Second)
			}
			return all
		}
		say(bobby, "before")
		say(carol, "before")
		settle(t, alice, bobby, carol)
		copied := bobby.db.Clone()
		for range 2 {
			say(carol, "lost")
			say(bobby, "lost")
		}
		settle(t, alice, bobby, carol)
		pass(time.Hour)
		bobby.restore(copied)
		b, c := say(bobby, "after"), say(carol, "after")
		eventually(t, time.Hour, "all are well", healed(alice, bobby, carol))
		heardOnce(t, carol, bobby, b...)
		heardOnce(t, alice, bobby, b...)
		heardOnce(t, bobby, carol, c...)
	})
}
