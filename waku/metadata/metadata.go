// Package metadata implements 66/WAKU2-METADATA: two nodes tell each other
// their cluster and the shards they relay, and part when the clusters differ.
//
// Shards travel twice, in field 2 unpacked as the specification has it (what
// JavaScript clients read) and in field 3 packed (what deployed go-waku
// reads). Both are written and both are read, in requests and responses.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
)

// ProtocolID is the protocol id of 66/WAKU2-METADATA.
const ProtocolID protocol.ID = "/vac/waku/metadata/1.0.0"

const (
	// MaxSize is the largest request or response read, in bytes: room for
	// both shard lists of a node on every shard there is.
	MaxSize = 8192
	// MaxShard is the highest shard index of RELAY-SHARDING.
	MaxShard = 1023
	// MaxStreams bounds the streams one peer has open here. JavaScript
	// clients open one ahead of need and leave it idle.
	MaxStreams = 32
	// IdleTimeout is how long a stream may wait for the first byte of its
	// request.
	IdleTimeout = time.Hour
	// exchangeTimeout bounds one request of ours, and of a peer's request,
	// once its first byte has come, the reading and the response, each.
	exchangeTimeout = 10 * time.Second
)

// Errors of the exchange and of the judgement on its result.
var (
	ErrShard     = errors.New("metadata: shard index out of range")
	ErrNoCluster = errors.New("metadata: peer names no cluster")
	ErrCluster   = errors.New("metadata: peer is of another cluster")
	ErrExchange  = errors.New("metadata: exchange failed")
)

// Info is what a node says about itself.
type Info struct {
	// Cluster is the cluster id; HasCluster tells whether one was named.
	Cluster    uint16
	HasCluster bool
	// Shards are the indexes relayed, ascending without repetition; none
	// for a node that does not relay.
	Shards []uint16
}

// Judge says whether a node of cluster keeps a peer that answered in. Only
// the cluster counts: the specification advises against parting over shards,
// and light clients name none.
func (in Info) Judge(cluster uint16) error {
	switch {
	case !in.HasCluster:
		return ErrNoCluster
	case in.Cluster != cluster:
		return fmt.Errorf("%w: %d, not %d", ErrCluster, in.Cluster, cluster)
	}
	return nil
}

// shards returns the shard indexes for the wire.
func (in Info) shards() []uint32 {
	out := make([]uint32, len(in.Shards))
	for i, s := range in.Shards {
		out[i] = uint32(s)
	}
	return out
}

// cluster returns the cluster id for the wire, nil when there is none.
func (in Info) cluster() *uint32 {
	if !in.HasCluster {
		return nil
	}
	c := uint32(in.Cluster)
	return &c
}

// request returns the wire form of in as a request.
func (in Info) request() *wakupb.WakuMetadataRequest {
	return &wakupb.WakuMetadataRequest{
		ClusterId: in.cluster(), ShardsUnpacked: in.shards(), Shards: in.shards(),
	}
}

// response returns the wire form of in as a response.
func (in Info) response() *wakupb.WakuMetadataResponse {
	return &wakupb.WakuMetadataResponse{
		ClusterId: in.cluster(), ShardsUnpacked: in.shards(), Shards: in.shards(),
	}
}

// message is a request or a response; both have the same fields.
type message interface {
	GetShardsUnpacked() []uint32
	GetShards() []uint32
}

// read makes an Info of a received message, joining both shard lists.
func read(cluster *uint32, m message) (Info, error) {
	var in Info
	if cluster != nil {
		if *cluster > 0xffff {
			return Info{}, fmt.Errorf("%w: %d", ErrCluster, *cluster)
		}
		in.Cluster, in.HasCluster = uint16(*cluster), true
	}
	for _, list := range [][]uint32{m.GetShardsUnpacked(), m.GetShards()} {
		for _, s := range list {
			if s > MaxShard {
				return Info{}, fmt.Errorf("%w: %d", ErrShard, s)
			}
			in.Shards = append(in.Shards, uint16(s))
		}
	}
	slices.Sort(in.Shards)
	in.Shards = slices.Compact(in.Shards)
	return in, nil
}

// Request asks a connected peer for its metadata, giving own as ours.
func Request(ctx context.Context, h host.Host, p peer.ID, own Info) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	var resp wakupb.WakuMetadataResponse
	_, err := rpc.Do(ctx, h, p, rpc.Call{
		Protocol: ProtocolID, Request: own.request(), Response: &resp, MaxResponse: MaxSize,
	})
	var in Info
	if err == nil {
		in, err = read(resp.ClusterId, &resp)
	}
	if err != nil {
		return Info{}, fmt.Errorf("%w: %w", ErrExchange, err)
	}
	return in, nil
}
