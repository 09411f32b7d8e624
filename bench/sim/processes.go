package sim

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/account/key"
)

// ProcessOptions are those of a run with real processes.
type ProcessOptions struct {
	Seed uint64
	// Binary is the program: parley.
	Binary string
	// Dir is where data folders are made; empty is a temporary folder.
	Dir string
	// Say tells a person how it goes; may be nil.
	Say func(format string, args ...any)
}

// RunProcesses plays a scenario with real processes on this machine, in real
// time: a node for each service, a daemon for each participant, and between
// them ports that delay, hold and cut. What TCP does not let through (loss) and
// what a process does not have (another clock) is left out and said so.
func RunProcesses(ctx context.Context, s *Scenario, o ProcessOptions) (_ *Result, err error) {
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	dir, err := os.MkdirTemp(o.Dir, "parley-processes-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t := &troupe{ctx: ctx, scenario: s, options: o, dir: dir, islands: map[string][]int{}}
	defer func() { err = errors.Join(err, t.close()) }()
	began := time.Now()
	if err := t.open(); err != nil {
		return nil, err
	}
	d := &director{stage: t, scenario: s, seed: o.Seed}
	for i, daemon := range t.daemons {
		d.books = append(d.books, newBook(daemon.name, t.key(i).String(), 0))
	}
	t.books = d.books
	for _, skipped := range t.skipped {
		o.Say("left out: %s", skipped)
	}
	out, err := d.play()
	if err != nil {
		return nil, fmt.Errorf("scenario %s with processes: %w", s.Name, err)
	}
	took := Duration(time.Since(began))
	return &Result{Scenario: s.Name, Seed: o.Seed, Outcome: *out, Virtual: took, Took: took, Skipped: t.skipped}, nil
}

// troupe is the stage of real processes.
type troupe struct {
	ctx      context.Context
	scenario *Scenario
	options  ProcessOptions
	dir      string
	daemons  []*daemon
	books    []*book
	nodes    []*process
	// lines lead from one to another, by their names.
	lines   map[[2]string]*proxy
	events  agenda
	count   uint64
	skipped []string
	// islands are the partitions that somebody is in.
	islands map[string][]int
	island  int
	failed  error
}

var _ stage = (*troupe)(nil)

// errLaboratory is what cannot be played with processes.
var errLaboratory = errors.New("communities are played in the laboratory alone")

// open starts nodes and daemons.
func (t *troupe) open() error {
	if len(t.scenario.Communities) > 0 {
		return errLaboratory
	}
	t.lines = map[[2]string]*proxy{}
	t.skip()
	var addrs []multiaddr.Multiaddr
	for i := range t.scenario.Services {
		name := fmt.Sprintf("service%d", i)
		// The address that is told others leads nowhere, so that everybody comes
		// by their own line.
		args := []string{"node", "--network", "local", "--bootstrap", "none", "--peer-exchange=false", "--mdns=false", "--announce", "/ip4/127.0.0.1/tcp/9"}
		for j, a := range addrs {
			line, err := t.line(name, fmt.Sprintf("service%d", j), a)
			if err != nil {
				return err
			}
			args = append(args, "--peer", line)
		}
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		var ready struct {
			PeerID string `json:"peer_id"`
		}
		p, err := launch(t.ctx, filepath.Join(t.dir, name+".log"), t.options.Binary, &ready, append(args, "--listen", addr)...)
		if err != nil {
			return err
		}
		t.nodes = append(t.nodes, p)
		a, err := multiaddr.NewMultiaddr(addr + "/p2p/" + ready.PeerID)
		if err != nil {
			return err
		}
		addrs = append(addrs, a)
	}
	for _, kind := range t.scenario.People {
		for range kind.Count {
			i := len(t.daemons)
			d, err := newDaemon(t.ctx, t.scenario.person(i), kind.Mode, t.dir)
			if err != nil {
				return err
			}
			for k := range min(homes, len(addrs)) {
				s := (i + k) % len(addrs)
				line, err := t.line(d.name, fmt.Sprintf("service%d", s), addrs[s])
				if err != nil {
					return err
				}
				d.peers = append(d.peers, line)
			}
			t.daemons = append(t.daemons, d)
			if err := d.start(t.options.Binary); err != nil {
				return err
			}
		}
	}
	return nil
}

// skip says what of the scenario cannot be had.
func (t *troupe) skip() {
	say := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(t.skipped, text) {
			t.skipped = append(t.skipped, text)
		}
	}
	look := func(l Links) {
		if l.Loss+l.Duplicate+l.Late > 0 {
			say("loss, duplicates and late messages: TCP repairs them")
		}
	}
	look(t.scenario.Links)
	for _, p := range t.scenario.People {
		if p.Skew > 0 {
			say("wrong clocks: all processes share this machine's")
		}
	}
	for _, f := range t.scenario.Faults {
		if f.Links != nil {
			look(*f.Links)
		}
		if f.Kind == FaultStore || f.Kind == FaultHostile {
			say("faults of kind %s", f.Kind)
		}
	}
}

