package node

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Choice prefers peers for what a node asks of others: lightpush, filter and
// store. Its functions may be nil, are called from several goroutines at a
// time and must not block.
type Choice struct {
	// Best returns peers in the order in which to try them: for the id of a
	// service's newest version, and the pubsub topic that is asked for, ""
	// where it is not known. Those it leaves out come after them, those that
	// are not connected are passed over.
	Best func(id protocol.ID, pubsubTopic string) []peer.ID
	// Served is told how a peer answered; err is nil when it did what it was
	// asked for.
	Served func(p peer.ID, id protocol.ID, err error, took time.Duration)
}

// first puts the best of the peers before the others.
func (c Choice) first(id protocol.ID, pubsubTopic string, peers []peer.ID) []peer.ID {
	if c.Best == nil || len(peers) < 2 {
		return peers
	}
	out := make([]peer.ID, 0, len(peers))
	for _, p := range slices.Concat(c.Best(id, pubsubTopic), peers) {
		if slices.Contains(peers, p) && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func (c Choice) served(p peer.ID, id protocol.ID, err error, took time.Duration) {
	if c.Served != nil {
		c.Served(p, id, err, took)
	}
}
