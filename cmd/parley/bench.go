package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/bench/sim"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) benchCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "bench",
		Short: "Try out what Parley can stand",
		Long: `Try out what Parley can stand: scenarios in which the network is bad, clients crash
and strangers are hostile, and every message is counted.`,
		Example: "  parley bench sim\n  parley bench sim quick",
	}, a.benchSimCommand())
}

// simFlags are the flags of `parley bench sim`.
type simFlags struct {
	seed      uint64
	seeds     int
	processes bool
	report    string
	dir       string
}

func (a *app) benchSimCommand() *cobra.Command {
	var f simFlags
	c := &cobra.Command{
		Use:   "sim [SCENARIO]",
		Short: "Play a scenario in the laboratory and count what was lost",
		Long: `Play a scenario in the laboratory: complete clients and service nodes in this
process, on a simulated network and a fake clock. Links lose and delay, clients
crash and come back, and in the end everybody must have everything once.

A scenario is one of those that come with Parley, listed when none is named, or a
JSON file. The same seed gives the same history, which is printed as a hash;
--seeds tries that many, from --seed on. The exit code is 0 when everything that is
expected holds with every seed, and 1 when not; the command that plays a failing
seed again is printed.

With --processes the scenario is played by real nodes and daemons on this machine,
in real time. What cannot be had there is said.

With --json each run is one object. --report writes all runs into a folder, as
SCENARIO.json and with pictures of latency, bandwidth by layer, and copies.`,
		Example: `  parley bench sim
  parley bench sim storm --seeds 25
  parley bench sim ten-thousand --seed 7 --report out
  parley bench sim pair --processes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listScenarios()
			}
			return a.benchSim(cmd.Context(), args[0], f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			all, err := sim.Scenarios()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			var names []cobra.Completion
			for _, s := range all {
				names = append(names, cobra.CompletionWithDesc(s.Name, s.About))
			}
			return names, cobra.ShellCompDirectiveDefault
		},
	}
	flags := c.Flags()
	flags.Uint64Var(&f.seed, "seed", 1, "seed of the first run")
	flags.IntVar(&f.seeds, "seeds", 1, "how many seeds to try")
	flags.BoolVar(&f.processes, "processes", false, "play it with real nodes and daemons on this machine")
	flags.StringVar(&f.report, "report", "", "folder to write all runs to, with pictures")
	flags.StringVar(&f.dir, "scratch", "", "folder for databases meanwhile (default: in memory, where the system has a folder for that)")
	c.MarkFlagDirname("report")
	c.MarkFlagDirname("scratch")
	return c
}

// listScenarios tells what there is to play.
func (a *app) listScenarios() error {
	all, err := sim.Scenarios()
	if err != nil {
		return err
	}
	if a.json {
		for _, s := range all {
			if err := a.printJSON(s); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.About)
	}
	return t.Flush()
}

func (a *app) benchSim(ctx context.Context, name string, f simFlags) error {
	s, err := sim.Load(name)
	if err != nil {
		return fault.Wrap(fault.Usage, "reading the scenario", err)
	}
	if f.seeds < 1 {
		return fault.New(fault.Usage, "--seeds %d is less than one", f.seeds)
	}
	report := &sim.Report{Scenario: s.Name, About: s.About, Runs: make([]*sim.Result, f.seeds)}
	if err := a.playSeeds(ctx, s, name, f, report.Runs); err != nil {
		return err
	}
	if f.report != "" {
		if err := report.Save(f.report); err != nil {
			return fault.Wrap(fault.Internal, "writing the report", err)
		}
	}
	if !report.OK() {
		return fault.New(fault.Internal, "not everything holds that is expected of scenario %s", s.Name)
	}
	return nil
}

// playSeeds plays one seed after the other, in the laboratory as many at a time
// as there are processors, and prints each when it is over.
func (a *app) playSeeds(ctx context.Context, s *sim.Scenario, name string, f simFlags, runs []*sim.Result) error {
	var mu sync.Mutex
	var errs []error
	next := 0
	worker := func() {
		for {
			mu.Lock()
			i := next
			next++
			stop := i >= len(runs) || len(errs) > 0
			mu.Unlock()
			if stop {
				return
			}
			r, err := a.playSeed(ctx, s, f, f.seed+uint64(i))
			mu.Lock()
			if err == nil {
				runs[i] = r
				err = a.printRun(name, f, r)
			}
			if err != nil {
				errs = append(errs, err)
			}
			mu.Unlock()
		}
	}
	var group sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(runs))
	if f.processes {
		workers = 1
	}
	for range workers {
		group.Go(worker)
	}
	group.Wait()
	return errors.Join(errs...)
}

func (a *app) playSeed(ctx context.Context, s *sim.Scenario, f simFlags, seed uint64) (*sim.Result, error) {
	if !f.processes {
		return sim.Run(ctx, s, sim.Options{Seed: seed, Dir: f.dir, Layers: true})
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "finding this program", err)
	}
	return sim.RunProcesses(ctx, s, sim.ProcessOptions{Seed: seed, Binary: binary, Dir: f.dir, Say: a.say})
}

// printRun prints how a run ended, and how to have it again when it failed.
func (a *app) printRun(name string, f simFlags, r *sim.Result) error {
	if err := a.print(r, func(w io.Writer) error { return r.WriteText(w) }); err != nil {
		return err
	}
	if !r.OK() || !r.Settled {
		again := fmt.Sprintf("parley bench sim %s --seed %d", name, r.Seed)
		if f.processes {
			again += " --processes"
		}
		a.say("Play it again: %s", again)
	}
	return nil
}
