package filter

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
)

// subscriber is a peer with at least one criterion.
type subscriber struct {
	id       peer.ID
	criteria criteria
	seen     time.Time // of the last request
	gone     time.Time // since when it is not connected; zero when it is
	queue    *queue
	stop     func() // ends its push loop
}

// registry is who wants what. It does no input or output and is not safe for
// concurrent use.
type registry struct {
	maxPeers int
	serves   func(pubsubTopic string) bool
	peers    map[peer.ID]*subscriber
	index    map[criterion]map[peer.ID]*subscriber
	// start is called for a new subscriber and begins to push to it.
	start func(*subscriber)
}

// refusal is a response that is no success.
type refusal struct {
	code uint32
	text string
}

func refuse(code uint32, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// request carries out a request of p at now. It changes nothing when it
// refuses; nil is success.
func (r *registry) request(p peer.ID, req *wakupb.FilterSubscribeRequest, now time.Time) *refusal {
	if req.GetRequestId() == "" {
		return refuse(StatusBadRequest, "no request id")
	}
	sub := r.peers[p]
	switch t := req.GetFilterSubscribeType(); t {
	case subscribe, unsubscribe:
		if bad := checkCriteria(req); bad != nil {
			return bad
		}
		wanted := batch{req.GetPubsubTopic(), req.GetContentTopics()}.criteria()
		if t == subscribe {
			return r.subscribe(p, wanted, now)
		}
		if sub == nil {
			return refuse(StatusNotFound, "no subscription")
		}
		r.unsubscribe(sub, wanted)
	case ping, unsubscribeAll:
		if sub == nil {
			return refuse(StatusNotFound, "no subscription")
		}
		if t == unsubscribeAll {
			r.remove(sub)
		}
	default:
		return refuse(StatusBadRequest, "unknown request type %d", t)
	}
	if sub != nil {
		sub.seen = now
	}
	return nil
}

// checkCriteria checks the filter criteria of a request that needs them.
func checkCriteria(req *wakupb.FilterSubscribeRequest) *refusal {
	n := len(req.GetContentTopics())
	switch {
	case req.GetPubsubTopic() == "":
		return refuse(StatusBadRequest, "no pubsub topic")
	case n == 0:
		return refuse(StatusBadRequest, "no content topic")
	case n > MaxContentTopics:
		return refuse(StatusBadRequest, "%d content topics, at most %d", n, MaxContentTopics)
	}
	for _, c := range req.GetContentTopics() {
		if c == "" {
			return refuse(StatusBadRequest, "an empty content topic")
		}
	}
	return nil
}

func (r *registry) subscribe(p peer.ID, wanted criteria, now time.Time) *refusal {
	for k := range wanted {
		if r.serves != nil && !r.serves(k.pubsub) {
			return refuse(StatusUnavailable, "this node does not relay the pubsub topic")
		}
	}
	sub := r.peers[p]
	if sub == nil && len(r.peers) >= r.maxPeers && !r.evict() {
		return refuse(StatusUnavailable, "the node has as many subscribers as it takes")
	}
	if sub == nil {
		sub = &subscriber{id: p, criteria: make(criteria), queue: newQueue()}
	}
	added := wanted.minus(sub.criteria)
	if len(sub.criteria)+len(added) > MaxCriteria {
		return refuse(StatusUnavailable, "more than %d filter criteria", MaxCriteria)
	}
	for k := range added {
		sub.criteria[k] = struct{}{}
		if r.index[k] == nil {
			r.index[k] = make(map[peer.ID]*subscriber)
		}
		r.index[k][p] = sub
	}
	sub.seen = now
	if r.peers[p] == nil {
		r.peers[p] = sub
		r.start(sub)
	}
	return nil
}

func (r *registry) unsubscribe(sub *subscriber, unwanted criteria) {
	for k := range unwanted {
		if _, ok := sub.criteria[k]; ok {
			delete(sub.criteria, k)
			r.unindex(sub, k)
		}
	}
	if len(sub.criteria) == 0 {
		r.remove(sub)
	}
}

// remove forgets a subscriber and ends its push loop.
func (r *registry) remove(sub *subscriber) {
	if r.peers[sub.id] != sub {
		return
	}
	for k := range sub.criteria {
		r.unindex(sub, k)
	}
	delete(r.peers, sub.id)
	sub.stop()
}

func (r *registry) unindex(sub *subscriber, k criterion) {
	delete(r.index[k], sub.id)
	if len(r.index[k]) == 0 {
		delete(r.index, k)
	}
}

// evict makes room by removing the subscriber that is disconnected longest.
func (r *registry) evict() bool {
	var oldest *subscriber
	for _, sub := range r.peers {
		if !sub.gone.IsZero() && (oldest == nil || sub.gone.Before(oldest.gone)) {
			oldest = sub
		}
	}
	if oldest == nil {
		return false
	}
	r.remove(oldest)
	return true
}

// expire removes the subscribers that made no request for SubscriptionTimeout
// and those disconnected for ReconnectGrace.
func (r *registry) expire(now time.Time) {
	for _, sub := range r.peers {
		if now.Sub(sub.seen) >= SubscriptionTimeout || !sub.gone.IsZero() && now.Sub(sub.gone) >= ReconnectGrace {
			r.remove(sub)
		}
	}
}
