// Package peerexchange implements 34/WAKU2-PEER-EXCHANGE: a node that cannot
// take part in discv5 asks one that does for node records.
//
// A Service answers from a Cache of records that discv5 found and checked,
// never from the peers it is connected to. Request is the client's side.
package peerexchange

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/rpc"
)

// ProtocolID is the protocol id of 34/WAKU2-PEER-EXCHANGE.
const ProtocolID protocol.ID = "/vac/waku/peer-exchange/2.0.0-alpha1"

const (
	// MaxPeers is the most records given or asked for at a time, as in deployed
	// nwaku.
	MaxPeers = 60
	// MaxRequest is the largest request read, in bytes; it holds one number.
	MaxRequest = 1024
	// MaxResponse is the largest response read, in bytes: MaxPeers records of
	// the largest size, and room to spare for deployed go-waku, which gives as
	// many as it is asked for and no more.
	MaxResponse = 32 << 10
)

// Status codes of responses. Deployed go-waku sends none.
const (
	StatusOK          = 200
	StatusBadRequest  = 400
	StatusTooMany     = 429
	StatusUnavailable = 503
)

// Errors of a request.
var (
	// ErrExchange is a request that failed, for whatever cause.
	ErrExchange = errors.New("peer exchange failed")
	// ErrNumber is a number of peers below 1 or above MaxPeers.
	ErrNumber = errors.New("number of peers out of range")
	// ErrTooMany is a peer that was asked too often.
	ErrTooMany = errors.New("asked too often")
	// ErrUnavailable is a peer that knows no records now.
	ErrUnavailable = errors.New("no records there")
	// ErrResponse is a response that makes no sense, or whose records are all
	// invalid.
	ErrResponse = errors.New("bad response")
)

var statuses = rpc.Statuses{Protocol: "peer exchange", Any: ErrExchange, Codes: map[uint32]error{
	StatusTooMany: ErrTooMany, StatusUnavailable: ErrUnavailable,
}}

// Request asks p for at most n records, 1 to MaxPeers. It returns those whose
// signature and form are right, each node once, without the node of h itself
// and those that name no address. Cluster and shards are the caller's to look
// at, and that the nodes are there is the responder's word alone: who gives
// all the records chooses all the peers, so ask several (34/WAKU2-PEER-EXCHANGE,
// Security Considerations).
func Request(ctx context.Context, h host.Host, p peer.ID, n int) ([]*discovery.Record, error) {
	if n < 1 || n > MaxPeers {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrNumber, n, MaxPeers)
	}
	asked := uint64(n)
	var resp wakupb.PeerExchangeRPC
	_, err := rpc.Do(ctx, h, p, rpc.Call{
		Protocol: ProtocolID, Response: &resp, MaxResponse: MaxResponse,
		Request: &wakupb.PeerExchangeRPC{Query: &wakupb.PeerExchangeQuery{NumPeers: &asked}},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExchange, err)
	}
	return records(&resp, n, h.ID())
}

// records reads at most n records of a response to self.
func records(m *wakupb.PeerExchangeRPC, n int, self peer.ID) ([]*discovery.Record, error) {
	resp := m.GetResponse()
	if resp == nil {
		return nil, fmt.Errorf("%w: %w: none in it", ErrExchange, ErrResponse)
	}
	infos := resp.GetPeerInfos()
	code := resp.GetStatusCode()
	if resp.StatusCode == nil { // as deployed nwaku reads it
		if code = StatusUnavailable; len(infos) > 0 {
			code = StatusOK
		}
	}
	if err := statuses.Check(code, resp.GetStatusDesc()); err != nil {
		return nil, err
	}
	var found []*discovery.Record
	at := make(map[peer.ID]int)
	var bad error
	for _, info := range infos[:min(len(infos), MaxPeers)] {
		r, err := discovery.ParseRaw(info.GetEnr())
		if err != nil {
			bad = err
			continue
		}
		if r.PeerID == self || len(r.Multiaddrs) == 0 {
			continue
		}
		if i, ok := at[r.PeerID]; ok {
			if r.Seq > found[i].Seq {
				found[i] = r
			}
		} else if len(found) < n {
			at[r.PeerID] = len(found)
			found = append(found, r)
		}
	}
	if len(found) == 0 && bad != nil {
		return nil, fmt.Errorf("%w: %w: %w", ErrExchange, ErrResponse, bad)
	}
	return found, nil
}
