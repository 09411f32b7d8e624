package interop

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/waku-org/go-waku/waku/v2/protocol"
	"github.com/waku-org/go-waku/waku/v2/protocol/relay"

	"github.com/parley-im/parley/interop/internal/gowaku"
)

// wakuInbox is what a subscription of go-waku has given so far.
type wakuInbox struct {
	mu  sync.Mutex
	got []*protocol.Envelope
}

// collect reads a subscription until the test ends.
func collect(t *testing.T, from <-chan *protocol.Envelope) *wakuInbox {
	box := new(wakuInbox)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case e, ok := <-from:
				if !ok {
					return
				}
				box.mu.Lock()
				box.got = append(box.got, e)
				box.mu.Unlock()
			case <-stop:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-ended
	})
	return box
}

// all is what has come, in order.
func (b *wakuInbox) all() []*protocol.Envelope {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

// distinct is the number of different messages that have come.
func (b *wakuInbox) distinct() int {
	seen := make(map[string]bool)
	for _, e := range b.all() {
		seen[e.Hash().String()] = true
	}
	return len(seen)
}

// expect waits for n messages and returns them, or fails.
func (b *wakuInbox) expect(t *testing.T, n int) []*protocol.Envelope {
	t.Helper()
	wait(t, fmt.Sprintf("%d messages at go-waku", n), func() bool { return len(b.all()) >= n })
	all := b.all()
	if len(all) != n {
		t.Fatalf("%d messages instead of %d", len(all), n)
	}
	return all
}

// publishOn publishes a message by go-waku's relay and returns its hash.
func publishOn(t *testing.T, n *gowaku.Node, pubsubTopic, contentTopic string, payload []byte) string {
	t.Helper()
	hash, err := n.Relay().Publish(within(t), wakuMessage(contentTopic, payload), relay.WithPubSubTopic(pubsubTopic))
	if err != nil {
		t.Fatal("go-waku publishes:", err)
	}
	return hash.String()
}
