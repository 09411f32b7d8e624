package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/storesync"
)

func (a *app) storeCompareCommand() *cobra.Command {
	var f compareFlags
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Show the messages that only one of two stores has",
		Long: `Compare two stores and show each message that only one of them has, from the oldest
to the newest; with --json as an object with hash, only_in (a or b), pubsub_topic,
content_topic and timestamp (nanoseconds since 1970). The exit code is 0 when the
stores agree and 1 when they do not, or when comparing fails for a reason that has
no exit code of its own.

Without --since the last 24 hours are compared. What is being published at the
moment may be in the one store and not yet in the other: --until 1m leaves it out.

` + aboutTimes + "\n\n" + aboutStores,
		Example: `  parley store compare /dns4/one.example/tcp/30303/p2p/16Uiu2… /dns4/two.example/tcp/30303/p2p/16Uiu2…
  parley store compare sqlite:archive /ip4/192.0.2.1/tcp/30303/p2p/16Uiu2… --since 7d --until 1m --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.compareStores(cmd.Context(), f, args, never, a.storeCompare)
		},
	}
	f.register(c.Flags())
	return c
}

func (a *app) storeSyncCommand() *cobra.Command {
	var f compareFlags
	var into string
	c := &cobra.Command{
		Use:   "sync A B",
		Short: "Copy what one of two stores lacks from the other",
		Long: `Compare two stores and copy to each what only the other one has, or with --into to
one of them alone. What was copied is told in numbers; with --json as an object with
copied_to_a and copied_to_b, and with what was found before: same, only_in_a and
only_in_b. The exit code is 1 when a store still lacks something afterwards.

An archive takes every message; where sqlite:PATH is to be filled and is not there
yet, it is made. A node takes messages when it has store synchronization, as "parley
node" does, and keeps their shard; others answer queries and can only be copied from.

Without --since it is about the last 24 hours.

` + aboutTimes + "\n\n" + aboutStores,
		Example: `  parley store sync /dns4/one.example/tcp/30303/p2p/16Uiu2… /dns4/two.example/tcp/30303/p2p/16Uiu2… --since 7d
  parley store sync sqlite:copy /ip4/192.0.2.1/tcp/30303/p2p/16Uiu2… --since all --into a`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			sides, ok := map[string]storesync.Side{"a": storesync.A, "b": storesync.B, "both": storesync.A | storesync.B}[into]
			if !ok {
				return fault.New(fault.Usage, "--into %q is not a, b or both", into)
			}
			filled := func(i int) bool { return sides&(storesync.A<<i) != 0 }
			return a.compareStores(cmd.Context(), f, args, filled, func(ctx context.Context, one, other storesync.Source, span store.Span) error {
				return a.storeSync(ctx, one, other, span, sides)
			})
		},
	}
	f.register(c.Flags())
	c.Flags().StringVar(&into, "into", "both", "which store to copy to: a, b or both")
	c.RegisterFlagCompletionFunc("into", cobra.FixedCompletions([]cobra.Completion{"a", "b", "both"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// compareFlags are the flags of `parley store compare` and `parley store sync`.
type compareFlags struct {
	spanFlags
	pubsubTopics []string
	cluster      uint16
}

func (f *compareFlags) register(flags *pflag.FlagSet) {
	f.spanFlags.register(flags, "24h")
	flags.StringArrayVar(&f.pubsubTopics, "pubsub-topic", nil, "only messages of this pubsub topic; may be repeated")
	clusterFlag(flags, &f.cluster)
}

// compareStores opens two stores and has f work with them.
func (a *app) compareStores(ctx context.Context, f compareFlags, args []string, create func(i int) bool, work func(ctx context.Context, one, other storesync.Source, span store.Span) error) error {
	now := time.Now()
	span, err := f.span(now)
	if err != nil {
		return err
	}
	if span.End == 0 {
		span.End = now.UnixNano()
	}
	if span.Start > span.End {
		return fault.New(fault.Usage, "--since %s is in the future", f.since)
	}
	span.PubsubTopics = f.pubsubTopics
	both, err := parseStores(args)
	if err != nil {
		return err
	}
	return a.withStores(ctx, f.cluster, both, create, func(open []openStore) error {
		p := &storeProgress{app: a, told: now}
		return work(ctx, watchedStore{open[0], p}, watchedStore{open[1], p}, span)
	})
}

// storeDifference is a message that one store has and the other lacks, as JSON.
type storeDifference struct {
	Hash         message.Hash `json:"hash"`
	OnlyIn       string       `json:"only_in"` // a or b
	PubsubTopic  string       `json:"pubsub_topic"`
	ContentTopic string       `json:"content_topic"`
	Timestamp    int64        `json:"timestamp"` // nanoseconds since 1970
}

func (a *app) storeCompare(ctx context.Context, one, other storesync.Source, span store.Span) error {
	sum, err := storesync.Compare(ctx, one, other, span, func(d storesync.Difference) error {
		m, in := d.Entry.Message, "a"
		if d.In == storesync.B {
			in = "b"
		}
		return a.print(storeDifference{d.Entry.Hash, in, d.Entry.PubsubTopic, m.GetContentTopic(), m.GetTimestamp()}, func(w io.Writer) error {
			if m == nil {
				_, err := fmt.Fprintf(w, "only in %s  (not handed out)  %s\n", in, d.Entry.Hash)
				return err
			}
			_, err := fmt.Fprintf(w, "only in %s  %s\n", in, entryLine(d.Entry.Hash, d.Entry.PubsubTopic, m))
			return err
		})
	})
	switch {
	case err != nil:
		return storeFault(ctx, "comparing", fault.Internal, err)
	case sum.OnlyA+sum.OnlyB == 0:
		a.say("the stores agree: %s in both", count(sum.Same, "message", "messages"))
		return nil
	}
	return fault.New(fault.Internal, "the stores differ: %s only in a, %d only in b, %d in both", count(sum.OnlyA, "message", "messages"), sum.OnlyB, sum.Same).
		WithHint("`parley store sync` copies what is missing")
}

// storeSynced is what was copied, as JSON, and what was found before.
type storeSynced struct {
	CopiedToA int `json:"copied_to_a"`
	CopiedToB int `json:"copied_to_b"`
	Same      int `json:"same"`
	OnlyInA   int `json:"only_in_a"`
	OnlyInB   int `json:"only_in_b"`
}

func (a *app) storeSync(ctx context.Context, one, other storesync.Source, span store.Span, into storesync.Side) error {
	done, err := storesync.Repair(ctx, one, other, span, into)
	if err := a.print(storeSynced{done.ToA, done.ToB, done.Same, done.OnlyA, done.OnlyB}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "copied %s to a, %d to b; %d in both before\n", count(done.ToA, "message", "messages"), done.ToB, done.Same)
		return err
	}); err != nil {
		return err
	}
	if err != nil {
		return storeFault(ctx, "copying", fault.Internal, err)
	}
	for _, left := range []struct {
		side  storesync.Side
		name  string
		count int
	}{{storesync.A, "a", done.OnlyB - done.ToA}, {storesync.B, "b", done.OnlyA - done.ToB}} {
		if into&left.side != 0 && left.count > 0 {
			return fault.New(fault.Internal, "%s still missing in %s", count(left.count, "message is", "messages are"), left.name).
				WithHint("a store takes no messages older than it keeps, none from the future, and none that the other one does not hand out")
		}
	}
	return nil
}

// storeTell is how often a person hears how far long work is.
const storeTell = 5 * time.Second

// storeProgress tells how far a comparison is.
type storeProgress struct {
	app    *app
	told   time.Time // when a person last heard something
	at     int64     // what is being compared, in nanoseconds since 1970
	listed int
	copied int
}

func (p *storeProgress) tell() {
	now := time.Now()
	if now.Sub(p.told) < storeTell {
		return
	}
	p.told = now
	p.app.say("at messages of %s; %d listed in both stores together, %d copied", time.Unix(0, p.at).UTC().Format(time.RFC3339), p.listed, p.copied)
}

// watchedStore is a store whose errors say which it is, and whose use is told
// of.
type watchedStore struct {
	openStore
	progress *storeProgress
}

// Hashes implements storesync.Source.
func (w watchedStore) Hashes(ctx context.Context, start, end int64, limit int) ([]message.Hash, error) {
	hashes, err := w.Source.Hashes(ctx, start, end, limit)
	if errors.Is(err, storesync.ErrDense) {
		return nil, err // it is asked for less then
	}
	w.progress.at = start
	w.progress.listed += len(hashes)
	w.progress.tell()
	return hashes, w.fault(ctx, err)
}

// Entries implements storesync.Source.
func (w watchedStore) Entries(ctx context.Context, hashes []message.Hash) ([]store.Entry, error) {
	entries, err := w.Source.Entries(ctx, hashes)
	w.progress.tell()
	return entries, w.fault(ctx, err)
}

// Take implements storesync.Source.
func (w watchedStore) Take(ctx context.Context, entries []store.Entry) (int, error) {
	n, err := w.Source.Take(ctx, entries)
	w.progress.copied += n
	w.progress.tell()
	return n, w.fault(ctx, err)
}
