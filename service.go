package parley

import (
	"log/slog"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/store/sqlite"
)

// ServiceConfig is what a service node needs.
type ServiceConfig struct {
	Cluster uint16
	Shards  []uint16
	// MaxFrame is the largest GossipSub frame that the network's relays take,
	// in bytes; see [Network].
	MaxFrame int
	// Listen are multiaddrs; empty is a free TCP port on loopback.
	Listen []string
	// Peers are dialled and kept, multiaddrs with /p2p/….
	Peers []string
	// Archive is the path of the store service's SQLite archive; empty keeps
	// it in memory, NoStore mounts none.
	Archive string
	NoStore bool
	// Key is the node's own key; nil makes a new one.
	Key crypto.PrivKey
	Log *slog.Logger
}

// ServiceNode is a Waku node without an account: relay, filter, lightpush and
// store for others.
type ServiceNode struct {
	*node.Node
	archive store.Archive
}

// Serve starts a service node.
func Serve(c ServiceConfig) (_ *ServiceNode, err error) {
	s := new(ServiceNode)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	static, err := parsePeers("--peer", c.Peers)
	if err != nil {
		return nil, err
	}
	if !c.NoStore {
		archive, err := sqlite.Open(c.Archive)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, "opening the archive", err)
		}
		s.archive = archive
	}
	mode := node.Service
	if c.NoStore {
		mode = node.Full
	}
	s.Node, err = node.New(node.Config{
		Mode: mode, Cluster: c.Cluster, Shards: c.Shards, MaxFrame: c.MaxFrame, Listen: c.Listen,
		Peers: static, Archive: s.archive, Key: c.Key, Logger: c.Log,
	})
	return s, err
}

// Close stops the node; what it accepted is in the archive.
func (s *ServiceNode) Close() (err error) {
	if s.Node != nil {
		err = s.Node.Close()
	}
	if s.archive != nil {
		if closeErr := s.archive.Close(); err == nil {
			err = closeErr
		}
	}
	return err
}
