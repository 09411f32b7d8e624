package sds

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"
)

// An own message goes through its three states, and each has its own resend
// period; what goes out again is the same bytes.
func TestAcknowledgement(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	state := func(id string) State {
		for _, p := range must(alice.channel.Pending(alice.st, alice.now)) {
			if p.ID == id {
				return p.State
			}
		}
		return Acknowledged
	}
	c := alice.channel.Config.Resend
	var said []*Outgoing
	for i := range 5 {
		said = append(said, alice.send(fmt.Sprint(i)))
	}
	for _, o := range said {
		if state(o.ID) != Unacknowledged {
			t.Fatal("acknowledged by nobody")
		}
		bob.receive(o.Data)
	}
	// Bob's sync message names the newest two and has the others in its filter.
	bob.now = bob.now.Add(time.Second)
	in := alice.receive(bob.sync().Data)
	if !slices.Equal(in.Acknowledged, []string{said[3].ID, said[4].ID}) || !slices.Equal(in.Possible, []string{said[0].ID, said[1].ID, said[2].ID}) {
		t.Fatalf("acknowledged %v, possibly %v of %v", in.Acknowledged, in.Possible, said)
	}
	if state(said[0].ID) != PossiblyAcknowledged {
		t.Error("not possibly acknowledged")
	}
	fresh := alice.send("fresh")
	// The unacknowledged goes out after its period, the others after theirs.
	early := alice.runTo(start.Add(c.Unacknowledged * 3 / 2))
	for _, o := range early.Send {
		if o.Reason == Again && (o.ID != fresh.ID || !bytes.Equal(o.Data, fresh.Data)) {
			t.Errorf("%s goes out again too early, or changed", o.ID)
		}
	}
	if !slices.ContainsFunc(early.Send, func(o Outgoing) bool { return o.ID == fresh.ID }) {
		t.Error("the unacknowledged message does not go out again")
	}
	late := alice.runTo(start.Add(c.Possible * 3 / 2))
	for _, id := range []string{said[0].ID, said[1].ID, said[2].ID} {
		if !slices.ContainsFunc(late.Send, func(o Outgoing) bool { return o.ID == id && o.Reason == Again }) {
			t.Errorf("the possibly acknowledged %s does not go out again", id)
		}
	}
	// More filters settle it: one in which all are by accident is less likely
	// than Doubt after a few.
	for n := 0; state(said[0].ID) != Acknowledged; n++ {
		if n == 4 {
			t.Fatal("never acknowledged")
		}
		alice.receive(bob.sync().Data)
	}
	// The same sync message again says nothing new.
	again := bob.sync().Data
	alice.receive(again)
	if before := contents(alice.st); !alice.receive(again).Known || len(contents(alice.st)) != len(before) {
		t.Error("a second copy counts")
	}
}

// When several are due, the unacknowledged go before the possibly
// acknowledged.
func TestUnacknowledgedFirst(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	possible := alice.send("possible")
	for i := range 3 {
		bob.receive(possible.Data)
		if i < 2 {
			possible2 := alice.send("more")
			bob.receive(possible2.Data)
		}
	}
	if in := alice.receive(bob.sync().Data); !slices.Contains(in.Possible, possible.ID) {
		t.Fatalf("%+v", in.Result)
	}
	fresh := alice.send("fresh")
	alice.now = alice.now.Add(time.Hour)
	var again []string
	for _, o := range alice.due().Send {
		if o.Reason == Again {
			again = append(again, o.ID)
		}
	}
	if !slices.Equal(again, []string{fresh.ID, possible.ID}) {
		t.Errorf("sent %v, want %v", again, []string{fresh.ID, possible.ID})
	}
}

// A filter that contains everything, or the one a liar made, acknowledges
// nothing; and what nobody has is not acknowledged by many filters.
func TestFiltersByAccident(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	mine := alice.send("hello")
	full := &Message{Kind: Sync, Sender: "mallory", Channel: "channel", Lamport: uint64(start.UnixMilli()) + 10, Filter: bytes.Repeat([]byte{255}, 320)}
	for i := range 50 {
		full.ID = fmt.Sprint("full ", i)
		if in := alice.receive(must(full.Encode(Standard))); len(in.Acknowledged) > 0 {
			t.Fatalf("acknowledged by %d full filters", i+1)
		}
	}
	// A filter of 500 others has it by accident now and then.
	f := alice.channel.Config.Filter
	others := make([]uint64, f.Window)
	for i := range others {
		others[i] = f.prehash("", refOf(fmt.Sprint("other ", i)))
	}
	hits := 0
	for i := range 2000 {
		m := &Message{Kind: Sync, Sender: "bob", ID: fmt.Sprint("sync ", i), Channel: "channel", Lamport: full.Lamport}
		m.Filter = f.build(others, salt(refOf(m.ID)), f.size(len(others)))
		if f.contains(m.Filter, f.prehash("", refOf(mine.ID)), salt(refOf(m.ID))) {
			hits++
		}
		if in := alice.receive(must(m.Encode(Standard))); len(in.Acknowledged) > 0 {
			t.Fatalf("acknowledged after %d filters, %d by accident", i+1, hits)
		}
	}
	if hits == 0 {
		t.Error("no accident: the test shows nothing")
	}
}

