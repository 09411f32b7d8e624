package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/store"
)

func (a *app) storeStatsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "stats ARCHIVE",
		Short: "Count what an archive holds",
		Long: `Count the messages of an archive, its room on disk, and its messages by day (UTC)
and pubsub topic. ARCHIVE is sqlite:PATH, or postgres://USER@HOST/DATABASE with the
password in PGPASSWORD or ~/.pgpass.

A node does not tell others how much it keeps, so its address does not do here. An
archive in SQLite that a running node uses shows on that node's capacity page (see
--metrics of "parley node").`,
		Example: `  parley store stats sqlite:/var/lib/parley/node/archive
  PGPASSWORD=… parley store stats postgres://waku@localhost/waku --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			const busy = "a node that runs keeps its messages there: look at its capacity page (--metrics), or stop it first"
			return withArchive(cmd.Context(), args[0], "a node does not tell others what it keeps", busy, func(archive store.Maintainer) error {
				stats, err := archive.Stats(cmd.Context())
				if err != nil {
					return storeFault(cmd.Context(), "counting", fault.Internal, err)
				}
				return a.print(stats, func(w io.Writer) error { return writeStoreStats(w, stats) })
			})
		},
	}
}

func (a *app) storePruneCommand() *cobra.Command {
	var retention string
	c := &cobra.Command{
		Use:   "prune ARCHIVE",
		Short: "Remove the oldest messages of an archive",
		Long: `Remove the oldest messages of an archive until the rest is within --retention, and
give their room back to the disk. Nothing is asked: what is removed is gone.

ARCHIVE is sqlite:PATH, or postgres://USER@HOST/DATABASE with the password in
PGPASSWORD or ~/.pgpass. An archive in SQLite that a running node uses is refused:
the node prunes by its own --store-retention.`,
		Example: `  parley store prune sqlite:archive --retention 30d
  parley store prune postgres://waku@localhost/waku --retention 90d,100GB --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if retention == "" {
				return fault.New(fault.Usage, "--retention says how much to keep, and is not given").WithHint("give an age like 30d, a size like 10GB, a number of messages, or several of them")
			}
			keep, err := store.ParseRetention(retention)
			if err != nil {
				return fault.Wrap(fault.Usage, "--retention", err)
			}
			const busy = "a node that runs keeps its messages there, and prunes them by its own --store-retention; stop it first"
			return withArchive(cmd.Context(), args[0], "a node lets nobody else prune what it keeps", busy, func(archive store.Maintainer) error {
				pruned, err := archive.Prune(cmd.Context(), keep, time.Now())
				if err != nil {
					return storeFault(cmd.Context(), "pruning", fault.Internal, err)
				}
				return a.print(pruned, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "removed %s, %s given back\n", count(int(pruned.Messages), "message", "messages"), diskSize(pruned.Bytes))
					return err
				})
			})
		},
	}
	c.Flags().StringVar(&retention, "retention", "", "what to keep: an age like 30d, a size like 10GB, a number of messages, or several of them")
	return c
}

// withArchive opens an archive, has f work with it, and closes it. node is why
// the address of a node does not do, busy what to do about an archive in use.
func withArchive(ctx context.Context, text, node, busy string, f func(store.Maintainer) error) (err error) {
	s, err := parseStore("the archive", text)
	if err != nil {
		return err
	}
	if s.peer != nil {
		return fault.New(fault.Usage, "%s is a node: %s", text, node).
			WithHint("give the URL of its archive, sqlite:PATH or postgres://…, where that can be reached")
	}
	archive, err := s.openArchive(ctx, false, busy)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := archive.Close(); err == nil {
			err = fault.Wrap(fault.Internal, "closing the archive", closeErr)
		}
	}()
	return f(archive)
}

func writeStoreStats(w io.Writer, s store.Stats) error {
	rows := [][]string{{"messages", strconv.FormatInt(s.Messages, 10)}, {"on disk", diskSize(s.Bytes)}}
	if s.Messages > 0 {
		rows = append(rows, []string{"oldest", s.Oldest.UTC().Format(time.RFC3339)}, []string{"newest", s.Newest.UTC().Format(time.RFC3339)})
	}
	if err := table(w, rows...); err != nil || len(s.Days) == 0 {
		return err
	}
	days := [][]string{{"day", "messages", "payload", "pubsub topic"}}
	for _, d := range s.Days {
		days = append(days, []string{d.Day.UTC().Format(time.DateOnly), strconv.FormatInt(d.Messages, 10), diskSize(d.Bytes), d.PubsubTopic})
	}
	fmt.Fprintln(w)
	return table(w, days...)
}

// diskSize shows bytes in a unit that fits.
func diskSize(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, units := float64(bytes), "kMGTPE"
	for value >= 999.95 && len(units) > 0 {
		value /= 1000
		if value < 999.95 || len(units) == 1 {
			break
		}
		units = units[1:]
	}
	return fmt.Sprintf("%.1f %cB", value, units[0])
}
