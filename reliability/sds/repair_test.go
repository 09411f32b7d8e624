package sds

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lossy is a sender and two receivers of whom the second missed the first of
// two messages.
func lossy(t *testing.T, c Config) (alice, bob, carol *party, first, second *Outgoing) {
	alice, bob = pair(t, c)
	carol = newParty(t, "carol", c)
	first = alice.send("one")
	if err := alice.channel.SetHint(alice.st, first.ID, bytes.Repeat([]byte{1}, 32)); err != nil {
		t.Fatal(err)
	}
	bob.receive(first.Data)
	second = alice.send("two")
	bob.receive(second.Data)
	if in := carol.receive(second.Data); len(in.Delivered) > 0 {
		t.Fatalf("delivered %+v", in.Delivered)
	}
	return alice, bob, carol, first, second
}

// A missing dependency is fetched from store nodes by its hint, then asked for
// by SDS-R, then lost; each in its time.
func TestRetrievalOrder(t *testing.T) {
	t.Parallel()
	_, _, carol, first, second := lossy(t, Default())
	c := carol.channel.Config
	var fetched, asked, lost []time.Duration
	for carol.now.Before(start.Add(c.Fetch.Keep + time.Hour)) {
		next, ok := carol.next()
		if !ok {
			break
		}
		carol.now = next
		r := carol.due()
		since := carol.now.Sub(start)
		for _, f := range r.Fetch {
			if f.ID != first.ID || f.Sender != "alice" || len(f.Hints) != 1 || !bytes.Equal(f.Hints[0], bytes.Repeat([]byte{1}, 32)) {
				t.Errorf("fetch %+v", f)
			}
			fetched = append(fetched, since)
		}
		for _, o := range r.Send {
			if m := decoded(o.Data); len(m.Requests) > 0 {
				if m.Requests[0].ID != first.ID || m.Requests[0].Sender != "alice" {
					t.Errorf("asked for %+v", m.Requests)
				}
				asked = append(asked, since)
			}
		}
		for _, l := range r.Lost {
			if l.ID != first.ID || len(r.Delivered) != 1 || r.Delivered[0].ID != second.ID {
				t.Errorf("lost %+v, delivered %+v", l, r.Delivered)
			}
			lost = append(lost, since)
		}
	}
	if want := []time.Duration{c.Fetch.After, c.Fetch.After + c.Fetch.Every}; !slices.Equal(fetched, want) {
		t.Errorf("fetched at %v, not %v", fetched, want)
	}
	if delay := carol.channel.requestDelay(first.ID); len(asked) == 0 || asked[0] != delay || delay < c.Repair.TMin || delay > c.Repair.TMax {
		t.Errorf("asked at %v, T_req is %s", asked, delay)
	}
	if !slices.Equal(lost, []time.Duration{c.Fetch.Lost}) {
		t.Errorf("lost at %v", lost)
	}
	before, after := 0, 0
	for i, at := range asked {
		if at < c.Fetch.Lost {
			before++
		} else if after++; after > 2 && at-asked[i-1] < asked[i-1]-asked[i-2] {
			t.Errorf("asked more often after the loss: %v", asked)
		}
	}
	if before < 2 || after < 3 || after > 12 {
		t.Errorf("asked %d times before the loss and %d after", before, after)
	}
	if n := count(carol.st, keyMissing); n != 0 {
		t.Errorf("%d are kept as missing after %s", n, carol.now.Sub(start))
	}
}

// What was called lost and comes all the same is delivered late, once, and
// stands in its place of the order.
func TestLate(t *testing.T) {
	t.Parallel()
	alice, _, carol, first, second := lossy(t, Default())
	r := carol.runTo(start.Add(carol.channel.Config.Fetch.Lost))
	if len(r.Lost) != 1 || len(r.Delivered) != 1 || r.Delivered[0].ID != second.ID || r.Delivered[0].Late {
		t.Fatalf("%+v", r)
	}
	third := alice.send("three") // depends on both; the lost one counts as met
	if in := carol.receive(third.Data); len(in.Delivered) != 1 {
		t.Errorf("received %+v", in.Result)
	}
	in := carol.receive(first.Data)
	if len(in.Delivered) != 1 || !in.Delivered[0].Late || in.Delivered[0].ID != first.ID {
		t.Errorf("received %+v", in.Result)
	}
	if again := carol.receive(first.Data); !again.Known || len(again.Delivered) > 0 {
		t.Errorf("again: %+v", again)
	}
	if !slices.Equal(carol.log(), alice.log()) {
		t.Errorf("log %v, not %v", carol.log(), alice.log())
	}
}

