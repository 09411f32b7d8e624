package stack

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
)

// newcomer lets two members of a community talk and a third come afterwards.
func newcomer(t *testing.T, n *network) (w *town, all []*person) {
	t.Helper()
	w, all = n.citizens(t, SDSStandard, "Alice", "Bobby")
	for i := range 6 {
		all[i%2].posts(w, 0, fmt.Sprint(i))
		pass(3 * time.Second)
	}
	carol := n.citizen(t, "Carol", 2, SDSStandard)
	w.admit(carol.key.Public())
	all = append(all, carol)
	for _, p := range all {
		w.settle(p.Stack, true)
	}
	return w, all
}

// until is how long it takes until somebody has so many messages.
func (p *person) until(w *town, count int) time.Duration {
	p.t.Helper()
	began := time.Now()
	for len(p.reads(w, 0)) < count {
		if time.Since(began) > 10*time.Minute {
			p.t.Fatalf("%s has %q", p.name, p.reads(w, 0))
		}
		pass(10 * time.Millisecond)
	}
	return time.Since(began)
}

// Who has just come and has the history from the store hears at once what is
// said now, although it depends on what was said before, and is heard at once.
// Nothing is fetched for it.
func TestNewMemberHearsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(31)
		w, all := newcomer(t, n)
		alice, bobby, carol := all[0], all[1], all[2]
		carol.until(w, 6)
		for i, p := range []*person{alice, carol, bobby} {
			p.posts(w, 0, "now")
			for _, other := range all {
				if took := other.until(w, 7+i); took > 100*time.Millisecond {
					t.Errorf("%s heard %s after %s", other.name, p.name, took)
				}
			}
		}
		pass(time.Hour)
		for _, q := range carol.link.queries {
			if len(q.Hashes) > 0 && q.IncludeData {
				t.Errorf("Carol fetched %d messages", len(q.Hashes))
			}
		}
	})
}

// Without a store, too, who has just come is heard at once. To them, the history
// has to come from the members, who are asked for what the first message names;
// from then on there is nothing to wait for.
func TestNewMemberWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(32)
		n.noStore = true
		w, all := newcomer(t, n)
		alice, bobby, carol := all[0], all[1], all[2]
		carol.posts(w, 0, "here I am")
		for _, p := range []*person{alice, bobby} {
			if took := p.until(w, 7); took > 100*time.Millisecond {
				t.Errorf("%s heard the new member after %s", p.name, took)
			}
		}
		began := time.Now()
		alice.posts(w, 0, "first")
		hears := func(text string) func() bool {
			return func() bool { return slices.Contains(carol.reads(w, 0), text) }
		}
		eventually(t, 10*time.Minute, "the first is heard", hears("first"))
		t.Logf("the first was heard within %s", time.Since(began))
		pass(10 * time.Minute)
		alice.posts(w, 0, "second")
		pass(100 * time.Millisecond)
		if !hears("second")() {
			t.Errorf("the second is not heard at once, after %q", carol.reads(w, 0))
		}
		if got := eventsOf(t, carol.Stack, EventCommunityLost); len(got) != 0 {
			t.Errorf("told as lost: %+v", got)
		}
	})
}

// Who comes back to a community has forgotten its channel and not its messages.
// What others name is fetched by its hash all the same, although it was here.
func TestComingBackToACommunity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(33)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby")
		alice, bobby := all[0], all[1]
		alice.posts(w, 0, "before")
		bobby.until(w, 1)
		w.leave(bobby.Stack)
		pass(time.Second)
		w.settle(bobby.Stack, true)
		pass(time.Second)
		alice.posts(w, 0, "after")
		if took := bobby.until(w, 2); took > 5*time.Second {
			t.Errorf("heard after %s", took)
		}
		alice.posts(w, 0, "again")
		if took := bobby.until(w, 3); took > 100*time.Millisecond {
			t.Errorf("the next was heard after %s", took)
		}
	})
}

// A message that nobody in the community acknowledged can be sent again, as the
// message it was: whoever has it has it once.
func TestResendToChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(34)
		n.noStore = true
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby", "Carol")
		alice, bobby, carol := all[0], all[1], all[2]
		// Bobby hears it and cannot say so; Carol is away.
		bobby.link.set(func(l *link) { l.alone = true })
		carol.halt()
		id := alice.posts(w, 0, "hello?")
		bobby.until(w, 1)
		bobby.halt()
		drain(t, bobby.Stack)
		eventually(t, 40*time.Hour, "it fails", func() bool { return alice.stateOf(id) == chat.Failed })
		u, ok := kept(t, alice.Stack, id)
		if !ok || len(u.To) != 0 || readMessage(t, u.Raw).ID != id {
			t.Fatalf("kept %+v, %t", u, ok)
		}
		if m := done[*chat.Message](alice)(alice.Resend(id)); m.ID != id || m.State != chat.Pending {
			t.Fatalf("%+v", m)
		}
		if _, ok := kept(t, alice.Stack, id); ok {
			t.Error("kept though it has not failed")
		}
		if _, err := alice.Resend(id); fault.KindOf(err) != fault.Conflict {
			t.Errorf("a message that waits: %v", err)
		}
		bobby.start()
		carol.start()
		eventually(t, 3*time.Hour, "all have it and say so", func() bool {
			return alice.stateOf(id) == chat.Delivered && len(carol.reads(w, 0)) == 1
		})
		pass(3 * time.Hour)
		for _, p := range all {
			if got := p.reads(w, 0); !slices.Equal(got, []string{"hello?"}) {
				t.Errorf("%s has %q", p.name, got)
			}
		}
		if got := eventsOf(t, bobby.Stack, EventMessage); len(got) != 1 {
			t.Errorf("Bobby was told %d times", len(got))
		}
	})
}

// Who may not speak there any more does not send it again either.
func TestResendToChannelRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(35)
		w, all := n.citizens(t, SDSStandard, "Alice", "Bobby")
		alice := all[0]
		all[1].halt()
		id := alice.posts(w, 0, "hello?")
		eventually(t, 40*time.Hour, "it fails", func() bool { return alice.stateOf(id) == chat.Failed })
		w.leave(alice.Stack)
		if _, err := alice.Resend(id); err == nil || alice.stateOf(id) != chat.Failed {
			t.Errorf("%v, it is %s", err, alice.stateOf(id))
		}
		if _, ok := kept(t, alice.Stack, id); !ok {
			t.Error("forgotten")
		}
		w.settle(alice.Stack, true)
		done[*chat.Message](alice)(alice.Resend(id))
		eventually(t, time.Minute, "it is out", func() bool { return alice.stateOf(id) == chat.Sent })
	})
}
