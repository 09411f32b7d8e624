package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/parley-im/parley/waku/filter"
)

// How long the parts of an orderly end may take at most.
const (
	// closeRequests is for requests under way to be answered.
	closeRequests = 10 * time.Second
	// closeFlush is for what was published to reach the relay's neighbours,
	// closePush for what waits for filter subscribers to reach them.
	closeFlush = 2 * time.Second
	closePush  = 5 * time.Second
	// closeArchive is for what waits to be in the archive.
	closeArchive = 30 * time.Second
	// closeFarewell is for the last answers to arrive.
	closeFarewell = time.Second
	// closeQuiet is how long nothing was written when all has gone.
	closeQuiet = 100 * time.Millisecond
)

// Close stops the node and closes the channels of Envelopes, Gaps and Tap. No
// accepted message is lost by it: nobody new is let in, requests under way
// are answered, what was published goes to the neighbours, to the filter
// subscribers and to the archive, each within a bound. The error tells of what
// is not in the archive then.
func (n *Node) Close() error {
	var errs []error
	n.closed.Do(func() { errs = n.close() })
	return errors.Join(errs...)
}

func (n *Node) close() (errs []error) {
	n.gate.open.Store(false)
	n.cancel()
	if n.peers != nil {
		n.peers.close()
	}
	// First what accepts messages, then what they go to.
	if n.pusher != nil {
		within(closeRequests, n.pushing.drain)
		errs = append(errs, n.pusher.Close())
	}
	if f := n.filter.Load(); f != nil {
		errs = append(errs, f.Close())
	}
	if n.relay != nil {
		within(closeFlush, func(ctx context.Context) { n.relayOut.quiet(ctx, closeQuiet) })
		errs = append(errs, n.relay.Close())
	}
	if n.pushed != nil {
		within(closePush, n.drainPushes)
		errs = append(errs, n.pushed.Close())
	}
	if n.archive != nil {
		errs = append(errs, n.archive.close(closeArchive))
	}
	if n.store != nil {
		within(closeRequests, n.querying.drain)
		errs = append(errs, n.store.Close())
	}
	if n.metadata != nil {
		errs = append(errs, n.metadata.Close())
	}
	within(closeFarewell, func(ctx context.Context) {
		n.pushing.farewell(ctx, n.h)
		n.querying.farewell(ctx, n.h)
	})
	errs = append(errs, n.h.Close())
	n.taps.close()
	close(n.envelopes.stop)
	n.wg.Wait()
	n.gaps.close()
	return errs
}

// drainPushes waits until nothing waits for a filter subscriber that is
// connected.
func (n *Node) drainPushes(ctx context.Context) {
	waits := func(s filter.Subscription) bool { return s.Connected && s.Queued > 0 }
	for slices.ContainsFunc(n.pushed.Subscriptions(), waits) && sleep(ctx, closeQuiet/5) {
		continue
	}
	// One is in the hands of each sender, which may keep a pace.
	pause := closeQuiet
	if n.cfg.FilterPushRate > 0 {
		pause += time.Duration(float64(time.Second) / n.cfg.FilterPushRate)
	}
	n.filterOut.quiet(ctx, pause)
}

func within(d time.Duration, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	f(ctx)
}
