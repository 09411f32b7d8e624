package service

import (
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/peers"
)

const (
	// relayPeers is the number of relay peers wanted on each shard: a mesh, and
	// some to choose from.
	relayPeers = 12
	// findPause is the pause between two searches of discv5 when nothing is
	// lacking.
	findPause = 2 * time.Minute
	// findBatch is the number of records that a search takes.
	findBatch = 30
	// exchangeEvery is how often a peer is asked for others.
	exchangeEvery = 5 * time.Minute
	// exchangePeers is how many it is asked for.
	exchangePeers = 30
	// exchangeTimeout bounds one request.
	exchangeTimeout = 20 * time.Second
)

// startManager starts the management of peers.
func (s *Service) startManager(static []peer.AddrInfo) error {
	path := ""
	if s.cfg.DataDir != "" {
		path = filepath.Join(s.cfg.DataDir, "peers")
	}
	m, err := peers.New(peers.Config{
		Host: s.Host(), Path: path, Want: s.want, Shards: s.shardsOf, PublicOnly: s.cfg.PublicOnly, Logger: s.log,
	})
	if err != nil {
		return fault.Wrap(fault.Internal, "managing peers", err)
	}
	s.manager.Store(m)
	s.ends = append(s.ends, m.Close)
	for _, p := range static {
		m.Found(p, peers.Facts{Source: peers.Static})
	}
	return nil
}

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

func (s *Service) shardsOf(p peer.ID) ([]uint16, bool) {
	info, ok := s.Metadata(p)
	return info.Shards, ok
}

// startDiscovery starts all ways of finding peers.
func (s *Service) startDiscovery() error {
	lists, records, addrs, err := sortBootstrap(s.cfg.Bootstrap)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		s.found(a, peers.Facts{Source: peers.DNS})
	}
	if len(lists) > 0 {
		l, err := discovery.NewLists(discovery.ListsConfig{URLs: lists, Logger: s.log})
		if err != nil {
			return fault.Wrap(fault.Usage, "--bootstrap", err)
		}
		s.wg.Go(func() { l.Run(s.ctx) })
		s.wg.Go(func() { s.readLists(l) })
	}
	if s.cfg.Discv5 != "" {
		if err := s.startV5(records); err != nil {
			return err
		}
	} else {
		for _, text := range records {
			if r, err := discovery.ParseENR(text); err == nil {
				s.foundRecord(r, peers.DNS)
			}
		}
	}
	if s.cfg.MDNS {
		closer, err := discovery.StartMDNS(s.Host(), func(p peer.AddrInfo) { s.found(p, peers.Facts{Source: peers.MDNS}) })
		if err != nil {
			// No multicast here, as in many containers.
			s.log.Warn("the local network is not searched", "cause", err)
		} else {
			s.ends = append(s.ends, closer.Close)
		}
	}
	s.wg.Go(s.askPeers)
	return nil
}

// startV5 joins the discovery network.
func (s *Service) startV5(boot []string) (err error) {
	database := ""
	if s.cfg.DataDir != "" {
		database = filepath.Join(s.cfg.DataDir, "discv5")
	}
	s.v5, err = discovery.ListenV5(discovery.V5Config{
		Key: s.cfg.Key, Listen: s.cfg.Discv5, Bootstrap: boot, Describe: s.describe(), Database: database, Logger: s.log,
	})
	if errors.Is(err, discovery.ErrV5) {
		return fault.Wrap(fault.Usage, "--discv5", err)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, "joining the discovery network", err)
	}
	s.ends = append(s.ends, s.v5.Close)
	changes, err := s.Host().EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("service"))
	if err != nil {
		return fault.Wrap(fault.Internal, "joining the discovery network", err)
	}
	s.wg.Go(func() { s.announce(changes) })
	s.wg.Go(s.search)
	return nil
}

// announce keeps the node's record up to date with its addresses.
func (s *Service) announce(changes io.Closer) {
	defer changes.Close()
	out := changes.(event.Subscription).Out()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-out:
			if err := s.v5.Update(s.describe()); err != nil {
				s.log.Warn("the node's record is not updated", "cause", err)
			}
		}
	}
}

