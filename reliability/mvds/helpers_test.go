package mvds

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// start is where protocol time begins in the tests, on no epoch boundary.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

// chacha is a deterministic source of random bytes.
func chacha(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	return rand.NewChaCha8(b)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// people are n different keys, always the same.
func people(n int) []key.Public {
	source := chacha(1)
	list := make([]key.Public, n)
	for i := range list {
		list[i] = must(key.Generate(source)).Public()
	}
	return list
}

// to is a message in the group of two parties.
func to(self, peer key.Public, text string) Message {
	return Message{OneToOneGroup(self, peer), 1_772_366_400, []byte(text)}
}

// contents is everything in a store.
func contents(st kv.Store) map[string]string {
	m := map[string]string{}
	if err := st.Scan("", func(k string, v []byte) error { m[k] = string(v); return nil }); err != nil {
		panic(err)
	}
	return m
}

// countKeys is the number of keys with a prefix.
func countKeys(st kv.Store, prefix string) int { return len(must(listKeys(st, prefix, 1<<30))) }

// checkTable compares all that a store keeps twice.
func checkTable(st kv.Store) error {
	t := table{st}
	scheduled := map[string]int64{} // peer → earliest
	requests := map[string]int64{}
	bodies := map[MessageID]bool{}
	records, queued := 0, 0
	for k := range contents(st) {
		raw := []byte(k[1:])
		switch k[:1] {
		case keyPeers:
			due, peer := number(raw), string(raw[numberSize:])
			if old, ok := scheduled[peer]; !ok || due < old {
				scheduled[peer] = due
			}
		case keyRecord:
			r, err := t.record(MessageID(raw[:IDSize]), string(raw[IDSize:]))
			if err != nil {
				return err
			}
			records++
			if _, ok, _ := st.Get(r.queueKey()); !ok {
				return fmt.Errorf("record %s is not in the queue", r.id)
			}
			if r.kind == kindRequest {
				requests[r.peer]++
			} else if r.kind == kindReoffer {
				if _, ok, _ := st.Get(r.keptKey()); !ok {
					return fmt.Errorf("message %s is offered again and not kept", r.id)
				}
			} else if _, err := t.message(r); err != nil {
				return err
			}
			if r.long {
				bodies[r.id] = true
			}
		}
	}
	for k, v := range contents(st) {
		raw := []byte(k[1:])
		switch k[:1] {
		case keyQueue:
			queued++
			due, peer := number(raw[peerSize:]), string(raw[:peerSize])
			s, err := t.state(peer)
			if err != nil {
				return err
			}
			slot := s.slot(due)
			if _, ok, _ := st.Get(keyPeers + numberKey(slot) + peer); !ok && (slot == due || scheduled[peer] > slot) {
				return fmt.Errorf("due at %d, first payload possible at %d, scheduled %d", due, slot, scheduled[peer])
			}
		case keyAck:
			if _, ok := scheduled[string(raw[:peerSize])]; !ok {
				return errors.New("acknowledgement without a schedule")
			}
		case keyBody:
			if !bodies[MessageID(raw)] {
				return fmt.Errorf("body %x without a record", raw)
			}
		case keyState:
			if got, want := number([]byte(v)[numberSize:]), requests[string(raw)]; got != want {
				return fmt.Errorf("%d requests counted, %d there", got, want)
			}
			delete(requests, string(raw))
		}
	}
	if records != queued {
		return fmt.Errorf("%d records, %d in the queue", records, queued)
	}
	for _, n := range requests {
		if n > 0 {
			return errors.New("requests without a state")
		}
	}
	return nil
}

// party is one party with its store and a clock that moves by hand.
type party struct {
	t    testing.TB
	st   *kv.Memory
	sync *Sync
	now  time.Time
	rand io.Reader
}

func newParty(t testing.TB, self key.Public) *party {
	return &party{t, kv.NewMemory(), New(self), start, chacha(7)}
}

func (p *party) append(m Message, peers ...key.Public) MessageID {
	p.t.Helper()
	id, err := p.sync.Append(p.st, p.now, m, peers...)
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return id
}

func (p *party) receive(from key.Public, payload *Payload) *Received {
	p.t.Helper()
	r, err := p.sync.Receive(p.st, p.now, p.rand, from, payload)
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return r
}

func (p *party) due() []Outgoing {
	p.t.Helper()
	out, err := p.sync.Due(p.st, p.now, p.rand, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return out
}

// one is the single payload that is due.
func (p *party) one() Outgoing {
	p.t.Helper()
	out := p.due()
	if len(out) != 1 {
		p.t.Fatalf("%d payloads are due, want 1", len(out))
	}
	return out[0]
}

func (p *party) next() (time.Time, bool) {
	p.t.Helper()
	next, ok, err := p.sync.Next(p.st, p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return next, ok
}

// advance goes on to when something is due next.
func (p *party) advance() {
	p.t.Helper()
	next, ok := p.next()
	if !ok {
		p.t.Fatal("nothing is outstanding")
	}
	p.now = next
}

func (p *party) check() {
	p.t.Helper()
	if err := checkTable(p.st); err != nil {
		p.t.Fatal(err)
	}
}
