package mvds

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

// What is appended first is due at once, what follows in the epoch is due in
// the next.
func TestEpochs(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	first := p.append(to(k[0], k[1], "first"), k[1])
	if next, ok := p.next(); !ok || !next.Equal(p.now) {
		t.Fatalf("due %s, %t; want at once", next, ok)
	}
	o := p.one()
	if o.Peer != k[1] || !slices.Equal(o.Messages, []MessageID{first}) || o.Payload.Messages[0].ID() != first {
		t.Fatalf("payload %+v", o)
	}
	second := p.append(to(k[0], k[1], "second"), k[1])
	third := p.append(to(k[0], k[1], "third"), k[1])
	if out := p.due(); len(out) != 0 {
		t.Fatal("a second payload in the epoch")
	}
	p.append(to(k[0], k[2], "another peer"), k[2])
	if o := p.one(); o.Peer != k[2] {
		t.Fatal("the epochs of two peers are not independent")
	}
	boundary := time.Unix(0, (p.now.UnixNano()/int64(DefaultEpoch)+1)*int64(DefaultEpoch))
	if next, ok := p.next(); !ok || !next.Equal(boundary) {
		t.Fatalf("due %s, %t; want %s", next, ok, boundary)
	}
	p.now = boundary.Add(-time.Nanosecond)
	if len(p.due()) != 0 {
		t.Fatal("due before the epoch")
	}
	p.now = boundary
	got := p.one().Messages
	if len(got) != 2 || !slices.Contains(got, second) || !slices.Contains(got, third) {
		t.Fatalf("messages %v", got)
	}
}

