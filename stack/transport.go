package stack

import (
	"context"

	"github.com/parley-im/parley/account/key"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"time"
)

// Transport is the Waku network as the stack sees it. A waku/node.Node is one
// (through NodeTransport); tests put simulated links in its place.
type Transport interface {
	// Publish hands a message to the network, by relay or lightpush as the
	// mode has it, and returns how many peers took it. No peer is an error.
	Publish(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (peers int, err error)
	// PublishLightpush does so by lightpush in every mode.
	PublishLightpush(ctx context.Context, pubsubTopic string, m *wakupb.WakuMessage) (peers int, err error)
	// Subscribe replaces what is listened to: content topics by pubsub topic.
	Subscribe(ctx context.Context, want map[string][]string) error
	// Query asks a store node for one page.
	Query(ctx context.Context, q *store.Query) (*store.Page, error)
	// Listening tells whether messages on all subscribed topics reach us now.
	Listening() bool
	// Envelopes are the messages that arrive on subscribed topics.
	Envelopes() <-chan Envelope
	// Gaps tells since when reception may have been interrupted.
	Gaps() <-chan time.Time
}

// Envelope is a Waku message with where it was found.
type Envelope struct {
	PubsubTopic string
	Message     *wakupb.WakuMessage
	Hash        message.Hash
	// Stored tells that it came from a store node, not live.
	Stored bool

	// community is the one on whose topics it came, zero for none.
	community key.Public
	// parted tells that it completed a payload in segments, of which it is one.
	parted bool
	// lookedUp tells that it was fetched because something in a community's
	// channel depends on it.
	lookedUp bool
	// said is when a message was said that waited for this one.
	said time.Time
}
