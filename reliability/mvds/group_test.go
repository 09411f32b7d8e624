package mvds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

// assembly is a group of several parties, with the network between them.
type assembly struct {
	t       *testing.T
	group   GroupID
	members []*party
	// cut names pairs that do not hear each other.
	cut func(from, to int) bool
	got []map[MessageID]int
	out Usage
}

func assemble(t *testing.T, n int, mode Mode) *assembly {
	a := &assembly{t: t, group: GroupID{1, 2, 3}, cut: func(int, int) bool { return false }}
	keys := people(n)
	for _, k := range keys {
		p := newParty(t, k)
		p.sync.Mode = mode
		p.sync.Member = func(g GroupID, peer key.Public) bool { return g == a.group && slices.Contains(keys, peer) }
		p.sync.Peers = func(g GroupID) []key.Public {
			if g == a.group {
				return keys
			}
			return nil
		}
		a.members = append(a.members, p)
		a.got = append(a.got, map[MessageID]int{})
	}
	return a
}

func (a *assembly) others(of int) (peers []key.Public) {
	for i, m := range a.members {
		if i != of {
			peers = append(peers, m.sync.Self)
		}
	}
	return peers
}

// run delivers what is due to whom is heard, until a time.
func (a *assembly) run(until time.Duration) {
	a.t.Helper()
	for now := a.members[0].now; now.Before(start.Add(until)); now = now.Add(DefaultEpoch) {
		for from, p := range a.members {
			p.now = now
			for _, o := range must(p.sync.Due(p.st, now, p.rand, 0)) {
				p.check()
				a.out.Add(o.Usage())
				data := o.Payload.Encode()
				if u := o.Usage(); u.Payloads.Bytes != uint64(len(data)) {
					a.t.Fatalf("%d bytes, counted %+v", len(data), u)
				}
				for to, q := range a.members {
					if q.sync.Self != o.Peer || a.cut(from, to) {
						continue
					}
					q.now = now
					for _, m := range q.receive(p.sync.Self, must(Decode(data))).Messages {
						if !m.Duplicate {
							a.got[to][m.ID]++
						}
					}
				}
			}
		}
	}
}

// The author of a message to a group reaches one of its members alone, and the
// message reaches all, each once, by way of that one; all of them acknowledge it,
// and nothing is left.
func TestGroupShares(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Batch, Interactive} {
		a := assemble(t, 5, mode)
		a.cut = func(from, to int) bool { return from == 0 && to > 1 || to == 0 && from > 1 }
		var ids []MessageID
		for i := range 10 {
			m := Message{a.group, int64(i), []byte(strings.Repeat("x", i*300))}
			ids = append(ids, a.members[0].append(m, a.others(0)...))
		}
		a.run(5 * time.Minute)
		for i := 1; i < len(a.members); i++ {
			for _, id := range ids {
				if a.got[i][id] != 1 {
					t.Errorf("mode %d: member %d has message %s %d times", mode, i, id, a.got[i][id])
				}
			}
		}
		// Those who cannot be heard by the author still offer what they hold.
		a.cut = func(int, int) bool { return false }
		for i, m := range a.members {
			for _, peer := range a.others(i) {
				if err := m.sync.Resume(m.st, m.now, peer); err != nil {
					t.Fatal(err)
				}
			}
		}
		a.run(6 * time.Minute)
		for i, m := range a.members {
			if n := countKeys(m.st, keyRecord) + countKeys(m.st, keyBody); n != 0 {
				t.Errorf("mode %d: member %d keeps %d records", mode, i, n)
			}
		}
	}
}

