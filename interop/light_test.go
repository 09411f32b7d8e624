package interop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/waku-org/go-waku/waku/v2/node"
	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/filter"
	"github.com/waku-org/go-waku/waku/v2/protocol/lightpush"
	"github.com/waku-org/go-waku/waku/v2/protocol/pb"
	"github.com/waku-org/go-waku/waku/v2/protocol/store"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// lightNode is a client of go-waku, connected with one of our nodes.
func lightNode(t *testing.T, p *parley) *gowaku.Node {
	t.Helper()
	n := startWaku(t, []uint16{shard}, node.WithWakuFilterLightNode())
	dial(t, n, p)
	// Its own requests wait for nothing: it must know what ours serves.
	wait(t, "identify", func() bool {
		ids, err := n.Host().Peerstore().SupportsProtocols(p.id(), lightpush.LightPushID_v20beta1, filter.FilterSubscribeID_v20beta1)
		return err == nil && len(ids) == 2
	})
	return n
}

// push publishes a message by lightpush at one of our nodes.
func push(t *testing.T, n *gowaku.Node, p *parley, m *pb.WakuMessage) (pb.MessageHash, error) {
	t.Helper()
	return n.Lightpush().Publish(within(t), m, lightpush.WithPubSubTopic(topic), lightpush.WithPeer(p.id()))
}

// mustPush is push of what must be accepted.
func mustPush(t *testing.T, n *gowaku.Node, p *parley, m *pb.WakuMessage) pb.MessageHash {
	t.Helper()
	hash, err := push(t, n, p, m)
	if err != nil {
		t.Fatal("lightpush:", err)
	}
	return hash
}

// servicePair is one of our nodes with a relay neighbour, for which it may be
// asked to publish.
func servicePair(t *testing.T, args ...string) (*gowaku.Node, *parley) {
	t.Helper()
	return relayPair(t, false, frame, args...)
}

// go-waku's lightpush client publishes through ours, and its filter client gets
// from ours what came by lightpush and what came by relay.
func TestLightClients(t *testing.T) {
	t.Parallel()
	neighbour, p := servicePair(t)
	a, b := lightNode(t, p), lightNode(t, p)
	contentTopic := content(t, "x")
	relayed := subscribe(t, neighbour, contentTopic)
	pushes := filterSubscribe(t, b, p, contentTopic, content(t, "y"))
	if err := b.FilterLightnode().Ping(within(t), p.id()); err != nil {
		t.Error("ping of a subscriber:", err)
	}
	if err := a.FilterLightnode().Ping(within(t), p.id()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error("ping of who has no subscription:", err)
	}

	hash := mustPush(t, a, p, wakuMessage(contentTopic, noise(0, 1000)))
	for from, e := range map[string]*protocol.Envelope{"relay": relayed.expect(t, 1)[0], "filter": pushes.expect(t, 1)[0]} {
		if e.Hash() != hash {
			t.Errorf("the message pushed as %s comes by %s as %s", hash, from, e.Hash())
		}
	}
	toParley(t, neighbour, p, content(t, "y"), 1, 1000)
	pushes.expect(t, 2)
	mustPush(t, a, p, wakuMessage(content(t, "z"), noise(0, 1000))) // not subscribed to
	large := mustPush(t, a, p, wakuMessage(contentTopic, noise(1, frame-2*around)))
	if all := pushes.expect(t, 3); all[2].Hash() != large {
		t.Error("another message than the large one has come")
	}

	if _, err := b.FilterLightnode().Unsubscribe(within(t), protocol.NewContentFilter(topic, contentTopic, content(t, "y")), filter.WithPeer(p.id())); err != nil {
		t.Error("unsubscribe:", err)
	}
	if err := b.FilterLightnode().Ping(within(t), p.id()); err == nil {
		t.Error("subscribed after unsubscribing")
	}
}

