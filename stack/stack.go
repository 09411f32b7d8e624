// Package stack is where the layers meet: the road of a message from the
// application to the wire (outbound.go) and back (inbound.go), the outbox
// between the database and the network, and the schedule that keeps both
// going. It is the only package that knows all layers.
//
// Every step on either road is one database transaction. What leaves the
// process (envelopes, acknowledgements, notifications) leaves after the
// commit, from what was committed.
package stack

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/encryption/session"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/segment"
	"github.com/parley-im/parley/waku/topic"
)

// Config is what a Stack needs. Identity, InstallationID, Network and DB are
// required.
type Config struct {
	// Identity is the account's chat key.
	Identity key.Private
	// InstallationID names this device, a UUID.
	InstallationID string
	Network        Network
	DB             *storage.DB
	// Keys memoises the symmetric keys of topics; nil makes a new memo.
	Keys *topic.Keys
	// Profile is what others are told about us, until SetProfile says
	// otherwise.
	Profile contact.Profile
	// Rand is the source of randomness; nil is crypto/rand.
	Rand io.Reader
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Log takes the log; nil drops it.
	Log *slog.Logger
	// OnDecoded, when set, sees every application message that was decoded,
	// once, before it is handled and whether or not its type is handled.
	OnDecoded func(Decoded)
	// OnTraffic, when set, sees every envelope that was published or received.
	OnTraffic func(Traffic)
	// OnProgress, when set, sees the progress of fetching missed messages.
	OnProgress func(Progress)
}

// Decoded is an application message as it came out of the layers.
type Decoded struct {
	*message.Message
	// Envelope is the Waku message it came in.
	Envelope Envelope
	Handled  bool
}

// Traffic is an envelope on the wire.
type Traffic struct {
	// Out: published by us, to Peers peers; else received.
	Out   bool
	Peers int
	Envelope
	// Bytes is the length of the encoded WakuMessage.
	Bytes int
}

// traffic tells OnTraffic of an envelope.
func (s *Stack) traffic(e Envelope, out bool, peers int) {
	if s.onTraffic != nil {
		s.onTraffic(Traffic{Out: out, Peers: peers, Envelope: e, Bytes: proto.Size(e.Message)})
	}
}

// Stack is one account on one network. Its methods are safe for concurrent
// use; Run does the work that needs the network.
type Stack struct {
	identity key.Private
	network  Network
	db       *storage.DB
	keys     *topic.Keys
	ring     keyring
	// communities are those that were read lately.
	communities communityMemo
	// me is what others are told about us, configured the part of it that New
	// was given; meMu is held by who changes it.
	me         atomic.Pointer[self]
	meMu       sync.Mutex
	configured contact.Profile
	rand       io.Reader
	now        func() time.Time
	log        *slog.Logger

	session     *session.Protocol
	mvds        *mvds.Sync
	segments    segment.Assembler
	segmentSize int
	// largeTopics are the pubsub topics that are for large messages alone.
	largeTopics map[string]bool
	// foreign are envelopes that came and are not for us; stores is what is
	// known of store nodes.
	foreign foreign
	stores  storeBook

	onDecoded  func(Decoded)
	onProgress func(Progress)
	onTraffic  func(Traffic)

	// filters are what unseal tries, by content topic.
	filters   atomic.Pointer[map[string][]filter]
	filtersMu sync.Mutex
	counters  counters
	news      lately
	synced    syncedCounts
	// followedAll are the communities that are listened to, agenda when
	// something is due in the channels of them, channels what these took, and
	// lookups what is to be fetched by its hash for them.
	followedAll atomic.Pointer[map[key.Public]*followed]
	agenda      agenda
	channels    channelCounts
	lookups     lookupQueue
	// storedAt is when a store was last seen to have something of ours.
	storedAt atomic.Pointer[time.Time]

	eventsChanged broadcast
	// wake tells Run's parts that there is work.
	wakeSchedule, wakeOutbox, wakeSubscribe, wakeTidy, wakeClaims chan struct{}
	// wakeLocal tells that another device of ours is there, who may have said more
	// than reaches us by itself.
	wakeLocal chan struct{}
	// wakeStores tells that there is a reason to ask store nodes: topics that
	// are new to us, somebody who writes, something that was published.
	wakeStores hints

	progressMu sync.Mutex
	progress   Progress
}

// bundleRefresh is how old the signature of our own bundle may become. Deployed
// clients sign at every send; a receiver of ours can skip verifying a bundle it
// has seen, and two signatures a message less are made.
const bundleRefresh = 10 * time.Minute

// payloadMost is the length of a reliability payload. For one device it fits one
// Waku message with room for headers and bundle; for several it is segmented.
const payloadMost = 128 << 10

// awayGap is the longest time between two sends to somebody who shows no sign of
// life, where store nodes hold what was sent.
const awayGap = 24 * time.Hour

