package relay

import (
	"slices"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// meshTracer follows the router's traces to know the mesh of each topic,
// which the router does not show, and to hear of undeliverable messages. Its
// methods run inside the router and only touch a map.
type meshTracer struct {
	lost func(string)

	mu   sync.Mutex
	mesh map[string]map[peer.ID]struct{}
}

var _ pubsub.RawTracer = (*meshTracer)(nil)

func newMeshTracer(lost func(string)) *meshTracer {
	return &meshTracer{lost: lost, mesh: make(map[string]map[peer.ID]struct{})}
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
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, peers := range t.mesh {
		delete(peers, p)
	}
}

// UndeliverableMessage reports a message lost to a full delivery queue.
func (t *meshTracer) UndeliverableMessage(m *pubsub.Message) {
	if t.lost != nil {
		t.lost(m.GetTopic())
	}
}

// RejectMessage reports a message lost because too many waited to be
// validated.
func (t *meshTracer) RejectMessage(m *pubsub.Message, reason string) {
	if t.lost != nil && reason == pubsub.RejectValidationQueueFull {
		t.lost(m.GetTopic())
	}
}

// The rest of the tracer's interface is of no interest.

func (t *meshTracer) OnNewOutboundStream(peer.ID, protocol.ID) {}
func (t *meshTracer) Join(string)                              {}
func (t *meshTracer) ValidateMessage(*pubsub.Message)          {}
func (t *meshTracer) DeliverMessage(*pubsub.Message)           {}
func (t *meshTracer) DuplicateMessage(*pubsub.Message)         {}
func (t *meshTracer) ThrottlePeer(peer.ID)                     {}
func (t *meshTracer) RecvRPC(*pubsub.RPC)                      {}
func (t *meshTracer) SendRPC(*pubsub.RPC, peer.ID)             {}
func (t *meshTracer) DropRPC(*pubsub.RPC, peer.ID)             {}
