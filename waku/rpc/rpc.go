// Package rpc is what the request and response protocols of Waku have in
// common (12/WAKU2-FILTER, 13/WAKU2-STORE, 19/WAKU2-LIGHTPUSH,
// 66/WAKU2-METADATA): a fresh stream for each request, one frame each way,
// and each side ends its direction after it.
//
// Do is the client's side of an exchange, Serve the service's. Gate and
// Limiter keep one peer from taking what is meant for all; Statuses reads the
// status codes of responses.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
)

// Call is a request in the terms of one protocol.
type Call struct {
	Protocol protocol.ID
	Request  proto.Message
	// Response is what the response is read into, a frame of at most
	// MaxResponse bytes.
	Response    proto.Message
	MaxResponse int
}

// Do asks p on a stream of its own and reads the response. Of several calls,
// the preferred one first, it makes the one whose protocol p speaks, which it
// returns. The exchange ends with ctx; its error is then ctx's too.
func Do(ctx context.Context, h host.Host, p peer.ID, calls ...Call) (protocol.ID, error) {
	ids := make([]protocol.ID, len(calls))
	for i, c := range calls {
		ids[i] = c.Protocol
	}
	s, err := h.NewStream(ctx, p, ids...)
	if err != nil {
		return "", because(ctx, err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	if deadline, ok := ctx.Deadline(); ok {
		_ = s.SetDeadline(deadline)
	}
	id := s.Protocol()
	if err := calls[slices.Index(ids, id)].exchange(s); err != nil {
		_ = s.Reset()
		return "", because(ctx, err)
	}
	_ = s.Close()
	return id, nil
}

// exchange writes the request, ends the write side and reads the response.
func (c Call) exchange(s network.Stream) error {
	if err := wire.Write(s, c.Request); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	return wire.Read(s, c.MaxResponse, c.Response)
}

// because names the end of ctx as what is behind err: on the stream it looks
// like a reset.
func because(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