// A message without acknowledgement is sent less and less often and given up
// after a day.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	mine := alice.send("hello?")
	c := alice.channel.Config.Resend
	var at []time.Time
	for {
		next, ok := alice.next()
		if !ok {
			t.Fatal("nothing outstanding")
		}
		alice.now = next
		r := alice.due()
		for _, o := range r.Send {
			if o.Reason == Again {
				at = append(at, alice.now)
			}
		}
		if len(r.Failed) > 0 {
			if r.Failed[0].ID != mine.ID || string(r.Failed[0].Content) != "hello?" || alice.now.Sub(start) < c.GiveUp || alice.now.Sub(start) > c.GiveUp+2*c.Most {
				t.Errorf("gave up %v after %s", r.Failed, alice.now.Sub(start))
			}
			break
		}
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap > c.Most*3/2 || i > 1 && i < 6 && gap < at[i-1].Sub(at[i-2]) {
			t.Errorf("gap %d is %s", i, gap)
		}
	}
	if len(at) < MinSends || len(must(alice.channel.Pending(alice.st, alice.now))) != 0 {
		t.Errorf("sent %d times", len(at))
	}
}

// Sync messages keep to the rules of their section.
func TestSync(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	if _, ok := alice.next(); ok {
		t.Error("a channel in which nothing was said has something to do")
	}
	first := alice.send("one")
	bob.receive(first.Data)
	log := bob.log()
	out := bob.runTo(start.Add(alice.channel.Config.Idle.Every * 3 / 2))
	if len(out.Send) == 0 || out.Send[0].Reason != Idling {
		t.Fatalf("bob sent %+v", out.Send)
	}
	m := decoded(out.Send[0].Data)
	if m.Kind != Sync || len(m.Content) > 0 || m.Lamport < uint64(start.UnixMilli())+2 || len(m.History) != 1 || m.History[0].ID != first.ID || m.Filter == nil {
		t.Errorf("sync message %+v", m)
	}
	// It enters neither log nor filter nor outgoing buffer of either side.
	if !slices.Equal(bob.log(), log) || len(must(bob.channel.Pending(bob.st, bob.now))) > 0 {
		t.Error("the sync message is kept")
	}
	lamport := must(alice.channel.open(alice.st, alice.now, nil)).s
	in := alice.receive(out.Send[0].Data)
	after := must(alice.channel.open(alice.st, alice.now, nil)).s
	if len(in.Delivered) > 0 || !slices.Equal(in.Acknowledged, []string{first.ID}) || after.lamport != lamport.lamport ||
		after.ids != lamport.ids || after.logged != lamport.logged {
		t.Errorf("received %+v, state %+v", in.Result, after)
	}
	if next := decoded(bob.send("two").Data); len(next.History) != 1 || next.History[0].ID != first.ID {
		t.Errorf("history %+v after a sync message", next.History)
	}
	// In a quiet channel they become rare.
	alone := newParty(t, "alone", Default())
	alone.send("hello")
	n := 0
	for _, o := range alone.runTo(start.Add(24 * time.Hour)).Send {
		if o.Reason == Idling {
			n++
		}
	}
	if most := int(24*time.Hour/alone.channel.Config.Idle.Most) * 2; n < 24 || n > most {
		t.Errorf("%d sync messages in a day", n)
	}
}

// While others speak, nobody needs a sync message; while one speaks alone, the
// others acknowledge.
func TestSyncBackOff(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	carol := newParty(t, "carol", Default())
	syncs := func(p *party) (n int) {
		for _, o := range p.runTo(p.now.Add(5 * time.Second)).Send {
			if o.Reason == Idling {
				n++
			}
		}
		return n
	}
	heard := 0
	for i := range 40 { // alice and bob talk in turns
		from := []*party{alice, bob}[i%2]
		out := from.send(fmt.Sprint(i))
		for _, p := range []*party{alice, bob, carol} {
			if p != from {
				p.receive(out.Data)
			}
		}
		heard += syncs(carol)
		syncs(alice)
		syncs(bob)
	}
	if heard > 0 {
		t.Errorf("carol sent %d sync messages into a conversation", heard)
	}
	for i := range 40 { // alice talks alone
		out := alice.send(fmt.Sprint(i))
		carol.receive(out.Data)
		syncs(alice)
		heard += syncs(carol)
	}
	if heard < 3 {
		t.Errorf("carol sent %d sync messages to alice alone", heard)
	}
}
