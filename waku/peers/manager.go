package peers

import (
	"context"
	crand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

const (
	// DefaultInterval is the time between two plans when nothing happens.
	DefaultInterval = 15 * time.Second
	// DefaultDials is the number of peers dialled at the same time.
	DefaultDials = 8
	// DefaultDialTimeout is what one dial may take.
	DefaultDialTimeout = 15 * time.Second

	// settle is how long what happens is gathered before the next plan.
	settle = time.Second
	// saveEvery is the time between two writings of the book.
	saveEvery = 5 * time.Minute
	// keepTag marks peers for the connection manager.
	keepTag = "waku-peers"
)

// Config are the parameters of a Manager.
type Config struct {
	// Host is required.
	Host host.Host
	// Path is the file that the book is kept in; "" keeps it in memory. One
	// that is corrupt is replaced.
	Path string
	// Want returns what the node wants now; required. Like the functions
	// below it is called often, from any goroutine, and must not block nor
	// call the Manager.
	Want func() Want
	// Shards returns the shards that a connected peer told with its metadata,
	// and whether it told anything yet: until then it is not counted on nor
	// chosen. Nil takes every identified peer as it is known.
	Shards func(peer.ID) ([]uint16, bool)
	// Allowed says whether a peer may be dialled or stay connected, such as
	// by an operator's list; nil allows all. Static peers may always.
	Allowed func(peer.ID) bool
	// PublicOnly is that of Book.
	PublicOnly bool
	// Interval, Dials and DialTimeout are the defaults where 0.
	Interval    time.Duration
	Dials       int
	DialTimeout time.Duration
	// Logger may be nil, and so may Rand.
	Logger *slog.Logger
	Rand   *rand.Rand
}

func (cfg Config) complete() (Config, error) {
	if cfg.Host == nil || cfg.Want == nil {
		return cfg, errors.New("peers: a manager needs a host and what to want")
	}
	if cfg.Interval <= 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Dials <= 0 {
		cfg.Dials = DefaultDials
	}
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = DefaultDialTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		var seed [32]byte
		_, _ = crand.Read(seed[:]) // never fails
		cfg.Rand = rand.New(rand.NewChaCha8(seed))
	}
	return cfg, nil
}

// Manager dials, keeps and parts from the peers of a host by what a Book
// plans. Its methods are safe for concurrent use.
type Manager struct {
	cfg    Config
	h      host.Host
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	notify *network.NotifyBundle
	sub    event.Subscription
	poked  chan struct{} // capacity 1

	mu       sync.Mutex // guards all below, and cfg.Rand
	book     *Book
	dialling int
	kept     map[peer.ID]bool
	last     Actions
	closed   bool
}

// New reads the book, notes the start in its file and starts managing. A file
// that cannot be used is a warning in the log; the book is empty then.
func New(cfg Config) (*Manager, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	m := &Manager{
		cfg: cfg, h: cfg.Host, log: cfg.Logger,
		poked: make(chan struct{}, 1), kept: make(map[peer.ID]bool),
		book: NewBook(cfg.Host.ID()),
	}
	if cfg.Path != "" {
		if book, err := readBook(cfg.Path, m.h.ID(), time.Now()); err != nil {
			m.log.Warn("peer book not read; starting with an empty one", "path", cfg.Path, "cause", err)
		} else {
			m.book = book
		}
	}
	// Written down at once: a run that crashes counts too.
	m.book.Start(time.Now())
	if err := m.save(); err != nil {
		m.log.Warn("peer book not written", "path", m.cfg.Path, "cause", err)
	}
	m.book.PublicOnly = cfg.PublicOnly
	m.sub, err = m.h.EventBus().Subscribe(
		[]any{new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerProtocolsUpdated)},
		eventbus.Name("waku-peers"), eventbus.BufSize(256))
	if err != nil {
		return nil, err
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.notify = &network.NotifyBundle{ConnectedF: m.connected, DisconnectedF: m.disconnected}
	m.h.Network().Notify(m.notify)
	m.wg.Go(m.listen)
	m.wg.Go(m.run)
	m.poke()
	return m, nil
}

// Close stops dialling, waits for what is under way and writes the book.
// Connections stay as they are.
func (m *Manager) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.h.Network().StopNotify(m.notify)
	err := m.sub.Close()
	m.wg.Wait()
	m.mu.Lock()
	m.book.Stop(time.Now())
	m.mu.Unlock()
	m.keep(nil)
	return errors.Join(err, m.save())
}

// Found tells of a peer, most often from discovery. It reports whether the
// peer is known now; see Book.Found.
func (m *Manager) Found(info peer.AddrInfo, f Facts) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	before := m.book.Len()
	known := m.book.Found(info, f, time.Now())
	if m.book.Len() != before {
		m.poke()
	}
	return known
}

// Served tells how a peer served a request: with err or in the time took. A
// request that was given up from here says nothing and does not count.
func (m *Manager) Served(p peer.ID, proto protocol.ID, err error, took time.Duration) {
	if errors.Is(err, context.Canceled) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book.Served(p, CapabilityOf(proto), err == nil, took, time.Now())
}