// line opens a line to an address and returns the address that leads there.
func (t *troupe) line(from, to string, addr multiaddr.Multiaddr) (string, error) {
	port, err := addr.ValueForProtocol(multiaddr.P_TCP)
	if err != nil {
		return "", err
	}
	p, err := newProxy("127.0.0.1:"+port, stream(t.options.Seed, "line", from, to))
	if err != nil {
		return "", err
	}
	t.lines[[2]string{from, to}] = p
	id, err := addr.ValueForProtocol(multiaddr.P_P2P)
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", p.port(), id), err
}

// freeAddr is an address of this machine that is free now.
func freeAddr() (string, error) {
	p, err := newProxy("", nil)
	if err != nil {
		return "", err
	}
	defer p.close()
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", p.port()), nil
}

func (t *troupe) close() error {
	for _, d := range t.daemons {
		d.end(true)
	}
	for _, n := range t.nodes {
		n.end(true)
	}
	var errs []error
	for _, p := range t.lines {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

func (t *troupe) at(at time.Time, do func()) {
	t.count++
	heap.Push(&t.events, entry{at: at, count: t.count, do: do})
}

func (t *troupe) advance(until time.Time) {
	for t.broken() == nil {
		next := until
		if len(t.events) > 0 && t.events[0].at.Before(until) {
			next = t.events[0].at
		}
		select {
		case <-time.After(time.Until(next)):
		case <-t.ctx.Done():
			return
		}
		if len(t.events) > 0 && !t.events[0].at.After(time.Now()) {
			heap.Pop(&t.events).(entry).do()
		} else if !time.Now().Before(until) {
			return
		}
	}
}

func (t *troupe) until(patience, step time.Duration, holds func() bool) bool {
	return waits(t, patience, step, holds)
}

func (t *troupe) actor(n int) actor {
	if t.daemons[n].run == nil {
		return nil
	}
	return remote{t.daemons[n]}
}

func (t *troupe) key(n int) key.Public { return t.daemons[n].account.Chat.Public() }
func (t *troupe) broken() error        { return errors.Join(t.failed, t.ctx.Err()) }

func (t *troupe) perfect(on bool) {
	for _, p := range t.lines {
		if on {
			p.set(Links{})
		} else {
			p.set(t.scenario.Links)
		}
	}
}

func (t *troupe) kill(n int, orderly bool) {
	if t.daemons[n].run != nil && !orderly {
		t.books[n].crashes++
	}
	t.daemons[n].end(orderly)
}

func (t *troupe) raise(n int) {
	if d := t.daemons[n]; d.run == nil {
		t.failed = errors.Join(t.failed, d.start(t.options.Binary))
	}
}

func (t *troupe) begin(f Fault, nodes []string) (end func(), err error) {
	concerned := func(do func(p *proxy)) {
		for ends, p := range t.lines {
			if slices.Contains(nodes, ends[0]) || slices.Contains(nodes, ends[1]) {
				do(p)
			}
		}
	}
	switch f.Kind {
	case FaultPartition, FaultOffline:
		return t.separate(nodes, f.Kind == FaultOffline), nil
	case FaultPause:
		until := time.Now().Add(f.For.D())
		concerned(func(p *proxy) { p.hold(until) })
		return func() {}, nil
	case FaultLinks:
		concerned(func(p *proxy) { p.set(*f.Links) })
		return func() { concerned(func(p *proxy) { p.set(t.scenario.Links) }) }, nil
	}
	return nil, fmt.Errorf("fault %s cannot be had with processes", f.Kind)
}

// separate cuts the lines between islands.
func (t *troupe) separate(nodes []string, each bool) (end func()) {
	on := make([]int, len(nodes))
	for i, n := range nodes {
		if each || i == 0 {
			t.island++
		}
		on[i] = t.island
		t.islands[n] = append(t.islands[n], on[i])
	}
	t.sever()
	return func() {
		for i, n := range nodes {
			t.islands[n] = slices.DeleteFunc(t.islands[n], func(id int) bool { return id == on[i] })
		}
		t.sever()
	}
}

func (t *troupe) sever() {
	where := func(name string) int {
		if all := t.islands[name]; len(all) > 0 {
			return all[len(all)-1]
		}
		return 0
	}
	for ends, p := range t.lines {
		p.sever(where(ends[0]) != where(ends[1]))
	}
}
