package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/community"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
)

// lab is the simulated stage.
type lab struct {
	*world
	// islands counts partitions, hostiles hostile peers.
	islands, hostiles int
}

var _ stage = (*lab)(nil)

// newLab makes the participants and starts them. It must be called in a bubble.
func newLab(ctx context.Context, s *Scenario, seed uint64, dir string, w *wire) (*lab, error) {
	l := &lab{world: &world{ctx: ctx, seed: seed, scenario: s, links: map[route]*link{}, wire: w, nudges: make(chan struct{}, 1), calm: true}}
	n := s.size()
	for i := range s.Services {
		service, err := newService(n+i, fmt.Sprintf("service%d", i))
		if err != nil {
			return l, err
		}
		l.services = append(l.services, service)
	}
	for _, kind := range s.People {
		for range kind.Count {
			if err := l.add(kind, dir); err != nil {
				return l, err
			}
		}
	}
	return l, l.failed
}

// homes is how many service nodes a light client uses.
const homes = 2

func (l *lab) add(kind People, dir string) error {
	i := len(l.people)
	p := &person{node: newNode(i, l.scenario.person(i)), w: l.world, light: kind.Mode == "light", key: identity(i)}
	r := stream(l.seed, "person", p.name)
	p.skew = time.Duration((2*r.Float64() - 1) * float64(kind.Skew.D())).Truncate(tick)
	for k := range l.services {
		p.home = append(p.home, l.services[(i+k)%len(l.services)])
	}
	if p.light && len(p.home) > homes {
		p.home = p.home[:homes]
	}
	p.dir = filepath.Join(dir, p.name)
	p.book = newBook(p.name, p.key.Public().String(), p.skew)
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	l.people = append(l.people, p)
	// Everybody at a moment of their own, within the first second.
	l.after(time.Duration(r.Int64N(int64(time.Second))), func() { l.raise(i) })
	return nil
}

// close ends everything that was started.
func (l *lab) close() error {
	var errs []error
	for _, p := range l.people {
		if p.life != nil {
			p.life.finish(true)
		}
	}
	for _, s := range l.services {
		errs = append(errs, s.archive.Close())
	}
	return errors.Join(append(errs, l.failed)...)
}

func (l *lab) actor(n int) actor {
	if p := l.people[n]; p.life != nil && !p.life.dying.Load() {
		return resident{p.life}
	}
	return nil
}

func (l *lab) key(n int) key.Public { return l.people[n].key.Public() }

// perfect makes all links so. What goes over them is counted afterwards.
func (l *lab) perfect(on bool) {
	l.calm = on
	for _, p := range l.people {
		clear(p.in)
		clear(p.out)
	}
	l.wire.Lost = Volume{}
}

func (l *lab) broken() error { return l.failed }

// kill ends a client: in good order, or by a crash at a drawn point.
func (l *lab) kill(n int, orderly bool) {
	p := l.people[n]
	if p.life == nil {
		return
	}
	if orderly {
		p.life.finish(true)
		return
	}
	r := stream(l.seed, "doom", p.name, p.lives)
	switch doom := int32(1 + r.IntN(dooms-1)); doom {
	case doomAtRest:
		p.life.kill()
	default:
		life := p.life
		life.doom.Store(doom)
		// Whom nothing happens to dies at rest.
		l.after(doomMost, func() {
			if !life.over {
				life.kill()
			}
		})
	}
}

// doomMost is how long a client waits for the point at which it is to crash.
const doomMost = 2 * time.Second

// raise starts a client that is down; one that has not yet crashed is let go
// on to do so first.
func (l *lab) raise(n int) {
	p := l.people[n]
	if p.life != nil {
		if p.life.doom.Load() != doomNone {
			l.after(doomMost, func() { l.raise(n) })
		}
		return
	}
	if err := p.start(); err != nil {
		l.failed = fmt.Errorf("%s: %w", p.name, err)
		return
	}
	if p.light {
		p.life.port.tend(l.world)
	}
	p.notice()
}

