package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/topic"
)

// tapBuffer is how many messages of a pubsub topic may wait for the feed,
// which takes them without waiting for anybody.
const tapBuffer = 1024

// relayer keeps the relay subscriptions made by calls. A subscription to a
// pubsub topic is the subject of it alone, one to a content topic the subject
// of both.
type relayer struct {
	node Node
	feed *feed

	mu     sync.Mutex // held for a change of subscriptions
	taps   map[string]*tap
	joined map[string]bool // pubsub topics that the node relays because of a call
	closed bool
	wg     sync.WaitGroup
}

// tap is the reception of a pubsub topic, with the number of its users.
type tap struct {
	users int
	stop  func()
	done  chan struct{}
}

// newRelayer begins with subscriptions to what the node relays.
func newRelayer(cfg Config) *relayer {
	r := &relayer{
		node: cfg.Node, feed: newFeed(cfg.Cache),
		taps: make(map[string]*tap), joined: make(map[string]bool),
	}
	for _, t := range cfg.Node.RelayTopics() {
		_ = r.subscribe(subject{pubsub: t}) // relayed already, and few
	}
	return r
}

func (r *relayer) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.taps {
		t.end()
	}
	clear(r.taps)
	r.closed = true
	r.wg.Wait()
}

func (t *tap) end() {
	t.stop()
	close(t.done)
}

// subscribe has the node relay the pubsub topics and keeps the messages of the
// subjects. What was done before an error stays.
func (r *relayer) subscribe(subjects ...subject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range subjects {
		added, err := r.feed.subscribe(s)
		if err != nil {
			return err
		}
		if len(added) == 0 {
			continue
		}
		if !slices.Contains(r.node.RelayTopics(), s.pubsub) {
			if err := r.node.JoinShard(s.pubsub); err != nil {
				r.feed.unsubscribe(s)
				return err
			}
			r.joined[s.pubsub] = true
		}
		r.hold(s.pubsub)
	}
	return nil
}

// unsubscribe forgets subjects. The node leaves a pubsub topic that it joined
// because of a call when nothing is subscribed on it any more; its own shards
// it relays on.
func (r *relayer) unsubscribe(subjects ...subject) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range subjects {
		if len(r.feed.subjects(func(o subject) bool { return o == s })) > 0 {
			r.feed.unsubscribe(s)
			r.release(s.pubsub)
		}
		used := len(r.feed.subjects(func(o subject) bool { return o.pubsub == s.pubsub })) > 0
		if used || !r.joined[s.pubsub] {
			continue
		}
		if err := r.node.LeaveShard(s.pubsub); err != nil {
			return err
		}
		delete(r.joined, s.pubsub)
	}
	return nil
}

// hold receives a pubsub topic for one user more, release for one less; r.mu
// is held.
func (r *relayer) hold(pubsub string) {
	if r.closed {
		return
	}
	if t := r.taps[pubsub]; t != nil {
		t.users++
		return
	}
	in, stop := r.node.Tap(pubsub, tapBuffer)
	t := &tap{users: 1, stop: stop, done: make(chan struct{})}
	r.taps[pubsub] = t
	r.wg.Go(func() {
		for {
			select {
			case e, ok := <-in:
				if !ok {
					return
				}
				r.feed.deliver(e.PubsubTopic, e.Message, e.Hash)
			case <-t.done:
				return
			}
		}
	})
}

func (r *relayer) release(pubsub string) {
	t := r.taps[pubsub]
	if t == nil { // the server is closed
		return
	}
	if t.users--; t.users == 0 {
		t.end()
		delete(r.taps, pubsub)
	}
}

type (
	pubsubInput struct {
		PubsubTopic string `path:"pubsubTopic" doc:"URL-encoded: slashes are %2F"`
	}
	topicsInput  struct{ Body Topics }
	publishInput struct {
		PubsubTopic string `path:"pubsubTopic" doc:"URL-encoded: slashes are %2F"`
		Body        Message
	}
	autoPublishInput struct{ Body Message }
	contentInput     struct {
		ContentTopic string `path:"contentTopic" doc:"URL-encoded: slashes are %2F"`
	}
	eventsInput struct {
		PubsubTopic   string `query:"pubsubTopic"`
		ContentTopics string `query:"contentTopics" doc:"Only these, with commas between"`
	}
)