// The request goes out in a sync message at T_req, the author answers at once
// and the others keep still; what is repaired is byte for byte the original.
func TestRepair(t *testing.T) {
	t.Parallel()
	alice, bob, carol, first, second := lossy(t, Default())
	delay := carol.channel.requestDelay(first.ID)
	r := carol.runTo(start.Add(delay))
	i := slices.IndexFunc(r.Send, func(o Outgoing) bool { return len(decoded(o.Data).Requests) > 0 })
	if i < 0 {
		t.Fatalf("no request in %+v", r.Send)
	}
	alice.now, bob.now = carol.now, carol.now
	alice.receive(r.Send[i].Data)
	bob.receive(r.Send[i].Data)
	var answer *Outgoing
	for _, o := range alice.due().Send {
		if o.Reason == Answer {
			answer = &o
		}
	}
	if answer == nil || !bytes.Equal(answer.Data, first.Data) {
		t.Fatalf("answered %+v", answer)
	}
	if n := count(bob.st, keyAnswer); n != 1 {
		t.Errorf("bob plans %d answers", n)
	}
	bob.receive(answer.Data)
	if n := count(bob.st, keyAnswer); n != 0 {
		t.Errorf("bob plans %d answers after alice's", n)
	}
	in := carol.receive(answer.Data)
	if len(in.Delivered) != 2 || in.Delivered[0].ID != first.ID || in.Delivered[1].ID != second.ID {
		t.Errorf("delivered %+v", in.Delivered)
	}
	if n := count(carol.st, keyMissing) + count(carol.st, keyAsk); n != 0 {
		t.Errorf("%d keys of what came", n)
	}
}

// When the author is away, somebody else answers at T_resp; when the answer is
// lost, it is asked for again.
func TestRepairByAnother(t *testing.T) {
	t.Parallel()
	_, bob, carol, first, _ := lossy(t, Default())
	answers := 0
	for range 4 {
		for {
			next, ok := carol.next()
			if !ok {
				t.Fatal("carol has nothing to do")
			}
			carol.now = next
			r := carol.due()
			i := slices.IndexFunc(r.Send, func(o Outgoing) bool { return len(decoded(o.Data).Requests) > 0 })
			if i < 0 {
				continue
			}
			bob.now = carol.now
			bob.receive(r.Send[i].Data)
			break
		}
		due := bob.now.Add(bob.channel.answerDelay("alice", first.ID))
		for _, o := range bob.runTo(due).Send {
			if o.Reason == Answer {
				if !bytes.Equal(o.Data, first.Data) || !bob.now.Equal(due) {
					t.Errorf("answered %s at %s", o.ID, bob.now)
				}
				answers++ // and lost
			}
		}
		if bob.now.Sub(start) > carol.channel.Config.Fetch.Lost-4*time.Minute {
			break
		}
	}
	if answers < 2 {
		t.Errorf("answered %d times", answers)
	}
}

// Who hears that somebody asks for the same puts the own request off, but
// nobody can put it off for ever.
func TestYield(t *testing.T) {
	t.Parallel()
	_, _, carol, first, _ := lossy(t, Default())
	mallory := &Message{Kind: Sync, Sender: "mallory", Channel: "channel", Lamport: uint64(start.UnixMilli()), Requests: []Entry{{ID: first.ID, Sender: "alice"}}}
	asked := 0
	for i := 0; carol.now.Sub(start) < 9*time.Minute; i++ {
		mallory.ID = fmt.Sprint("sync-", i)
		carol.receive(must(mallory.Encode(Standard)))
		r := carol.runTo(carol.now.Add(5 * time.Second))
		for _, o := range r.Send {
			asked += len(decoded(o.Data).Requests)
		}
		if i == 0 {
			d := must(table{carol.st}.missingRecord(refOf(first.ID)))
			if want := start.Add(carol.channel.Config.Repair.TMax + carol.channel.requestDelay(first.ID)).UnixNano(); d.ask != want {
				t.Errorf("puts off to %d, not %d", d.ask, want)
			}
		}
	}
	if asked == 0 {
		t.Error("never asked")
	}
}