// New makes a stack and loads what it listens to; it does no I/O beside the
// database.
func New(c Config) (*Stack, error) {
	if c.Identity.IsZero() || c.InstallationID == "" || c.DB == nil {
		return nil, errors.New("stack: identity, installation id and database are required")
	}
	if err := c.Network.Validate(); err != nil {
		return nil, err
	}
	s := &Stack{
		identity: c.Identity,
		network:  c.Network,
		db:       c.DB,
		keys:     c.Keys,
		rand:     c.Rand,
		now:      c.Now,
		log:      c.Log,
		session:  &session.Protocol{Identity: c.Identity, InstallationID: c.InstallationID, BundleRefresh: bundleRefresh},
		mvds:     mvds.New(c.Identity.Public()),

		segmentSize:   segment.SizeFor(topic.Content(""), wakumessage.MaxPublishSize),
		onDecoded:     c.OnDecoded,
		onProgress:    c.OnProgress,
		onTraffic:     c.OnTraffic,
		wakeSchedule:  make(chan struct{}, 1),
		wakeOutbox:    make(chan struct{}, 1),
		wakeSubscribe: make(chan struct{}, 1),
		wakeTidy:      make(chan struct{}, 1),
		wakeClaims:    make(chan struct{}, 1),
		wakeLocal:     make(chan struct{}, 1),
		wakeStores:    newHints(),
		largeTopics:   c.Network.allLargeTopics(),
		agenda:        newAgenda(),
		lookups:       newLookups(),
	}
	s.mvds.MaxPayload = payloadMost
	s.mvds.AwayGap = awayGap
	if s.keys == nil {
		s.keys = topic.NewKeys(0)
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.loadSelf(c.Profile); err != nil {
		return nil, err
	}
	return s, s.loadFilters()
}

// Network returns the network the stack was made for.
func (s *Stack) Network() Network { return s.network }

// Self returns the account's public key.
func (s *Stack) Self() key.Public { return s.identity.Public() }

// step is a transaction with what must happen after its commit.
type step struct {
	*storage.Tx
	stepResult
}

type stepResult struct {
	now time.Time
	// flush: the reliability layer has something to send.
	flush bool
	// outbox, events: records were added.
	outbox, events bool
	// resubscribe: what is listened to has changed.
	resubscribe bool
	// tidy: storage has put something off. claims: there are ENS names to be
	// looked up.
	tidy, claims bool
	// heard: somebody wrote to us or answered. published: something is to be
	// looked for in stores.
	heard, published bool
	// rang: another device of ours has published something.
	rang bool
	// delivered are the application messages that came.
	delivered []message.ID
	// touched are the communities whose channels have something else to do, or
	// at another time, and lookups what they lack.
	touched []key.Public
	lookups []lookup
}

// try runs f in a step inside this one, dropped alone when f fails.
func (t *step) try(f func(t *step) error) error {
	return t.Tx.Try(func(tx *storage.Tx) error {
		inner := &step{tx, t.stepResult}
		if err := f(inner); err != nil {
			return err
		}
		t.stepResult = inner.stepResult
		return nil
	})
}

// event appends to the durable event stream.
func (t *step) event(kind string, data any) error {
	_, err := t.AppendEvent(kind, t.now, data)
	t.events = true
	return err
}

// update runs one step and, after its commit, wakes who waits for it. What the
// reliability layer has due at once goes out in the same transaction.
func (s *Stack) update(f func(t *step) error) error {
	var result stepResult
	err := s.db.Update(func(tx *storage.Tx) error {
		t := &step{tx, stepResult{now: s.now()}}
		if err := f(t); err != nil {
			return err
		}
		if t.flush {
			if err := s.flush(t); err != nil {
				return err
			}
		}
		result = t.stepResult
		return nil
	})
	if err != nil {
		return err
	}
	if result.heard {
		wake(s.wakeStores.heard)
	}
	if result.published {
		wake(s.wakeStores.published)
	}
	if result.rang {
		wake(s.wakeLocal)
	}
	if result.resubscribe {
		if err := s.loadFilters(); err != nil {
			return err
		}
		wake(s.wakeSubscribe)
		wake(s.wakeStores.topics)
	}
	if result.flush {
		wake(s.wakeSchedule)
	}
	if result.outbox {
		wake(s.wakeOutbox)
	}
	if result.tidy {
		wake(s.wakeTidy)
	}
	if result.claims {
		wake(s.wakeClaims)
	}
	if len(result.touched) > 0 {
		s.agenda.touch(result.touched...)
	}
	if len(result.lookups) > 0 {
		s.lookups.add(result.lookups)
	}
	if result.events {
		s.eventsChanged.notify()
	}
	return nil
}

// wake sends without blocking: one pending signal is enough.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run connects the stack to a transport until ctx ends, which is no error. Any
// other return is a failure of the database.
func (s *Stack) Run(ctx context.Context, transport Transport) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for _, part := range []func(context.Context, Transport) error{
		s.receive, s.publish, s.schedule, s.listen, s.tidy, s.reconcile, s.tend, s.lookUp,
	} {
		group.Go(func() {
			if err := part(ctx, transport); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// receive takes live envelopes up the inbound road, one after the other.
func (s *Stack) receive(ctx context.Context, transport Transport) error {
	envelopes := transport.Envelopes()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-envelopes:
			if !ok {
				envelopes = nil // the transport is closed
				continue
			}
			if err := s.Receive(e); err != nil {
				return err
			}
		}
	}
}

// tidy does in the background what storage has put off.
func (s *Stack) tidy(ctx context.Context, _ Transport) error {
	for ctx.Err() == nil {
		more, err := s.db.Work()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wakeTidy:
		}
	}
	return nil
}
