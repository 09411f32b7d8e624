package sds

import (
	"errors"
	"testing"
	"time"
)

// A message ahead of its time by more than the bound changes nothing, whatever
// else it says, and is taken when its time has come; one at the bound is taken
// and the clock does not go further.
func TestFarFuture(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	ahead := alice.channel.Config.MaxAhead
	bob.now = start.Add(ahead)
	bob.send("a first one, so that the next has the exact time")
	edge := bob.send("at the edge")
	bob.now = start.Add(ahead + 2*time.Millisecond)
	beyond := bob.send("beyond")
	alice.now = start.Add(2 * time.Millisecond)
	if got := decoded(edge.Data).Lamport; got != uint64(alice.now.Add(ahead).UnixMilli()) {
		t.Fatalf("the edge is at %d", got)
	}
	if in := alice.receive(edge.Data); in.Known {
		t.Error("not taken at the edge")
	}
	before := contents(alice.st)
	alice.now = start.Add(1 * time.Millisecond)
	if _, err := alice.channel.Receive(alice.st, alice.now, alice.rand, beyond.Data, nil); !errors.Is(err, ErrAhead) {
		t.Errorf("beyond: %v", err)
	}
	far := &Message{Kind: Content, Sender: "mallory", Channel: "channel", Lamport: 1<<64 - 1, Content: []byte("x")}
	far.ID = saltedID(make([]byte, saltSize), far.Channel, far.Sender, far.Lamport, far.Content)
	if _, err := alice.channel.Receive(alice.st, alice.now, alice.rand, must(far.Encode(Standard)), nil); !errors.Is(err, ErrAhead) {
		t.Errorf("at the end of time: %v", err)
	}
	if after := contents(alice.st); len(after) != len(before) || after[keyState] != before[keyState] {
		t.Error("refused messages changed the state")
	}
	alice.now = start.Add(ahead)
	alice.receive(beyond.Data)
}

// Whatever a hostile participant sends, the channel's clock is never further
// ahead of the time than the bound, and is back at it when the bound is over.
func TestClockIsNotDragged(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	mallory := newParty(t, "mallory", Default())
	alice.unchecked, mallory.unchecked = true, true
	mallory.channel.Config.Limits.Outgoing = 1 << 20
	ahead := alice.channel.Config.MaxAhead
	for range 400 {
		alice.now = alice.now.Add(time.Second)
		mallory.now = alice.now.Add(ahead - time.Millisecond)
		alice.receive(mallory.send("x").Data)
		if got := decoded(alice.send("y").Data).Lamport; got > uint64(alice.now.Add(ahead).UnixMilli())+1 {
			t.Fatalf("dragged to %d at %s", got, alice.now)
		}
		if err := alice.settleAll(); err != nil {
			t.Fatal(err)
		}
	}
	alice.now = alice.now.Add(ahead + time.Second)
	if got := decoded(alice.send("z").Data).Lamport; got != uint64(alice.now.UnixMilli()) {
		t.Errorf("%d at %d", got, alice.now.UnixMilli())
	}
}

// settleAll empties the outgoing buffer.
func (p *party) settleAll() error {
	e := must(p.channel.open(p.st, p.now, p.rand))
	for _, o := range must(p.channel.Pending(p.st, p.now)) {
		if err := e.settle(refOf(o.ID), must(e.ownRecord(refOf(o.ID)))); err != nil {
			return err
		}
	}
	return e.close()
}

// A clock that was ahead when we spoke is not carried on: when it is right
// again, so are our messages.
func TestOwnClockAhead(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	bob.receive(alice.send("before").Data)
	alice.now = start.Add(24 * time.Hour)
	wrong := alice.send("a day early")
	if _, err := bob.channel.Receive(bob.st, bob.now, bob.rand, wrong.Data, nil); !errors.Is(err, ErrAhead) {
		t.Fatal(err)
	}
	alice.now, bob.now = start.Add(time.Minute), start.Add(time.Minute)
	right := alice.send("in time")
	if in := bob.receive(right.Data); len(in.Delivered) != 1 {
		t.Errorf("received %+v: the wrong message is in its history", in.Result)
	}
	bob.now = start.Add(24 * time.Hour)
	if in := bob.receive(wrong.Data); len(in.Delivered) != 1 {
		t.Errorf("when its time has come: %+v", in.Result)
	}
}

// When the clock is set back, what was scheduled does not sleep.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	alice.now = start.Add(100 * 24 * time.Hour)
	alice.send("hello")
	alice.now = start
	next, ok := alice.next()
	if !ok || next.Sub(start) > time.Minute || next.Before(start) {
		t.Fatalf("next at %s, %s later", next, next.Sub(start))
	}
	r := alice.runTo(start.Add(2 * time.Minute)) // the first call only notices
	again := 0
	for _, o := range r.Send {
		if o.Reason == Again {
			again++
		}
	}
	if again == 0 {
		t.Error("nothing goes out again")
	}
}

// Who joins an old channel is spared what was before, and is held up by none
// of it once it came.
func TestBegin(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	old := alice.send("old")
	alice.now = start.Add(time.Hour)
	recent := alice.send("recent")
	bob := newParty(t, "bob", Default())
	bob.now = alice.now
	if err := bob.channel.Begin(bob.st, bob.now, start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := bob.channel.Begin(bob.st, bob.now, start.Add(-time.Hour)); err != nil { // does not move back
		t.Fatal(err)
	}
	if err := bob.channel.Begin(bob.st, bob.now, time.Time{}); !errors.Is(err, ErrTime) {
		t.Error(err)
	}
	if in := bob.receive(recent.Data); len(in.Delivered) != 0 {
		t.Errorf("delivered %+v", in.Delivered)
	}
	in := bob.receive(old.Data)
	if len(in.Stale) != 1 || len(in.Delivered) != 1 || in.Delivered[0].ID != recent.ID {
		t.Errorf("%+v", in.Result)
	}
}
