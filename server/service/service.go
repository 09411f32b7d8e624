// Package service is a Waku service node, complete: a node with its archive,
// the discovery of peers and their management, synchronization with other
// stores, retention, and the faces that operators and their tools see. The
// protocols are in waku, this is where they meet.
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/ops"
	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/finder"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/peers"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/storesync"
	"github.com/parley-im/parley/waku/topic"
)

// Config is what a service node needs.
type Config struct {
	Cluster uint16
	// Shards are relayed and kept.
	Shards []uint16
	// NumShards is the number of shards of a network with autosharding; zero
	// is one with static shards.
	NumShards uint16
	// MaxFrame is the largest GossipSub frame that the network's relays take,
	// in bytes; zero for the default.
	MaxFrame int
	// TimeWindow and Protected are rules of the relay; see node.Config.
	TimeWindow time.Duration
	Protected  map[string]key.Public

	// Key is the node's own, a secp256k1 key; required.
	Key crypto.PrivKey
	// Listen and Announce are multiaddrs; an empty Listen is a free TCP port
	// on loopback. TLS has the certificate for secure WebSocket.
	Listen, Announce []string
	TLS              *tls.Config
	NAT              node.NAT
	Limits           node.Limits
	// Origin tells Reload when Key or TLS would be another; may be left out.
	Origin Origin

	// Without are protocols left out, and so are NoPeerExchange and NoSync.
	Without                node.Without
	NoPeerExchange, NoSync bool

	// Archive is where messages are kept: sqlite:PATH, postgres://…, or memory
	// (or nothing). Retention bounds it.
	Archive   string
	Retention store.Retention
	// Resume is how far back a gap is filled at the start; zero for
	// storesync.DefaultResume, negative fills none.
	Resume time.Duration

	// Peers are kept connected, multiaddrs with /p2p/….
	Peers []string
	// Bootstrap are where others are found first: enrtree://…, enr:… or
	// multiaddrs.
	Bootstrap []string
	// Discv5 is the UDP address of discv5; empty leaves it out.
	Discv5 string
	// PublicOnly passes over private addresses that others tell.
	PublicOnly bool
	// MDNS finds and is found by nodes of the same local network.
	MDNS bool
	// DataDir is where what was learnt about peers and the discovery network is
	// kept; empty keeps it in memory.
	DataDir string

	// REST and Metrics are the addresses of the API and of the operators'
	// pages; empty leaves them out.
	REST, Metrics string
	// Hosts are names by which a proxy on this machine calls the API.
	Hosts []string
	// Admin serves the calls of the API that change the node, AllowOrigin names
	// web sites that may use it.
	Admin       bool
	AllowOrigin []string

	// Version of the program.
	Version string
	Log     *slog.Logger
	// LogLevel may be changed by the API; may be nil.
	LogLevel *slog.LevelVar
}

// Origin says where a node's key and certificate come from: what they are
// cannot be compared.
type Origin struct {
	// Key, Certificate and CertificateKey are the names of files.
	Key, Certificate, CertificateKey string
	// ACMEDomains and ACMEEmail are those of a certificate that is obtained.
	ACMEDomains []string
	ACMEEmail   string
}

// Service is a running service node.
type Service struct {
	*node.Node
	cfg      Config
	log      *slog.Logger
	recorder *ops.Recorder
	archive  *archive // nil without a store
	// newest is the time of the archive's newest message at the start.
	newest    time.Time
	newestErr error

	finder   *finder.Finder
	choice   finder.Choice
	records  *peerexchange.Cache
	exchange *peerexchange.Service
	sync     *storesync.Service
	faces    faces

	reloading sync.Mutex
	static    map[peer.ID]bool // kept connected

	recordMu sync.Mutex
	record   string // without discv5
	recorded discovery.Description

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// ends are closed in reverse order.
	ends []func() error
	once sync.Once
	err  error
}