// When all hear each other, sharing costs offers and acknowledgements, no second
// copy.
func TestGroupCost(t *testing.T) {
	t.Parallel()
	a := assemble(t, 5, Batch)
	id := a.members[0].append(Message{a.group, 1, []byte(strings.Repeat("x", 3000))}, a.others(0)...)
	if n := countKeys(a.members[0].st, keyBody); n != 1 {
		t.Errorf("the body is stored %d times", n)
	}
	a.run(5 * time.Minute)
	for i := 1; i < len(a.members); i++ {
		if a.got[i][id] != 1 {
			t.Errorf("member %d has it %d times", i, a.got[i][id])
		}
	}
	if a.out.Messages.Count != 4 || a.out.Retries.Count != 0 || a.out.Offers.Count > 12 {
		t.Errorf("%+v", a.out)
	}
	for i, m := range a.members {
		if n := countKeys(m.st, keyRecord); n != 0 {
			t.Errorf("member %d keeps %d records", i, n)
		}
	}
}

// A group offer that names a group of its sender is requested; one with a name of
// another kind, as deployed clients have them, is not.
func TestGroupOffers(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	own, foreign := OneToOneGroup(k[0], k[1]), OneToOneGroup(k[0], k[2])
	p.receive(k[1], &Payload{Offers: []MessageID{{1}}, GroupOffers: []GroupOffer{
		{own[:], []MessageID{{2}, {1}}}, {foreign[:], []MessageID{{3}}}, {[]byte(k[1].Hex()), []MessageID{{4}}}, {nil, []MessageID{{5}}},
	}})
	if got := p.one().Payload.Requests; !slices.Equal(got, []MessageID{{1}, {2}}) {
		t.Errorf("requests %v", got)
	}
}

// What a peer has acknowledged is offered again after a loss, and sent when it is
// requested, once; it is no second acknowledgement of ours.
func TestReoffer(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	var ids []MessageID
	for i := range 20 {
		body := fmt.Sprint(i)
		if i == 7 {
			body = strings.Repeat("long ", longBody)
		}
		if i == 8 {
			body = strings.Repeat("x", MaxKeptBody)
		}
		ids = append(ids, p.append(to(k[0], k[1], body), k[1]))
		p.now = p.now.Add(time.Second)
	}
	p.append(to(k[0], k[2], "other"), k[2])
	p.due()
	p.now = p.now.Add(time.Second)
	p.due()
	if got := p.receive(k[1], &Payload{Acks: ids}); len(got.Acked) != 20 {
		t.Fatalf("%+v", got)
	}
	if err := p.sync.Reoffer(p.st, p.now, k[1]); err != nil {
		t.Fatal(err)
	}
	p.check()
	p.now = p.now.Add(time.Second)
	o := p.one()
	want := slices.Concat(ids[:8], ids[9:]) // but for the one that is too long
	if !slices.Equal(o.Payload.Offers, want) || o.Peer != k[1] {
		t.Fatalf("offers %v", o.Payload.Offers)
	}
	// The peer holds some, has lost others, and says nothing of the rest.
	got := p.receive(k[1], &Payload{Acks: want[:5], Requests: want[5:10]})
	if len(got.Acked) != 0 || got.Unknown != 0 {
		t.Errorf("%+v", got)
	}
	p.now = p.now.Add(time.Second)
	o = p.one()
	if !slices.Equal(o.Messages, want[5:10]) || o.Retries.Count != 0 || len(o.Payload.Messages[2].Body) < longBody {
		t.Errorf("payload %+v", o)
	}
	if got := p.receive(k[1], &Payload{Acks: want[5:10]}); len(got.Acked) != 5 {
		t.Errorf("%+v", got)
	}
	offers := 0
	for end := p.now.Add(24 * time.Hour); ; {
		next, ok := p.next()
		if !ok || next.After(end) {
			break
		}
		p.now = next
		for _, o := range p.due() {
			offers += len(o.Payload.Offers)
		}
	}
	if offers != len(want[10:])*(reofferSends-1) {
		t.Errorf("%d more offers", offers)
	}
	if expired := must(p.sync.TakeExpired(p.st)); len(expired) != 0 {
		t.Errorf("given up: %v", expired)
	}
	// Requests for what is kept no more are not met, and nothing is offered twice
	// at a time.
	for range 2 {
		if err := p.sync.Reoffer(p.st, p.now, k[1]); err != nil {
			t.Fatal(err)
		}
		p.check()
	}
	keys := must(listKeys(p.st, keyKept, 1<<30))
	if err := remove(p.st, keys); err != nil {
		t.Fatal(err)
	}
	if got, err := p.sync.Receive(p.st, p.now, p.rand, k[1], &Payload{Requests: want}); err != nil || got.Unknown != len(want) {
		t.Errorf("%+v, %v", got, err)
	}
	p.check()
}

