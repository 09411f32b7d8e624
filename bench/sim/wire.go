package sim

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/stack"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// wire keeps account of what is on the network.
type wire struct {
	network stack.Network
	keys    *topicKeys
	// shared are the keys of other topics, each derived once; towns are the
	// content topics of communities.
	shared *topic.Keys
	towns  map[string]bool
	// Lost is what the network lost.
	Lost Volume
	// hostile is what hostile peers published.
	hostile Volume

	// envelopes are those published, sorted as far as said; attempts counts those
	// published again as they are.
	envelopes []*published
	sorted    int
	known     map[wakumessage.Hash]*published
	attempts  int

	// trace, when it is kept, has a line for everything asked of the network.
	trace *[]string

	// kinds are the types and lengths of application messages by id, as their
	// receivers found them.
	mu    sync.Mutex
	kinds map[message.ID]kind
}

type kind struct {
	typ   message.Type
	bytes int
}

// published is an envelope of a client of the scenario.
type published struct {
	stack.Envelope
	// tick, person and order tell its place among all.
	tick   time.Time
	person int
	order  uint64
	refs   [][]byte
	times  int
}

func newWire(network stack.Network, keys *topicKeys) *wire {
	return &wire{network: network, keys: keys, shared: topic.NewKeys(0), towns: map[string]bool{}, known: map[wakumessage.Hash]*published{}, kinds: map[message.ID]kind{}}
}

// channels makes known what a community uses, for envelopes to be opened.
func (x *wire) channels(k key.Public) {
	for _, name := range []string{topic.CommunityName(k), topic.UniversalName(k)} {
		x.keys.byName[name] = x.shared.Key(name)
		x.towns[topic.Content(name)] = true
	}
}

// note keeps a line for what a client asks of the network.
func (x *wire) note(r *request) {
	if x.trace == nil {
		return
	}
	what := r.what
	if r.publication != nil {
		what = fmt.Sprintf("publishes %d bytes on %s, %x", len(r.Message.Payload), r.Message.GetContentTopic(), r.Hash[:4])
	}
	*x.trace = append(*x.trace, fmt.Sprintf("%s %s %s", cell(time.Now()).UTC().Format(ticks), r.life.name, what))
}

// published notes what a client published, once it is with the network.
func (x *wire) published(w *world, r *request) {
	if w.calm {
		return
	}
	if p, ok := x.known[r.Hash]; ok {
		p.times++
		x.attempts++
		return
	}
	p := &published{r.Envelope, cell(time.Now()), r.life.index, r.order, r.refs, 1}
	x.known[r.Hash] = p
	x.envelopes = append(x.envelopes, p)
}

// all returns the envelopes published before this tick, by tick, publisher and
// order: who was answered first within a tick means nothing.
func (x *wire) all() []*published {
	slices.SortFunc(x.envelopes[x.sorted:], func(a, b *published) int {
		return cmp.Or(a.tick.Compare(b.tick), cmp.Compare(a.person, b.person), cmp.Compare(a.order, b.order))
	})
	x.sorted = len(x.envelopes)
	return x.envelopes
}

// decoded notes what is in an envelope.
func (x *wire) decoded(d stack.Decoded) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kinds[d.ID] = kind{d.Type, len(d.Raw)}
}
