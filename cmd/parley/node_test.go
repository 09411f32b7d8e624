package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/server/service"
)

// A service node takes frames as large as the network it serves: of the known
// networks of its cluster where none is named.
func TestNodeServesTheNetworksFrames(t *testing.T) {
	t.Parallel()
	load := func(name string) parley.Network {
		network, err := parley.LoadNetwork(name)
		if err != nil {
			t.Fatal(err)
		}
		return network
	}
	prod, local := load("status.prod"), load("local")
	both := slices.Concat(prod.AllShards(), local.AllShards())
	slices.Sort(both)
	both = slices.Compact(both)
	for name, c := range map[string]struct {
		flags  nodeFlags
		shards []uint16
		frame  int
	}{
		"nothing said":    {nodeFlags{cluster: prod.Cluster}, both, prod.MaxFrame},
		"shards":          {nodeFlags{cluster: prod.Cluster, shards: []uint{64}}, []uint16{64}, prod.MaxFrame},
		"another cluster": {nodeFlags{cluster: prod.Cluster + 1, shards: []uint{64}}, []uint16{64}, 0},
		"status.prod":     {nodeFlags{network: "status.prod"}, prod.AllShards(), prod.MaxFrame},
		"local":           {nodeFlags{network: "local"}, local.AllShards(), local.MaxFrame},
	} {
		c.flags.relay, c.flags.store, c.flags.filter, c.flags.lightpush = true, true, true, true
		got, err := c.flags.config(func(string) bool { return false }, "", nil)
		if err != nil || !slices.Equal(got.Shards, c.shards) || got.MaxFrame != c.frame {
			t.Errorf("%s: shards %v, frames of %d bytes, %v", name, got.Shards, got.MaxFrame, err)
		}
	}
	if prod.MaxFrame <= local.MaxFrame {
		t.Error("the networks do not differ")
	}
}

// At a hangup the settings are read again: what can change does, and what is
// wrong changes nothing.
func TestNodeReadsItsSettingsAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	a := &app{in: strings.NewReader(""), out: &out, err: &out, args: []string{"node", "--data-dir", dir, "--shard", "32", "--store-retention", "7d"}}
	config, started := service.Config{}, false
	a.onNode = func(cmd *cobra.Command, f nodeFlags) (err error) {
		config, err = f.config(cmd.Flags().Changed, "", slog.New(slog.DiscardHandler))
		started = true
		return err
	}
	if code := a.run(t.Context(), a.args); code != 0 || !started {
		t.Fatalf("%d %s", code, out.String())
	}
	if config.Retention.Age != 7*24*time.Hour {
		t.Fatalf("%+v", config.Retention)
	}
	var err error
	if config.Key, err = nodeKey(""); err != nil {
		t.Fatal(err)
	}
	n, err := service.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	level := new(slog.LevelVar)
	level.Set(slog.LevelWarn)
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, configName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out.Reset()
	for setting, name := range map[string]string{
		"node.discv5 = 127.0.0.1:0":       "discv5",
		"node.nat = portmap":              "nat",
		"node.acme-domain = waku.example": "acme-domain",
		"node.nodekey-file = other.key":   "nodekey-file",
		"node.time-window = 20s":          "time-window",
		"node.num-shards = 8":             "num-shards",
		"node.rest-admin = false":         "rest-admin",
		"node.rest-host = waku.example":   "rest-host",
		"node.store-retention = 8d":       "",
	} {
		out.Reset()
		level.Set(slog.LevelWarn)
		write("log-level = debug\n" + setting + "\n")
		if err := a.reload(n, "", level, log); err != nil {
			t.Fatalf("%s: %v", setting, err)
		}
		if level.Level() != slog.LevelDebug || !strings.Contains(out.String(), "["+name+"]") {
			t.Errorf("%s: level %v: %s", setting, level.Level(), out.String())
		}
	}
	for _, bad := range []string{"log-level = loud\n", "nonsense\n", "node.peer = nobody\nlog-level = info\n"} {
		write(bad)
		if err := a.reload(n, "", level, log); err == nil {
			t.Errorf("%q is taken over", bad)
		}
		if level.Level() != slog.LevelDebug {
			t.Errorf("%q: level %v", bad, level.Level())
		}
	}
}

// TestLibraryLog: of what libp2p logs, errors are passed on, and none of its
// start.
func TestLibraryLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	handler := libraryLog{Handler: slog.NewTextHandler(&out, nil)}
	slog.New(handler.WithAttrs([]slog.Attr{slog.String("logger", "p2p-config")})).With("system", "fx").Error("start failed")
	log := slog.New(handler.WithAttrs([]slog.Attr{slog.String("logger", "swarm2")}))
	log.WithGroup("g").Warn("weather")
	log.Error("too many open files", "n", 3)
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=ERROR msg="too many open files" logger=swarm2 n=3`) {
		t.Errorf("%s", got)
	}
}

// TestDeployedSettings: the settings that come with the systemd unit are read,
// and each that is commented out could be.
func TestDeployedSettings(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../deploy/node.config")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"as it is": string(raw), "with all": strings.ReplaceAll(string(raw), "\n#node.", "\nnode.")} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, configName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		var config service.Config
		a := &app{in: strings.NewReader(""), out: &out, err: &out, args: []string{"node", "--data-dir", dir}}
		a.onNode = func(cmd *cobra.Command, f nodeFlags) (err error) {
			config, err = f.config(cmd.Flags().Changed, dir, slog.New(slog.DiscardHandler))
			return err
		}
		if code := a.run(t.Context(), a.args); code != 0 {
			t.Fatalf("%s: %d %s", name, code, &out)
		}
		if config.Retention.Age != 30*24*time.Hour || config.REST != "127.0.0.1:8645" || config.Metrics != "127.0.0.1:9090" || len(config.Listen) < 2 {
			t.Errorf("%s: %+v", name, config)
		}
	}
}
