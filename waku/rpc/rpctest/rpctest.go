// Package rpctest connects hosts for tests of request and response protocols.
package rpctest

import (
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
)

// Pair returns two hosts connected in memory. Their streams keep no deadlines.
func Pair(t testing.TB) (a, b host.Host) {
	t.Helper()
	net, err := mocknet.FullMeshConnected(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = net.Close() })
	return net.Hosts()[0], net.Hosts()[1]
}

// Sockets returns two hosts connected over loopback.
func Sockets(t testing.TB) (a, b host.Host) {
	t.Helper()
	a, b = Listen(t), Listen(t)
	if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// Listen returns a host that listens on loopback and has no limits of its own,
// so that those of a service show.
func Listen(t testing.TB) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}
