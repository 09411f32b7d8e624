package mvds

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// link is how the simulated network treats packets.
type link struct {
	loss, duplicate float64
	// delay is drawn evenly up to this, so packets overtake each other.
	delay time.Duration
}

type packet struct {
	at       time.Time
	order    int // of equal times
	from, to int
	data     []byte
}

type packets []packet

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	return p[i].at.Before(p[j].at) || p[i].at.Equal(p[j].at) && p[i].order < p[j].order
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}

// node is a party whose whole state is its store; a Sync is made anew for
// every call, so the party restarts from its store at every step.
type node struct {
	self      key.Public
	st        *kv.Memory
	delivered map[MessageID]int // not flagged as duplicates
	acked     map[MessageID]int
	sent      map[MessageID]bool
	served    map[int]int64 // peer → epoch of the last payload
}

type world struct {
	t     *testing.T
	rng   *rand.Rand
	bytes *rand.ChaCha8
	link  link
	crash float64 // how often a step is lost before its commit
	mode  Mode
	now   time.Time
	nodes []*node
	net   packets
	order int
	max   int // MaxPayload
}

func newWorld(t *testing.T, seed uint64, parties int) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), bytes: chacha(seed), now: start}
	for _, p := range people(parties) {
		w.nodes = append(w.nodes, &node{
			p, kv.NewMemory(), map[MessageID]int{}, map[MessageID]int{}, map[MessageID]bool{}, map[int]int64{},
		})
	}
	return w
}

func (w *world) sync(n *node) *Sync {
	return &Sync{Self: n.self, Mode: w.mode, MaxPayload: w.max}
}

// transact runs a step on a copy of the node's store and keeps the copy unless
// the node crashes first. It reports whether it was kept.
func (w *world) transact(n *node, step func(st kv.Store) error) bool {
	work := n.st.Copy()
	if err := step(work); err != nil {
		w.t.Fatal(err)
	}
	if w.rng.Float64() < w.crash {
		return false
	}
	if w.rng.IntN(20) == 0 {
		if err := checkTable(work); err != nil {
			w.t.Fatal(err)
		}
	}
	n.st = work
	return true
}

// say queues a message from one node to another.
func (w *world) say(from, peer int, body string) {
	n := w.nodes[from]
	var id MessageID
	for !w.transact(n, func(st kv.Store) (err error) {
		id, err = w.sync(n).Append(st, w.now, to(n.self, w.nodes[peer].self, body), w.nodes[peer].self)
		return err
	}) {
	}
	n.sent[id] = true
}

func (w *world) index(p key.Public) int {
	for i, n := range w.nodes {
		if n.self == p {
			return i
		}
	}
	w.t.Fatal("payload for a stranger")
	return -1
}

// flush sends what is due at a node.
func (w *world) flush(i int) {
	n := w.nodes[i]
	var out []Outgoing
	if !w.transact(n, func(st kv.Store) (err error) {
		out, err = w.sync(n).Due(st, w.now, w.bytes, 0)
		return err
	}) {
		return
	}
	epoch := w.now.UnixNano() / int64(DefaultEpoch)
	for _, o := range out {
		peer := w.index(o.Peer)
		if last, ok := n.served[peer]; ok && last >= epoch {
			w.t.Fatalf("node %d sent two payloads to %d in epoch %d", i, peer, epoch)
		}
		n.served[peer] = epoch
		data := o.Payload.Encode()
		if most := w.sync(n).Defaults().MaxPayload; len(data) > most && len(o.Payload.Messages) > 1 {
			w.t.Fatalf("payload of %d bytes, limit %d", len(data), most)
		}
		copies := 1
		if w.rng.Float64() < w.link.duplicate {
			copies++
		}
		for range copies {
			if w.rng.Float64() < w.link.loss {
				continue
			}
			delay := time.Duration(w.rng.Int64N(int64(w.link.delay) + 1))
			w.order++
			heap.Push(&w.net, packet{w.now.Add(delay), w.order, i, peer, data})
		}
	}
}

// arrive hands a packet to its node.
func (w *world) arrive(p packet) {
	n := w.nodes[p.to]
	payload, err := Decode(p.data)
	if err != nil {
		w.t.Fatal(err)
	}
	var got *Received
	if !w.transact(n, func(st kv.Store) (err error) {
		got, err = w.sync(n).Receive(st, w.now, w.bytes, w.nodes[p.from].self, payload)
		return err
	}) {
		return // the packet is lost with the step
	}
	if got.Foreign+got.Refused > 0 {
		w.t.Fatalf("refused %+v", got)
	}
	for _, m := range got.Messages {
		if !m.Duplicate {
			n.delivered[m.ID]++
		}
	}
	for _, id := range got.Acked {
		n.acked[id]++
	}
}

