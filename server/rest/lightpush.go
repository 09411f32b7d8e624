package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/topic"
)

// PushResponse is the answer of lightpush version 3.
type PushResponse struct {
	StatusDesc     *string `json:"statusDesc,omitempty"`
	RelayPeerCount *int    `json:"relayPeerCount,omitempty" doc:"Relay peers that the message went to"`
}

// pushError is why a push failed: a code of lightpush version 3 and its text.
type pushError struct {
	code lightpush.Status
	desc string
}

// Error implements error.
func (e *pushError) Error() string { return e.desc }

const noService = "No suitable service peer & no discovery method"

// push publishes as a lightpush service does: on a pubsub topic that this node
// relays by itself, on others by the services of connected nodes.
func (s *Server) push(ctx context.Context, in *PushRequest) (int, error) {
	m, err := in.Message.waku(time.Now())
	if err != nil {
		return 0, &pushError{lightpush.StatusBadRequest, "Invalid message! " + err.Error()}
	}
	pubsub := in.PubsubTopic
	if strings.TrimSpace(pubsub) == "" {
		if pubsub, err = s.cfg.pubsubOf(in.Message.ContentTopic); errors.Is(err, errStatic) {
			return 0, &pushError{lightpush.StatusInvalidMessage, "Pubsub topic must be specified when static sharding is enabled"}
		} else if err != nil {
			return 0, &pushError{lightpush.StatusInvalidMessage, "Invalid content-topic:" + sentence(err)}
		}
	}
	if _, _, err := topic.ParsePubsub(pubsub); err != nil {
		return 0, &pushError{lightpush.StatusUnsupportedTopic, err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	relayed := slices.Contains(s.cfg.Node.RelayTopics(), pubsub)
	publish := s.cfg.Node.PublishLightpush
	if relayed {
		publish = s.cfg.Node.Publish
	}
	peers, err := publish(ctx, pubsub, m)
	refused, answered := errors.AsType[*lightpush.StatusError](err)
	switch {
	case err == nil:
		return peers, nil
	case errors.Is(err, relay.ErrTooLarge):
		return 0, &pushError{lightpush.StatusTooLarge, err.Error()}
	case errors.Is(err, node.ErrInvalid):
		return 0, &pushError{lightpush.StatusInvalidMessage, err.Error()}
	case errors.Is(err, node.ErrNoPeers) && relayed:
		return 0, &pushError{lightpush.StatusNoPeers, "No peers for topic, skipping publish"}
	case errors.Is(err, node.ErrNoPeers):
		return 0, &pushError{lightpush.StatusUnavailable, noService}
	case errors.Is(err, context.DeadlineExceeded):
		return 0, &pushError{lightpush.StatusUnavailable, "Push request timed out"}
	case answered && refused.Code >= 400 && refused.Code < 600:
		return 0, &pushError{refused.Code, refused.Desc}
	}
	return 0, &pushError{lightpush.StatusInternal, err.Error()}
}

type pushInput struct{ Body PushRequest }

func (s *Server) registerLightpush() {
	register(s.routes, call{
		method: http.MethodPost, path: "/lightpush/v1/message",
		id: "lightpush-v1", summary: "Push a message", errors: []int{400, 413, 429, 503},
	}, func(ctx context.Context, in *pushInput) reply {
		_, err := s.push(ctx, &in.Body)
		return pushReplyV1(err)
	})
	register(s.routes, call{
		method: http.MethodPost, path: "/lightpush/v3/message", out: PushResponse{},
		id: "lightpush-v3", summary: "Push a message; the status is the code of lightpush version 3",
		json: []int{400, 413, 420, 421, 429, 500, 503, 505},
		badBody: func(err error) reply {
			return pushReplyV3(0, &pushError{lightpush.StatusBadRequest, "Invalid push request! " + sentence(err)})
		},
	}, func(ctx context.Context, in *pushInput) reply { return pushReplyV3(s.push(ctx, &in.Body)) })
}

// pushReplyV1 says in the terms of version 1 how a push went: whatever is not
// the caller's fault is a service that is not available.
func pushReplyV1(err error) reply {
	if err == nil {
		return ok()
	}
	failed, _ := errors.AsType[*pushError](err)
	switch failed.code {
	case lightpush.StatusBadRequest:
		return text(http.StatusBadRequest, failed.desc)
	case lightpush.StatusTooManyRequests:
		return text(http.StatusTooManyRequests, "Request rate limit reached")
	case lightpush.StatusNoPeers:
		return text(http.StatusServiceUnavailable, "Failed to request a message push: not_published_to_any_peer")
	case lightpush.StatusUnavailable:
		return text(http.StatusServiceUnavailable, failed.desc)
	}
	return text(http.StatusServiceUnavailable, "Failed to request a message push: "+failed.desc)
}

func pushReplyV3(peers int, err error) reply {
	if failed, bad := errors.AsType[*pushError](err); bad {
		return value(int(failed.code), PushResponse{StatusDesc: &failed.desc})
	}
	return value(http.StatusOK, PushResponse{RelayPeerCount: &peers})
}
