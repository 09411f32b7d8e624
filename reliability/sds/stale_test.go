package sds

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// joiner is somebody who joins alice's channel after the first message of it,
// and alice's messages of before and after.
func joiner(t *testing.T, c Config) (bob *party, old, recent *Outgoing) {
	t.Helper()
	alice := newParty(t, "alice", c)
	old = alice.send("old")
	alice.now = start.Add(time.Hour)
	recent = alice.send("recent")
	bob = newParty(t, "bob", c)
	bob.now = alice.now
	if err := bob.channel.Begin(bob.st, bob.now, start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return bob, old, recent
}

// What came and was older than the log holds up nothing afterwards, also after
// a restart: it is neither fetched nor asked for.
func TestStaleIsRemembered(t *testing.T) {
	t.Parallel()
	bob, old, recent := joiner(t, Default())
	if in := bob.receive(old.Data); !slices.Equal(in.Stale, []string{old.ID}) || len(in.Delivered) != 0 || in.Known {
		t.Fatalf("%+v", in)
	}
	if in := bob.receive(old.Data); !slices.Equal(in.Stale, []string{old.ID}) || len(in.Delivered) != 0 {
		t.Fatalf("again: %+v", in)
	}
	for name, st := range map[string]*kv.Memory{"at once": bob.st.Copy(), "after a restart": reload(bob.st)} {
		bob.st = st
		// A sync message that names it makes it no more missing than content does.
		idle := &Message{Kind: Sync, Sender: "alice", ID: "sync", Channel: "channel", Lamport: uint64(bob.now.UnixMilli()),
			History: []Entry{{ID: old.ID, Hint: []byte("hint"), Sender: "alice"}}}
		bob.receive(must(idle.Encode(Standard)))
		if in := bob.receive(recent.Data); len(in.Delivered) != 1 || in.Delivered[0].ID != recent.ID || in.Delivered[0].Late {
			t.Errorf("%s: %+v", name, in.Result)
		}
		if count(bob.st, keyMissing)+count(bob.st, keyHeld) != 0 {
			t.Errorf("%s: something is missing", name)
		}
		if r := bob.runTo(bob.now.Add(time.Hour)); len(r.Fetch)+len(r.Lost) != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// The newest StaleKept of them are remembered. What depends on an older one
// waits until that comes once more.
func TestStaleKept(t *testing.T) {
	t.Parallel()
	bob, _, _ := joiner(t, Default())
	bob.unchecked = true
	var all [][]byte
	receive := func(n int) {
		for range n {
			data := forged("alice", uint64(start.UnixMilli()), "", nil, fmt.Append(nil, len(all)))
			if in := bob.receive(data); len(in.Stale) != 1 {
				t.Fatalf("%+v", in.Result)
			}
			all = append(all, data)
		}
	}
	follower := func(of int, text string) []byte {
		return forged("carol", uint64(bob.now.UnixMilli()), "", []Entry{{ID: decoded(all[of]).ID}}, []byte(text))
	}
	receive(StaleKept)
	if in := bob.receive(follower(0, "at the limit")); len(in.Delivered) != 1 {
		t.Errorf("%+v", in.Result)
	}
	receive(1)
	bob.unchecked = false
	bob.check()
	if in := bob.receive(follower(1, "the oldest kept")); len(in.Delivered) != 1 {
		t.Errorf("%+v", in.Result)
	}
	if in := bob.receive(follower(0, "past the limit")); len(in.Delivered) != 0 {
		t.Errorf("%+v", in.Result)
	}
	if in := bob.receive(all[0]); len(in.Stale) != 1 || len(in.Delivered) != 1 {
		t.Errorf("%+v", in.Result)
	}
	if n := count(bob.st, keyStale); n != StaleKept {
		t.Errorf("%d are remembered", n)
	}
	s := must(bob.channel.open(bob.st, bob.now, nil)).s
	if err := bob.st.Put(keyStaleOrder+number(s.stale%StaleKept), []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	one := forged("alice", uint64(start.UnixMilli()), "", nil, []byte("one more"))
	if _, err := bob.channel.Receive(bob.st, bob.now, bob.rand, one, nil); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// Where anybody chooses ids, an old message does not keep another one of its id
// away.
func TestStaleIsNotKnown(t *testing.T) {
	t.Parallel()
	bob, _, _ := joiner(t, InteropNim())
	m := Message{Kind: Content, Sender: "mallory", ID: "one", Channel: "channel", Lamport: 1, Content: []byte("false")}
	if in := bob.receive(must(m.Encode(Nim))); len(in.Stale) != 1 {
		t.Fatalf("%+v", in.Result)
	}
	m.Sender, m.Lamport, m.Content = "alice", uint64(bob.now.Unix()), []byte("true")
	if in := bob.receive(must(m.Encode(Nim))); len(in.Delivered) != 1 || string(in.Delivered[0].Content) != "true" {
		t.Errorf("%+v", in.Result)
	}
}

// What was held while it was new and is released when the log has gone past it
// is remembered, too.
func TestHeldBecomesStale(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	first := alice.send("first")
	alice.now = start.Add(time.Minute)
	second := alice.send("second")
	bob := newParty(t, "bob", Default())
	bob.now = start.Add(time.Hour)
	if in := bob.receive(second.Data); len(in.Delivered) != 0 {
		t.Fatalf("%+v", in.Result)
	}
	if err := bob.channel.Begin(bob.st, bob.now, start.Add(30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bob.receive(first.Data)
	if !slices.Equal(in.Stale, []string{first.ID, second.ID}) || len(in.Delivered) != 0 {
		t.Fatalf("%+v", in.Result)
	}
	after := forged("carol", uint64(bob.now.UnixMilli()), "", []Entry{{ID: first.ID}, {ID: second.ID}}, []byte("x"))
	if in := bob.receive(after); len(in.Delivered) != 1 {
		t.Errorf("%+v", in.Result)
	}
}