func TestAppendTwice(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.append(to(k[0], k[1], "same"), k[1])
	p.one()
	before := contents(p.st)
	p.now = p.now.Add(time.Second)
	p.append(to(k[0], k[1], "same"), k[1])
	if !equal(before, contents(p.st)) {
		t.Error("appending what is under way changed the state")
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

// Messages that wait for each other's epoch leave in the order they came.
func TestOrder(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.sync.MaxPayload = 1000
	var want, got []MessageID
	for i := range 100 {
		want = append(want, p.append(to(k[0], k[1], fmt.Sprint(i)), k[1]))
		p.now = p.now.Add(time.Microsecond)
	}
	for len(got) < len(want) {
		p.advance()
		o := p.one()
		if n := len(o.Payload.Encode()); n > p.sync.MaxPayload {
			t.Fatalf("payload of %d bytes", n)
		}
		got = append(got, o.Messages...)
	}
	if !slices.Equal(got, want) {
		t.Error("sent in another order")
	}
}

func TestMaxPayload(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	const many = 5000
	for i := range many { // acknowledgements alone are more than one payload
		p.st.Put(keyAck+compressed(k[1])+string(must(hash(i))), nil)
	}
	p.receive(k[1], &Payload{Messages: []Message{to(k[0], k[1], "last")}})
	long := p.append(to(k[0], k[1], strings.Repeat("x", 2*DefaultMaxPayload)), k[1])
	near := p.append(to(k[0], k[1], strings.Repeat("y", DefaultMaxPayload-200)), k[1])
	acks, seen := 0, map[MessageID]int{}
	for range 20 {
		p.advance()
		o := p.one()
		for _, id := range o.Messages {
			seen[id]++
		}
		acks += len(o.Payload.Acks)
		if n := len(o.Payload.Encode()); n > DefaultMaxPayload && !slices.Contains(o.Messages, long) {
			t.Errorf("payload of %d bytes", n)
		} else if slices.Contains(o.Messages, long) && len(o.Payload.Acks)+len(o.Messages) != 1 {
			t.Error("a long message does not travel alone")
		}
		if acks == many+1 {
			break
		}
	}
	if acks != many+1 || seen[long] != 1 || seen[near] != 1 {
		t.Errorf("%d acks, messages %v", acks, seen)
	}
}

func hash(i int) (string, error) {
	id := Message{Timestamp: int64(i)}.ID()
	return string(id[:]), nil
}

// Every message is acknowledged in the next payload, also when it was received
// before, and no acknowledgement is repeated.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	m := to(k[1], k[0], "hello")
	for round := range 3 {
		got := p.receive(k[1], &Payload{Messages: []Message{m}})
		if len(got.Messages) != 1 || got.Messages[0].ID != m.ID() || got.Messages[0].Duplicate != (round > 0) {
			t.Fatalf("round %d: received %+v", round, got)
		}
		o := p.one()
		if !slices.Equal(o.Payload.Acks, []MessageID{m.ID()}) || len(o.Messages) != 0 {
			t.Fatalf("round %d: payload %+v", round, o.Payload)
		}
		if next, ok := p.next(); ok {
			t.Fatalf("round %d: something is due at %s", round, next)
		}
		p.now = p.now.Add(time.Hour)
		if out := p.due(); len(out) > 0 {
			t.Fatalf("round %d: acknowledged again without reason", round)
		}
	}
	got := p.receive(k[1], &Payload{Messages: []Message{to(k[1], k[0], "new"), to(k[1], k[0], "new")}})
	if got.Messages[0].Duplicate || !got.Messages[1].Duplicate {
		t.Error("a duplicate within a payload is not flagged")
	}
	if acks := p.one().Payload.Acks; len(acks) != 1 {
		t.Errorf("%d acks for one message", len(acks))
	}
}

func TestAcked(t *testing.T) {
	t.Parallel()
	k := people(3)
	for _, mode := range []Mode{Batch, Interactive} {
		p := newParty(t, k[0])
		p.sync.Mode = mode
		a, b := p.append(to(k[0], k[1], "a"), k[1]), p.append(to(k[0], k[1], strings.Repeat("b", longBody)), k[1])
		p.one()
		if got := p.receive(k[2], &Payload{Acks: []MessageID{a, b}}); len(got.Acked) != 0 || got.Unknown != 2 {
			t.Errorf("another peer acknowledged: %+v", got)
		}
		if got := p.receive(k[1], &Payload{Acks: []MessageID{a, a, b}}); !slices.Equal(got.Acked, []MessageID{a, b}) || got.Unknown != 1 {
			t.Errorf("received %+v", got)
		}
		if _, ok := p.next(); ok || countKeys(p.st, keyRecord)+countKeys(p.st, keyBody) != 0 {
			t.Error("something is left")
		}
	}
}

// A peer who sends our message holds it.
func TestOwnMessageComesBack(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	m := to(k[0], k[1], "both say it")
	id := p.append(m, k[1])
	got := p.receive(k[1], &Payload{Messages: []Message{m}})
	if !slices.Equal(got.Acked, []MessageID{id}) || len(got.Messages) != 1 {
		t.Errorf("received %+v", got)
	}
	if o := p.one(); len(o.Messages) != 0 || len(o.Payload.Acks) != 1 {
		t.Errorf("payload %+v", o.Payload)
	}
}

func TestInteractive(t *testing.T) {
	t.Parallel()
	k := people(3)
	a, b := newParty(t, k[0]), newParty(t, k[1])
	a.sync.Mode = Interactive
	m := to(k[0], k[1], "on request")
	id := a.append(m, k[1])
	o := a.one()
	if !slices.Equal(o.Payload.Offers, []MessageID{id}) || len(o.Payload.Messages)+len(o.Messages) != 0 {
		t.Fatalf("first payload %+v", o.Payload)
	}
	if got := a.receive(k[2], &Payload{Requests: []MessageID{id}}); got.Unknown != 1 {
		t.Fatal("a stranger's request was accepted")
	}
	b.receive(k[0], o.Payload)
	request := b.one().Payload
	if !slices.Equal(request.Requests, []MessageID{id}) {
		t.Fatalf("second payload %+v", request)
	}
	// The request is repeated until the message is there.
	b.advance()
	if again := b.one().Payload; !slices.Equal(again.Requests, []MessageID{id}) {
		t.Fatalf("repeated %+v", again)
	}
	a.receive(k[1], request)
	a.now = a.now.Add(DefaultEpoch)
	o = a.one()
	if len(o.Payload.Messages) != 1 || len(o.Payload.Offers) != 0 || !slices.Equal(o.Messages, []MessageID{id}) {
		t.Fatalf("third payload %+v", o.Payload)
	}
	b.receive(k[0], o.Payload)
	b.now = b.now.Add(DefaultEpoch)
	ack := b.one().Payload
	if !slices.Equal(ack.Acks, []MessageID{id}) || len(ack.Requests) != 0 {
		t.Fatalf("fourth payload %+v", ack)
	}
	if _, ok := b.next(); ok {
		t.Fatal("the request outlived the message")
	}
	if got := a.receive(k[1], ack); !slices.Equal(got.Acked, []MessageID{id}) {
		t.Fatalf("received %+v", got)
	}
	// An offer of what arrived is acknowledged, not requested.
	b.receive(k[0], &Payload{Offers: []MessageID{id}})
	b.now = b.now.Add(DefaultEpoch)
	if p := b.one().Payload; !slices.Equal(p.Acks, []MessageID{id}) || len(p.Requests) != 0 {
		t.Fatalf("answer to an old offer %+v", p)
	}
}

// A request for what is under way draws it once per first gap, not per epoch.
func TestRequestRate(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	id := p.append(to(k[0], k[1], "long"), k[1])
	sends := 0
	begin := p.now
	const length = 15 * time.Minute
	for p.now.Sub(begin) < length {
		p.receive(k[1], &Payload{Requests: []MessageID{id}})
		sends += len(p.due())
		p.now = p.now.Add(DefaultEpoch)
	}
	if most := int(length/DefaultFirstGap) + 1; sends > most || sends < most/2 {
		t.Errorf("%d sends in %s, want at most %d", sends, length, most)
	}
}

func TestForeignGroup(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	good := to(k[0], k[1], "good")
	got := p.receive(k[1], &Payload{Messages: []Message{to(k[0], k[2], "other pair"), good, {Body: []byte("no group")}}})
	if got.Foreign != 2 || len(got.Messages) != 1 || got.Messages[0].ID != good.ID() {
		t.Errorf("received %+v", got)
	}
	if acks := p.one().Payload.Acks; !slices.Equal(acks, []MessageID{good.ID()}) {
		t.Errorf("acknowledged %v", acks)
	}
}

// A group of more than two is a matter of the Member function: one message, a
// record for each peer.
func TestMember(t *testing.T) {
	t.Parallel()
	k := people(4)
	group := GroupID{9}
	p := newParty(t, k[0])
	p.sync.Member = func(g GroupID, peer key.Public) bool { return g == group && peer != k[3] }
	m := Message{group, 1, bytes.Repeat([]byte("x"), longBody)}
	id := p.append(m, k[1], k[2])
	if _, err := p.sync.Append(p.st, p.now, m, k[3]); !errors.Is(err, ErrGroup) {
		t.Errorf("error %v", err)
	}
	if out := p.due(); len(out) != 2 || out[0].Peer == out[1].Peer {
		t.Fatalf("payloads %+v", out)
	}
	p.receive(k[1], &Payload{Acks: []MessageID{id}})
	p.advance()
	if o := p.one(); o.Peer != k[2] || len(o.Payload.Messages[0].Body) != longBody {
		t.Fatal("the message of the second peer is gone")
	}
	p.receive(k[2], &Payload{Acks: []MessageID{id}})
	if countKeys(p.st, keyBody) != 0 {
		t.Error("the body is left")
	}
}
