package relay

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
)

// encoded is a message of about size bytes as data of GossipSub.
func encoded(t *testing.T, size int) []byte {
	t.Helper()
	payload := make([]byte, size)
	_, _ = rand.Read(payload)
	b, err := proto.Marshal(text(string(payload)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// meshed waits until two hostile peers are in a relay's mesh.
func meshed(t *testing.T, r *testRelay, peers ...*hostile) {
	t.Helper()
	eventually.True(t, "a mesh", func() bool {
		mesh := r.Mesh(shard32)
		return !slices.ContainsFunc(peers, func(x *hostile) bool { return !slices.Contains(mesh, x.h.ID()) })
	})
}

// next returns the next frame that a relay sends to a hostile peer and that
// is of interest.
func (x *hostile) next(t *testing.T, wanted func(*pubsubpb.RPC) bool) *pubsubpb.RPC {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case rpc := <-x.r.in:
			if wanted(rpc) {
				return rpc
			}
		case <-deadline:
			t.Fatal("the frame did not come")
		}
	}
}

// TestIDontWant: of a large message that comes from one neighbour the others
// in the mesh are told at once that they need not send it (GossipSub 1.2), and
// a message that a neighbour does not want it is not sent.
func TestIDontWant(t *testing.T) {
	t.Parallel()
	a := newRelay(t, shard32)
	from, other := newHostileAmong(t, a, shard32, 1), newHostileAmong(t, a, shard32, 2)
	meshed(t, a, from, other)

	large := encoded(t, 4096)
	id := sha256.Sum256(large)
	from.publish(t, &pubsubpb.Message{Topic: &shard32, Data: large})
	told := other.next(t, func(rpc *pubsubpb.RPC) bool {
		if len(rpc.Publish) > 0 && bytes.Equal(rpc.Publish[0].Data, large) {
			t.Error("the message came first")
		}
		return len(rpc.GetControl().GetIdontwant()) > 0
	})
	if ids := told.Control.Idontwant[0].MessageIDs; !slices.Equal(ids, []string{string(id[:])}) {
		t.Errorf("does not want %x", ids)
	}
	// It is counted when it is on its way, which may be before or after it
	// arrives.
	eventually.True(t, "the wish counted", func() bool { return a.Stats().Out.IDontWant == 1 })

	// The other way round.
	unwanted, wanted := encoded(t, 4096), encoded(t, 100)
	id = sha256.Sum256(unwanted)
	other.send(t, &pubsubpb.RPC{Control: &pubsubpb.ControlMessage{
		Idontwant: []*pubsubpb.ControlIDontWant{{MessageIDs: []string{string(id[:])}}},
	}})
	eventually.True(t, "the wish heard", func() bool { return a.Stats().In.IDontWant == 1 })
	from.publish(t, &pubsubpb.Message{Topic: &shard32, Data: unwanted})
	from.publish(t, &pubsubpb.Message{Topic: &shard32, Data: wanted})
	other.next(t, func(rpc *pubsubpb.RPC) bool {
		for _, m := range rpc.Publish {
			if bytes.Equal(m.Data, unwanted) {
				t.Error("the unwanted message was sent")
			}
			if bytes.Equal(m.Data, wanted) {
				return true
			}
		}
		return false
	})
}

// TestStats counts messages, bytes and control messages of each topic.
func TestStats(t *testing.T) {
	t.Parallel()
	a := newRelay(t, shard32)
	x, y := newHostileAmong(t, a, shard32, 1), newHostileAmong(t, a, shard32, 2)
	meshed(t, a, x, y)
	good, bad, elsewhere := encoded(t, 100), []byte{0xff}, "/waku/2/rs/16/999"
	x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: good})
	receive(t, a.got)
	x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: good})
	x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: bad})
	x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: encoded(t, 10), Seqno: []byte("12345678")})
	for i := range 10 {
		name := fmt.Sprint(elsewhere, i)
		x.publish(t, &pubsubpb.Message{Topic: &name, Data: good})
	}
	own := text("own")
	if _, err := a.Publish(t.Context(), shard32, own); err != nil {
		t.Fatal(err)
	}
	receive(t, a.got)
	// Who sends what is invalid is soon in no mesh any more.
	eventually.True(t, "the offender pruned", func() bool { return slices.Equal(a.Mesh(shard32), []peer.ID{y.h.ID()}) })
	size := func(data []byte) uint64 { return uint64(len(data) + len(shard32)) }
	mine, err := proto.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	forbidden := uint64(len(encoded(t, 10)) + len(shard32))
	want := TopicStats{
		Peers: 2, Mesh: 1, Published: 1, Delivered: 1, Duplicates: 1,
		MessagesIn: 4, MessagesOut: 3, // one forwarded, one to each of two
		BytesIn: 2*size(good) + size(bad) + forbidden, BytesNew: size(good),
		BytesOut: size(good) + 2*size(mine),
		Rejected: map[Reason]uint64{Invalid: 1, Policy: 1},
	}
	eventually.True(t, "all counted", func() bool {
		st := a.Stats()
		return fmt.Sprint(st.Topics[shard32]) == fmt.Sprint(want) && st.Elsewhere.MessagesIn == 10
	}, func() { t.Logf("counted %+v", a.Stats()) })
	st := a.Stats()
	if len(st.Topics) != 1 {
		t.Errorf("topics of others: %v", st.Topics)
	}
	if st.Out.Graft < 2 {
		t.Errorf("control sent: %+v", st.Out)
	}
	x.send(t, &pubsubpb.RPC{Control: &pubsubpb.ControlMessage{
		Ihave: []*pubsubpb.ControlIHave{{TopicID: &shard32, MessageIDs: []string{"a", "b"}}},
		Iwant: []*pubsubpb.ControlIWant{{MessageIDs: []string{"a", "b", "c"}}},
		Prune: []*pubsubpb.ControlPrune{{TopicID: &shard32}},
	}})
	eventually.True(t, "control counted", func() bool {
		in := a.Stats().In
		return in.IHave == 2 && in.IWant == 3 && in.Prune == 1
	}, func() { t.Logf("counted %+v", a.Stats().In) })
}

// TestLostIsCounted beside being reported.
func TestLostIsCounted(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	h := newHost(t)
	r, err := New(h, Config{Deliver: func(Delivery) { <-release }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	defer close(release)
	if err := r.Subscribe(shard32); err != nil {
		t.Fatal(err)
	}
	other := newRelay(t, shard32)
	connect(t, h, other.h)
	eventually.True(t, "a peer", func() bool { return len(r.Peers(shard32)) == 1 })
	for i := range deliveryQueue + 10 {
		if _, err := r.Publish(t.Context(), shard32, text(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	eventually.True(t, "losses", func() bool { return r.Stats().Topics[shard32].Lost >= 9 })
}

// newHostileAmong is newHostile for the nth of several peers.
func newHostileAmong(t *testing.T, victim *testRelay, name string, n int) *hostile {
	t.Helper()
	x := joinHostile(t, victim, name)
	victim.awaitPeers(t, name, n)
	return x
}
