package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/service"
)

func (a *app) nodeCommand() *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{
		Use:   "node",
		Short: "Run a service node: relay, store, filter and lightpush for others",
		Long: `Run a Waku node without an account, until it is stopped by ctrl-c: it relays
messages, keeps them for those who were away, and serves light clients.

Without --shard, --cluster and --network it relays every shard of the known
networks. With --data-dir its key, its messages and the peers it knows are kept
there; without, it is another node at every start and keeps messages in memory,
unless --nodekey-file and --store-url say otherwise. It is reachable from this
machine alone, unless --listen, --ws, --rest or --metrics say otherwise.

One line of JSON is printed when the node is ready: its peer id, addresses, node
record (ENR) and the URLs of its API and its metrics.

At the signal SIGHUP it reads its config file again and takes over log level,
retention and new peers.`,
		Example: `  parley node
  parley node --data-dir /var/lib/parley --listen /ip4/0.0.0.0/tcp/30303 --network status.prod --discv5 0.0.0.0:9000
  parley node --cluster 16 --shard 32,64 --ws :8000 --rest 127.0.0.1:8645 --metrics 127.0.0.1:9090
  parley node --print-config > /var/lib/parley/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.printConfig {
				return writeConfig(a.out, cmd)
			}
			if a.onNode != nil {
				return a.onNode(cmd, f)
			}
			return a.node(cmd, f)
		},
	}
	f.register(c.Flags())
	c.RegisterFlagCompletionFunc("network", cobra.FixedCompletions([]cobra.Completion{"status.prod", "status.staging", "local"}, cobra.ShellCompDirectiveDefault))
	c.RegisterFlagCompletionFunc("nat", cobra.FixedCompletions([]cobra.Completion{"detect", "portmap", "holepunch", "relay"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// nodeReady is what `parley node` prints once it can be used.
type nodeReady struct {
	PeerID     string   `json:"peer_id"`
	Multiaddrs []string `json:"multiaddrs"`
	ENR        string   `json:"enr"`
	// REST and Metrics are URLs, empty where there are none.
	REST    string `json:"rest"`
	Metrics string `json:"metrics"`
}

// gcPercent is how much a node's heap may grow between collections, unless
// GOGC says otherwise: a node lives off buffers that come and go, and a third
// less memory costs it a few percent of its time.
const gcPercent = 50

func (a *app) node(cmd *cobra.Command, f nodeFlags) (err error) {
	if os.Getenv("GOGC") == "" {
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	level, log, err := a.adjustableLogger()
	if err != nil {
		return err
	}
	gologshim.SetDefaultHandler(libraryLog{Handler: log.Handler()})
	// From the beginning: a hangup before the node is ready would end it.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	dir, unlock, err := a.nodeDir(cmd, log)
	if err != nil {
		return err
	}
	defer unlock()
	config, err := f.config(cmd.Flags().Changed, dir, log)
	if err != nil {
		return err
	}
	config.LogLevel = level
	if f.keyFile == "" && dir != "" {
		f.keyFile = filepath.Join(dir, "node.key")
	}
	if config.Key, err = nodeKey(f.keyFile); err != nil {
		return err
	}
	if certificate, closer, err := f.acme(dir, log); err != nil {
		return err
	} else if closer != nil {
		defer closer.Close()
		config.TLS = certificate
	}
	n, err := service.Start(cmd.Context(), config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := a.printJSON(nodeReady{n.Status().PeerID, n.Addrs(), n.ENR(), n.REST(), n.Metrics()}); err != nil {
		return err
	}
	for {
		select {
		case <-cmd.Context().Done():
			return nil
		case <-hangup:
			if err := a.reload(n, dir, level, log); err != nil {
				log.Error("the settings are not read again; all is as it was", "cause", err)
			}
		}
	}
}

// lockPatience is how long a node waits for another one to leave its data
// directory: a restart may overlap with the end of the node before.
const lockPatience = 3 * time.Second

// nodeDir is the node's part of the data directory, for it alone; there is none
// where no data directory was asked for.
func (a *app) nodeDir(cmd *cobra.Command, log *slog.Logger) (dir string, unlock func(), err error) {
	const op = "the node's data directory"
	if !cmd.Root().PersistentFlags().Changed("data-dir") && os.Getenv(envName("data-dir")) == "" {
		return "", func() {}, nil
	}
	dir = filepath.Join(a.dataDir, "node")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fault.Wrap(fault.Internal, op, err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	ctx, cancel := context.WithTimeout(cmd.Context(), lockPatience)
	defer cancel()
	got, err := lock.TryLock()
	if err == nil && !got {
		log.Warn("another node uses the data directory; waiting for its end", "at_most", lockPatience)
		got, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil && ctx.Err() == nil {
		return "", nil, fault.Wrap(fault.Internal, op, err)
	}
	if !got {
		return "", nil, fault.New(fault.Conflict, "another node uses %s", dir).WithHint("stop it, or give another --data-dir")
	}
	return dir, func() { _ = lock.Close() }, nil
}

// reload reads command line, environment and config file once more and takes
// over what can change while the node runs.
func (a *app) reload(n *service.Service, dir string, level *slog.LevelVar, log *slog.Logger) error {
	again := &app{in: strings.NewReader(""), out: a.err, err: a.err, args: a.args}
	var next service.Config
	again.onNode = func(cmd *cobra.Command, f nodeFlags) (err error) {
		next, err = f.config(cmd.Flags().Changed, dir, log)
		return err
	}
	root := again.root()
	root.SetArgs(a.args)
	if err := root.Execute(); err != nil {
		return err
	}
	var to slog.Level
	if err := to.UnmarshalText([]byte(again.logLevel)); err != nil {
		return fault.New(fault.Usage, "--log-level %q is not debug, info, warn or error", again.logLevel)
	}
	fixed, err := n.Reload(next)
	if err != nil {
		return err
	}
	level.Set(to)
	log.Warn("the settings were read again", "log-level", to, "retention", next.Retention, "need a restart", fixed)
	return nil
}
