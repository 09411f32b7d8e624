package peers

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"
)

// dial connects one peer and tells the book how it went.
func (m *Manager) dial(info peer.AddrInfo) {
	// The book's back-off takes the place of the swarm's own.
	if s, ok := m.h.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	ctx, cancel := context.WithTimeout(m.ctx, m.cfg.DialTimeout)
	defer cancel()
	err := m.h.Connect(ctx, info)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dialling--
	switch {
	case err == nil:
		m.book.Reached(info.ID)
		return
	case m.ctx.Err() != nil: // given up from here
		m.book.Reached(info.ID)
		return
	case m.h.Network().Connectedness(info.ID) == network.Connected: // and yet
		m.book.Reached(info.ID)
		return
	}
	m.log.Debug("peer not reached", "peer", info.ID, "cause", err)
	m.book.Failed(info.ID, failureOf(err), time.Now(), m.cfg.Rand)
	m.poke()
}

// failureOf tells what of a dial's error is the peer's.
func failureOf(err error) Failure {
	failed, ok := errors.AsType[*swarm.DialError](err)
	if !ok || len(failed.DialErrors) == 0 {
		return Failure{Refused: true}
	}
	f := Failure{Refused: failed.Skipped > 0}
	for _, e := range failed.DialErrors {
		switch {
		case errors.Is(e.Cause, network.ErrResourceLimitExceeded), errors.Is(e.Cause, swarm.ErrGaterDisallowedConnection):
			// This host's own doing, and likely to pass.
		case unreachable(e.Cause):
			f.Unreachable = append(f.Unreachable, e.Address)
		default:
			f.Refused = true
		}
	}
	return f
}

// unreachable says whether an error means that this host cannot reach the
// network of an address or does not speak its transport, whoever is there.
func unreachable(err error) bool {
	for _, cause := range []error{
		syscall.ENETUNREACH, syscall.EAFNOSUPPORT, syscall.EADDRNOTAVAIL,
		swarm.ErrNoTransport, swarm.ErrDialRefusedBlackHole,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

func (m *Manager) connected(_ network.Network, c network.Conn) {
	if c.Stat().Limited {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	inbound := c.Stat().Direction == network.DirInbound
	m.book.Connected(c.RemotePeer(), inbound, c.RemoteMultiaddr(), time.Now())
	m.poke()
}

func (m *Manager) disconnected(n network.Network, c network.Conn) {
	if n.Connectedness(c.RemotePeer()) == network.Connected {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book.Disconnected(c.RemotePeer(), time.Now(), m.cfg.Rand)
	m.poke()
}

// listen hears what peers say of themselves.
func (m *Manager) listen() {
	for e := range m.sub.Out() {
		switch e := e.(type) {
		case event.EvtPeerIdentificationCompleted:
			m.identified(e.Peer, e.ListenAddrs)
		case event.EvtPeerProtocolsUpdated:
			m.poke()
		}
	}
}

// identified notes a peer that serves something under addresses of its own:
// it may be dialled another time.
func (m *Manager) identified(p peer.ID, addrs []multiaddr.Multiaddr) {
	protocols, err := m.h.Peerstore().GetProtocols(p)
	if err != nil || CapabilitiesOf(protocols) == 0 || len(addrs) == 0 {
		m.poke()
		return
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if m.book.Found(peer.AddrInfo{ID: p, Addrs: addrs}, Facts{Source: Identified}, now) {
		m.book.Spoken(p, CapabilitiesOf(protocols), nil, now)
	}
	m.poke()
}