// What is kept for offering again is bounded by age and number, and gone for a
// peer who is forgotten.
func TestKeptBound(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	for _, peer := range k[1:] {
		var ids []MessageID
		for i := range MaxKept + 30 {
			ids = append(ids, p.append2(to(k[0], peer, fmt.Sprint(i)), peer))
			p.now = p.now.Add(time.Millisecond)
		}
		p.sync.MaxPayload = 1 << 20
		p.now = p.now.Add(time.Second)
		p.due()
		p.receive(peer, &Payload{Acks: ids})
	}
	if n := countKeys(p.st, keyKept); n != 2*(MaxKept+30) {
		t.Fatalf("%d kept", n)
	}
	must(p.sync.Purge(p.st, p.now))
	if n := countKeys(p.st, keyKept); n != 2*MaxKept {
		t.Errorf("%d kept", n)
	}
	if err := p.sync.Reoffer(p.st, p.now, k[1]); err != nil {
		t.Fatal(err)
	}
	if n := countKeys(p.st, keyRecord); n != ReofferMost {
		t.Errorf("%d offered", n)
	}
	if err := p.sync.ForgetPeer(p.st, k[1]); err != nil {
		t.Fatal(err)
	}
	if n := countKeys(p.st, keyKept); n != MaxKept {
		t.Errorf("%d kept", n)
	}
	must(p.sync.Purge(p.st, p.now.Add(KeptRetention)))
	if n := countKeys(p.st, keyKept); n != 0 {
		t.Errorf("%d kept", n)
	}
}

// append2 is append without looking at the whole table.
func (p *party) append2(m Message, peers ...key.Public) MessageID {
	p.t.Helper()
	return must(p.sync.Append(p.st, p.now, m, peers...))
}

// What is counted is what is on the wire.
func TestUsage(t *testing.T) {
	t.Parallel()
	k := people(2)
	group := OneToOneGroup(k[0], k[1])
	p := &Payload{
		Acks: make([]MessageID, 3), Offers: make([]MessageID, 2), Requests: make([]MessageID, 1),
		Messages:    []Message{to(k[0], k[1], ""), to(k[0], k[1], strings.Repeat("x", 5000)), {Group: group}},
		GroupOffers: []GroupOffer{{group[:], make([]MessageID, 2)}, {nil, nil}},
	}
	u := p.Usage()
	if u.Payloads != (Count{1, uint64(len(p.Encode()))}) || u.Acks.Count != 3 || u.Offers.Count != 4 || u.Requests.Count != 1 || u.Messages.Count != 3 {
		t.Errorf("%+v for %d bytes", u, len(p.Encode()))
	}
	sum := u
	sum.Add(u)
	if sum.Payloads.Bytes != 2*u.Payloads.Bytes || sum.Acks.Count != 6 || sum.Messages.Bytes != 2*u.Messages.Bytes || sum.Offers.Bytes != 2*u.Offers.Bytes || sum.Requests != (Count{2, 2 * u.Requests.Bytes}) {
		t.Errorf("%+v", sum)
	}
	a := newParty(t, k[0])
	a.append(to(k[0], k[1], "again"), k[1])
	var total Usage
	for range 3 {
		o := a.one()
		total.Add(o.Usage())
		a.advance()
	}
	if total.Messages.Count != 3 || total.Retries.Count != 2 || total.Retries.Bytes*3 != total.Messages.Bytes*2 {
		t.Errorf("%+v", total)
	}
}
