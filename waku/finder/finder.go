// Package finder finds peers for a Waku node in all ways there are, and feeds
// and holds the [peers.Manager] that chooses among them: node lists in DNS
// (EIP-1459), discv5 (33/WAKU2-DISCV5), peer exchange (34/WAKU2-PEER-EXCHANGE),
// mDNS, and peers that were configured.
package finder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/peers"
)

// Node is what a Finder needs of the node that it finds peers for; *node.Node
// is one.
type Node interface {
	Host() host.Host
	// Metadata is what a connected peer of the node's cluster told of itself.
	Metadata(peer.ID) (metadata.Info, bool)
	// Keep keeps a peer connected from now on.
	Keep(peer.AddrInfo)
}

// Config are the parameters of a Finder.
type Config struct {
	// Node is required.
	Node Node
	// Want returns what the node wants of its peers now; required. Peers that
	// are looked for are of its cluster and its shards. It is called often,
	// from any goroutine, and must not block nor call the Finder.
	Want func() peers.Want
	// Bootstrap are where others are found first: enrtree://…, enr:… or
	// multiaddrs with /p2p/…. An entry "none" is nothing.
	Bootstrap []string
	// Static peers are kept connected by the node.
	Static []peer.AddrInfo
	// Prompt has a node that is all alone dial the first ones known at once,
	// and again within a minute for as long as it is alone, whatever back-off
	// there is: a person waits for it, on a machine that comes and goes.
	Prompt bool
	// Discv5 is the UDP address of discv5; empty leaves it out. Key is the
	// node's own secp256k1 key and Describe returns what its record says: both
	// are for discv5 alone.
	Discv5   string
	Key      crypto.PrivKey
	Describe func() discovery.Description
	// MDNS finds and is found by nodes of the same local network.
	MDNS bool
	// PublicOnly passes over private addresses that others tell.
	PublicOnly bool
	// Dir is where what was learnt is kept: peers in the file "peers", the
	// discovery network in the folder "discv5". Empty keeps it in memory.
	Dir string
	// Records, when given, gets the records that discv5 found, to tell others
	// of.
	Records *peerexchange.Cache
	// Choice, when given, is that of the node, and is served from now on.
	Choice *Choice
	// Found, when given, is told of each peer that a source named and that is
	// known since or was before. It must not block.
	Found func(source string)
	// Resolver of DNS lists may be nil for the system's.
	Resolver discovery.TXTResolver
	// Logger may be nil.
	Logger *slog.Logger
}

// Finder finds and manages the peers of a node. Its methods are safe for
// concurrent use.
type Finder struct {
	cfg     Config
	log     *slog.Logger
	h       host.Host
	manager *peers.Manager
	v5      *discovery.V5
	mdns    io.Closer

	// news tells a node that is alone of first nodes to dial; capacity 1.
	news chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error
}

// New starts a Finder. What it listens on is bound when New returns; peers are
// looked for in the background until Close. Errors: discovery.ErrEntry for a
// bootstrap entry of no known form, discovery.ErrV5.
func New(cfg Config) (_ *Finder, err error) {
	if cfg.Node == nil || cfg.Want == nil {
		return nil, errors.New("finder: a node and what it wants are required")
	}
	f := &Finder{cfg: cfg, log: cfg.Logger, h: cfg.Node.Host(), news: make(chan struct{}, 1)}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	first, err := sortBootstrap(cfg.Bootstrap)
	if err != nil {
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if err := f.startManager(); err != nil {
		return nil, err
	}
	for _, p := range cfg.Static {
		f.Keep(p)
	}
	if err := f.start(first); err != nil {
		return nil, err
	}
	return f, nil
}

// startManager starts the management of peers, which the node's own choice is
// made by from then on.
func (f *Finder) startManager() (err error) {
	path := ""
	if f.cfg.Dir != "" {
		path = filepath.Join(f.cfg.Dir, "peers")
	}
	f.manager, err = peers.New(peers.Config{
		Host: f.h, Path: path, Want: f.cfg.Want, Shards: f.shardsOf, PublicOnly: f.cfg.PublicOnly, Logger: f.log,
	})
	if err != nil {
		return fmt.Errorf("finder: managing peers: %w", err)
	}
	if f.cfg.Choice != nil {
		f.cfg.Choice.manager.Store(f.manager)
	}
	return nil
}

func (f *Finder) shardsOf(p peer.ID) ([]uint16, bool) {
	info, ok := f.cfg.Node.Metadata(p)
	return info.Shards, ok
}

// start starts all ways of finding peers.
func (f *Finder) start(first bootstrap) error {
	for _, a := range first.addrs {
		f.found(a, peers.Facts{Source: peers.DNS})
	}
	if f.cfg.Discv5 == "" {
		for _, r := range first.records {
			f.foundRecord(r, peers.DNS)
		}
	} else if err := f.startV5(first.records); err != nil {
		return err
	}
	if err := f.startLists(first.lists); err != nil {
		return err
	}
	if f.cfg.MDNS {
		closer, err := discovery.StartMDNS(f.h, func(p peer.AddrInfo) { f.found(p, peers.Facts{Source: peers.MDNS}) })
		if err != nil {
			// No multicast here, as in many containers.
			f.log.Warn("the local network is not searched", "cause", err)
		} else {
			f.mdns = closer
		}
	}
	f.wg.Go(f.askPeers)
	if f.cfg.Prompt {
		f.startContact()
	}
	return nil
}

// Manager chooses among the peers found.
func (f *Finder) Manager() *peers.Manager { return f.manager }

// Keep has the node keep a peer connected, which the manager then leaves
// alone.
func (f *Finder) Keep(p peer.AddrInfo) {
	f.manager.Found(p, peers.Facts{Source: peers.Static})
	f.cfg.Node.Keep(p)
}

// ENR is the node's record in the discovery network; empty without discv5.
func (f *Finder) ENR() string {
	if f.v5 == nil {
		return ""
	}
	return f.v5.Record()
}

// Close ends the search and writes down what is known. Connections stay as
// they are. Calls after the first return what that did.
func (f *Finder) Close() error {
	f.once.Do(func() {
		f.cancel()
		f.wg.Wait()
		var errs []error
		if f.mdns != nil {
			errs = append(errs, f.mdns.Close())
		}
		if f.v5 != nil {
			errs = append(errs, f.v5.Close())
		}
		if f.manager != nil {
			errs = append(errs, f.manager.Close())
		}
		f.err = errors.Join(errs...)
	})
	return f.err
}

// foundRecord takes note of a peer by its record: for the manager, and for
// those who ask this node for peers.
func (f *Finder) foundRecord(r *discovery.Record, source peers.Source) {
	if f.cfg.Records != nil && source == peers.Discv5 {
		f.cfg.Records.Add(r)
	}
	facts := peers.Facts{Cluster: r.Cluster, Shards: r.Shards, Source: source}
	c := r.Capabilities
	for _, one := range []struct {
		has bool
		is  peers.Capability
	}{{c.Relay, peers.Relay}, {c.Store, peers.Store}, {c.Filter, peers.Filter}, {c.Lightpush, peers.Lightpush}, {c.Sync, peers.Sync}} {
		if one.has {
			facts.Capabilities |= one.is
		}
	}
	f.found(r.AddrInfo(), facts)
}

func (f *Finder) found(p peer.AddrInfo, facts peers.Facts) {
	if p.ID == f.h.ID() || len(p.Addrs) == 0 {
		return
	}
	if f.manager.Found(p, facts) && f.cfg.Found != nil {
		f.cfg.Found(facts.Source.String())
	}
}
