package service

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/finder"
	"github.com/parley-im/parley/waku/peers"
)

// relayPeers is the number of relay peers wanted on each shard: a mesh, and
// some to choose from.
const relayPeers = 12

// want is what a service node wants of its peers: others to relay with, and a
// store to compare its own with.
func (s *Service) want() peers.Want {
	w := peers.Want{Cluster: s.cfg.Cluster, Shards: s.cfg.Shards, Services: map[peers.Capability]int{}}
	if !s.cfg.Without.Relay {
		w.RelayPeers = relayPeers
	}
	if s.archive != nil {
		w.Services[peers.Store] = 1
	}
	if n := s.cfg.Limits.MaxConns; n > 0 {
		w.MaxOutbound = n / 8 // what the node keeps for those it dials
	}
	return w
}

// startFinder starts all ways of finding peers, and their management.
func (s *Service) startFinder(static []peer.AddrInfo) (err error) {
	c := s.cfg
	s.finder, err = finder.New(finder.Config{
		Node: s.Node, Want: s.want, Bootstrap: c.Bootstrap, Static: static,
		Discv5: c.Discv5, Key: c.Key, Describe: s.describe, MDNS: c.MDNS, PublicOnly: c.PublicOnly,
		Dir: c.DataDir, Records: s.records, Choice: &s.choice, Found: s.recorder.Discovered, Logger: s.log,
	})
	switch {
	case errors.Is(err, discovery.ErrEntry):
		return fault.Wrap(fault.Usage, "--bootstrap", err)
	case errors.Is(err, discovery.ErrV5):
		return fault.Wrap(fault.Usage, "--discv5", err)
	case err != nil:
		return fault.Wrap(fault.Internal, "finding peers", err)
	}
	s.ends = append(s.ends, s.finder.Close)
	return nil
}

func parsePeers(addrs []string) ([]peer.AddrInfo, error) {
	all := make([]peer.AddrInfo, 0, len(addrs))
	for _, a := range addrs {
		info, err := peer.AddrInfoFromString(a)
		if err != nil {
			return nil, &fault.Error{Kind: fault.Usage, Op: "--peer " + a, Err: err, Hint: "give a multiaddr that ends in /p2p/<peer id>"}
		}
		all = append(all, *info)
	}
	return all, nil
}

// publicFirst puts addresses that anybody can dial before those of a private
// network and of this machine alone, and of each kind plain TCP first.
func publicFirst(addrs []string) []string {
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b string) int {
		return cmp.Or(reach(a)-reach(b), strings.Count(a, "/")-strings.Count(b, "/"))
	})
	return addrs
}

// reach ranks an address by who can dial it.
func reach(text string) int {
	a, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return 2
	}
	ip, err := manet.ToIP(a)
	switch {
	case err != nil:
		return 0 // a name
	case ip.IsLoopback():
		return 2
	case ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified():
		return 1
	}
	return 0
}
