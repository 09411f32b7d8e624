package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/rpc"
)

// filterer keeps the subscriptions made by calls at connected filter services.
// Its client appears on the host with the first one.
type filterer struct {
	host host.Host
	log  *slog.Logger
	feed *feed

	mu     sync.Mutex // held for a change of subscriptions
	client *filter.Client
	closed bool
	woken  chan struct{} // holds a token when the client reports something
}

func newFilterer(cfg Config) *filterer {
	return &filterer{
		host: cfg.Node.Host(), log: cfg.Logger, feed: newFeed(cfg.Cache),
		woken: make(chan struct{}, 1),
	}
}

func (f *filterer) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.client == nil {
		return nil
	}
	return f.client.Close()
}

// filterError is why a filter call failed, in the kinds that nwaku has.
type filterError struct {
	status int
	kind   string
	cause  string
}

// Error implements error.
func (e *filterError) Error() string { return e.kind + ": " + e.cause }

func unavailable(cause string) *filterError {
	return &filterError{http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", cause}
}

func badRequest(cause string) *filterError {
	return &filterError{http.StatusBadRequest, "BAD_REQUEST", cause}
}

var (
	errNoService  = unavailable("No suitable service peer & no discovery method")
	errUnasked    = &filterError{http.StatusNotFound, "NOT_FOUND", "peer has no subscriptions"}
	errSubTimeout = unavailable("Subscription request timed out")
)

// filterErrorOf says in nwaku's kinds why a service did not do what it was
// asked.
func filterErrorOf(err error) *filterError {
	if known, ok := errors.AsType[*filterError](err); ok {
		return known
	}
	cause := err.Error()
	if refused, ok := errors.AsType[*filter.StatusError](err); ok && refused.Desc != "" {
		cause = refused.Desc
	}
	for _, k := range []struct {
		is   error
		kind filterError
	}{
		{filter.ErrBadRequest, *badRequest("")},
		{filter.ErrNoSubscription, *errUnasked},
		{filter.ErrTooMany, filterError{status: http.StatusTooManyRequests, kind: "TOO_MANY_REQUESTS"}},
		{filter.ErrUnavailable, *unavailable("")},
		{filter.ErrStatus, filterError{status: http.StatusInternalServerError, kind: "BAD_RESPONSE"}},
		{filter.ErrResponse, filterError{status: http.StatusInternalServerError, kind: "BAD_RESPONSE"}},
	} {
		if errors.Is(err, k.is) {
			// Services name the kind themselves.
			return &filterError{k.kind.status, k.kind.kind, strings.TrimPrefix(cause, k.kind.kind+": ")}
		}
	}
	return &filterError{http.StatusGatewayTimeout, "PEER_DIAL_FAILURE", cause}
}

// services are the connected peers that serve filter.
func (f *filterer) services() (out []peer.ID) {
	for _, p := range f.host.Network().Peers() {
		if known, err := f.host.Peerstore().SupportsProtocols(p, filter.SubscribeID); err == nil && len(known) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// subscribe subscribes to subjects and waits until a service has confirmed;
// without it everything is as before.
func (f *filterer) subscribe(ctx context.Context, subjects []subject) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.services()) == 0 {
		return errNoService
	}
	if err := f.start(); err != nil {
		return err
	}
	added, err := f.feed.subscribe(subjects...)
	if err != nil {
		return badRequest(err.Error())
	}
	if err = f.apply(); err == nil {
		err = f.await(ctx)
	}
	if err != nil {
		f.feed.unsubscribe(added...)
		f.restore(ctx, errors.Is(err, filter.ErrStatus))
	}
	return err
}

// restore goes back to what was subscribed to before a failure. A client
// leaves a peer that refused alone for a while; a new one does not, so that
// one bad request is not the end of what other requests have.
func (f *filterer) restore(ctx context.Context, refused bool) {
	if refused {
		_ = f.client.Close()
		f.client = nil
		if err := f.start(); err != nil {
			f.log.Warn("filter subscriptions are lost", "cause", err)
			return
		}
	}
	_ = f.apply() // no more than were taken before
	if refused {
		if err := f.await(ctx); err != nil {
			f.log.Warn("filter subscriptions are out of step", "cause", err)
		}
	}
}

// unsubscribe takes subjects back and waits until the service has confirmed.
func (f *filterer) unsubscribe(ctx context.Context, match func(subject) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.feed.subjects(match)
	switch {
	case len(f.services()) == 0 && len(found) == 0:
		return errNoService
	case len(f.feed.subjects(everything)) == 0:
		return errUnasked
	}
	f.feed.unsubscribe(found...)
	if err := f.apply(); err != nil {
		return err
	}
	return f.await(ctx)
}

func everything(subject) bool { return true }

// start brings up the client; f.mu is held, as for all below.
func (f *filterer) start() (err error) {
	if f.closed {
		return unavailable("the server is closed")
	}
	if f.client != nil {
		return nil
	}
	f.client, err = filter.NewClient(f.host, filter.ClientConfig{
		Peers: f.services,
		OnMessage: func(pubsub string, m *wakupb.WakuMessage) {
			f.feed.deliver(pubsub, m, message.HashOf(pubsub, m))
		},
		OnGap: func(time.Time) {
			select {
			case f.woken <- struct{}{}:
			default:
			}
		},
		Logger: f.log,
	})
	return err
}

// apply tells the client what is subscribed to.
func (f *filterer) apply() error {
	want := make(map[string][]string)
	for _, s := range f.feed.subjects(everything) {
		want[s.pubsub] = append(want[s.pubsub], s.content)
	}
	if err := f.client.SetSubscriptions(want); err != nil {
		return badRequest(err.Error())
	}
	return nil
}

// await waits until a service has all that is subscribed to and nothing else,
// or until all services refused.
func (f *filterer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		st := f.client.Status()
		busy := 0
		var failed error
		for _, p := range st.Peers {
			switch {
			case p.State == filter.Active && p.Criteria == st.Criteria:
				return nil
			case p.State == filter.Waiting:
				failed = p.Err
			default:
				busy++
			}
		}
		switch {
		case busy == 0 && st.Criteria == 0:
			return nil
		case busy == 0 && failed != nil && len(st.Peers) >= len(f.services()):
			return failed
		}
		select {
		case <-ctx.Done():
			return errSubTimeout
		case <-f.woken:
		case <-tick.C:
		}
	}
}

