package relay

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
)

func announce(subscribe bool, topics ...string) (out []*pubsubpb.RPC_SubOpts) {
	for _, topic := range topics {
		out = append(out, &pubsubpb.RPC_SubOpts{Subscribe: proto.Bool(subscribe), Topicid: &topic})
	}
	return out
}

func names(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(first + i)
	}
	return out
}

// TestAnnouncements are remembered up to the bounds, for each neighbour by
// itself, and forgotten with it.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	a := &announced{log: slog.New(slog.DiscardHandler)}
	longest := strings.Repeat("x", MaxTopicName)
	for i, c := range []struct {
		peer string
		subs []*pubsubpb.RPC_SubOpts
		want int
	}{
		{"a", announce(true, names(0, MaxPeerTopics)...), MaxPeerTopics},
		{"a", announce(true, "one more"), 0},
		{"a", announce(true, names(0, 10)...), 10},   // known
		{"a", announce(false, "one more", "0"), 1},   // the first was never known
		{"a", announce(true, "another", "third"), 1}, // one place was free
		{"b", announce(true, longest, longest+"x", ""), 1},
		{"b", append(announce(true, names(0, 3)...), announce(false, "1")...), 4},
	} {
		kept, err := a.FilterIncomingSubscriptions(peer.ID(c.peer), c.subs)
		if err != nil || len(kept) != c.want {
			t.Errorf("step %d: %d kept, want %d, %v", i, len(kept), c.want, err)
		}
	}
	if n, m := len(a.peers["a"]), len(a.peers["b"]); n != MaxPeerTopics || m != 3 {
		t.Errorf("%d and %d topics remembered", n, m)
	}
	a.forget("a")
	if len(a.peers) != 1 {
		t.Errorf("%d neighbours", len(a.peers))
	}
}

// TestAnnouncementFlood: a neighbour that announces topics without end still
// counts on those it announced first, and is forgotten when it leaves.
func TestAnnouncementFlood(t *testing.T) {
	t.Parallel()
	a := newRelay(t, shard32)
	x := newHostile(t, a, shard32)
	for i := range 5 {
		x.send(t, &pubsubpb.RPC{Subscriptions: announce(true, names(i*1000, 1000)...)})
	}
	x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: encoded(t, 10)})
	receive(t, a.got) // all is read by now
	if n := len(a.Peers("4500")); n != 0 {
		t.Errorf("%d peers on a topic beyond the bound", n)
	}
	if n := len(a.Peers("500")); n != 1 {
		t.Errorf("%d peers on a topic within the bound", n)
	}
	if err := x.h.Close(); err != nil {
		t.Fatal(err)
	}
	a.awaitPeers(t, "500", 0)
	eventually.True(t, "forgotten", func() bool {
		a.neighbours.mu.Lock()
		defer a.neighbours.mu.Unlock()
		return len(a.neighbours.peers) == 0
	})
}
