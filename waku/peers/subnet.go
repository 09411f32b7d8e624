package peers

import (
	"net/netip"

	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Sizes of a subnet, which is taken for one party: what one customer commonly
// has.
const (
	subnetBits4 = 24
	subnetBits6 = 48
)

// addrIP returns the IP address that a multiaddress begins with; not valid
// for names.
func addrIP(a multiaddr.Multiaddr) netip.Addr {
	if a == nil {
		return netip.Addr{}
	}
	b, err := manet.ToIP(a)
	if err != nil {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip.Unmap()
}

// private says whether an address means something in this network or on this
// machine alone.
func private(ip netip.Addr) bool {
	return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
}

// subnet returns the subnet that limits apply to: a /24 of IPv4, a /48 of
// IPv6; not valid for private addresses and names, which no limit applies to.
func subnet(ip netip.Addr) netip.Prefix {
	if !ip.IsValid() || private(ip) {
		return netip.Prefix{}
	}
	return subnetOf(ip)
}

func subnetOf(ip netip.Addr) netip.Prefix {
	size := subnetBits6
	if ip.Is4() {
		size = subnetBits4
	}
	p, _ := ip.WithZone("").Prefix(size)
	return p
}