func (s *Server) registerRelay() {
	register(s.routes, call{
		method: http.MethodPost, path: "/relay/v1/subscriptions",
		id: "relay-subscribe", summary: "Subscribe to pubsub topics", errors: []int{400, 500},
	}, s.relaySubscribe)
	register(s.routes, call{
		method: http.MethodDelete, path: "/relay/v1/subscriptions",
		id: "relay-unsubscribe", summary: "Unsubscribe from pubsub topics", errors: []int{400, 500},
	}, s.relayUnsubscribe)
	register(s.routes, call{
		method: http.MethodGet, path: "/relay/v1/messages/{pubsubTopic}",
		id: "relay-messages", summary: "Messages of a pubsub topic since the last such call", out: []Message{}, errors: []int{404},
	}, s.relayMessages)
	register(s.routes, call{
		method: http.MethodPost, path: "/relay/v1/messages/{pubsubTopic}",
		id: "relay-publish", summary: "Publish on a pubsub topic", errors: []int{400, 500, 503},
	}, func(ctx context.Context, in *publishInput) reply {
		if !slices.Contains(s.cfg.Node.RelayTopics(), in.PubsubTopic) {
			return text(http.StatusBadRequest, "Failed to publish: Node not subscribed to topic: "+in.PubsubTopic)
		}
		return s.relayPublish(ctx, in.PubsubTopic, &in.Body)
	})
	register(s.routes, call{
		method: http.MethodPost, path: "/relay/v1/auto/subscriptions",
		id: "relay-auto-subscribe", summary: "Subscribe to content topics by autosharding", errors: []int{400, 500},
	}, s.autoSubscribe)
	register(s.routes, call{
		method: http.MethodDelete, path: "/relay/v1/auto/subscriptions",
		id: "relay-auto-unsubscribe", summary: "Unsubscribe from content topics", errors: []int{400, 500},
	}, s.autoUnsubscribe)
	register(s.routes, call{
		method: http.MethodGet, path: "/relay/v1/auto/messages/{contentTopic}",
		id: "relay-auto-messages", summary: "Messages of a content topic since the last such call", out: []Message{}, errors: []int{404},
	}, s.autoMessages)
	register(s.routes, call{
		method: http.MethodPost, path: "/relay/v1/auto/messages",
		id: "relay-auto-publish", summary: "Publish on the shard of the content topic", errors: []int{400, 500, 503},
	}, func(ctx context.Context, in *autoPublishInput) reply {
		pubsub, err := s.cfg.pubsubOf(in.Body.ContentTopic)
		if errors.Is(err, errStatic) {
			return text(http.StatusBadRequest, "Failed to publish. Autosharding is disabled")
		}
		if err != nil {
			return text(http.StatusBadRequest, "Failed to publish. "+sentence(err))
		}
		return s.relayPublish(ctx, pubsub, &in.Body)
	})
	register(s.routes, call{
		method: http.MethodGet, path: "/relay/v1/events", media: "text/event-stream",
		id: "relay-events", summary: "Messages of a relayed pubsub topic as they come, as server-sent events", errors: []int{400, 503},
	}, s.relayEvents)
}

func (s *Server) relaySubscribe(_ context.Context, in *topicsInput) reply {
	subjects, refused := pubsubSubjects(in.Body)
	if refused != nil {
		return *refused
	}
	return subscribed(s.relay.subscribe(subjects...))
}

func (s *Server) relayUnsubscribe(_ context.Context, in *topicsInput) reply {
	subjects, refused := pubsubSubjects(in.Body)
	if refused != nil {
		return *refused
	}
	return unsubscribed(s.relay.unsubscribe(subjects...))
}

// pubsubSubjects checks that topics are those of static shards.
func pubsubSubjects(topics []string) (out []subject, refused *reply) {
	var bad []string
	for _, t := range topics {
		if _, _, err := topic.ParsePubsub(t); err != nil {
			bad = append(bad, fmt.Sprintf("%q", t))
		}
		out = append(out, subject{pubsub: t})
	}
	if len(bad) > 0 {
		a := textf(http.StatusBadRequest, "Invalid pubsub topic(s): @[%s]", strings.Join(bad, ", "))
		return nil, &a
	}
	return out, nil
}