// Adopt takes over a peer that was just dialled by somebody else, to part from
// it when it turns out to be of no use.
func (m *Manager) Adopt(p peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book.Adopt(p)
}

// Best returns the connected peers that speak a protocol and serve a shard,
// or AnyShard, the best first. Who told no shards may serve any, but who was
// not heard yet is left out.
func (m *Manager) Best(proto protocol.ID, shard uint16) []peer.ID {
	c := CapabilityOf(proto)
	n := &need{Need: Need{Capability: c, Shard: shard}}
	var ids []peer.ID
	for _, conn := range m.conns() {
		if !conn.Judged || m.cfg.Allowed != nil && !m.cfg.Allowed(conn.ID) || !conn.serves(n) {
			continue
		}
		if spoken, err := m.h.Peerstore().SupportsProtocols(conn.ID, proto); err == nil && len(spoken) > 0 {
			ids = append(ids, conn.ID)
		}
	}
	slices.Sort(ids)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.Rank(ids, c, time.Now(), m.cfg.Rand)
}

// conns looks up who is connected.
func (m *Manager) conns() []Conn {
	var out []Conn
	for _, p := range m.h.Network().Peers() {
		if m.h.Network().Connectedness(p) != network.Connected {
			continue // through a relay only: not to be relied on
		}
		c, ok := m.conn(p)
		if !ok {
			continue // gone meanwhile
		}
		protocols, err := m.h.Peerstore().GetProtocols(p)
		c.Capabilities = CapabilitiesOf(protocols)
		c.Judged = err == nil && len(protocols) > 0
		if m.cfg.Shards != nil {
			shards, told := m.cfg.Shards(p)
			c.Shards, c.Judged = shards, c.Judged && told
		}
		out = append(out, c)
	}
	m.complete(out)
	return out
}

// conn describes the connection of a peer that was dialled from here, or else
// any of its connections.
func (m *Manager) conn(p peer.ID) (Conn, bool) {
	c, found := Conn{ID: p, Inbound: true}, false
	for _, conn := range m.h.Network().ConnsToPeer(p) {
		stat := conn.Stat()
		outbound := stat.Direction == network.DirOutbound
		if stat.Limited || found && (!outbound || !c.Inbound) {
			continue
		}
		found = true
		c.Since, c.Inbound, c.IP = stat.Opened, !outbound, addrIP(conn.RemoteMultiaddr())
	}
	return c, found
}

// complete adds what the book knows better than the host: when a connection
// was made whose transport does not tell, and shards where nobody asks peers.
func (m *Manager) complete(conns []Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range conns {
		c, e := &conns[i], m.book.entries[conns[i].ID]
		if c.Since.IsZero() {
			c.Since = time.Now()
			if e != nil && !e.connected.IsZero() {
				c.Since = e.connected
			}
		}
		if m.cfg.Shards == nil && e != nil {
			c.Shards = e.shards
		}
	}
}

// poke asks for a plan soon.
func (m *Manager) poke() {
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// Woken asks for a plan soon, such as when what is wanted has changed.
func (m *Manager) Woken() { m.poke() }

func (m *Manager) run() {
	saved := time.Now()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-m.poked:
			select { // more is about to happen
			case <-time.After(settle):
			case <-m.ctx.Done():
				return
			}
		case <-time.After(m.cfg.Interval):
		}
		m.round()
		if time.Since(saved) >= saveEvery {
			saved = time.Now()
			if err := m.save(); err != nil {
				m.log.Warn("peer book not written", "path", m.cfg.Path, "cause", err)
			}
		}
	}
}

// round plans once and does it.
func (m *Manager) round() {
	conns, want := m.conns(), m.cfg.Want()
	m.mu.Lock()
	now := time.Now()
	for _, c := range conns {
		if c.Judged {
			m.book.Spoken(c.ID, c.Capabilities, c.Shards, now)
		}
	}
	a := m.book.Plan(now, State{Conns: conns, Dials: m.cfg.Dials - m.dialling, Allowed: m.cfg.Allowed}, want, m.cfg.Rand)
	for _, p := range a.Drop {
		m.book.Parted(p, now)
	}
	m.dialling += len(a.Dial)
	m.last = a
	m.mu.Unlock()

	m.keep(a.Keep)
	for _, p := range a.Drop {
		m.log.Info("peer disconnected", "peer", p.ID, "cause", p.Why)
		_ = m.h.Network().ClosePeer(p.ID)
	}
	for _, info := range a.Dial {
		m.wg.Go(func() { m.dial(info) })
	}
}

// keep has the connection manager spare these peers and no others.
func (m *Manager) keep(ids []peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := make(map[peer.ID]bool, len(ids))
	for _, id := range ids {
		now[id] = true
		if !m.kept[id] {
			m.h.ConnManager().Protect(id, keepTag)
		}
	}
	for id := range m.kept {
		if !now[id] {
			m.h.ConnManager().Unprotect(id, keepTag)
		}
	}
	m.kept = now
}

// save writes the book to its file.
func (m *Manager) save() error {
	if m.cfg.Path == "" {
		return nil
	}
	m.mu.Lock()
	data, err := m.book.Encode()
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return writeFile(m.cfg.Path, data)
}
