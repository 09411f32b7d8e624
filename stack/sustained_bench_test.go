package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// cable joins two stacks without a network in between.
type cable struct {
	other     *cable
	envelopes chan Envelope
}

func (c *cable) Publish(ctx context.Context, pubsub string, m *wakupb.WakuMessage) (int, error) {
	select {
	case c.other.envelopes <- Envelope{PubsubTopic: pubsub, Message: m, Hash: message.HashOf(pubsub, m)}:
		return 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *cable) PublishLightpush(ctx context.Context, pubsub string, m *wakupb.WakuMessage) (int, error) {
	return c.Publish(ctx, pubsub, m)
}
func (c *cable) Subscribe(context.Context, map[string][]string) error { return nil }
func (c *cable) Query(context.Context, *store.Query) (*store.Page, error) {
	return new(store.Page), nil
}
func (c *cable) Listening() bool            { return true }
func (c *cable) Envelopes() <-chan Envelope { return c.envelopes }
func (c *cable) Gaps() <-chan time.Time     { return nil }

// BenchmarkSustained is a whole conversation, both sides in this process with
// databases on disk: each message is committed before SendText returns, sealed,
// delivered, committed, acknowledged and its state committed again. With -cpu 1
// it is what one core sustains for both sides together.
func BenchmarkSustained(b *testing.B) {
	keys := topic.NewKeys(0)
	one, two := &cable{envelopes: make(chan Envelope, 256)}, &cable{envelopes: make(chan Envelope, 256)}
	one.other, two.other = two, one
	var people [2]*Stack
	for i, link := range []*cable{one, two} {
		db, err := storage.Open(filepath.Join(b.TempDir(), fmt.Sprint(i)), [storage.KeySize]byte{1})
		if err != nil {
			b.Fatal(err)
		}
		if people[i], err = New(Config{
			Identity: identity(b, byte(i)), InstallationID: fmt.Sprint("installation-", i),
			Network: Network{Cluster: statusCluster, Shards: specified()}, DB: db, Keys: keys,
			Profile: contact.Profile{DisplayName: "Somebody"},
		}); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- people[i].Run(ctx, link) }()
		b.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
			db.Close()
		})
	}
	start := time.Now()
	for b.Loop() {
		if _, err := people[0].SendText(people[1].Self(), "a message of some fifty characters, as people write", ""); err != nil {
			b.Fatal(err)
		}
	}
	delivered := 0
	err := people[0].Events(b.Context(), 0, true, func(e storage.Event) error {
		var change view.StateChange
		if e.Type == EventMessageState {
			if err := json.Unmarshal(e.Data, &change); err != nil {
				return err
			}
			if change.State == chat.Delivered {
				delivered++
			}
		}
		if delivered == b.N {
			return errAll
		}
		return nil
	})
	if !errors.Is(err, errAll) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "messages/s")
}

var errAll = errors.New("all delivered")
