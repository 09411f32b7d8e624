package relay

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-msgio"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/topic"
)

// hostile is a peer that writes GossipSub frames by hand.
type hostile struct {
	h host.Host
	s network.Stream
	w msgio.WriteCloser
	r *frames
}

// frames collects what a relay sends to a hostile peer.
type frames struct{ in chan *pubsubpb.RPC }

func newHostile(t *testing.T, victim *testRelay, name string) *hostile {
	t.Helper()
	x := joinHostile(t, victim, name)
	victim.awaitPeers(t, name, 1)
	return x
}

// joinHostile is a hostile peer that says it is subscribed.
func joinHostile(t *testing.T, victim *testRelay, name string) *hostile {
	t.Helper()
	x := &hostile{h: newHost(t), r: &frames{in: make(chan *pubsubpb.RPC, 256)}}
	x.h.SetStreamHandler(ProtocolID, func(s network.Stream) {
		r := msgio.NewVarintReaderSize(s, 1<<20)
		for {
			b, err := r.ReadMsg()
			if err != nil {
				return
			}
			rpc := new(pubsubpb.RPC)
			if proto.Unmarshal(b, rpc) == nil {
				x.r.in <- rpc
			}
		}
	})
	connect(t, x.h, victim.h)
	s, err := x.h.NewStream(t.Context(), victim.h.ID(), ProtocolID)
	if err != nil {
		t.Fatal(err)
	}
	x.s, x.w = s, msgio.NewVarintWriter(s)
	x.send(t, &pubsubpb.RPC{Subscriptions: []*pubsubpb.RPC_SubOpts{{Subscribe: proto.Bool(true), Topicid: &name}}})
	return x
}

func (x *hostile) send(t *testing.T, rpc *pubsubpb.RPC) {
	t.Helper()
	b, err := proto.Marshal(rpc)
	if err == nil {
		err = x.w.WriteMsg(b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (x *hostile) publish(t *testing.T, m *pubsubpb.Message) {
	t.Helper()
	x.send(t, &pubsubpb.RPC{Publish: []*pubsubpb.Message{m}})
}

// TestWireForm looks at the frame of a published message: only data and
// topic, as the StrictNoSign policy of 11/WAKU2-RELAY has it.
func TestWireForm(t *testing.T) {
	t.Parallel()
	a := newRelay(t, shard32)
	x := newHostile(t, a, shard32)
	m := text("bare")
	if _, err := a.Publish(t.Context(), shard32, m); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(patience)
	for {
		select {
		case rpc := <-x.r.in:
			if len(rpc.Publish) == 0 {
				continue
			}
			got := rpc.Publish[0]
			want := &pubsubpb.Message{Topic: &shard32, Data: got.Data}
			if !proto.Equal(got, want) {
				t.Fatalf("frame has more than data and topic: %v", got)
			}
			sent := new(wakupb.WakuMessage)
			if err := proto.Unmarshal(got.Data, sent); err != nil || !proto.Equal(sent, m) {
				t.Fatalf("sent %v, error %v", sent, err)
			}
			sum := sha256.Sum256(got.Data)
			if messageID(got) != string(sum[:]) {
				t.Fatal("the message id is not SHA-256 of the data")
			}
			return
		case <-deadline:
			t.Fatal("nothing was sent")
		}
	}
}

// TestInvalidIsRejected sends what must not be relayed, then a good message
// as the end mark: it alone arrives.
func TestInvalidIsRejected(t *testing.T) {
	t.Parallel()
	good, err := proto.Marshal(text("good"))
	if err != nil {
		t.Fatal(err)
	}
	bad := func(change func(*wakupb.WakuMessage)) []byte {
		m := text("bad")
		change(m)
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, m := range map[string]*pubsubpb.Message{
		"no protobuf": {Data: []byte{0xff, 0xff}},
		"empty":       {},
		"no payload":  {Data: bad(func(m *wakupb.WakuMessage) { m.Payload = nil })},
		"no topic":    {Data: bad(func(m *wakupb.WakuMessage) { m.ContentTopic = "" })},
		"long meta": {Data: bad(func(m *wakupb.WakuMessage) {
			m.Meta = make([]byte, message.MaxMeta+1)
		})},
		"signature": {Data: bad(func(*wakupb.WakuMessage) {}), Signature: []byte("sig")},
		"author":    {Data: bad(func(*wakupb.WakuMessage) {}), From: []byte("me")},
		"seqno":     {Data: bad(func(*wakupb.WakuMessage) {}), Seqno: []byte("12345678")},
		"other shard": {Data: bad(func(*wakupb.WakuMessage) {}),
			Topic: proto.String(topic.Pubsub(16, 33))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newRelay(t, shard32)
			x := newHostile(t, a, shard32)
			if m.Topic == nil {
				m.Topic = &shard32
			}
			x.publish(t, m)
			x.publish(t, &pubsubpb.Message{Topic: &shard32, Data: good})
			if d := receive(t, a.got); !bytes.Equal(d.Message.Payload, []byte("good")) {
				t.Fatalf("delivered %v", d)
			}
		})
	}
}
