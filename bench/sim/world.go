package sim

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// world is the loop that owns the network. Its fields belong to the loop; what
// clients want done they put into the inbox.
type world struct {
	ctx      context.Context
	seed     uint64
	scenario *Scenario
	events   agenda
	count    uint64
	// people and services are the nodes, in order.
	people   []*person
	services []*service
	links    map[route]*link
	// calm: links are perfect, nothing goes wrong.
	calm bool
	// stirred: clients may be at work. What happens in the network alone does
	// not stir them.
	stirred bool
	// expecting: there are requests, and the end of the tick will answer them.
	expecting bool
	wire      *wire

	mu     sync.Mutex
	inbox  []*request
	nudges chan struct{}
	// failed is why the run cannot go on.
	failed error
}

// request is something a client asks of the network.
type request struct {
	life   *life
	handle func(w *world, r *request)
	// order is that of the requests of one client in one tick, and what tells
	// those apart that have none.
	order uint64
	what  string
	// publication belongs to requests to publish.
	*publication
	reply chan answer
}

// answer ends a request.
type answer struct {
	peers int
	value any
	err   error
}

// done answers once; what comes later has come too late.
func (r *request) done(a answer) {
	r.life.w.stirred = true
	select {
	case r.reply <- a:
	default:
	}
}

// submit hands a request to the loop.
func (w *world) submit(r *request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inbox = append(w.inbox, r)
	if len(w.inbox) == 1 {
		w.nudge()
	}
}

func (w *world) nudge() {
	select {
	case w.nudges <- struct{}{}:
	default:
	}
}

// tick is the grain of time. Things happen at whole ticks; what clients do about
// them, they do in the same tick, at no matter which moment of it, for their
// clocks show whole ticks, and what they ask for then is with the network at its
// end. So it makes no difference what depends on the machine: how many envelopes
// a client hands over at once, and which of its goroutines was first.
const tick = 10 * time.Millisecond

// Clients are answered in the second half of a tick, in rounds, since whoever
// was answered may ask for more.
const (
	answers = tick / 2
	round   = time.Microsecond
)

// whole is the first whole tick that is not before t, cell the tick t is in.
func whole(t time.Time) time.Time { return cell(t.Add(tick - 1)) }
func cell(t time.Time) time.Time  { return t.Truncate(tick) }

// at puts something on the agenda.
func (w *world) at(t time.Time, do func()) {
	w.count++
	w.enter(entry{at: whole(t), count: w.count, do: do})
}

func (w *world) enter(e entry) { heap.Push(&w.events, e) }

func (w *world) after(d time.Duration, do func()) { w.at(time.Now().Add(d), do) }

// advance lets the world go on until a time. One thing happens at a time, and
// whatever follows from it in the same instant has happened before the next.
func (w *world) advance(until time.Time) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	w.stirred = true
	for w.failed == nil {
		if w.ctx.Err() != nil {
			w.failed = w.ctx.Err()
			return
		}
		if w.stirred {
			synctest.Wait()
			w.stirred = false
		}
		if w.expect() || w.bury() {
			continue
		}
		now := time.Now()
		if w.events.Len() > 0 && !w.events[0].at.After(now) {
			e := heap.Pop(&w.events).(entry)
			w.stirred = e.from == 0
			e.do()
			continue
		}
		if !now.Before(until) {
			return
		}
		next := until
		if w.events.Len() > 0 && w.events[0].at.Before(next) {
			next = w.events[0].at
		}
		timer.Reset(next.Sub(now))
		select {
		case <-timer.C:
		case <-w.nudges:
		}
		w.stirred = true
	}
}

func (w *world) until(patience, step time.Duration, holds func() bool) bool {
	return waits(w, patience, step, holds)
}

func (w *world) broken() error { return w.failed }

// waits advances until something holds, and tells whether it does. It looks once
// a step.
func waits(s interface {
	advance(until time.Time)
	broken() error
}, patience, step time.Duration, holds func() bool) bool {
	for end := time.Now().Add(patience); ; {
		if holds() {
			return true
		}
		if !time.Now().Before(end) || s.broken() != nil {
			return false
		}
		s.advance(time.Now().Add(step))
	}
}

// expect enters on the agenda that clients who have asked for something are to
// be answered.
func (w *world) expect() bool {
	w.mu.Lock()
	waiting := len(w.inbox) > 0
	w.mu.Unlock()
	if !waiting || w.expecting {
		return false
	}
	w.expecting = true
	now := time.Now()
	at := latest(cell(now).Add(answers), now.Truncate(round).Add(round))
	if at.Sub(cell(at)) < answers { // too late in the tick
		at = cell(at).Add(answers)
	}
	w.enter(entry{at: at, do: w.answer})
	return true
}

// answer handles what clients have asked for, in the order of their numbers.
func (w *world) answer() {
	w.expecting, w.stirred = false, true
	w.mu.Lock()
	all := w.inbox
	w.inbox = nil
	w.mu.Unlock()
	for _, r := range all {
		if r.publication != nil {
			r.life.look(r)
		}
	}
	slices.SortStableFunc(all, func(a, b *request) int {
		return cmp.Or(a.life.index-b.life.index, cmp.Compare(a.order, b.order), cmp.Compare(a.what, b.what))
	})
	for _, r := range all {
		if !r.life.over && !r.life.dying.Load() {
			w.wire.note(r)
			r.handle(w, r)
		}
	}
}

// entry is something on the agenda. At one time, what is not from the network
// comes first, in the order in which it was entered; then messages, by who sent
// them to whom by which protocol, and in that order.
type entry struct {
	at       time.Time
	from, to int
	protocol Protocol
	count    uint64
	do       func()
}

type agenda []entry

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(a[i].at.Compare(a[j].at), cmp.Compare(a[i].from, a[j].from), cmp.Compare(a[i].to, a[j].to),
		cmp.Compare(a[i].protocol, a[j].protocol), cmp.Compare(a[i].count, a[j].count)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(entry)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = entry{}
	*a = (*a)[:last]
	return e
}
