package interop

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/waku-org/go-waku/waku/v2/protocol/pb"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

const (
	cluster = 16
	// shard is what nodes relay in most tests, other is what some do as well.
	shard, other = 32, 64
	topic        = "/waku/2/rs/16/32"
	otherTopic   = "/waku/2/rs/16/64"

	// patience bounds every wait for a condition. It is never reached by what
	// works, be the machine as slow as it may.
	patience = 90 * time.Second
)

// program is the program `parley`.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds parley, unless PARLEY_BIN names a program that was built already.
func run(m *testing.M) int {
	if program = os.Getenv("PARLEY_BIN"); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "parley-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "parley")
	build := exec.Command("go", "build", "-o", program, "./cmd/parley")
	build.Dir, build.Stderr = "..", os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building parley:", err)
		return 1
	}
	return m.Run()
}

// startWaku starts a node of go-waku on loopback for the time of a test.
func startWaku(t *testing.T, shards []uint16, opts ...gowaku.Option) *gowaku.Node {
	t.Helper()
	n, err := gowaku.Start(context.Background(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, cluster, shards, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

// dial connects a go-waku node with one of ours and waits until metadata has
// been exchanged, behind which go-waku may have disconnected.
func dial(t *testing.T, n *gowaku.Node, p *parley) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.DialPeer(ctx, p.tcp()); err != nil {
		t.Fatal("go-waku dials Parley:", err)
	}
	wait(t, "the connection", func() bool { return connected(n, p.id()) })
}

func connected(n *gowaku.Node, id peer.ID) bool {
	return n.Host().Network().Connectedness(id) == network.Connected
}

// wait waits for a condition, within patience.
func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	waitEach(t, 10*time.Millisecond, what, done)
}

// waitEach waits for a condition that it costs something to look at.
func waitEach(t *testing.T, pause time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// within is a context that ends with the patience.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// wakuMessage makes a message with every field that is part of its hash.
func wakuMessage(contentTopic string, payload []byte) *pb.WakuMessage {
	return &pb.WakuMessage{
		Payload: payload, ContentTopic: contentTopic, Version: proto.Uint32(1),
		Timestamp: proto.Int64(time.Now().UnixNano()), Meta: []byte{1, 2, 3}, Ephemeral: proto.Bool(false),
	}
}

// content makes a content topic of a test and a part of it.
func content(t *testing.T, part string) string {
	return fmt.Sprintf("/interop/1/%s-%s/proto", filepath.Base(t.Name()), part)
}