// filterSubscribe subscribes at the filter service of ours.
func filterSubscribe(t *testing.T, n *gowaku.Node, p *parley, contentTopics ...string) *wakuInbox {
	t.Helper()
	subs, err := n.FilterLightnode().Subscribe(within(t), protocol.NewContentFilter(topic, contentTopics...), filter.WithPeer(p.id()))
	if err != nil {
		t.Fatal("subscribe:", err)
	}
	all := make(chan *protocol.Envelope, 1024)
	for _, s := range subs { // one for each content topic, or one for all
		go func() {
			for e := range s.C {
				all <- e
			}
		}()
	}
	return collect(t, all)
}

// go-waku's filter client refuses more than 15 pushes a second, behind the
// first 20. Ours keeps what was refused and tries again: nothing is lost.
func TestFilterBurst(t *testing.T) {
	t.Parallel()
	_, p := servicePair(t)
	a, b := lightNode(t, p), lightNode(t, p)
	contentTopic := content(t, "x")
	pushes := filterSubscribe(t, b, p, contentTopic)
	const burst = 50
	for i := range burst {
		mustPush(t, a, p, wakuMessage(contentTopic, noise(i, 1000)))
	}
	wait(t, fmt.Sprintf("%d messages", burst), func() bool { return pushes.distinct() == burst })
}

// What ours does not take, go-waku's clients are told.
func TestLightClientsRefused(t *testing.T) {
	t.Parallel()
	_, p := servicePair(t)
	n := lightNode(t, p)
	contentTopic := content(t, "x")
	if _, err := push(t, n, p, wakuMessage(contentTopic, noise(0, frame))); err == nil {
		t.Error("a message that is too large for the relay is accepted")
	}
	_, err := n.Lightpush().Publish(within(t), wakuMessage(contentTopic, []byte{1}), lightpush.WithPubSubTopic(otherTopic), lightpush.WithPeer(p.id()))
	if err == nil {
		t.Error("a message on a shard that is not relayed is accepted")
	}
	many := make([]string, 101)
	for i := range many {
		many[i] = content(t, fmt.Sprint(i))
	}
	if _, err := n.FilterLightnode().Subscribe(within(t), protocol.NewContentFilter(topic, many...), filter.WithPeer(p.id())); err == nil {
		t.Error("a subscription of 101 content topics is accepted")
	}
	if n.Host().Network().Connectedness(p.id()) != network.Connected {
		t.Error("the connection is closed")
	}
	mustPush(t, n, p, wakuMessage(contentTopic, []byte{2}))
}

// A node of ours without relay peers accepts what it keeps and nothing else.
func TestLightpushWithoutRelayPeers(t *testing.T) {
	t.Parallel()
	m := wakuMessage(content(t, "x"), []byte{1})
	keeps, forgets := startParley(t), startParley(t, "--store=false")
	if _, err := push(t, lightNode(t, forgets), forgets, m); err == nil {
		t.Error("accepted, though nobody is there to take it")
	}
	n := lightNode(t, keeps)
	hash := mustPush(t, n, keeps, m)
	wait(t, "the message in the store", func() bool {
		there, err := n.Store().Exists(within(t), hash, store.WithPeer(keeps.id()))
		return err == nil && there
	})
}

// A limited client of lightpush is told so, and is let in again when others are
// not affected.
func TestLightpushRate(t *testing.T) {
	t.Parallel()
	_, p := servicePair(t, "--lightpush-rate", "1")
	a, b := lightNode(t, p), lightNode(t, p)
	refused := false
	for i := 0; i < 50 && !refused; i++ {
		_, err := push(t, a, p, wakuMessage(content(t, "x"), noise(i, 100)))
		refused = err != nil
	}
	if !refused {
		t.Error("50 requests at once are accepted at a rate of one a second")
	}
	mustPush(t, b, p, wakuMessage(content(t, "x"), []byte{1}))
	wait(t, "room for another request", func() bool {
		_, err := push(t, a, p, wakuMessage(content(t, "x"), []byte{2}))
		return err == nil
	})
}
