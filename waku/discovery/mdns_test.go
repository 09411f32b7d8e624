package discovery

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

func newHost(t testing.TB, listen ...string) host.Host {
	t.Helper()
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen...), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// multicast tells whether what is sent to a group comes back to this machine.
func multicast(t testing.TB) bool {
	t.Helper()
	conn, err := net.ListenMulticastUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(239, 255, 77, 77)})
	if err != nil {
		return false
	}
	defer conn.Close()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	from, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(239, 255, 77, 77), Port: port})
	if err != nil {
		return false
	}
	defer from.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Write([]byte("probe")); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 10))
	return err == nil
}

// TestMDNS: where there is multicast, two hosts find each other; where there
// is none, nothing worse happens than that they do not.
func TestMDNS(t *testing.T) {
	t.Parallel()
	a, b := newHost(t, "/ip4/0.0.0.0/tcp/0"), newHost(t, "/ip4/0.0.0.0/tcp/0")
	heard := make(chan peer.ID, 100)
	there := multicast(t)
	for _, hosts := range [][2]host.Host{{a, b}, {b, a}} {
		c, err := StartMDNS(hosts[0], func(info peer.AddrInfo) {
			if info.ID == hosts[1].ID() && len(info.Addrs) > 0 {
				select {
				case heard <- info.ID:
				default:
				}
			}
		})
		if err != nil {
			if there || !errors.Is(err, ErrMDNS) {
				t.Error(err)
			}
			return
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for missing := map[peer.ID]bool{a.ID(): true, b.ID(): true}; there && len(missing) > 0; {
		select {
		case id := <-heard:
			delete(missing, id)
		case <-time.After(patience):
			t.Fatalf("not found: %v", missing)
		}
	}
}

// TestMDNSNeedsAddresses: a host that listens on nothing has nothing to
// announce.
func TestMDNSNeedsAddresses(t *testing.T) {
	t.Parallel()
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if c, err := StartMDNS(h, func(peer.AddrInfo) {}); !errors.Is(err, ErrMDNS) {
		t.Errorf("%v, %v", c, err)
	}
}

// TestNeighbours: a LAN that shouts is heard in part, and nobody after the
// end.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []peer.AddrInfo
		n := &neighbours{found: func(info peer.AddrInfo) { told = append(told, info) }}
		many := peer.AddrInfo{ID: "many"}
		for i := range maxNeighbourAddrs + 1 {
			many.Addrs = append(many.Addrs, multiaddr.StringCast(fmt.Sprintf("/ip4/192.168.0.1/tcp/%d", i+1)))
		}
		n.HandlePeerFound(peer.AddrInfo{ID: "none"})
		for range maxNeighbours + 10 {
			n.HandlePeerFound(many)
		}
		if len(told) != maxNeighbours || len(told[0].Addrs) != maxNeighbourAddrs {
			t.Errorf("told of %d nodes, %d addresses", len(told), len(told[0].Addrs))
		}
		wait(neighbourWindow)
		n.HandlePeerFound(many)
		if len(told) != maxNeighbours+1 {
			t.Errorf("told of %d nodes in the next window", len(told))
		}
		if err := (&mdnsCloser{closes{}, n}).Close(); err != nil {
			t.Error(err)
		}
		n.HandlePeerFound(many)
		if len(told) != maxNeighbours+1 {
			t.Error("told after the end")
		}
	})
}

type closes struct{}

func (closes) Close() error { return nil }

func TestBeyondLoopback(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"/ip4/127.0.0.1/tcp/0": false, "/ip6/::1/tcp/1": false,
		"/ip4/0.0.0.0/tcp/0": true, "/ip4/192.168.1.2/udp/1/quic-v1": true, "/ip6/::/tcp/1": true,
	} {
		if BeyondLoopback([]string{"/ip4/127.0.0.1/tcp/1", text}) != want {
			t.Error(text)
		}
	}
	if BeyondLoopback(nil) {
		t.Error("the default")
	}
}