// Only the response group keeps and answers a message, and the author is
// always in it.
func TestResponseGroups(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Repair.Groups = 4
	alice := newParty(t, "alice", c)
	in := 0
	for i := range 200 {
		p := newParty(t, fmt.Sprint("p", i), c)
		out := alice.send(fmt.Sprint(i))
		p.receive(out.Data)
		kept := must(table{p.st}.has(refOf(out.ID).key(keyCache)))
		if want := inGroup(p.channel.Self, "alice", out.ID, 4); want {
			in++
			if held := count(p.st, keyHeld); !kept && held == 0 {
				t.Errorf("%s does not keep %s", p.channel.Self, out.ID)
			}
		} else if kept {
			t.Errorf("%s keeps %s", p.channel.Self, out.ID)
		}
		if !must(table{alice.st}.has(refOf(out.ID).key(keyCache))) {
			t.Error("the author does not keep it")
		}
	}
	if in < 25 || in > 90 {
		t.Errorf("%d of 200 are in one of four groups", in)
	}
}

// Without SDS-R nothing is asked for, answered or kept, and senders are not
// named.
func TestRepairOff(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Repair = Repair{Off: true}
	_, bob, carol, _, second := lossy(t, c)
	for _, o := range carol.runTo(start.Add(c.Fetch.Lost)).Send {
		if len(decoded(o.Data).Requests) > 0 {
			t.Error("asked")
		}
	}
	if n := count(bob.st, keyCache); n != 0 {
		t.Errorf("%d messages are kept", n)
	}
	if h := decoded(second.Data).History; len(h) != 1 || h[0].Sender != "" {
		t.Errorf("history %+v", h)
	}
}

// A message that no later message of anybody names is found all the same: who
// has it names it as soon as somebody shows to lack it.
func TestHeads(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	carol := newParty(t, "carol", Default())
	// Four at once, of which carol misses the first: no message depends on it.
	var said []*Outgoing
	for i := range 4 {
		p := newParty(t, fmt.Sprint("p", i), Default())
		said = append(said, p.send("x"))
	}
	slices.SortFunc(said, func(a, b *Outgoing) int { return strings.Compare(a.ID, b.ID) })
	for i, o := range said {
		alice.receive(o.Data)
		bob.receive(o.Data)
		if i > 0 {
			carol.receive(o.Data)
		}
	}
	m := decoded(alice.send("later").Data)
	if len(m.History) != 4 || m.History[0].ID != said[0].ID {
		t.Fatalf("history %+v", m.History)
	}
	if m := decoded(alice.send("and later").Data); len(m.History) != 2 {
		t.Errorf("history %+v", m.History) // all are named by now
	}
	// bob heard nothing of alice; carol's sync message shows what she lacks.
	quiet := start.Add(time.Second)
	e := must(bob.channel.open(bob.st, quiet, bob.rand))
	e.s.syncAt = e.now + int64(time.Hour)
	if err := e.close(); err != nil {
		t.Fatal(err)
	}
	bob.receive(carol.sync().Data)
	next, ok := bob.next()
	if !ok || next.Sub(start) > 2*bob.channel.Config.Idle.Every {
		t.Fatalf("bob speaks after %s", next.Sub(start))
	}
	bob.now = next
	out := bob.due().Send
	if len(out) != 1 {
		t.Fatalf("bob sent %+v", out)
	}
	carol.receive(out[0].Data)
	if ok := must(table{carol.st}.has(refOf(said[0].ID).key(keyMissing))); !ok {
		t.Error("carol does not know what she lacks")
	}
}

// A quiet channel becomes quiet, even if somebody goes on to show that it
// lacks something.
func TestQuiet(t *testing.T) {
	t.Parallel()
	alice := newParty(t, "alice", Default())
	alice.unchecked = true
	alice.send("hello")
	deaf := &Message{Kind: Sync, Sender: "deaf", Channel: "channel", Lamport: uint64(start.UnixMilli()), Filter: make([]byte, 64)}
	perDay := [2]int{}
	for i := range 2 * 24 * 60 {
		deaf.ID = fmt.Sprint("sync-", i)
		alice.receive(must(deaf.Encode(Standard)))
		for _, o := range alice.runTo(alice.now.Add(time.Minute)).Send {
			if o.Reason == Idling {
				perDay[i/(24*60)]++
			}
		}
	}
	if perDay[0] < 1000 || perDay[1] > 300 {
		t.Errorf("%d sync messages on the first day, %d on the second", perDay[0], perDay[1])
	}
}
