package relay

import (
	"slices"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// meshTracer follows the router's traces to know the mesh of each topic,
// which the router does not show, to count, and to hear of undeliverable
// messages. Its methods run inside the router and only touch maps.
type meshTracer struct {
	self   peer.ID
	lost   func(string)
	gone   func(peer.ID) // may be nil
	counts counts

	mu   sync.Mutex
	mesh map[string]map[peer.ID]struct{}
}

var _ pubsub.RawTracer = (*meshTracer)(nil)

func newMeshTracer(self peer.ID, lost func(string)) *meshTracer {
	return &meshTracer{self: self, lost: lost, mesh: make(map[string]map[peer.ID]struct{})}
}

// peers returns the mesh of a topic, sorted.
func (t *meshTracer) peers(topic string) []peer.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]peer.ID, 0, len(t.mesh[topic]))
	for p := range t.mesh[topic] {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

// Graft adds a peer to a mesh.
func (t *meshTracer) Graft(p peer.ID, topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mesh[topic] == nil {
		t.mesh[topic] = make(map[peer.ID]struct{})
	}
	t.mesh[topic][p] = struct{}{}
}

// Prune removes a peer from a mesh.
func (t *meshTracer) Prune(p peer.ID, topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mesh[topic], p)
}

// Leave forgets a topic's mesh.
func (t *meshTracer) Leave(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mesh, topic)
}

// OnClosedOutboundStream removes a peer that is gone; the router does not
// trace its pruning.
func (t *meshTracer) OnClosedOutboundStream(p peer.ID) {
	if t.gone != nil {
		t.gone(p)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, peers := range t.mesh {
		delete(peers, p)
	}
}

// UndeliverableMessage reports a message lost to a full delivery queue.
func (t *meshTracer) UndeliverableMessage(m *pubsub.Message) {
	t.counts.of(m.GetTopic()).lost.Add(1)
	if t.lost != nil {
		t.lost(m.GetTopic())
	}
}

// RejectMessage counts a message that was rejected, and reports one lost
// because too many waited to be validated.
func (t *meshTracer) RejectMessage(m *pubsub.Message, reason string) {
	t.counts.of(m.GetTopic()).reject(reasonOf(m, reason))
	if t.lost != nil && reason == pubsub.RejectValidationQueueFull {
		t.lost(m.GetTopic())
	}
}

// DeliverMessage counts a message of a neighbour that was accepted.
func (t *meshTracer) DeliverMessage(m *pubsub.Message) {
	if m.ReceivedFrom == t.self {
		return
	}
	c := t.counts.of(m.GetTopic())
	c.delivered.Add(1)
	c.bytesNew.Add(wireSize(m.Message))
}

// DuplicateMessage counts a message that was seen before.
func (t *meshTracer) DuplicateMessage(m *pubsub.Message) {
	t.counts.of(m.GetTopic()).duplicates.Add(1)
}

// RecvRPC counts what a neighbour sent.
func (t *meshTracer) RecvRPC(rpc *pubsub.RPC) {
	for _, m := range rpc.GetPublish() {
		c := t.counts.of(m.GetTopic())
		c.messagesIn.Add(1)
		c.bytesIn.Add(wireSize(m))
	}
	t.counts.in.add(rpc.GetControl())
}

// SendRPC counts what a neighbour is sent.
func (t *meshTracer) SendRPC(rpc *pubsub.RPC, _ peer.ID) {
	for _, m := range rpc.GetPublish() {
		c := t.counts.of(m.GetTopic())
		c.messagesOut.Add(1)
		c.bytesOut.Add(wireSize(m))
	}
	t.counts.out.add(rpc.GetControl())
}

// DropRPC counts what a neighbour is not sent.
func (t *meshTracer) DropRPC(*pubsub.RPC, peer.ID) { t.counts.dropped.Add(1) }

// The rest of the tracer's interface is of no interest.

func (t *meshTracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (t *meshTracer) Join(string)                              {}
func (t *meshTracer) ValidateMessage(*pubsub.Message)          {}
func (t *meshTracer) ThrottlePeer(peer.ID)                     {}
