package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/parley-im/parley/stack"
)

// Options are those of a run in the laboratory.
type Options struct {
	Seed uint64
	// Dir is where databases are kept meanwhile; empty is a temporary folder,
	// in memory where the system has one.
	Dir string
	// Trace keeps the histories' lines, for finding out where two differ.
	Trace bool
	// Layers opens every envelope to measure what each layer adds.
	Layers bool
}

// Run plays a scenario in the laboratory, until ctx ends at most. A run in which
// something is lost is no error; see [Result.OK].
func Run(ctx context.Context, s *Scenario, o Options) (_ *Result, err error) {
	network, err := stack.LoadNetwork(stack.NetworkLocal)
	if err != nil {
		return nil, err
	}
	keys, err := newTopicKeys(s.size(), s.know())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(scratch(o.Dir), "parley-sim-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var result *Result
	began := time.Now()
	bubble(func() {
		w := newWire(network, keys)
		if o.Trace {
			w.trace = new([]string)
		}
		var l *lab
		if l, err = newLab(ctx, s, o.Seed, dir, w); err != nil {
			err = errors.Join(err, l.close())
			return
		}
		d := &director{stage: l, scenario: s, seed: o.Seed}
		for _, p := range l.people {
			p.book.keepTrace = o.Trace
			d.books = append(d.books, p.book)
		}
		var out *Outcome
		if out, err = d.play(); err == nil {
			result = l.result(d, out, o)
		}
		err = errors.Join(err, l.close())
	})
	if result != nil {
		result.Took = Duration(time.Since(began))
	}
	if err != nil {
		return nil, fmt.Errorf("scenario %s, seed %d: %w", s.Name, o.Seed, err)
	}
	return result, nil
}

// scratch is where databases are kept for a while. They need not survive a loss
// of power.
func scratch(dir string) string {
	const memory = "/dev/shm"
	if dir == "" {
		if f, err := os.MkdirTemp(memory, "parley-sim-"); err == nil {
			os.Remove(f)
			return memory
		}
	}
	return dir
}
