package discovery

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// addresses reads the node's addresses as a record has them: without the
// node's own id, and without /p2p-circuit behind that of a relay.
func (d Description) addresses(k crypto.PrivKey) ([]multiaddr.Multiaddr, error) {
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	var list []multiaddr.Multiaddr
	for _, text := range d.Multiaddrs {
		m, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return nil, fmt.Errorf("%w: address %q: %w", ErrRecord, text, err)
		}
		m, of := peer.SplitAddr(m)
		if m == nil || of != "" && of != id {
			return nil, fmt.Errorf("%w: %q is not an address of the node", ErrRecord, text)
		}
		if last := len(m) - 1; last > 0 && m[last].Protocol().Code == multiaddr.P_CIRCUIT {
			m = m[:last]
		}
		if reach(m) != nobody {
			list = append(list, m)
		}
	}
	return list, nil
}

// pickPlain takes the plain TCP address of one IP family out of list that
// reaches most, the first of several. It is not valid when there is none.
func pickPlain(list []multiaddr.Multiaddr, ip4 bool) (netip.AddrPort, []multiaddr.Multiaddr) {
	var best netip.AddrPort
	at := -1
	for i, m := range list {
		ap, ok := plainTCP(m)
		if ok && ap.Addr().Is4() == ip4 && (at < 0 || reach(m) > reach(list[at])) {
			best, at = ap, i
		}
	}
	if at < 0 {
		return best, list
	}
	return best, slices.Delete(slices.Clone(list), at, at+1)
}

// plainTCP takes /ip4/…/tcp/… and /ip6/…/tcp/… apart.
func plainTCP(m multiaddr.Multiaddr) (netip.AddrPort, bool) {
	if len(m) != 2 || m[1].Protocol().Code != multiaddr.P_TCP {
		return netip.AddrPort{}, false
	}
	ip, ok := hostIP(m)
	return netip.AddrPortFrom(ip, portOf(m)), ok
}

// hostIP returns the IP address that m begins with.
func hostIP(m multiaddr.Multiaddr) (netip.Addr, bool) {
	if len(m) == 0 {
		return netip.Addr{}, false
	}
	if c := m[0].Protocol().Code; c != multiaddr.P_IP4 && c != multiaddr.P_IP6 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(m[0].RawValue())
}

// portOf returns the TCP or UDP port of m; 0 when it has none.
func portOf(m multiaddr.Multiaddr) uint16 {
	if len(m) < 2 {
		return 0
	}
	if c := m[1].Protocol().Code; c != multiaddr.P_TCP && c != multiaddr.P_UDP {
		return 0
	}
	return binary.BigEndian.Uint16(m[1].RawValue())
}

// Who can dial an address, the fewest first. Secure WebSocket stands above the
// rest of its kind: pages that come by https can dial nothing else.
const (
	nobody  = iota
	machine // loopback
	lan
	relayed // everybody, by a relay's favour
	public
	browsers
)

// reach tells who can dial an address.
func reach(m multiaddr.Multiaddr) int {
	ip, isIP := hostIP(m)
	switch {
	case m[0].Protocol().Code == multiaddr.P_DNSADDR: // tells host and port itself
		return public
	case portOf(m) == 0 || isIP && (ip.IsUnspecified() || ip.IsMulticast()):
		return nobody
	case isIP && ip.IsLoopback():
		return machine
	case isIP && (ip.IsPrivate() || ip.IsLinkLocalUnicast()), !isIP && local(m[0].Value()):
		return lan
	case has(m, multiaddr.P_P2P):
		return relayed
	case has(m, multiaddr.P_WSS), has(m, multiaddr.P_WS) && has(m, multiaddr.P_TLS):
		return browsers
	}
	return public
}

// local tells a name that means something in one place alone.
func local(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".local") || strings.HasSuffix(name, ".localhost")
}

func has(m multiaddr.Multiaddr, code int) bool {
	return slices.ContainsFunc(m, func(c multiaddr.Component) bool { return c.Protocol().Code == code })
}

// leaveOut returns list without the address that reaches the fewest, the last
// of several.
func leaveOut(list []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	worst := 0
	for i, m := range list {
		if reach(m) <= reach(list[worst]) {
			worst = i
		}
	}
	return slices.Delete(slices.Clone(list), worst, worst+1)
}
