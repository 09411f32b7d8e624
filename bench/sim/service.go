package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
)

// service is a service node: relay, filter, lightpush and a store.
type service struct {
	node
	archive *sqlite.Archive
	seen    map[message.Hash]bool
	// subscribers are the filters, by the number of the person: content topics
	// by pubsub topic.
	subscribers map[int]map[string][]string
	// refusing: store queries are not answered.
	refusing int
}

func newService(index int, name string) (*service, error) {
	archive, err := sqlite.Open("")
	return &service{
		node: newNode(index, name), archive: archive,
		seen: map[message.Hash]bool{}, subscribers: map[int]map[string][]string{},
	}, err
}

var errStore = errors.New("the store node cannot answer now")

// accept takes a message that came by relay or lightpush: into the archive, to
// whom it is filtered for, and, when it came from outside the mesh, to the mesh.
func (s *service) accept(w *world, e stack.Envelope, pushed bool) {
	if s.seen[e.Hash] {
		return
	}
	s.seen[e.Hash] = true
	if store.Storable(e.Message, time.Now()) == nil {
		if err := s.archive.Insert(context.Background(), store.Entry{Hash: e.Hash, PubsubTopic: e.PubsubTopic, Message: e.Message}); err != nil {
			w.failed = err
			return
		}
	}
	if pushed {
		w.relay(&s.node, e)
	}
	size := sizeOfPush(e)
	for _, p := range w.people {
		if !slices.Contains(s.subscribers[p.index][e.PubsubTopic], e.Message.GetContentTopic()) {
			continue
		}
		w.send(&s.node, &p.node, Filter, size, func() { p.arrived(e) })
	}
}

// relay multicasts a message to everybody who relays and can be reached, and
// returns how many that are.
func (w *world) relay(from *node, e stack.Envelope) (peers int) {
	size := sizeOfRelay(e)
	for _, p := range w.people {
		if &p.node == from || p.light || !p.reaches(from) || p.life == nil {
			continue
		}
		peers++
		w.send(from, &p.node, Relay, size, func() { p.arrived(e) })
	}
	for _, s := range w.services {
		if &s.node == from || !s.reaches(from) {
			continue
		}
		peers++
		w.send(from, &s.node, Relay, size, func() { s.accept(w, e, false) })
	}
	return peers
}

// query answers a store query.
func (s *service) query(q *store.Query) (*store.Page, error) {
	if s.refusing > 0 {
		return nil, errStore
	}
	return s.archive.Query(context.Background(), q)
}

func envelope(pubsub string, m *wakupb.WakuMessage) stack.Envelope {
	return stack.Envelope{PubsubTopic: pubsub, Message: m, Hash: message.HashOf(pubsub, m)}
}