func subscribed(err error) reply {
	if err != nil {
		return text(changeStatus(err), "Subscribe failed:"+sentence(err))
	}
	return ok()
}

func unsubscribed(err error) reply {
	if err != nil {
		return text(changeStatus(err), "Unsubscribe failed:"+sentence(err))
	}
	return ok()
}

// changeStatus is the status of a failed change of subscriptions: nwaku's,
// except that what the caller can mend is not called our fault.
func changeStatus(err error) int {
	if errors.Is(err, ErrAutoshard) || errors.Is(err, errSubscriptions) {
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func (s *Server) relayMessages(_ context.Context, in *pubsubInput) reply {
	items, ok := s.relay.feed.take(func(o subject) bool { return o == subject{pubsub: in.PubsubTopic} })
	if !ok {
		return text(http.StatusNotFound, "")
	}
	return value(http.StatusOK, show(items, relayMessage))
}

func show(items []item, as func(*wakupb.WakuMessage) Message) []Message {
	out := make([]Message, 0, len(items))
	for _, it := range items {
		out = append(out, as(it.msg))
	}
	return out
}

// relayPublish publishes, and keeps the message for this API's own readers:
// a node's subscriptions include what it says itself.
func (s *Server) relayPublish(ctx context.Context, pubsub string, in *Message) reply {
	m, err := in.waku(time.Now())
	if err != nil {
		return text(http.StatusBadRequest, err.Error())
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	_, err = s.cfg.Node.Publish(ctx, pubsub, m)
	switch {
	case errors.Is(err, relay.ErrTooLarge):
		return textf(http.StatusBadRequest, "Failed to publish: Message size exceeded maximum of %d bytes", s.cfg.MaxFrame)
	case errors.Is(err, node.ErrInvalid):
		return text(http.StatusBadRequest, "Failed to publish: "+err.Error())
	case errors.Is(err, node.ErrNoPeers):
		return text(http.StatusServiceUnavailable, "Failed to publish: "+err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return text(http.StatusInternalServerError, "Failed to publish: timedout")
	case err != nil:
		return text(http.StatusInternalServerError, "Failed to publish: "+err.Error())
	}
	s.relay.feed.deliver(pubsub, m, message.HashOf(pubsub, m))
	return ok()
}

// autoSubjects are the subjects of content topics by autosharding.
func (s *Server) autoSubjects(contents []string) (out []subject, err error) {
	for _, c := range contents {
		pubsub, err := s.cfg.pubsubOf(c)
		if err != nil {
			return nil, err
		}
		out = append(out, subject{pubsub, c})
	}
	return out, nil
}

func (s *Server) autoSubscribe(_ context.Context, in *topicsInput) reply {
	subjects, err := s.autoSubjects(in.Body)
	if err == nil {
		err = s.relay.subscribe(subjects...)
	}
	return subscribed(err)
}

func (s *Server) autoUnsubscribe(_ context.Context, in *topicsInput) reply {
	subjects, err := s.autoSubjects(in.Body)
	if err == nil {
		err = s.relay.unsubscribe(subjects...)
	}
	return unsubscribed(err)
}

func (s *Server) autoMessages(_ context.Context, in *contentInput) reply {
	items, ok := s.relay.feed.take(func(o subject) bool { return o.content != "" && o.content == in.ContentTopic })
	if !ok {
		return text(http.StatusNotFound, in.ContentTopic)
	}
	return value(http.StatusOK, show(items, relayMessage))
}

func (s *Server) relayEvents(_ context.Context, in *eventsInput) reply {
	switch {
	case in.PubsubTopic == "":
		return text(http.StatusBadRequest, "Missing pubsubTopic")
	case !slices.Contains(s.cfg.Node.RelayTopics(), in.PubsubTopic):
		return text(http.StatusBadRequest, "Node not subscribed to topic: "+in.PubsubTopic)
	}
	s.relay.mu.Lock()
	s.relay.hold(in.PubsubTopic)
	s.relay.mu.Unlock()
	return s.serveEvents(s.relay.feed, newStream(in.PubsubTopic, commas(in.ContentTopics)), relayMessage, func() {
		s.relay.mu.Lock()
		defer s.relay.mu.Unlock()
		s.relay.release(in.PubsubTopic)
	})
}

// commas splits a list in a query; nothing is no list.
func commas(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
