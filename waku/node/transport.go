package node

import (
	"fmt"
	"slices"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	webrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	webtransport "github.com/libp2p/go-libp2p/p2p/transport/webtransport"
	"github.com/multiformats/go-multiaddr"
)

// checkTransports says what is wrong with the addresses listened on.
func (cfg Config) checkTransports() error {
	for _, a := range cfg.Listen {
		m := multiaddr.StringCast(a) // parsed before
		if has(m, multiaddr.P_WSS) || has(m, multiaddr.P_TLS) {
			if cfg.TLS == nil || len(cfg.TLS.Certificates) == 0 && cfg.TLS.GetCertificate == nil && cfg.TLS.GetConfigForClient == nil {
				return fmt.Errorf("%w: listening on %s needs a certificate", ErrConfig, a)
			}
		}
	}
	return nil
}

// transports are TCP, WebSocket and QUIC, and WebTransport and WebRTC where an
// address of this node or of a peer it is to dial asks for them.
func transports(cfg Config) []libp2p.Option {
	var ws []any
	if cfg.TLS != nil {
		ws = append(ws, websocket.WithTLSConfig(cfg.TLS.Clone()))
	}
	opts := []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(websocket.New, ws...),
		libp2p.Transport(quic.NewTransport),
	}
	if asks(cfg, multiaddr.P_WEBTRANSPORT) {
		opts = append(opts, libp2p.Transport(webtransport.New))
	}
	if asks(cfg, multiaddr.P_WEBRTC_DIRECT) {
		opts = append(opts, libp2p.Transport(webrtc.New))
	}
	return opts
}

// asks says whether an address of cfg has a protocol.
func asks(cfg Config, code int) bool {
	for _, a := range cfg.Listen {
		if has(multiaddr.StringCast(a), code) {
			return true
		}
	}
	for _, p := range slices.Concat(cfg.Peers, cfg.StorePeers, cfg.NAT.Relays) {
		if slices.ContainsFunc(p.Addrs, func(a multiaddr.Multiaddr) bool { return has(a, code) }) {
			return true
		}
	}
	return false
}

func has(a multiaddr.Multiaddr, code int) bool {
	return slices.ContainsFunc(a, func(c multiaddr.Component) bool { return c.Protocol().Code == code })
}

// checkListening says which addresses are not listened on: the library is
// content with any one.
func checkListening(cfg Config, h host.Host) error {
	have := h.Network().ListenAddresses()
	for _, a := range cfg.Listen {
		want := multiaddr.StringCast(a)
		at := slices.IndexFunc(have, func(m multiaddr.Multiaddr) bool { return serves(m, want) })
		if at < 0 {
			return fmt.Errorf("node: cannot listen on %s", a)
		}
		have = slices.Delete(have, at, at+1)
	}
	return nil
}

// serves says whether a listener at have is the one asked for by want, which
// may leave the port open.
func serves(have, want multiaddr.Multiaddr) bool {
	have, want = plain(have), plain(want)
	return slices.EqualFunc(have, want, func(h, w multiaddr.Component) bool {
		switch code := w.Protocol().Code; code {
		case multiaddr.P_DNS, multiaddr.P_DNS4, multiaddr.P_DNS6:
			return true // have says the name or its address
		default:
			if h.Protocol().Code != code {
				return false
			}
		}
		switch w.Protocol().Code {
		case multiaddr.P_TCP, multiaddr.P_UDP:
			return w.Value() == "0" || h.Value() == w.Value()
		}
		return h.Value() == w.Value()
	})
}

// plain leaves out of an address what listeners add to it, and says wss in
// two words.
func plain(a multiaddr.Multiaddr) multiaddr.Multiaddr {
	var out multiaddr.Multiaddr
	for _, c := range a {
		switch c.Protocol().Code {
		case multiaddr.P_CERTHASH, multiaddr.P_SNI:
		case multiaddr.P_WSS:
			out = append(out, multiaddr.StringCast("/tls/ws")...)
		default:
			out = append(out, c)
		}
	}
	return out
}
