package lightpush

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

// Result is what a service that took a message says.
type Result struct {
	// RelayPeers is the number of peers the service relayed to; zero where
	// it did not say (version 2 never does) or served the message itself.
	RelayPeers int
	// Version is the protocol version spoken, 2 or 3.
	Version int
}

// Push asks p to relay m on a pubsub topic. It speaks version 3 where p
// lists it and version 2 otherwise. A refusal is a *StatusError; everything
// else that goes wrong is ErrExchange or ErrResponse. The whole exchange is
// bounded by ctx and by half a minute.
func Push(ctx context.Context, h host.Host, p peer.ID, pubsubTopic string, m *wakupb.WakuMessage) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	id := newRequestID()
	var v3 wakupb.LightPushResponse
	var v2 wakupb.PushRPC
	spoken, err := rpc.Do(ctx, h, p, rpc.Call{
		Protocol:    ProtocolV3,
		Request:     &wakupb.LightPushRequest{RequestId: id, PubsubTopic: &pubsubTopic, Message: m},
		Response:    &v3,
		MaxResponse: MaxResponse,
	}, rpc.Call{
		Protocol:    ProtocolV2,
		Request:     &wakupb.PushRPC{RequestId: id, Request: &wakupb.PushRequest{PubsubTopic: pubsubTopic, Message: m}},
		Response:    &v2,
		MaxResponse: MaxResponse,
	})
	switch {
	case err != nil:
		return Result{}, fmt.Errorf("%w: %w", ErrExchange, err)
	case spoken == ProtocolV2:
		return readV2(id, &v2)
	}
	return readV3(id, &v3)
}

// readV3 reads the response to the request with an id.
func readV3(id string, resp *wakupb.LightPushResponse) (Result, error) {
	if code := Status(resp.StatusCode); code != StatusOK {
		// A refusal counts even without our request id: it may have been
		// given before the request was read.
		return Result{}, &StatusError{Code: code, Desc: rpc.Clip(resp.GetStatusDesc())}
	}
	if resp.RequestId != id {
		return Result{}, fmt.Errorf("%w: another request id", ErrResponse)
	}
	return Result{RelayPeers: int(min(resp.GetRelayPeerCount(), maxRelayPeers)), Version: 3}, nil
}

// maxRelayPeers caps what a service may claim.
const maxRelayPeers = 1 << 16

// readV2 reads the response to the request with an id.
func readV2(id string, resp *wakupb.PushRPC) (Result, error) {
	switch {
	case resp.Response == nil:
		return Result{}, fmt.Errorf("%w: no response in it", ErrResponse)
	case !resp.Response.IsSuccess && resp.RequestId == unreadID:
		return Result{}, &StatusError{Code: StatusTooManyRequests, Desc: rpc.Clip(resp.Response.GetInfo())}
	case !resp.Response.IsSuccess:
		return Result{}, &StatusError{Desc: rpc.Clip(resp.Response.GetInfo())}
	case resp.RequestId != id:
		return Result{}, fmt.Errorf("%w: another request id", ErrResponse)
	}
	return Result{Version: 2}, nil
}

// newRequestID returns 16 random bytes in hexadecimal.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