// ping asks the service that has the subscriptions whether it does.
func (f *filterer) ping(ctx context.Context) error {
	services := f.services()
	if len(services) == 0 {
		return errNoService
	}
	to := services[0]
	f.mu.Lock()
	if f.client != nil {
		for _, p := range f.client.Status().Peers {
			if p.State == filter.Active {
				to = p.ID
			}
		}
	}
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	var resp wakupb.FilterSubscribeResponse
	_, err := rpc.Do(ctx, f.host, to, rpc.Call{
		Protocol: filter.SubscribeID, Response: &resp, MaxResponse: filter.MaxResponse,
		Request: &wakupb.FilterSubscribeRequest{
			RequestId: rand.Text(), FilterSubscribeType: wakupb.FilterSubscribeRequest_SUBSCRIBER_PING,
		},
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable("Ping timed out")
	case err != nil:
		return err
	}
	return pingStatuses.Check(resp.GetStatusCode(), resp.GetStatusDesc())
}

// pingStatuses are the codes that a service answers a ping with.
var pingStatuses = rpc.Statuses{Protocol: "filter", Any: filter.ErrStatus, Codes: map[uint32]error{
	filter.StatusBadRequest:  filter.ErrBadRequest,
	filter.StatusNotFound:    filter.ErrNoSubscription,
	filter.StatusTooMany:     filter.ErrTooMany,
	filter.StatusUnavailable: filter.ErrUnavailable,
}}

// FilterResponse is the answer to every change of filter subscriptions.
type FilterResponse struct {
	RequestID  string `json:"requestId"`
	StatusDesc string `json:"statusDesc"`
}

func filterReply(id string, err error) reply {
	if err == nil {
		return value(http.StatusOK, FilterResponse{id, "OK"})
	}
	failure := filterErrorOf(err)
	return value(failure.status, FilterResponse{id, failure.Error()})
}

type (
	filterInput    struct{ Body FilterRequest }
	filterAllInput struct{ Body FilterAllRequest }
	pingInput      struct {
		RequestID string `path:"requestId"`
	}
	pairInput struct {
		PubsubTopic  string `path:"pubsubTopic" doc:"URL-encoded: slashes are %2F"`
		ContentTopic string `path:"contentTopic" doc:"URL-encoded: slashes are %2F"`
	}
)

func (s *Server) registerFilter() {
	const path = "/filter/v2/subscriptions"
	change := call{
		path: path, out: FilterResponse{}, json: []int{400, 404, 429, 500, 503, 504},
		badBody: func(err error) reply {
			return filterReply("unknown", badRequest("Failed to decode request: "+sentence(err)))
		},
	}
	post, put, del, all, ping := change, change, change, change, change
	post.method, post.id, post.summary = http.MethodPost, "filter-subscribe", "Subscribe to content topics at a filter service"
	put.method, put.id, put.summary = http.MethodPut, "filter-modify", "Subscribe to more content topics at a filter service"
	del.method, del.id, del.summary = http.MethodDelete, "filter-unsubscribe", "Unsubscribe from content topics"
	all.method, all.path, all.id, all.summary = http.MethodDelete, path+"/all", "filter-unsubscribe-all", "End all filter subscriptions"
	ping.method, ping.path, ping.id, ping.summary = http.MethodGet, path+"/{requestId}", "filter-ping", "Ask whether the filter service has a subscription"

	subscribe := func(ctx context.Context, in *filterInput) reply {
		subjects, err := s.filterSubjects(&in.Body)
		if err == nil {
			err = s.filter.subscribe(ctx, subjects)
		}
		return filterReply(in.Body.RequestID, err)
	}
	register(s.routes, post, subscribe)
	register(s.routes, put, subscribe)
	register(s.routes, del, func(ctx context.Context, in *filterInput) reply {
		subjects, err := s.filterSubjects(&in.Body)
		if err == nil {
			err = s.filter.unsubscribe(ctx, func(o subject) bool { return slices.Contains(subjects, o) })
		}
		return filterReply(in.Body.RequestID, err)
	})
	register(s.routes, all, func(ctx context.Context, in *filterAllInput) reply {
		return filterReply(in.Body.RequestID, s.filter.unsubscribe(ctx, everything))
	})
	register(s.routes, ping, func(ctx context.Context, in *pingInput) reply {
		return filterReply(in.RequestID, s.filter.ping(ctx))
	})
	register(s.routes, call{
		method: http.MethodGet, path: "/filter/v2/messages/{contentTopic}",
		id: "filter-messages", summary: "Messages of a content topic since the last such call", out: []Message{}, errors: []int{400},
	}, s.filterMessages)
	register(s.routes, call{
		method: http.MethodGet, path: "/filter/v2/messages/{pubsubTopic}/{contentTopic}",
		id: "filter-messages-of-topic", summary: "Messages of a content topic on one pubsub topic since the last such call", out: []Message{}, errors: []int{404},
	}, s.filterPairMessages)
	register(s.routes, call{
		method: http.MethodGet, path: "/filter/v2/events", media: "text/event-stream",
		id: "filter-events", summary: "Messages of the filter subscriptions as they come, as server-sent events", errors: []int{503},
	}, func(_ context.Context, in *eventsInput) reply {
		return s.serveEvents(s.filter.feed, newStream(in.PubsubTopic, commas(in.ContentTopics)), filterMessage, func() {})
	})
}

// filterSubjects are what a request names, by autosharding where it names no
// pubsub topic.
func (s *Server) filterSubjects(in *FilterRequest) ([]subject, error) {
	if in.PubsubTopic == "" {
		out, err := s.autoSubjects(in.ContentFilters)
		if errors.Is(err, errStatic) {
			return nil, badRequest("pubsub topic must be specified with static sharding")
		}
		if err != nil {
			return nil, badRequest("can't get shard: " + sentence(err))
		}
		return out, nil
	}
	var out []subject
	for _, c := range in.ContentFilters {
		out = append(out, subject{in.PubsubTopic, c})
	}
	return out, nil
}

func (s *Server) filterMessages(_ context.Context, in *contentInput) reply {
	items, ok := s.filter.feed.take(func(o subject) bool { return o.content == in.ContentTopic })
	if !ok {
		return text(http.StatusBadRequest, "Not subscribed to topic: "+in.ContentTopic)
	}
	return value(http.StatusOK, show(items, filterMessage))
}

func (s *Server) filterPairMessages(_ context.Context, in *pairInput) reply {
	items, ok := s.filter.feed.take(func(o subject) bool { return o == subject{in.PubsubTopic, in.ContentTopic} })
	if !ok {
		return textf(http.StatusNotFound, "not subscribed to pubsubTopic:%s contentTopic: %s", in.PubsubTopic, in.ContentTopic)
	}
	return value(http.StatusOK, show(items, filterMessage))
}
