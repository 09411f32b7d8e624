package mvds

import (
	"strings"
	"testing"
	"time"
)

func TestForget(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	a := p.append(to(k[0], k[1], strings.Repeat("a", longBody)), k[1])
	p.append(to(k[0], k[1], "b"), k[1])
	for _, id := range []MessageID{a, {1, 2, 3}} {
		if err := p.sync.Forget(p.st, id); err != nil {
			t.Fatal(err)
		}
		p.check()
	}
	if o := p.one(); len(o.Messages) != 1 || o.Messages[0] == a || countKeys(p.st, keyBody) != 0 {
		t.Errorf("payload %+v", o)
	}
	// A blocked contact: nothing goes out any more, other peers are untouched.
	p.receive(k[1], &Payload{Offers: []MessageID{{4}}, Messages: []Message{to(k[0], k[1], "c")}})
	p.append(to(k[0], k[2], "d"), k[2])
	waiting := must(p.sync.Unacknowledged(p.st, k[1]))
	if len(waiting) != 1 || waiting[0].Peer != k[1] || waiting[0].Sent != 1 || string(waiting[0].Message.Body) != "b" ||
		waiting[0].ID != waiting[0].Message.ID() || !waiting[0].Appended.Equal(start) {
		t.Errorf("unacknowledged %+v", waiting)
	}
	if err := p.sync.ForgetPeer(p.st, k[1]); err != nil {
		t.Fatal(err)
	}
	p.check()
	if waiting := must(p.sync.Unacknowledged(p.st, k[1])); len(waiting) != 0 {
		t.Errorf("unacknowledged %+v", waiting)
	}
	p.now = p.now.Add(48 * time.Hour)
	if o := p.one(); o.Peer != k[2] {
		t.Errorf("payload %+v", o)
	}
	// The epoch of the last payload is still known.
	p.append(to(k[0], k[2], "e"), k[2])
	if err := p.sync.ForgetPeer(p.st, k[2]); err != nil {
		t.Fatal(err)
	}
	p.append(to(k[0], k[2], "f"), k[2])
	if out := p.due(); len(out) != 0 {
		t.Error("two payloads in one epoch")
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	first := to(k[0], k[1], "first")
	p.receive(k[1], &Payload{Messages: []Message{first}})
	p.due()
	for day := range 120 {
		p.now = start.Add(time.Duration(day) * 24 * time.Hour)
		must(p.sync.Purge(p.st, p.now))
		kept := countKeys(p.st, keySeen) > 0
		if age := p.now.Sub(start); age <= SeenRetention && !kept || age > 2*SeenRetention && kept {
			t.Fatalf("id of a received message after %d days: %t", day, kept)
		}
		if got := must(p.sync.Receive(p.st.Copy(), p.now, p.rand, k[1], &Payload{Messages: []Message{first}})); got.Messages[0].Duplicate != kept {
			t.Fatalf("duplicate %t after %d days, id kept %t", got.Messages[0].Duplicate, day, kept)
		}
	}
	if left := len(contents(p.st)); left > 1 { // the clock
		t.Errorf("%d keys left of an old conversation", left)
	}
}

func TestPurgeBatch(t *testing.T) {
	t.Parallel()
	p := newParty(t, people(1)[0])
	for i := range PurgeBatch + 5 {
		p.st.Put(seenKey(Message{Timestamp: int64(i)}.ID(), 1), nil)
	}
	for _, want := range []int{PurgeBatch, 5, 0} {
		if got := must(p.sync.Purge(p.st, p.now)); got != want {
			t.Errorf("removed %d, want %d", got, want)
		}
	}
}

// A clock that is set back does not put to sleep what was scheduled before,
// and one that is set forward does not make anything be sent twice in an epoch.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.now = start.AddDate(5, 0, 0) // a wrong year
	p.append(to(k[0], k[1], "first"), k[1])
	p.one()
	p.now = start // corrected
	p.append(to(k[0], k[1], "second"), k[1])
	for _, most := range []time.Duration{DefaultEpoch, DefaultFirstGap + DefaultFirstGap/3 + DefaultEpoch} {
		p.due()
		before := p.now
		p.advance()
		if wait := p.now.Sub(before); wait > most {
			t.Fatalf("waiting for %s", wait)
		}
	}
	sent := 0
	for p.now.Before(start.Add(time.Minute)) {
		for _, o := range p.due() {
			sent += len(o.Messages)
		}
		p.advance()
	}
	if sent < 2 {
		t.Errorf("%d messages sent after the clock was set back", sent)
	}
	last := must(table{p.st}.state(compressed(k[1]))).served
	p.now = start.AddDate(1, 0, 0)
	p.one()
	if got := must(table{p.st}.state(compressed(k[1]))).served; got <= last {
		t.Errorf("epoch %d after %d", got, last)
	}
}
