package node

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/rpc"
)

// Observer is told of what a node does for others. Its functions may be nil,
// are called from several goroutines at a time and must not block. What the
// relay does is counted in Stats.
type Observer struct {
	// Exchange is a request that a service had, answered or not: store,
	// filter, lightpush or metadata.
	Exchange func(rpc.Exchange)
	// Pushed is a message pushed to a filter subscriber, or lost on the way.
	Pushed func(filter.Push)
	// Archived is a transaction of the archive with n messages.
	Archived func(n int, took time.Duration, err error)
}

// Stats are the counts of a node's protocols since it started; nil for those
// that are not mounted.
type Stats struct {
	Relay     *relay.Stats
	Filter    *filter.Stats
	Lightpush *lightpush.Stats
	Metadata  *metadata.Stats
	Archive   *ArchiveStatus
	Tap       TapStatus
}

// Stats returns the present state.
func (n *Node) Stats() Stats {
	st := Stats{Tap: n.taps.status()}
	if n.relay != nil {
		s := n.relay.Stats()
		st.Relay = &s
	}
	if n.pushed != nil {
		s := n.pushed.Stats()
		st.Filter = &s
	}
	if n.pusher != nil {
		s := n.pusher.Stats()
		st.Lightpush = &s
	}
	s := n.metadata.Stats()
	st.Metadata = &s
	if n.archive != nil {
		s := n.archive.status()
		st.Archive = &s
	}
	return st
}

// Subscriptions are those of light clients at the filter service, in the
// order of their ids; none where it is not mounted.
func (n *Node) Subscriptions() []filter.Subscription {
	if n.pushed == nil {
		return nil
	}
	return n.pushed.Subscriptions()
}

// Metadata is what a connected peer of this cluster said of itself last; false
// when it was not heard, or is of another one.
func (n *Node) Metadata(p peer.ID) (metadata.Info, bool) { return n.metadata.Info(p) }
