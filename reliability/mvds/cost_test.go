package mvds

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// counting counts what a store is asked for.
type counting struct {
	kv.Store
	gets, puts, deletes, visits int
}

func (c *counting) Get(k string) ([]byte, bool, error) { c.gets++; return c.Store.Get(k) }
func (c *counting) Put(k string, v []byte) error       { c.puts++; return c.Store.Put(k, v) }
func (c *counting) Delete(k string) error              { c.deletes++; return c.Store.Delete(k) }
func (c *counting) Scan(prefix string, visit func(string, []byte) error) error {
	return c.Store.Scan(prefix, func(k string, v []byte) error { c.visits++; return visit(k, v) })
}

// The writes of each step of a conversation, whatever else is outstanding.
func TestStoreCost(t *testing.T) {
	t.Parallel()
	k := people(2)
	for _, outstanding := range []int{0, 20_000} {
		st := kv.NewMemory()
		s := New(k[0])
		fill(t, s, st, outstanding)
		now, source := start, chacha(5)
		cost := func(name string, puts, deletes, reads int, f func(st kv.Store) error) {
			t.Helper()
			c := &counting{Store: st}
			if err := f(c); err != nil {
				t.Fatal(err)
			}
			if c.puts > puts || c.deletes > deletes || c.gets+c.visits > reads {
				t.Errorf("%d outstanding: %s takes %d puts, %d deletes, %d reads; want at most %d, %d, %d",
					outstanding, name, c.puts, c.deletes, c.gets+c.visits, puts, deletes, reads)
			}
		}
		var id MessageID
		var out []Outgoing
		due := func(st kv.Store) (err error) {
			out, err = s.Due(st, now, source, 0)
			return err
		}
		receive := func(p *Payload) func(st kv.Store) error {
			return func(st kv.Store) error {
				_, err := s.Receive(st, now, source, k[1], p)
				return err
			}
		}
		for i := range 3 {
			now = now.Add(time.Second)
			hello := to(k[0], k[1], fmt.Sprint("hello ", i))
			cost("sending a message", 3, 0, 4, func(st kv.Store) (err error) {
				id, err = s.Append(st, now, hello, k[1])
				return err
			})
			// Record, queue, schedule, state, clock; queue and schedule before.
			cost("its payload", 5, 2, 12, due)
			if len(out) != 1 || len(out[0].Messages) != 1 {
				t.Fatalf("payloads %+v", out)
			}
			cost("nothing due", 0, 0, 2, due)
			cost("asking when", 0, 0, 8, func(st kv.Store) error {
				_, _, err := s.Next(st, now)
				return err
			})
			cost("an acknowledgement", 1, 2, 3, receive(&Payload{Acks: []MessageID{id}}))
			answer := to(k[0], k[1], fmt.Sprint("answer ", i))
			cost("receiving a message", 3, 0, 6, receive(&Payload{Messages: []Message{answer}}))
			cost("receiving it again", 1, 0, 6, receive(&Payload{Messages: []Message{answer}}))
			now = now.Add(time.Second)
			cost("acknowledging it", 2, 2, 10, due)
		}
	}
}

// A peer with a long queue costs a call no more than what is sent, and does
// not hold up others.
func TestBacklogCost(t *testing.T) {
	t.Parallel()
	k := people(3)
	s, st, source := New(k[0]), kv.NewMemory(), chacha(5)
	const backlog = 20_000
	for i := range backlog {
		must(s.Append(st, start, to(k[0], k[1], fmt.Sprint("waiting ", i)), k[1]))
	}
	now, sent := start.Add(time.Hour), 0
	for round := range 10 {
		must(s.Append(st, now, to(k[0], k[2], fmt.Sprint("other ", round)), k[2]))
		c := &counting{Store: st}
		out := must(s.Due(c, now, source, 0))
		if len(out) != 2 {
			t.Fatalf("%d payloads, want one for each peer", len(out))
		}
		messages := len(out[0].Messages) + len(out[1].Messages)
		if reads := c.gets + c.visits; reads > 3*messages+20 || c.puts > 2*messages+20 {
			t.Errorf("%d messages cost %d reads and %d puts", messages, reads, c.puts)
		}
		sent += messages
		now = now.Add(DefaultEpoch)
	}
	if sent < 10*DefaultMaxPayload/200 || sent > backlog {
		t.Errorf("%d messages sent", sent)
	}
}

// fill queues messages to 50 other peers, all sent once and due again later.
func fill(t testing.TB, s *Sync, st kv.Store, n int) {
	t.Helper()
	others := people(52)[2:]
	now := start.Add(-time.Minute)
	for i := range n {
		peer := others[i%len(others)]
		if _, err := s.Append(st, now, to(s.Self, peer, fmt.Sprint("waiting ", i)), peer); err != nil {
			t.Fatal(err)
		}
	}
	big := *s
	big.MaxPayload = 1 << 30
	// Out of the way of what is measured.
	big.FirstGap, big.MaxGap = 10*365*24*time.Hour, 10*365*24*time.Hour
	for {
		out, err := big.Due(st, now, chacha(9), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) == 0 {
			return
		}
	}
}

var outstanding = []int{10, 100_000}

func benchStore(b *testing.B, n int) (*Sync, *kv.Memory, []key.Public) {
	k := people(2)
	s := New(k[0])
	st := kv.NewMemory()
	fill(b, s, st, n)
	return s, st, k
}

// BenchmarkAppendDue is a message from the application to its payload, and its
// acknowledgement, which keeps the store as large as it was.
func BenchmarkAppendDue(b *testing.B) {
	for _, n := range outstanding {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, st, k := benchStore(b, n)
			now, source := start, chacha(1)
			m := to(k[0], k[1], "a message of usual length, which is not long at all, and then a bit")
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(DefaultEpoch)
				m.Timestamp++
				id := must(s.Append(st, now, m, k[1]))
				if out := must(s.Due(st, now, source, 0)); len(out) != 1 {
					b.Fatalf("%d payloads", len(out))
				}
				if got := must(s.Receive(st, now, source, k[1], &Payload{Acks: []MessageID{id}})); len(got.Acked) != 1 {
					b.Fatal("not acknowledged")
				}
			}
		})
	}
}

// BenchmarkReceive is a message from its payload, decoded, to its
// acknowledgement in a payload.
func BenchmarkReceive(b *testing.B) {
	for _, n := range outstanding {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, st, k := benchStore(b, n)
			now, source := start, chacha(1)
			m := to(k[0], k[1], "a message of usual length, which is not long at all, and then a bit")
			var number [8]byte
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(number[:], i)
				copy(m.Body, number[:])
				if i%1000 == 0 {
					now = now.Add(DefaultEpoch)
				}
				p := must(Decode((&Payload{Messages: []Message{m}}).Encode()))
				if got := must(s.Receive(st, now, source, k[1], p)); len(got.Messages) != 1 {
					b.Fatal("not received")
				}
			}
		})
	}
}

// BenchmarkNext asks when something is due.
func BenchmarkNext(b *testing.B) {
	for _, n := range outstanding {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, st, _ := benchStore(b, n)
			b.ReportAllocs()
			for b.Loop() {
				must2(s.Next(st, start))
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	k := people(2)
	p := &Payload{Acks: make([]MessageID, 10)}
	for range 10 {
		p.Messages = append(p.Messages, to(k[0], k[1], string(make([]byte, 300))))
	}
	data := p.Encode()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		must(Decode(data))
	}
}
