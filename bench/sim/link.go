package sim

import (
	"math/rand/v2"
	"time"
)

// node is a place in the network: a participant's or a service's line.
type node struct {
	index int
	name  string
	// up and down are until when the line is busy.
	up, down time.Time
	// islands are the partitions the node is in, the last one counts; 0 is the
	// rest of the world.
	islands []int
	// held is until when nothing comes or goes.
	held time.Time
	// links, when set, are the line's own.
	links *Links
	// in and out count what went over the line.
	in, out map[Protocol]Volume
}

// Volume is an amount of messages.
type Volume struct {
	Messages int `json:"messages"`
	Bytes    int `json:"bytes"`
}

func (v Volume) plus(n int) Volume   { return Volume{v.Messages + 1, v.Bytes + n} }
func (v Volume) add(o Volume) Volume { return Volume{v.Messages + o.Messages, v.Bytes + o.Bytes} }

func newNode(index int, name string) node {
	return node{index: index, name: name, in: map[Protocol]Volume{}, out: map[Protocol]Volume{}}
}

func (n *node) island() int {
	if len(n.islands) == 0 {
		return 0
	}
	return n.islands[len(n.islands)-1]
}

func (n *node) reaches(o *node) bool { return n.island() == o.island() }

// link is one direction between two nodes for one protocol, with random numbers
// of its own: what a client asks of one protocol has no order among what it asks
// of another in the same tick.
type link struct {
	from, to *node
	protocol Protocol
	// chance and delay are the random numbers, count counts messages.
	chance, delay *rand.Rand
	count         uint64
}

// route names a link.
type route struct {
	from, to int
	protocol Protocol
}

func (w *world) link(from, to *node, p Protocol) *link {
	id := route{from.index, to.index, p}
	l := w.links[id]
	if l == nil {
		l = &link{from: from, to: to, protocol: p, chance: stream(w.seed, "chance", from.name, to.name, p), delay: stream(w.seed, "delay", from.name, to.name, p)}
		w.links[id] = l
	}
	return l
}

const (
	// calmLatency is that of perfect links.
	calmLatency = 10 * time.Millisecond
	// queueMost is how long a message waits in line for bandwidth before it is
	// dropped, as routers do.
	queueMost = 10 * time.Second
)

// properties are those of a connection now: those of the worse of both lines,
// as far as they differ from the scenario's.
func (w *world) properties(from, to *node) Links {
	switch {
	case w.calm:
		return Links{Latency: Duration(calmLatency)}
	case from.links != nil:
		return *from.links
	case to.links != nil:
		return *to.links
	}
	return w.scenario.Links
}

// send carries a message of so many bytes to another node, where arrive is
// called for every copy that gets there. It tells whether one is on its way.
func (w *world) send(from, to *node, p Protocol, size int, arrive func()) (underway bool) {
	l, q := w.link(from, to, p), w.properties(from, to)
	lost, twice, late := l.chance.Float64() < q.Loss, l.chance.Float64() < q.Duplicate, l.chance.Float64() < q.Late
	copies := 1
	if twice {
		copies = 2
	}
	for range copies {
		latency := between(l.delay, q.Latency.D(), q.Jitter.D())
		if by := l.delay.Float64(); late {
			latency += time.Duration(by * float64(q.LateBy.D()))
		}
		from.out[p] = from.out[p].plus(size)
		if lost || !from.reaches(to) {
			w.wire.Lost = w.wire.Lost.plus(size)
			continue
		}
		underway = true
		w.message(l, whole(time.Now()), func() { w.depart(l, q, size, latency, arrive) })
	}
	return underway
}

// depart takes a message through the lines of both ends.
func (w *world) depart(l *link, q Links, size int, latency time.Duration, arrive func()) {
	leaves, ok := queue(&l.from.up, q.Bandwidth.takes(size))
	if !ok {
		w.wire.Lost = w.wire.Lost.plus(size)
		return
	}
	w.message(l, latest(leaves, l.from.held).Add(latency), func() {
		arrives, ok := queue(&l.to.down, q.Bandwidth.takes(size))
		if !ok || !l.from.reaches(l.to) {
			w.wire.Lost = w.wire.Lost.plus(size)
			return
		}
		l.to.in[l.protocol] = l.to.in[l.protocol].plus(size)
		w.message(l, latest(arrives, l.to.held), arrive)
	})
}

// message enters on the agenda what becomes of a message at a time, which may be
// now.
func (w *world) message(l *link, at time.Time, do func()) {
	if !at.After(time.Now()) {
		do()
		return
	}
	l.count++
	w.enter(entry{whole(at), 1 + l.from.index, 1 + l.to.index, l.protocol, l.count, do})
}

// queue takes a message into a line that is busy for so long with it, and
// returns when it is through.
func queue(busy *time.Time, takes time.Duration) (time.Time, bool) {
	now := time.Now()
	start := latest(*busy, now)
	if takes > 0 && start.Sub(now) > queueMost {
		return now, false
	}
	*busy = start.Add(takes)
	return *busy, true
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
