package mvds

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// What a stranger sends leaves what is under way with others alone, and what
// is kept of it is in proportion to it.
func TestHostilePeer(t *testing.T) {
	t.Parallel()
	k := people(3)
	p, friend, enemy := newParty(t, k[0]), k[1], k[2]
	var ids []MessageID
	for i := range 20 {
		ids = append(ids, p.append(to(k[0], friend, fmt.Sprint(i)), friend))
	}
	mine := p.append(to(k[0], enemy, "to the enemy"), enemy)
	p.due()
	friends := func() map[string]string {
		all := contents(p.st)
		maps.DeleteFunc(all, func(k, _ string) bool {
			return k[:1] != keyRecord || k[len(k)-peerSize:] != compressed(friend)
		})
		return all
	}
	before, size := friends(), p.st.Copy()
	rng := rand.New(rand.NewPCG(1, 1))
	unknown := func() (id MessageID) {
		for i := range id {
			id[i] = byte(rng.Uint32())
		}
		return id
	}
	bytesSent := 0
	for i := range 200 {
		attack := &Payload{Acks: ids, Requests: ids, Offers: ids}
		for range 50 {
			attack.Acks = append(attack.Acks, unknown())
			attack.Requests = append(attack.Requests, unknown())
			attack.Offers = append(attack.Offers, unknown())
		}
		for j, id := range ids { // messages of another pair
			attack.Messages = append(attack.Messages, Message{OneToOneGroup(k[0], friend), int64(j), id[:]})
		}
		attack.Messages = append(attack.Messages, to(k[0], enemy, fmt.Sprint("flood ", i)))
		bytesSent += len(attack.Encode())
		got, err := p.sync.Receive(p.st, p.now, p.rand, enemy, attack)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Acked) != 0 || got.Foreign != len(ids) || len(got.Messages) != 1 {
			t.Fatalf("received %+v", got)
		}
		p.now = p.now.Add(DefaultEpoch)
		if i%50 == 0 {
			p.check()
		}
	}
	if !equal(before, friends()) {
		t.Error("records of the friend changed")
	}
	grown := 0
	old := contents(size)
	for k, v := range contents(p.st) {
		if _, ok := old[k]; !ok {
			grown += len(k) + len(v)
		}
	}
	if grown > bytesSent {
		t.Errorf("%d bytes received became %d stored", bytesSent, grown)
	}
	if n := countKeys(p.st, keyQueue+compressed(enemy)); n != MaxRequests+1 {
		t.Errorf("%d records for the enemy, want %d", n, MaxRequests+1)
	}
	if got := p.receive(enemy, &Payload{Acks: []MessageID{mine}}); len(got.Acked) != 1 {
		t.Error("the enemy's own acknowledgement is not taken")
	}
}

// model is a random walk over all calls of a party, as the network and its
// user could make them.
type model struct {
	p     *party
	peers []key.Public
	rng   *rand.Rand
	ids   []MessageID
}

func (m *model) id() MessageID {
	if len(m.ids) > 0 && m.rng.IntN(4) > 0 {
		return m.ids[m.rng.IntN(len(m.ids))]
	}
	return Message{Timestamp: m.rng.Int64N(50)}.ID()
}

func (m *model) list() (list []MessageID) {
	for range m.rng.IntN(4) {
		list = append(list, m.id())
	}
	return list
}