// Start starts a service node. What it listens on is bound when it returns;
// peers are found in the background.
func Start(ctx context.Context, cfg Config) (*Service, error) {
	return startOn(ctx, cfg, OpenArchive)
}

// startOn starts a node whose archive is opened by open.
func startOn(ctx context.Context, cfg Config, open func(ctx context.Context, url string) (store.Maintainer, error)) (_ *Service, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, log: cfg.Log, recorder: ops.NewRecorder(nil), static: make(map[peer.ID]bool)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	static, err := parsePeers(cfg.Peers)
	if err != nil {
		return nil, err
	}
	for _, p := range static {
		s.static[p.ID] = true
	}
	if !cfg.Without.Store {
		opened, err := open(ctx, cfg.Archive)
		if err != nil {
			return nil, err
		}
		s.archive = newArchive(opened, cfg.Retention, s.log)
		// Before the node is there: what comes in then is no end of the gap.
		s.newest, s.newestErr = storesync.Newest(ctx, opened)
		s.ends = append(s.ends, s.archive.Close)
	}
	if err := s.startNode(static); err != nil {
		return nil, err
	}
	for _, part := range []func() error{s.startExchange, s.startSync, func() error { return s.startFinder(static) }, s.startFaces} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	if s.archive != nil {
		s.wg.Go(s.prune)
	}
	return s, nil
}

// startNode starts the node itself. The manager chooses its peers once it is
// there.
func (s *Service) startNode(static []peer.AddrInfo) (err error) {
	c := s.cfg
	gate := peers.NewGate(peers.GateConfig{})
	config := node.Config{
		Mode: node.Service, Cluster: c.Cluster, Shards: c.Shards, MaxFrame: c.MaxFrame,
		TimeWindow: c.TimeWindow, Protected: c.Protected, Without: c.Without,
		Listen: c.Listen, TLS: c.TLS, Announce: c.Announce, Key: c.Key, Peers: static,
		NAT: c.NAT, Limits: c.Limits, Gater: gate,
		Choice: s.choice.Node(),
		Observe: node.Observer{
			Exchange: s.recorder.Exchange, Pushed: s.recorder.Pushed, Archived: s.recorder.Archived,
		},
		Logger: c.Log,
	}
	if s.archive != nil {
		config.Archive = s.archive
	} else {
		config.Mode = node.Full
		config.Without.Store = false // a full node has none
	}
	s.Node, err = node.New(config)
	if errors.Is(err, node.ErrConfig) {
		return fault.Wrap(fault.Usage, "starting the node", err)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, "starting the node", err)
	}
	unwatch := gate.Watch(s.Host().Network())
	s.ends = append(s.ends, s.Node.Close, func() error { unwatch(); return nil })
	return nil
}

// startExchange mounts peer exchange.
func (s *Service) startExchange() error {
	if s.cfg.NoPeerExchange {
		return nil
	}
	s.records = peerexchange.NewCache(peerexchange.CacheConfig{Cluster: s.cfg.Cluster})
	s.exchange = peerexchange.NewService(s.Host(), s.records, peerexchange.ServiceConfig{Observe: s.recorder.Exchange, Logger: s.log})
	s.ends = append(s.ends, s.exchange.Close)
	return nil
}

// storePeers are the connected peers that keep history.
func (s *Service) storePeers() (all []peer.ID) {
	for _, p := range s.Host().Network().Peers() {
		known, err := s.Host().Peerstore().SupportsProtocols(p, store.ProtocolID)
		if _, ours := s.Metadata(p); err == nil && len(known) > 0 && ours {
			all = append(all, p)
		}
	}
	return all
}

// startSync mounts store synchronization and fills the gap that the node's
// absence left.
func (s *Service) startSync() error {
	if s.cfg.NoSync || s.archive == nil {
		return nil
	}
	s.sync = storesync.NewService(s.Host(), storesync.Config{
		Archive: s.archive, PubsubTopics: s.kept, Peers: s.storePeers, Reach: s.cfg.Retention.Age,
		Observe: s.recorder.Exchange, Done: s.recorder.Synced, Logger: s.log,
	})
	s.ends = append(s.ends, s.sync.Close)
	if s.cfg.Resume >= 0 {
		s.wg.Go(s.resume)
	}
	return nil
}

