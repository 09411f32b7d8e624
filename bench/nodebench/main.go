// Command nodebench measures a Waku node through its wire protocols, whoever
// wrote it: relay, lightpush, filter and store, each with the same load for
// every node. Nodes to be compared are started side by side on one machine and
// measured in turn:
//
//	go run ./bench/nodebench -node /ip4/127.0.0.1/tcp/…/p2p/… -pid 4711 -cluster 16 -shard 32
//
// It prints a JSON object for each measurement. The node must have no rate
// limits that the load exceeds; what it refuses is counted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/topic"
)

// bench is one run against one node.
type bench struct {
	node     peer.AddrInfo
	pid      int
	cluster  uint16
	pubsub   string
	payload  int
	messages int
	duration time.Duration // of a soak
	metrics  string        // URL of the node's metrics
	run      string        // makes the content topics of a run its own
}

// Measurement is one figure with its conditions.
type Measurement struct {
	Node string `json:"node,omitempty"`
	What string `json:"what"`
	// Count of Unit in Seconds, PerSecond.
	Count     int     `json:"count"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	// P50, P95 and Max are latencies in milliseconds.
	P50 float64 `json:"p50_ms,omitempty"`
	P95 float64 `json:"p95_ms,omitempty"`
	Max float64 `json:"max_ms,omitempty"`
	// Lost is what did not arrive, Refused what the node answered with an
	// error.
	Lost    int `json:"lost"`
	Refused int `json:"refused,omitempty"`
	// CPUMicros is the node's CPU time for each of Count, in microseconds.
	CPUMicros float64 `json:"cpu_us_each,omitempty"`
	// MemoryMiB is the node's peak resident memory so far.
	MemoryMiB float64 `json:"peak_memory_mib,omitempty"`
	Note      string  `json:"note,omitempty"`
	// Samples are the looks of a soak.
	Samples []Sample `json:"samples,omitempty"`
}

// parts are the measurements by name, in the order they run.
var parts = []struct {
	name string
	run  func(*bench, context.Context) ([]Measurement, error)
}{
	{"relay", (*bench).relay},
	{"lightpush", (*bench).lightpush},
	{"filter", (*bench).filter},
	{"store", (*bench).store},
	{"soak", (*bench).soak},
}

func main() {
	var b bench
	name := flag.String("name", "", "name of the node in the results")
	node := flag.String("node", "", "multiaddr of the node")
	cluster := flag.Uint("cluster", 16, "cluster of the node")
	shard := flag.Uint("shard", 32, "shard that the node relays")
	only := flag.String("only", "", "measurements to take, with commas between (default: all)")
	flag.IntVar(&b.pid, "pid", 0, "process of the node, for its memory and CPU time")
	flag.IntVar(&b.payload, "payload", 1024, "bytes of payload")
	flag.IntVar(&b.messages, "messages", 20_000, "messages of each measurement")
	flag.DurationVar(&b.duration, "duration", 0, "how long a soak lasts; without it there is none")
	flag.StringVar(&b.metrics, "metrics", "", "URL of the node's metrics, for its goroutines and heap")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := b.all(ctx, *name, *node, uint16(*cluster), uint16(*shard), *only); err != nil {
		fmt.Fprintln(os.Stderr, "nodebench:", err)
		os.Exit(1)
	}
}

func (b *bench) all(ctx context.Context, name, node string, cluster, shard uint16, only string) error {
	info, err := peer.AddrInfoFromString(node)
	if err != nil {
		return fmt.Errorf("-node: %w", err)
	}
	b.node, b.cluster, b.pubsub = *info, cluster, topic.Pubsub(cluster, shard)
	b.run = fmt.Sprintf("%x", time.Now().UnixNano())
	out := json.NewEncoder(os.Stdout)
	for _, part := range parts {
		if only != "" && !slices.Contains(strings.Split(only, ","), part.name) {
			continue
		}
		results, err := part.run(b, ctx)
		for _, m := range results {
			m.Node = name
			if err := out.Encode(m); err != nil {
				return err
			}
		}
		if errors.Is(err, errUnsupported) {
			fmt.Fprintf(os.Stderr, "%s: %v\n", part.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// contentTopic makes a content topic of this run.
func (b *bench) contentTopic(part string, n int) string {
	return fmt.Sprintf("/parley-bench/1/%s-%s-%d/proto", b.run, part, n)
}

// errUnsupported is a service that the node does not have.
var errUnsupported = errors.New("not served")

// gauge measures one load.
type gauge struct {
	b     *bench
	start time.Time
	cpu   time.Duration
}

func (b *bench) begin() gauge { return gauge{b, time.Now(), cpuTime(b.pid)} }

// end returns the measurement of count done since begin.
func (g gauge) end(what string, count int, latencies []time.Duration) Measurement {
	took := time.Since(g.start)
	m := Measurement{
		What: what, Count: count, Seconds: took.Seconds(),
		PerSecond: float64(count) / took.Seconds(), MemoryMiB: peakMemory(g.b.pid),
	}
	if count > 0 && g.b.pid != 0 {
		m.CPUMicros = float64((cpuTime(g.b.pid) - g.cpu).Microseconds()) / float64(count)
	}
	if len(latencies) > 0 {
		slices.Sort(latencies)
		ms := func(q float64) float64 {
			return float64(latencies[min(len(latencies)-1, int(q*float64(len(latencies))))].Microseconds()) / 1000
		}
		m.P50, m.P95, m.Max = ms(.5), ms(.95), ms(1)
	}
	return m
}
