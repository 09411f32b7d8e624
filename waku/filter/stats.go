package filter

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// ErrQueueFull is why a push was dropped: too many wait for the subscriber.
var ErrQueueFull = errors.New("filter: the subscriber's queue is full")

// Push is one message for one subscriber, as the operator sees it.
type Push struct {
	Peer peer.ID
	// Bytes is the size of the message as pushed.
	Bytes int
	// Took is the time since the message was given to the service.
	Took time.Duration
	// Err is nil for a message handed to the connection, or taken by a
	// client that ends a stream after each; otherwise why it was lost:
	// ErrQueueFull, or what failed.
	Err error
}

// counters are what a service has done since it started.
type counters struct{ pushed, failed, dropped, bytes atomic.Uint64 }

// pushed takes note of a push that was done, or failed for good.
func (s *Service) pushed(p peer.ID, f frame, err error) {
	if err != nil {
		s.count.failed.Add(1)
	} else {
		s.count.pushed.Add(1)
		s.count.bytes.Add(uint64(len(f.data)))
	}
	s.tell(p, f, err)
}

// dropped takes note of a message for which a queue had no room.
func (s *Service) dropped(p peer.ID, f frame) {
	s.count.dropped.Add(1)
	s.log.Debug("filter push dropped: queue full", "peer", p)
	s.tell(p, f, ErrQueueFull)
}

func (s *Service) tell(p peer.ID, f frame, err error) {
	if s.cfg.OnPush != nil {
		s.cfg.OnPush(Push{Peer: p, Bytes: len(f.data), Took: time.Since(f.at), Err: err})
	}
}

// Stats is what a service holds at one moment and has done since it started.
type Stats struct {
	// Subscribers and their Criteria, pairs of pubsub and content topic.
	Subscribers, Criteria int
	// Queued pushes wait, with QueuedBytes; a message that waits for several
	// subscribers counts for each.
	Queued, QueuedBytes int
	// Pushed messages were handed to the connections, PushedBytes in sum;
	// those pushed again to a client that turned out not to have read them
	// count again. Failed ones were lost on the way, Dropped ones found the
	// subscriber's queue full.
	Pushed, PushedBytes, Failed, Dropped uint64
	// Streams of requests are open, those that wait for their request among
	// them. RefusedStreams were beyond MaxStreams, Limited requests beyond
	// the rate.
	Streams                 int
	RefusedStreams, Limited uint64
}

// Stats returns the present state.
func (s *Service) Stats() Stats {
	load := s.server.Load()
	st := Stats{
		Pushed: s.count.pushed.Load(), PushedBytes: s.count.bytes.Load(),
		Failed: s.count.failed.Load(), Dropped: s.count.dropped.Load(),
		Streams: load.Streams, RefusedStreams: load.Refused, Limited: s.limit.Refused(),
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	st.Subscribers = len(s.reg.peers)
	for _, sub := range s.reg.peers {
		frames, bytes := sub.queue.load()
		st.Criteria += len(sub.criteria)
		st.Queued += frames
		st.QueuedBytes += bytes
	}
	return st
}

// Subscription is what one peer is subscribed to.
type Subscription struct {
	Peer peer.ID
	// Criteria are the content topics by pubsub topic, sorted.
	Criteria map[string][]string
	// Seen is the time of the last request; the subscription ends when there
	// is none for SubscriptionTimeout.
	Seen      time.Time
	Connected bool
	// Queued is the number of pushes that wait.
	Queued int
}

// Subscriptions returns all subscriptions in the order of the peers' ids.
func (s *Service) Subscriptions() []Subscription {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Subscription, 0, len(s.reg.peers))
	for _, sub := range s.reg.peers {
		c := make(map[string][]string)
		for k := range sub.criteria {
			c[k.pubsub] = append(c[k.pubsub], k.content)
		}
		for _, contents := range c {
			slices.Sort(contents)
		}
		queued, _ := sub.queue.load()
		out = append(out, Subscription{
			Peer: sub.id, Criteria: c, Seen: sub.seen, Queued: queued,
			Connected: s.h.Network().Connectedness(sub.id) == network.Connected,
		})
	}
	slices.SortFunc(out, func(a, b Subscription) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return out
}
