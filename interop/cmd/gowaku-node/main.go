// Command gowaku-node runs a service node of go-waku, to measure Parley
// against it: relay, filter, lightpush and the legacy store (go-waku has no
// newer one), without rate limits.
//
//	go run -tags gowaku_no_rln ./cmd/gowaku-node -cluster 16 -shard 32
//
// When it is ready it prints one line of JSON: {"peer_id","multiaddrs","pid"}.
// It runs until it is interrupted.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// ready is what is printed when the node can be used.
type ready struct {
	PeerID     string   `json:"peer_id"`
	Multiaddrs []string `json:"multiaddrs"`
	PID        int      `json:"pid"`
}

func main() {
	cluster := flag.Uint("cluster", 16, "cluster of the node")
	shards := flag.String("shard", "32", "shards to relay, with commas between")
	listen := flag.String("listen", "127.0.0.1:0", "TCP address to listen on")
	archive := flag.String("archive", ":memory:", "SQLite file of the store; empty for no store")
	maxFrame := flag.Int("max-frame", gowaku.MaxFrame, "largest GossipSub frame, in bytes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *cluster, *shards, *listen, *archive, *maxFrame); err != nil {
		fmt.Fprintln(os.Stderr, "gowaku-node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cluster uint, list, listen, archive string, maxFrame int) error {
	if cluster > 1<<16-1 {
		return fmt.Errorf("-cluster: %d is more than 16 bits", cluster)
	}
	var shards []uint16
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("-shard: %w", err)
		}
		shards = append(shards, uint16(n))
	}
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	opts := []gowaku.Option{gowaku.Relay(maxFrame), gowaku.Unlimited()}
	if archive != "" {
		store, err := gowaku.Archive(archive)
		if err != nil {
			return err
		}
		opts = append(opts, store)
	}
	// The node ends with Stop, not in the middle of what it does.
	n, err := gowaku.Start(context.WithoutCancel(ctx), addr, uint16(cluster), shards, opts...)
	if err != nil {
		return err
	}
	defer n.Stop()
	out := ready{PeerID: n.ID().String(), PID: os.Getpid()}
	for _, a := range n.ListenAddresses() {
		out.Multiaddrs = append(out.Multiaddrs, a.String())
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