// begin begins a fault of the network.
func (l *lab) begin(f Fault, names []string) (end func(), err error) {
	var nodes []*node
	for _, name := range names {
		nodes = append(nodes, l.node(name))
	}
	switch f.Kind {
	case FaultPartition, FaultOffline:
		return l.separate(nodes, f.Kind == FaultOffline), nil
	case FaultPause:
		for _, n := range nodes {
			n.held = time.Now().Add(f.For.D())
		}
		return func() {}, nil
	case FaultLinks:
		for _, n := range nodes {
			n.links = f.Links
		}
		return func() {
			for _, n := range nodes {
				if n.links == f.Links {
					n.links = nil
				}
			}
		}, nil
	case FaultStore:
		change := func(by int) {
			for _, s := range l.services {
				if slices.Contains(names, s.name) {
					s.refusing += by
				}
			}
		}
		change(1)
		return func() { change(-1) }, nil
	case FaultHostile:
		return l.attack(f, nodes), nil
	}
	return nil, fmt.Errorf("fault %s cannot be simulated", f.Kind)
}

func (l *lab) node(name string) *node {
	for _, p := range l.people {
		if p.name == name {
			return &p.node
		}
	}
	for _, s := range l.services {
		if s.name == name {
			return &s.node
		}
	}
	return nil
}

// separate puts nodes on an island, or each on one of its own.
func (l *lab) separate(nodes []*node, each bool) (end func()) {
	on := make([]int, len(nodes))
	for i, n := range nodes {
		if each || i == 0 {
			l.islands++
		}
		on[i] = l.islands
		n.islands = append(n.islands, on[i])
	}
	tell := func() {
		for _, p := range l.people {
			p.notice()
		}
	}
	tell()
	return func() {
		for i, n := range nodes {
			n.islands = slices.DeleteFunc(n.islands, func(id int) bool { return id == on[i] })
		}
		tell()
	}
}

// resident is a participant's client as an actor.
type resident struct{ *life }

func (r resident) AddContact(who key.Public, text string) error {
	return r.do(func(s *stack.Stack) error { _, err := s.AddContact(who, text); return err })
}

func (r resident) AcceptContact(who key.Public) error {
	return r.do(func(s *stack.Stack) error { _, err := s.AcceptContact(who); return err })
}

func (r resident) DeclineContact(who key.Public) error {
	return r.do(func(s *stack.Stack) error { _, err := s.DeclineContact(who); return err })
}

func (r resident) Relation(who key.Public) (contact.State, error) {
	c, err := r.stack.Contact(who)
	return c.State(), err
}

func (r resident) CreateGroup(name string, members []key.Public) (id string, err error) {
	err = r.do(func(s *stack.Stack) error {
		g, err := s.CreateGroup(name, "#4360df", members)
		id = g.ID
		return err
	})
	return id, err
}

func (r resident) CreateCommunity(name string, channels int) (k key.Public, ids []string, err error) {
	err = r.do(func(s *stack.Stack) error {
		c, err := s.CreateCommunity(community.Params{Name: name, Text: name, Color: "#4360df", Access: community.AutoAccept})
		for i := len(c.Description.Channels); err == nil && i < channels; i++ {
			c, _, err = s.CreateChannel(c.Key, community.ChannelParams{Name: fmt.Sprintf("channel %d", i), Text: "a channel"})
		}
		k = c.Key
		for _, ch := range c.Description.Channels {
			ids = append(ids, community.ChannelID(c.Key, ch.UUID))
		}
		return err
	})
	r.w.wire.channels(k)
	return k, ids, err
}

func (r resident) JoinCommunity(k key.Public) error {
	c, err := r.stack.Community(k)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return r.do(func(s *stack.Stack) error { _, err := s.FollowCommunity(k); return err })
	case err != nil || c.Description.Clock == 0 || c.Joined || c.Request.Open():
		return err
	}
	return r.do(func(s *stack.Stack) error { _, err := s.JoinCommunity(k); return err })
}

func (r resident) Citizens(k key.Public) (int, error) {
	c, err := r.stack.Community(k)
	if fault.KindOf(err) == fault.NotFound {
		return 0, nil
	}
	return len(c.Description.Members), err
}

func (r resident) Members(group string) ([]key.Public, error) {
	g, err := r.stack.Group(group)
	return g.Members, err
}

func (r resident) Lines(chat string) (lines []Line, err error) {
	all, err := r.stack.Messages(chat)
	for _, m := range all {
		lines = append(lines, Line{m.From, m.Text})
	}
	return lines, err
}

func (r resident) Say(chat, text string) error {
	return r.do(func(s *stack.Stack) error { _, err := s.Say(chat, stack.Content{Text: text}); return err })
}

func (r resident) Events(since uint64) (events []storage.Event, err error) {
	err = r.db.View(func(tx *storage.Tx) error {
		events, err = tx.Events(since, 1000)
		return err
	})
	return events, err
}
