package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"

	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
)

// certificate returns a certificate for 127.0.0.1 signed by itself, and a pool
// that trusts it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestTransports: over each, a light node on one side and its service on the
// other talk, and a message goes from there to a third node.
func TestTransports(t *testing.T) {
	t.Parallel()
	for name, listen := range map[string]string{
		"tcp":          "/ip4/127.0.0.1/tcp/0",
		"websocket":    "/ip4/127.0.0.1/tcp/0/ws",
		"quic":         "/ip4/127.0.0.1/udp/0/quic-v1",
		"webtransport": "/ip4/127.0.0.1/udp/0/quic-v1/webtransport",
		"webrtc":       "/ip4/127.0.0.1/udp/0/webrtc-direct",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{Mode: Service, Listen: []string{listen}})
			l := light(t, s)
			f := start(t, Config{Mode: Full, Listen: []string{}, Peers: infos(s)})
			want(t, f)
			awaitMesh(t, s, f)
			for _, n := range []*Node{l, f} {
				want := multiaddr.StringCast(listen)
				if got := n.h.Network().ConnsToPeer(s.h.ID())[0].RemoteMultiaddr(); !serves(got, want) {
					t.Errorf("connected by %s", got)
				}
			}
			m := text(name)
			publish(t, l, m)
			expect(t, f, m)
			back := text("and back")
			publish(t, f, back)
			expect(t, l, back)
			awaitStored(t, l, m, back)
		})
	}
}

// TestSecureWebSocket: a client that trusts the certificate gets in, under
// both names of the transport; one that does not stays outside.
func TestSecureWebSocket(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	s := start(t, Config{
		Mode: Service, TLS: &tls.Config{Certificates: []tls.Certificate{cert}},
		Listen: []string{"/ip4/127.0.0.1/tcp/0/wss", "/ip4/127.0.0.1/tcp/0/tls/ws"},
	})
	want(t, s)
	if len(s.h.Addrs()) != 2 {
		t.Fatalf("listens on %v", s.h.Addrs())
	}
	for _, a := range s.h.Addrs() {
		for _, trusts := range []bool{true, false} {
			var client tls.Config
			if trusts {
				client.RootCAs = roots
			}
			h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.DisableMetrics(), libp2p.Security(noise.ID, noise.New),
				libp2p.Transport(websocket.New, websocket.WithTLSClientConfig(&client)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = h.Close() })
			h.SetStreamHandler(metadata.ProtocolID, func(st network.Stream) { answerMetadata(st, 16) })
			err = h.Connect(t.Context(), peer.AddrInfo{ID: s.h.ID(), Addrs: []multiaddrT{a}})
			if (err == nil) != trusts {
				t.Fatalf("%s, trusted %v: %v", a, trusts, err)
			}
			if !trusts {
				continue
			}
			m := text("secure")
			if _, err := lightpush.Push(t.Context(), h, s.h.ID(), shard32, m); err != nil {
				t.Fatalf("%s: %v", a, err)
			}
			expect(t, s, m)
		}
	}
}

// TestAllTransportsAtOnce on two ports, one of TCP and one of UDP for what can
// share it.
func TestAllTransportsAtOnce(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	listen := []string{
		"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/tcp/0/wss",
		"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/udp/0/quic-v1/webtransport", "/ip4/127.0.0.1/udp/0/webrtc-direct",
	}
	s := start(t, Config{Mode: Service, Listen: listen, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	if got := s.h.Addrs(); len(got) != len(listen) {
		t.Errorf("announces %v", got)
	}
}

// TestListenAll: a node that cannot listen on one of its addresses does not
// start.
func TestListenAll(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	taken := "/ip4/127.0.0.1/tcp/" + port + "/ws"
	n, err := New(Config{Mode: Light, Listen: []string{"/ip4/127.0.0.1/tcp/0", taken}})
	if err == nil {
		_ = n.Close()
		t.Fatal("started")
	}
	if _, err := New(Config{Mode: Light, Listen: []string{"/ip4/127.0.0.1/tcp/0/wss"}}); !errors.Is(err, ErrConfig) {
		t.Errorf("wss without a certificate: %v", err)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	hash := "/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"
	for _, c := range []struct {
		have, want string
		is         bool
	}{
		{"/ip4/127.0.0.1/tcp/4000", "/ip4/127.0.0.1/tcp/0", true},
		{"/ip4/127.0.0.1/tcp/4000", "/ip4/127.0.0.1/tcp/4000", true},
		{"/ip4/127.0.0.1/tcp/4000", "/ip4/127.0.0.1/tcp/4001", false},
		{"/ip4/127.0.0.1/tcp/4000", "/ip4/127.0.0.2/tcp/4000", false},
		{"/ip4/127.0.0.1/tcp/4000", "/dns4/localhost/tcp/4000", true},
		{"/ip4/127.0.0.1/tcp/4000/ws", "/ip4/127.0.0.1/tcp/0", false},
		{"/ip4/127.0.0.1/tcp/4000/tls/ws", "/ip4/127.0.0.1/tcp/0/wss", true},
		{"/ip4/127.0.0.1/tcp/4000/ws", "/ip4/127.0.0.1/tcp/0/wss", false},
		{"/ip6/::/udp/1/quic-v1", "/ip6/0:0::0/udp/1/quic-v1", true},
		{"/ip4/0.0.0.0/udp/1/quic-v1", "/ip4/0.0.0.0/tcp/1", false},
		{"/ip4/0.0.0.0/udp/1/quic-v1/webtransport" + hash + hash, "/ip4/0.0.0.0/udp/0/quic-v1/webtransport", true},
		{"/ip4/0.0.0.0/udp/1/webrtc-direct" + hash, "/ip4/0.0.0.0/udp/0/webrtc-direct", true},
	} {
		if got := serves(multiaddr.StringCast(c.have), multiaddr.StringCast(c.want)); got != c.is {
			t.Errorf("%s is %s: %v", c.have, c.want, got)
		}
	}
}

// TestDialSide: what a node can dial does not depend on where it listens.
func TestDialSide(t *testing.T) {
	t.Parallel()
	s := start(t, Config{Mode: Service, Listen: []string{
		"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1",
	}})
	for _, a := range s.h.Addrs() {
		l := start(t, Config{Mode: Light, Listen: []string{}})
		if err := l.Dial(t.Context(), peer.AddrInfo{ID: s.h.ID(), Addrs: []multiaddrT{a}}); err != nil {
			t.Errorf("%s: %v", a, err)
		}
		if !slices.Contains(l.h.Network().Peers(), s.h.ID()) {
			t.Errorf("%s: not connected", a)
		}
	}
}