func (m *model) step() error {
	p, peer := m.p, m.peers[m.rng.IntN(len(m.peers))]
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		body := make([]byte, m.rng.IntN(2)*longBody+m.rng.IntN(5))
		id, err := p.sync.Append(p.st, p.now, Message{OneToOneGroup(p.sync.Self, peer), m.rng.Int64N(50), body}, peer)
		m.ids = append(m.ids, id)
		return err
	case 3, 4, 5:
		payload := &Payload{Acks: m.list(), Offers: m.list(), Requests: m.list()}
		for range m.rng.IntN(3) {
			payload.Messages = append(payload.Messages,
				Message{OneToOneGroup(p.sync.Self, m.peers[m.rng.IntN(len(m.peers))]), m.rng.Int64N(50), nil})
		}
		_, err := p.sync.Receive(p.st, p.now, p.rand, peer, payload)
		return err
	case 6, 7, 8:
		_, err := p.sync.Due(p.st, p.now, p.rand, m.rng.IntN(3))
		return err
	case 9:
		if m.rng.IntN(4) == 0 {
			return p.sync.Resume(p.st, p.now, peer)
		}
		_, err := p.sync.PeerOnline(p.st, p.now, p.rand, peer)
		return err
	case 10:
		switch m.rng.IntN(6) {
		case 0:
			return p.sync.ForgetPeer(p.st, peer)
		case 1:
			return p.sync.Forget(p.st, m.id())
		case 2:
			_, err := p.sync.Purge(p.st, p.now)
			return err
		case 3:
			_, err := p.sync.TakeExpired(p.st)
			return err
		}
	}
	// Time goes on by anything from nothing to months, and sometimes back.
	scale := []time.Duration{DefaultEpoch, time.Minute, time.Hour, 10 * 24 * time.Hour}[m.rng.IntN(4)]
	p.now = p.now.Add(time.Duration(m.rng.Int64N(int64(scale))))
	if m.rng.IntN(10) == 0 {
		p.now = p.now.Add(-scale)
	}
	return nil
}

// After any sequence of calls the state is consistent, and once the peers
// acknowledge, nothing is left.
func TestRandomWalk(t *testing.T) {
	t.Parallel()
	k := people(4)
	for seed := range uint64(10) {
		m := &model{newParty(t, k[0]), k[1:], rand.New(rand.NewPCG(seed, 2)), nil}
		m.p.sync.Mode = Mode(seed % 2)
		m.p.sync.MaxPayload = 1500
		for i := range 250 {
			if err := m.step(); err != nil {
				t.Fatal(err)
			}
			if err := checkTable(m.p.st); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
			if next, ok := m.p.next(); ok && next.Before(m.p.now) {
				t.Fatalf("seed %d, step %d: next in the past", seed, i)
			} else if work := countKeys(m.p.st, keyQueue) + countKeys(m.p.st, keyAck); ok != (work > 0) {
				t.Fatalf("seed %d, step %d: %d things outstanding, Next says %t", seed, i, work, ok)
			}
		}
		for range 2000 {
			next, ok := m.p.next()
			if !ok {
				break
			}
			m.p.now = next
			for _, o := range m.p.due() {
				answer := &Payload{Acks: append(o.Messages, o.Payload.Offers...)}
				if !answer.Empty() {
					m.p.receive(o.Peer, answer)
				}
			}
		}
		if next, ok := m.p.next(); ok {
			t.Fatalf("seed %d: still something due in %s", seed, next.Sub(m.p.now))
		}
	}
}

// What a stranger's bytes do to a state: nothing when they are refused, and
// nothing inconsistent otherwise.
func FuzzReceive(f *testing.F) {
	seedPayloads(f)
	k := people(2)
	base := kv.NewMemory()
	s := New(k[0])
	source := chacha(3)
	var known []MessageID
	for i := range 5 {
		known = append(known, must(s.Append(base, start, to(k[0], k[1], fmt.Sprint(i)), k[1])))
	}
	must(s.Due(base, start, source, 0))
	must(s.Receive(base, start, source, k[1], &Payload{Offers: []MessageID{{1}}, Messages: []Message{to(k[0], k[1], "m")}}))
	f.Add((&Payload{Acks: known[:1], Requests: known[1:3], Offers: []MessageID{known[3], {1}, {2}, {2}},
		Messages: []Message{to(k[0], k[1], "4"), to(k[0], k[1], "m"), {}}}).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		st := base.Copy()
		now := start.Add(time.Second)
		got, err := s.Receive(st, now, chacha(1), k[1], p)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Messages)+got.Foreign != len(p.Messages) {
			t.Fatalf("%d messages became %+v", len(p.Messages), got)
		}
		if err := checkTable(st); err != nil {
			t.Fatal(err)
		}
		for _, o := range must(s.Due(st, now, chacha(1), 0)) {
			if _, err := Decode(o.Payload.Encode()); err != nil {
				t.Fatal(err)
			}
		}
		if err := checkTable(st); err != nil {
			t.Fatal(err)
		}
		// Refused input changes nothing.
		before := contents(st)
		if _, err := s.Receive(st, now, chacha(1), key.Public{}, p); !errors.Is(err, ErrPeer) {
			t.Fatal(err)
		}
		if !equal(before, contents(st)) {
			t.Fatal("the state changed")
		}
	})
}
