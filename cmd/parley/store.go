package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/store"
)

func (a *app) storeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "store",
		Short: "Query, compare and repair stores of messages",
		Long: `Look into the store of any node, or into an archive itself: what is in it, what it
lacks that another one has, and repair that.

` + aboutStores,
		Example: `  parley store query /ip4/192.0.2.1/tcp/30303/p2p/16Uiu2… --since 2h --limit 20
  parley store stats sqlite:/var/lib/parley/node/archive
  parley store compare /dns4/one.example/tcp/30303/p2p/16Uiu2… /dns4/two.example/tcp/30303/p2p/16Uiu2… --since 7d`,
	}, a.storeQueryCommand(), a.storeStatsCommand(), a.storePruneCommand(), a.storeCompareCommand(), a.storeSyncCommand())
}

// aboutStores and aboutTimes are parts of several help texts.
const (
	aboutStores = `A store is given by the address of its node, a multiaddr that ends in /p2p/PEERID,
whatever program runs there, or by the URL of its archive: sqlite:PATH, or
postgres://USER@HOST/DATABASE with the password in PGPASSWORD or ~/.pgpass. The
SQLite archive of a running node is in use: give the address of the node.`

	aboutTimes = `Times are written as 2026-01-31, 2026-01-31T15:04:05Z, or as a time ago: 90m, 24h,
7d, 2w.`
)

// spanFlags choose a stretch of time. The start belongs to it, the end does
// not.
type spanFlags struct{ since, until string }

func (f *spanFlags) register(flags *pflag.FlagSet, since string) {
	flags.StringVar(&f.since, "since", since, "from this time on, or since so long ago; all is from the beginning")
	flags.StringVar(&f.until, "until", "", "before this time, or until so long ago (default: now)")
}

// span returns the stretch of time at now. Where no end is given it is zero.
func (f spanFlags) span(now time.Time) (s store.Span, err error) {
	if f.since != "all" {
		if s.Start, err = parseMoment("--since", f.since, now); err != nil {
			return s, err
		}
	}
	if s.End, err = parseMoment("--until", f.until, now); err != nil {
		return s, err
	}
	if s.End != 0 && s.End < s.Start {
		return s, fault.New(fault.Usage, "--until %s is before --since %s", f.until, f.since)
	}
	return s, nil
}

// longUnits are units of time that time.ParseDuration does not know.
var longUnits = map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// parseAgo reads a duration, which is at least zero.
func parseAgo(text string) (time.Duration, bool) {
	for suffix, unit := range longUnits {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseUint(number, 10, 32)
			return time.Duration(n) * unit, err == nil && n <= uint64((1<<63-1)/unit)
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// parseMoment returns a time, or a time ago, in nanoseconds since 1970; zero
// for an empty text.
func parseMoment(flag, text string, now time.Time) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := now, error(nil)
	if ago, ok := parseAgo(text); ok {
		at = now.Add(-ago)
	} else if at, err = time.ParseInLocation(time.DateOnly, text, time.Local); err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	// Nanoseconds since 1970 end in the year 2262.
	if err != nil || at.Unix() < 0 || at.Year() > 2261 {
		return 0, fault.New(fault.Usage, "%s %q is neither a time nor a time ago", flag, text).
			WithHint("write 2026-01-31, 2026-01-31T15:04:05Z, 24h or 7d")
	}
	return at.UnixNano(), nil
}

// clusterFlag is the network that nodes are reached in.
func clusterFlag(flags *pflag.FlagSet, cluster *uint16) {
	flags.Uint16Var(cluster, "cluster", 16, "number of the network of the nodes; they part from who is of another one")
}
