package sim

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

// port is a client's connection to the simulated network; it implements
// stack.Transport. Its methods are called by the client; what they ask for
// is done by the loop.
type port struct {
	life      *life
	envelopes chan stack.Envelope
	gaps      chan time.Time
	listening atomic.Bool

	// The rest belongs to the loop. seen are the messages handed on; want is
	// what is subscribed to, and version counts its changes; known is the
	// version that each service has confirmed.
	seen    map[message.Hash]bool
	want    map[string][]string
	version int
	known   map[int]int
}

// inboxMost is how many messages may wait for a client, as for a node's.
const inboxMost = 8192

// How long a client waits for an answer, and how often a light one looks
// after its subscriptions.
const (
	answerTimeout = 5 * time.Second
	filterPing    = time.Minute
)

// Errors of the simulated network.
var (
	errAlone   = errors.New("no peer can be reached")
	errTimeout = errors.New("no answer")
)

func newPort(l *life) *port {
	p := &port{
		life: l, envelopes: make(chan stack.Envelope, inboxMost), gaps: make(chan time.Time, 1),
		seen: map[message.Hash]bool{}, known: map[int]int{},
	}
	p.listening.Store(!l.light && l.cut.IsZero())
	return p
}

// ask lets the loop handle a request.
func (p *port) ask(ctx context.Context, r *request) answer {
	r.life, r.reply = p.life, make(chan answer, 1)
	p.life.w.submit(r)
	select {
	case a := <-r.reply:
		return a
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
}

// Publish implements stack.Transport.
func (p *port) Publish(ctx context.Context, pubsub string, m *wakupb.WakuMessage) (int, error) {
	if p.life.light {
		return p.PublishLightpush(ctx, pubsub, m)
	}
	a := p.ask(ctx, &request{publication: &publication{Envelope: envelope(pubsub, m)}, handle: func(w *world, r *request) {
		w.publish(r, func() {
			peers := w.relay(&r.life.node, r.Envelope)
			if peers == 0 {
				r.done(answer{err: errAlone})
			}
			r.done(answer{peers: peers})
		})
	}})
	return a.peers, a.err
}

// PublishLightpush implements stack.Transport.
func (p *port) PublishLightpush(ctx context.Context, pubsub string, m *wakupb.WakuMessage) (int, error) {
	a := p.ask(ctx, &request{publication: &publication{Envelope: envelope(pubsub, m)}, handle: func(w *world, r *request) {
		w.publish(r, func() { w.push(r) })
	}})
	return a.peers, a.err
}

// publish does what a client asks for, unless it dies over it, before or after.
// It is buried when all its other goroutines have come to rest.
func (w *world) publish(r *request, do func()) {
	doom := r.life.doom.Load()
	if doom == doomSending || doom == doomSent {
		r.life.dying.Store(true)
	}
	if doom == doomSending {
		return
	}
	reply := r.reply
	if doom == doomSent {
		r.reply = make(chan answer, 1) // nobody waits for it any more
	}
	do()
	r.reply = reply
	w.wire.published(w, r)
}

// push gives a message to the client's service nodes. Whether one of them takes
// it, and its answer comes back, the client is told at once: how long it takes
// until a message counts as sent is not simulated.
func (w *world) push(r *request) {
	from, e := r.life.person, r.Envelope
	request, response := sizeOfLightpush(e)
	result := answer{err: errAlone}
	for _, s := range from.home[:min(homes, len(from.home))] {
		if !s.reaches(&from.node) {
			continue
		}
		there := w.send(&from.node, &s.node, Lightpush, request, func() { s.accept(w, e, true) })
		switch {
		case there && w.send(&s.node, &from.node, Lightpush, response, func() {}):
			result = answer{peers: result.peers + 1}
		case result.peers == 0:
			result.err = errTimeout
		}
	}
	r.done(result)
}

// Subscribe implements stack.Transport.
func (p *port) Subscribe(ctx context.Context, want map[string][]string) error {
	return p.ask(ctx, &request{what: "subscribe", handle: func(w *world, r *request) {
		p.want = want
		p.version++
		if !p.life.light {
			r.done(answer{})
			return
		}
		p.subscribe(w, r)
	}}).err
}

// subscribe brings the client's service nodes up to date. r, when there is one,
// is answered with the first of them.
func (p *port) subscribe(w *world, r *request) {
	done := func(a answer) {
		if r != nil {
			r.done(a)
		}
	}
	me, version, want := p.life.person, p.version, p.want
	request, response := sizeOfSubscribe(want)
	for _, s := range me.home {
		if p.known[s.index] == version || !s.reaches(&me.node) {
			continue
		}
		w.send(&me.node, &s.node, Filter, request, func() {
			s.subscribers[me.index] = want
			w.send(&s.node, &me.node, Filter, response, func() {
				if p.version == version {
					p.known[s.index] = version
				}
				me.notice()
				done(answer{})
			})
		})
	}
	w.after(answerTimeout, func() { done(answer{err: errTimeout}) })
}

// confirmed tells whether a service node that can be reached filters for us.
func (p *port) confirmed() bool {
	for _, s := range p.life.home {
		if p.known[s.index] == p.version && s.reaches(&p.life.node) {
			return true
		}
	}
	return false
}

// tend looks after the subscriptions of a light client from now on.
func (p *port) tend(w *world) {
	w.after(filterPing, func() {
		if p.life.over {
			return
		}
		if p.version > 0 {
			for _, s := range p.life.home {
				if p.known[s.index] == p.version && s.reaches(&p.life.node) {
					w.send(&p.life.node, &s.node, Filter, sizeOfPing, func() {
						w.send(&s.node, &p.life.node, Filter, sizeOfPing, func() {})
					})
				}
			}
			p.subscribe(w, nil)
			p.life.notice()
		}
		p.tend(w)
	})
}

// Query implements stack.Transport.
func (p *port) Query(ctx context.Context, q *store.Query) (*store.Page, error) {
	asked := *q
	what := fmt.Sprint("query ", q.PubsubTopic, q.ContentTopics, q.TimeStart, q.TimeEnd, q.Hashes, q.Cursor, q.Limit)
	a := p.ask(ctx, &request{what: what, handle: func(w *world, r *request) {
		me := p.life.person
		for _, s := range me.home {
			if !s.reaches(&me.node) {
				continue
			}
			w.send(&me.node, &s.node, Store, sizeOfQuery(&asked), func() {
				page, err := s.query(&asked)
				w.send(&s.node, &me.node, Store, sizeOfPage(page), func() { r.done(answer{value: page, err: err}) })
			})
			w.after(answerTimeout, func() { r.done(answer{err: errTimeout}) })
			return
		}
		r.done(answer{err: errAlone})
	}})
	page, _ := a.value.(*store.Page)
	return page, a.err
}

// gap tells the client that it may have missed something.
func (p *port) gap(since time.Time) {
	if p.life.over {
		return
	}
	select {
	case p.gaps <- since:
	default:
	}
}

// Listening implements stack.Transport.
func (p *port) Listening() bool { return p.listening.Load() }

// Envelopes implements stack.Transport.
func (p *port) Envelopes() <-chan stack.Envelope { return p.envelopes }

// Gaps implements stack.Transport.
func (p *port) Gaps() <-chan time.Time { return p.gaps }

var _ stack.Transport = (*port)(nil)