// kept are the pubsub topics whose messages are kept.
func (s *Service) kept() []string {
	topics := make([]string, len(s.cfg.Shards))
	for i, shard := range s.cfg.Shards {
		topics[i] = topic.Pubsub(s.cfg.Cluster, shard)
	}
	return topics
}

// resumeLook is how often a store peer is looked for to fill the gap, resumeWait
// the pause after a peer has failed, and resumeGiveUp how long it is tried;
// synchronization takes it from there.
const (
	resumeLook   = 500 * time.Millisecond
	resumeWait   = 5 * time.Second
	resumeGiveUp = 5 * time.Minute
)

// resume fills the gap since the archive's newest message as soon as there is
// a store peer that can.
func (s *Service) resume() {
	since := s.newest
	if s.newestErr != nil {
		s.log.Warn("the archive's newest message is unknown", "cause", s.newestErr)
		return
	}
	if !since.IsZero() && time.Since(since) < storesync.MinGap {
		return
	}
	for start, wait := time.Now(), resumeLook; time.Since(start) < resumeGiveUp; wait = resumeLook {
		if all := s.storePeers(); len(all) > 0 {
			n, err := storesync.Resume(s.ctx, storesync.Gap{
				Archive: s.archive, Client: store.NewClient(s.Host()), Peers: all,
				PubsubTopics: s.kept(), Since: since, Max: s.cfg.Resume,
			})
			if err == nil {
				log := s.log
				if !since.IsZero() {
					log = log.With("since", since)
				}
				log.Info("the gap of the archive is filled", "messages", n)
				return
			}
			s.log.Debug("the gap of the archive is not filled yet", "cause", err)
			wait = resumeWait
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Manager is what the node knows of its peers.
func (s *Service) Manager() *peers.Manager { return s.finder.Manager() }

// ENR is the node's record as it is now.
func (s *Service) ENR() string {
	if enr := s.finder.ENR(); enr != "" {
		return enr
	}
	d := s.describe()
	s.recordMu.Lock()
	defer s.recordMu.Unlock()
	if s.record != "" && reflect.DeepEqual(d, s.recorded) {
		return s.record // a record grows in number only when it changes
	}
	s.recorded = d
	d.Seq = uint64(time.Now().UnixMilli())
	enr, err := discovery.BuildENR(s.cfg.Key, d)
	if err != nil {
		s.log.Warn("the node's record cannot be made", "cause", err)
	}
	s.record = enr
	return enr
}

// Addrs are the node's multiaddrs, those first that most others can dial.
func (s *Service) Addrs() []string { return publicFirst(s.Node.Addrs()) }

// describe is what the node's record says.
func (s *Service) describe() discovery.Description {
	w := s.cfg.Without
	return discovery.Description{
		Capabilities: discovery.Capabilities{
			Relay: !w.Relay, Store: s.archive != nil, Filter: !w.Filter && !w.Relay, Lightpush: !w.Lightpush && !w.Relay,
			Sync: s.archive != nil && !s.cfg.NoSync,
		},
		Cluster: s.cfg.Cluster, Shards: s.cfg.Shards, Multiaddrs: s.Addrs(),
	}
}

// Close stops the node: first what lets others in, then the node, which ends
// what it has accepted, and the archive last. Calls after the first return
// what that did.
func (s *Service) Close() error {
	s.once.Do(func() {
		s.cancel()
		var errs []error
		errs = append(errs, s.faces.close())
		s.wg.Wait()
		for i := len(s.ends) - 1; i >= 0; i-- {
			errs = append(errs, s.ends[i]())
		}
		s.err = errors.Join(errs...)
	})
	return s.err
}
