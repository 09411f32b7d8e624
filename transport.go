package parley

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
)

// transport shows a node to the stack.
type transport struct {
	*node.Node
	envelopes chan stack.Envelope
	// essential are the pubsub topics without which little arrives.
	essential []string
	// subscribed is told of what is listened to from now on.
	subscribed func(want map[string][]string)
}

// newTransport hands envelopes on until ctx ends.
func newTransport(ctx context.Context, n *node.Node, essential []string, subscribed func(map[string][]string)) *transport {
	t := &transport{n, make(chan stack.Envelope), essential, subscribed}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-n.Envelopes():
				select {
				case <-ctx.Done():
					return
				case t.envelopes <- stack.Envelope{PubsubTopic: e.PubsubTopic, Message: e.Message, Hash: e.Hash}:
				}
			}
		}
	}()
	return t
}

func (t *transport) Envelopes() <-chan stack.Envelope { return t.envelopes }

// Subscribe replaces what is listened to.
func (t *transport) Subscribe(ctx context.Context, want map[string][]string) error {
	if err := t.Node.Subscribe(ctx, want); err != nil {
		return err
	}
	t.subscribed(want)
	return nil
}

// Listening tells whether there is a peer on every essential topic, or one
// that filters for us.
func (t *transport) Listening() bool {
	s := t.Status()
	if s.Filter != nil {
		return slices.ContainsFunc(s.Filter.Peers, func(p node.FilterPeerStatus) bool { return p.State == "active" })
	}
	for _, pubsub := range t.essential {
		if s.Relay[pubsub].Peers == 0 {
			return false
		}
	}
	return true
}

// StoreNodes names the store nodes to ask about a pubsub topic.
func (t *transport) StoreNodes(pubsubTopic string) (names []string) {
	for _, p := range t.StorePeers(pubsubTopic) {
		names = append(names, p.String())
	}
	return names
}

// QueryNode asks one store node for one page.
func (t *transport) QueryNode(ctx context.Context, name string, q *store.Query) (*store.Page, error) {
	id, err := peer.Decode(name)
	if err != nil {
		return nil, err
	}
	return t.QueryPeer(ctx, id, q)
}

var (
	_ stack.Transport  = (*transport)(nil)
	_ stack.StoreNodes = (*transport)(nil)
)

// The methods a node has under the same name, for the reader.
var _ interface {
	Publish(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error)
	PublishLightpush(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error)
	Query(ctx context.Context, q *store.Query) (*store.Page, error)
	Gaps() <-chan time.Time
} = (*node.Node)(nil)
