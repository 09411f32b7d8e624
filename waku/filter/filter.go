// Package filter implements 12/WAKU2-FILTER, version 2: a light client tells
// full nodes the content topics it wants on a pubsub topic, and they push to
// it the messages that match.
//
// A Service is the full node's side; a Client keeps one wanted set of topics
// subscribed at several peers and tells when that failed for a while, so that
// the gap can be filled from a store.
package filter

import (
	"errors"
	"maps"
	"slices"

	"github.com/libp2p/go-libp2p/core/protocol"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

// Protocol ids: requests of the client, pushes of the service.
const (
	SubscribeID protocol.ID = "/vac/waku/filter-subscribe/2.0.0-beta1"
	PushID      protocol.ID = "/vac/waku/filter-push/2.0.0-beta1"
)

// Limits that deployed nodes share.
const (
	// MaxContentTopics bounds the content topics of one request.
	MaxContentTopics = 100
	// MaxCriteria bounds the pairs of pubsub and content topic of one peer.
	MaxCriteria = 1000
	// MaxRequest and MaxResponse are the largest request and response read,
	// in bytes.
	MaxRequest  = 64 << 10
	MaxResponse = 4 << 10
)

// Status codes of responses. 12/WAKU2-FILTER only says that 2xx is success;
// deployed nodes use these.
const (
	StatusOK          = 200
	StatusBadRequest  = 400
	StatusNotFound    = 404
	StatusTooMany     = 429
	StatusUnavailable = 503
)

// Errors of requests.
var (
	ErrStatus         = errors.New("filter: the peer answers with an error")
	ErrBadRequest     = errors.New("filter: the peer refuses the request")
	ErrNoSubscription = errors.New("filter: the peer knows no subscription")
	ErrTooMany        = errors.New("filter: the peer limits the rate of requests")
	ErrUnavailable    = errors.New("filter: the peer's filter is not available")
	ErrResponse       = errors.New("filter: malformed response")
)

// StatusError is a response that is no success. It matches ErrStatus and the
// error of its code.
type StatusError = rpc.StatusError

var statuses = rpc.Statuses{Protocol: "filter", Any: ErrStatus, Codes: map[uint32]error{
	StatusBadRequest:  ErrBadRequest,
	StatusNotFound:    ErrNoSubscription,
	StatusTooMany:     ErrTooMany,
	StatusUnavailable: ErrUnavailable,
}}

// The request types of 12/WAKU2-FILTER.
const (
	ping           = wakupb.FilterSubscribeRequest_SUBSCRIBER_PING
	subscribe      = wakupb.FilterSubscribeRequest_SUBSCRIBE
	unsubscribe    = wakupb.FilterSubscribeRequest_UNSUBSCRIBE
	unsubscribeAll = wakupb.FilterSubscribeRequest_UNSUBSCRIBE_ALL
)

// criterion is what a message is matched with.
type criterion struct{ pubsub, content string }

// criteria is a set of them.
type criteria map[criterion]struct{}

// criteriaOf reads the form of SetSubscriptions; empty names are left out.
func criteriaOf(topics map[string][]string) criteria {
	c := make(criteria)
	for pubsub, contents := range topics {
		for _, content := range contents {
			if pubsub != "" && content != "" {
				c[criterion{pubsub, content}] = struct{}{}
			}
		}
	}
	return c
}

// minus returns the criteria of c that are not in other.
func (c criteria) minus(other criteria) criteria {
	out := make(criteria)
	for k := range c {
		if _, ok := other[k]; !ok {
			out[k] = struct{}{}
		}
	}
	return out
}

// batch is a pubsub topic with content topics, as many as a request takes.
type batch struct {
	pubsub   string
	contents []string
}

// batches splits the criteria for requests, in a stable order.
func (c criteria) batches() []batch {
	byPubsub := make(map[string][]string)
	for k := range c {
		byPubsub[k.pubsub] = append(byPubsub[k.pubsub], k.content)
	}
	var out []batch
	for _, pubsub := range slices.Sorted(maps.Keys(byPubsub)) {
		contents := byPubsub[pubsub]
		slices.Sort(contents)
		for part := range slices.Chunk(contents, MaxContentTopics) {
			out = append(out, batch{pubsub, part})
		}
	}
	return out
}

// criteria returns the batch as a set.
func (b batch) criteria() criteria { return criteriaOf(map[string][]string{b.pubsub: b.contents}) }