// run lets time pass until nothing is outstanding, and returns how long it was.
func (w *world) run(most time.Duration) time.Duration {
	begin := w.now
	for {
		next, any := time.Time{}, false
		for _, n := range w.nodes {
			at, ok, err := w.sync(n).Next(n.st, w.now)
			if err != nil {
				w.t.Fatal(err)
			}
			if ok && (!any || at.Before(next)) {
				next, any = at, true
			}
		}
		if len(w.net) > 0 && (!any || w.net[0].at.Before(next)) {
			next, any = w.net[0].at, true
			if next.Before(w.now) {
				next = w.now // it arrived between two calls of run
			}
		}
		if !any {
			return w.now.Sub(begin)
		}
		if next.Before(w.now) {
			w.t.Fatalf("next is %s in the past", w.now.Sub(next))
		}
		w.now = next
		if w.now.Sub(begin) > most {
			w.t.Fatalf("not done after %s", most)
		}
		for len(w.net) > 0 && !w.net[0].at.After(w.now) {
			w.arrive(heap.Pop(&w.net).(packet))
		}
		for i := range w.nodes {
			w.flush(i)
		}
	}
}

// settled checks that every message arrived, once as far as the receiver can
// tell, and that every sender knows.
func (w *world) settled(messages int) {
	w.t.Helper()
	delivered, sent := 0, 0
	for i, n := range w.nodes {
		sent += len(n.sent)
		for id := range n.sent {
			if n.acked[id] != 1 {
				w.t.Errorf("node %d learnt %d times that %s arrived", i, n.acked[id], id)
			}
		}
		for id, times := range n.delivered {
			if delivered++; times != 1 {
				w.t.Errorf("node %d took message %s for new %d times", i, id, times)
			}
		}
		if left := countKeys(n.st, keyRecord) + countKeys(n.st, keyQueue) + countKeys(n.st, keyBody) + countKeys(n.st, keyAck); left != 0 {
			w.t.Errorf("node %d keeps %d keys of what is done", i, left)
		}
		if err := checkTable(n.st); err != nil {
			w.t.Error(err)
		}
		if expired, err := w.sync(n).TakeExpired(n.st); err != nil || len(expired) > 0 {
			w.t.Errorf("node %d gave up %d messages, error %v", i, len(expired), err)
		}
	}
	if sent != messages || delivered != messages {
		w.t.Errorf("sent %d, delivered %d, want %d", sent, delivered, messages)
	}
}

// Over links that lose, duplicate and reorder, between parties that restart
// from their store at every step and lose steps, every message is delivered
// and acknowledged, within a bounded time; and nobody ever gets two payloads
// in one epoch. Three parties are a private group chat: every message goes to
// both others over the one-to-one links.
func TestExchange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		link  link
		crash float64
		most  time.Duration
	}{
		{"perfect", link{}, 0, 20 * time.Second},
		{"slow", link{delay: 5 * time.Second}, 0, 2 * time.Minute},
		{"duplicates", link{duplicate: 1, delay: 2 * time.Second}, 0, time.Minute},
		{"loss 2%", link{loss: 0.02, duplicate: 0.02, delay: time.Second}, 0, 3 * time.Hour},
		{"loss 30%", link{loss: 0.3, duplicate: 0.3, delay: 40 * time.Second}, 0, 5 * 24 * time.Hour},
		{"loss 60%", link{loss: 0.6, duplicate: 0.1, delay: time.Second}, 0, 20 * 24 * time.Hour},
		{"crashes", link{delay: time.Second}, 0.3, 5 * 24 * time.Hour},
		{"everything", link{loss: 0.3, duplicate: 0.3, delay: 40 * time.Second}, 0.2, 20 * 24 * time.Hour},
	} {
		for _, mode := range []Mode{Batch, Interactive} {
			for parties := 2; parties <= 3; parties++ {
				for seed := range uint64(3) {
					t.Run(fmt.Sprintf("%s/mode %d/%d parties/seed %d", c.name, mode, parties, seed), func(t *testing.T) {
						t.Parallel()
						w := newWorld(t, seed, parties)
						w.link, w.crash, w.mode, w.max = c.link, c.crash, mode, 2048
						said := 0
						for range 6 { // bursts, from all sides at once
							for from := range w.nodes {
								for range 1 + w.rng.IntN(6) {
									body := fmt.Sprint(said, " ", string(make([]byte, w.rng.IntN(3)*w.rng.IntN(1500))))
									for peer := range w.nodes {
										if peer != from {
											w.say(from, peer, body)
											said++
										}
									}
								}
								w.flush(from)
							}
							w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(time.Second))))
						}
						took := w.run(c.most)
						w.settled(said)
						t.Logf("%d messages in %s", said, took)
					})
				}
			}
		}
	}
}

// While the link is cut nothing is lost, and when it is back the rest arrives
// within the longest gap; telling that the peer is online makes it seconds.
func TestPartition(t *testing.T) {
	t.Parallel()
	for _, presence := range []bool{false, true} {
		w := newWorld(t, 1, 2)
		w.link = link{loss: 1}
		for i := range 50 {
			w.say(0, 1, fmt.Sprint(i))
		}
		back := w.now.Add(7 * 24 * time.Hour)
		n := w.nodes[0]
		for {
			at, ok, err := w.sync(n).Next(n.st, w.now)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if at.After(back) {
				break
			}
			w.now = at
			w.flush(0)
		}
		w.now, w.link = back, link{}
		most := DefaultMaxGap + DefaultFirstGap/3 + time.Minute
		if presence {
			if _, err := w.sync(n).PeerOnline(n.st, w.now, w.bytes, w.nodes[1].self); err != nil {
				t.Fatal(err)
			}
			most = (onlineDelay+onlineSpread)*DefaultEpoch + 5*time.Second
		}
		w.run(most)
		w.settled(50)
	}
}