// search looks for peers in the discovery network, at leisure while none are
// lacking.
func (s *Service) search() {
	want := discovery.Want{Shards: s.cfg.Shards}
	for s.ctx.Err() == nil {
		n := 0
		for r := range s.v5.Find(s.ctx, want) {
			s.foundRecord(r, peers.Discv5)
			if n++; n == findBatch && len(s.Manager().Status().Lacking) == 0 {
				break
			}
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(findPause):
		}
	}
}

// readLists takes over what DNS lists say, now and after each refresh.
func (s *Service) readLists(l *discovery.Lists) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	seen := map[string]bool{}
	for {
		for _, r := range l.Records() {
			if text := r.ENR(); !seen[text] {
				seen[text] = true
				s.foundRecord(r, peers.DNS)
				if s.v5 != nil {
					_ = s.v5.Meet(r) // those without a UDP address are of no use there
				}
			}
		}
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// askPeers asks connected peers for others, when some are lacking.
func (s *Service) askPeers() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(exchangeEvery):
		}
		if len(s.Manager().Status().Lacking) == 0 {
			continue
		}
		for _, p := range s.Manager().Best(peerexchange.ProtocolID, peers.AnyShard) {
			ctx, cancel := context.WithTimeout(s.ctx, exchangeTimeout)
			at := time.Now()
			records, err := peerexchange.Request(ctx, s.Host(), p, exchangePeers)
			cancel()
			s.served(p, peerexchange.ProtocolID, err, time.Since(at))
			for _, r := range records {
				s.foundRecord(r, peers.PeerExchanged)
			}
			if err == nil {
				break
			}
		}
	}
}

// foundRecord takes note of a peer by its record: for the manager, and for
// those who ask this node for peers.
func (s *Service) foundRecord(r *discovery.Record, source peers.Source) {
	if s.records != nil && source == peers.Discv5 {
		s.records.Add(r)
	}
	c := r.Capabilities
	f := peers.Facts{Cluster: r.Cluster, Shards: r.Shards, Source: source}
	for _, one := range []struct {
		has bool
		is  peers.Capability
	}{{c.Relay, peers.Relay}, {c.Store, peers.Store}, {c.Filter, peers.Filter}, {c.Lightpush, peers.Lightpush}, {c.Sync, peers.Sync}} {
		if one.has {
			f.Capabilities |= one.is
		}
	}
	s.found(r.AddrInfo(), f)
}

func (s *Service) found(p peer.AddrInfo, f peers.Facts) {
	if p.ID == s.Host().ID() || len(p.Addrs) == 0 {
		return
	}
	if s.Manager().Found(p, f) {
		s.recorder.Discovered(f.Source.String())
	}
}

// sortBootstrap tells the kinds of bootstrap entries apart.
func sortBootstrap(entries []string) (lists, records []string, addrs []peer.AddrInfo, err error) {
	for _, e := range entries {
		switch {
		case e == "none":
		case strings.HasPrefix(e, "enrtree://"):
			lists = append(lists, e)
		case strings.HasPrefix(e, "enr:"):
			if _, err := discovery.ParseENR(e); err != nil {
				return nil, nil, nil, fault.Wrap(fault.Usage, "--bootstrap", err)
			}
			records = append(records, e)
		default:
			info, err := peer.AddrInfoFromString(e)
			if err != nil {
				return nil, nil, nil, &fault.Error{Kind: fault.Usage, Op: "--bootstrap " + e, Err: err, Hint: "give enrtree://…, enr:… or a multiaddr that ends in /p2p/<peer id>"}
			}
			addrs = append(addrs, *info)
		}
	}
	return lists, records, addrs, nil
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

// changed names the settings of next that are not as they were and need a
// restart.
func (c Config) changed(next Config) (names []string) {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"cluster", c.Cluster == next.Cluster},
		{"shard", slices.Equal(c.Shards, next.Shards)},
		{"listen", slices.Equal(c.Listen, next.Listen)},
		{"announce", slices.Equal(c.Announce, next.Announce)},
		{"store-url", c.Archive == next.Archive},
		{"discv5", c.Discv5 == next.Discv5},
		{"mdns", c.MDNS == next.MDNS},
		{"bootstrap", slices.Equal(c.Bootstrap, next.Bootstrap)},
		{"rest", c.REST == next.REST},
		{"metrics", c.Metrics == next.Metrics},
		{"protocols", c.Without == next.Without && c.NoPeerExchange == next.NoPeerExchange && c.NoSync == next.NoSync},
		{"limits", c.Limits == next.Limits},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}
