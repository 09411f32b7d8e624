package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/topic"
)

// Why a message could not be published.
var (
	// ErrNoPeers: nobody connected could take it; it may go later.
	ErrNoPeers = errors.New("node: no peer to publish to")
	// ErrInvalid: the message itself is unfit; it will never go.
	ErrInvalid = errors.New("node: message unfit to publish")
)

// pushPeers is the number of lightpush services that a message is given to
// when there are as many.
const pushPeers = 2

// Where every service refuses because of its rate limit (deployed go-waku
// takes one message a second from each client) the message is offered again.
const (
	limitRetries = 5
	limitPause   = 1100 * time.Millisecond
)

// Publish publishes a message on a pubsub topic: by relay in full mode, by
// lightpush in light mode. It returns the number of relay peers, or of
// lightpush services that took the message; at least 1 when there is no
// error. Errors: ErrNoPeers, ErrInvalid, or what the lightpush services
// said.
//
// A full node gives its own publications to its filter subscribers and its
// archive like any other message. m must not be changed any more.
func (n *Node) Publish(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error) {
	if n.relay == nil {
		return n.PublishLightpush(ctx, pubsubTopic, m)
	}
	if err := relay.Check(pubsubTopic, m, n.cfg.MaxFrame); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	hash := message.HashOf(pubsubTopic, m)
	fresh := n.seen.add(hash)
	peers, err := n.relay.Publish(ctx, pubsubTopic, m)
	if err != nil {
		if fresh {
			n.seen.remove(hash)
		}
		switch {
		case errors.Is(err, relay.ErrNoPeers):
			err = fmt.Errorf("%w: %w", ErrNoPeers, err)
		case errors.Is(err, relay.ErrInvalid): // by a rule of the topic
			err = fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return 0, err
	}
	if fresh {
		n.published(ctx, pubsubTopic, m, hash)
	}
	return peers, nil
}

// published gives an own publication to the node's services, on a topic that
// it neither relays nor keeps only to those who listen in.
func (n *Node) published(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage, hash message.Hash) {
	if n.relays(pubsubTopic) || n.relay == nil && n.isShard(pubsubTopic) {
		n.serve(ctx, pubsubTopic, m, hash)
		return
	}
	n.taps.give(Envelope{PubsubTopic: pubsubTopic, Message: m, Hash: hash})
}

// relays says whether the node relays a pubsub topic now.
func (n *Node) relays(pubsubTopic string) bool {
	return n.relay != nil && slices.Contains(n.relay.Topics(), pubsubTopic)
}

// publishFor publishes a message for a lightpush client: to the relay, to
// this node's own filter subscribers, archive and reader. A node that keeps
// history takes a message even while it has no relay peer: it is then with
// the subscribers and in the archive, which is what its clients ask.
func (n *Node) publishFor(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error) {
	if !n.relays(pubsubTopic) {
		return 0, fmt.Errorf("%w: not relayed here", lightpush.ErrUnsupportedTopic)
	}
	hash := message.HashOf(pubsubTopic, m)
	fresh := n.seen.add(hash)
	peers, err := n.relay.Publish(ctx, pubsubTopic, m)
	kept := errors.Is(err, relay.ErrNoPeers) && n.archive != nil
	if kept {
		err = n.archive.keep(ctx, pubsubTopic, m, hash)
	}
	if err != nil {
		if fresh {
			n.seen.remove(hash)
		}
		return 0, lightpushReason(err)
	}
	switch {
	case !fresh:
	case kept:
		n.deliver(pubsubTopic, m, hash)
		n.share(pubsubTopic, m, hash)
	default:
		n.deliver(pubsubTopic, m, hash)
		n.serve(ctx, pubsubTopic, m, hash)
	}
	return peers, nil
}

// lightpushReason says the relay's errors in the words of lightpush.
func lightpushReason(err error) error {
	switch {
	case errors.Is(err, relay.ErrNoPeers):
		return fmt.Errorf("%w: %w", lightpush.ErrNoPeers, err)
	case errors.Is(err, relay.ErrTooLarge), errors.Is(err, message.ErrTooLarge):
		return fmt.Errorf("%w: %w", lightpush.ErrTooLarge, err)
	case errors.Is(err, relay.ErrInvalid):
		return fmt.Errorf("%w: %w", lightpush.ErrInvalidMessage, err)
	}
	return err
}

// PublishLightpush gives a message to lightpush services, two when as many
// are connected, others when those fail, and returns how many took it. It is
// the way of self-addressed messages in every mode. Errors: ErrNoPeers when
// no service is connected, ErrInvalid, or what all the services said.
func (n *Node) PublishLightpush(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (int, error) {
	if err := relay.Check(pubsubTopic, m, n.cfg.MaxFrame); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	candidates := n.pushCandidates(pubsubTopic)
	if len(candidates) == 0 {
		return 0, fmt.Errorf("%w: no lightpush service connected", ErrNoPeers)
	}
	hash := message.HashOf(pubsubTopic, m)
	fresh := n.seen.add(hash)
	took, limited, errs := n.pushAround(ctx, candidates, pubsubTopic, m)
	for try := 0; took == 0 && len(limited) > 0 && try < limitRetries && sleep(ctx, limitPause); try++ {
		took, limited, errs = n.pushAround(ctx, limited, pubsubTopic, m)
	}
	if took > 0 {
		if fresh {
			n.published(ctx, pubsubTopic, m, hash)
		}
		return took, nil
	}
	if fresh {
		n.seen.remove(hash)
	}
	return 0, fmt.Errorf("node: %w", errors.Join(append(errs, ctx.Err())...))
}

// pushAround gives a message to services until enough of them took it. Those
// in limited refused only because of their rate limit.
func (n *Node) pushAround(ctx context.Context, candidates []peer.ID, pubsubTopic string, m *wakupb.WakuMessage) (took int, limited []peer.ID, errs []error) {
	for len(candidates) > 0 && took < pushPeers && ctx.Err() == nil {
		round := candidates[:min(pushPeers-took, len(candidates))]
		candidates = candidates[len(round):]
		for i, err := range n.pushTo(ctx, round, pubsubTopic, m) {
			if err == nil {
				took++
				continue
			}
			errs = append(errs, err)
			if errors.Is(err, lightpush.ErrTooManyRequests) {
				limited = append(limited, round[i])
			}
		}
	}
	return took, limited, errs
}

// sleep waits for d and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// pushTo gives a message to services at the same time.
func (n *Node) pushTo(ctx context.Context, to []peer.ID, pubsubTopic string, m *wakupb.WakuMessage) []error {
	errs := make([]error, len(to))
	var wg sync.WaitGroup
	for i, p := range to {
		wg.Go(func() {
			start := time.Now()
			_, errs[i] = lightpush.Push(ctx, n.h, p, pubsubTopic, m)
			if ctx.Err() == nil {
				n.cfg.Choice.served(p, lightpush.ProtocolV3, errs[i], time.Since(start))
			}
			n.failures.note(p, errs[i] != nil && ctx.Err() == nil, time.Now())
		})
	}
	wg.Wait()
	return errs
}

// pushCandidates are the connected lightpush services in the order in which
// to try them: those of the node's Choice, then those that did not fail lately,
// among them first those known to relay the topic's shard.
func (n *Node) pushCandidates(pubsubTopic string) []peer.ID {
	peers := n.speaking(lightpush.ProtocolV3, lightpush.ProtocolV2)
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	rank := make(map[peer.ID]int, len(peers))
	now := time.Now()
	for _, p := range peers {
		if n.failures.lately(p, now) {
			rank[p] += 2
		}
		if !n.hasShard(p, pubsubTopic) {
			rank[p]++
		}
	}
	slices.SortStableFunc(peers, func(a, b peer.ID) int { return rank[a] - rank[b] })
	return n.cfg.Choice.first(lightpush.ProtocolV3, pubsubTopic, peers)
}

// hasShard says whether a peer named the shard of a pubsub topic.
func (n *Node) hasShard(p peer.ID, pubsubTopic string) bool {
	_, shard, err := topic.ParsePubsub(pubsubTopic)
	if err != nil {
		return false
	}
	in, ok := n.metadata.Info(p)
	return ok && slices.Contains(in.Shards, shard)
}

// failureMemory is how long a service that failed comes after the others.
const failureMemory = time.Minute

// failures remembers which services failed, and when.
type failures struct {
	mu sync.Mutex
	at map[peer.ID]time.Time
}

func (f *failures) note(p peer.ID, failed bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !failed {
		delete(f.at, p)
		return
	}
	for q, at := range f.at {
		if now.Sub(at) > failureMemory {
			delete(f.at, q)
		}
	}
	f.at[p] = now
}

func (f *failures) lately(p peer.ID, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.at[p]
	return ok && now.Sub(at) <= failureMemory
}
