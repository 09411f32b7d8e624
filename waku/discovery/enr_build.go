package discovery

import (
	"crypto/ecdsa"
	"encoding/binary"
	"fmt"
	"net"
	"slices"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// MaxRecord is the size of an encoded node record in bytes (EIP-778).
const MaxRecord = enr.SizeLimit

// listMostShards is the most shards that field rs lists; more are bits of
// field rsv (WAKU2-RELAY-SHARDING).
const listMostShards = 63

// Description is what a node's record says.
type Description struct {
	// Seq must grow with every change of the record; Unix time in milliseconds
	// does.
	Seq          uint64
	Capabilities Capabilities
	Cluster      uint16
	Shards       []uint16
	// Multiaddrs in the order of preference, with or without the node's own
	// /p2p/….
	Multiaddrs []string
}

// BuildENR signs the record of a node (31/WAKU2-ENR, WAKU2-RELAY-SHARDING) and
// returns its text form enr:…. The key is the node's and must be a secp256k1
// key, which records are signed with.
//
// The first plain TCP address of an IPv4 host becomes ip and tcp, one of an
// IPv6 host ip6 and tcp6. All others are in multiaddrs; those that the size of
// a record leaves no room for are left out, the least preferred first.
func BuildENR(k crypto.PrivKey, d Description) (string, error) {
	private, err := recordKey(k)
	if err != nil {
		return "", err
	}
	fields, err := d.fields()
	if err != nil {
		return "", err
	}
	plain, rest, err := d.addresses(k)
	if err != nil {
		return "", err
	}
	fields = append(fields, plain...)
	for ; ; rest = rest[:len(rest)-1] {
		text, err := sign(private, d.Seq, fields, rest)
		if err == nil || len(rest) == 0 {
			return text, err
		}
	}
}

// recordKey returns a secp256k1 key as records are signed with it.
func recordKey(k crypto.PrivKey) (*ecdsa.PrivateKey, error) {
	if k == nil || k.Type() != crypto.Secp256k1 {
		return nil, fmt.Errorf("%w: the node's key is not a secp256k1 key", ErrRecord)
	}
	raw, err := k.Raw()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return ethcrypto.ToECDSA(raw)
}

// fields are those that do not depend on addresses.
func (d Description) fields() ([]enr.Entry, error) {
	for _, s := range d.Shards {
		if s >= shardVector*8 {
			return nil, fmt.Errorf("%w: shard %d does not exist", ErrRecord, s)
		}
	}
	shards := slices.Compact(slices.Sorted(slices.Values(d.Shards)))
	value, name := binary.BigEndian.AppendUint16(nil, d.Cluster), "rs"
	if len(shards) <= listMostShards {
		value = append(value, byte(len(shards)))
		for _, s := range shards {
			value = binary.BigEndian.AppendUint16(value, s)
		}
	} else {
		name = "rsv"
		value = append(value, make([]byte, shardVector)...)
		for _, s := range shards {
			value[2+s/8] |= 1 << (s % 8)
		}
	}
	return []enr.Entry{
		enr.WithEntry("waku2", []byte{d.Capabilities.bits()}),
		enr.WithEntry(name, value),
	}, nil
}

// bits is the byte that readCapabilities reads.
func (c Capabilities) bits() (b byte) {
	for i, has := range []bool{c.Relay, c.Store, c.Filter, c.Lightpush, c.Sync} {
		if has {
			b |= 1 << i
		}
	}
	return b
}

// addresses parts the addresses into fields of their own and the rest, as
// field multiaddrs holds them.
func (d Description) addresses(k crypto.PrivKey) (plain []enr.Entry, rest [][]byte, err error) {
	id, err := peer.IDFromPrivateKey(k)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	var has4, has6 bool
	for _, text := range d.Multiaddrs {
		m, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: address %q: %w", ErrRecord, text, err)
		}
		m, of := peer.SplitAddr(m)
		if m == nil || of != "" && of != id {
			return nil, nil, fmt.Errorf("%w: %q is not an address of the node", ErrRecord, text)
		}
		ip, port, is4, ok := plainTCP(m)
		switch {
		case ok && is4 && !has4:
			plain = append(plain, enr.IPv4(ip), enr.TCP(port))
			has4 = true
		case ok && !is4 && !has6:
			plain = append(plain, enr.IPv6(ip), enr.TCP6(port))
			has6 = true
		default:
			rest = append(rest, m.Bytes())
		}
	}
	return plain, rest, nil
}

// plainTCP takes /ip4/…/tcp/… and /ip6/…/tcp/… apart.
func plainTCP(m multiaddr.Multiaddr) (ip net.IP, port uint16, is4, ok bool) {
	if len(m) != 2 || m[1].Protocol().Code != multiaddr.P_TCP {
		return nil, 0, false, false
	}
	is4 = m[0].Protocol().Code == multiaddr.P_IP4
	if !is4 && m[0].Protocol().Code != multiaddr.P_IP6 {
		return nil, 0, false, false
	}
	return net.IP(m[0].RawValue()), binary.BigEndian.Uint16(m[1].RawValue()), is4, true
}

func sign(private *ecdsa.PrivateKey, seq uint64, fields []enr.Entry, multiaddrs [][]byte) (string, error) {
	var r enr.Record
	for _, f := range fields {
		r.Set(f)
	}
	var list []byte
	for _, m := range multiaddrs {
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(m))), m...)
	}
	if len(list) > 0 {
		r.Set(enr.WithEntry("multiaddrs", list))
	}
	r.SetSeq(seq)
	if err := enode.SignV4(&r, private); err != nil {
		return "", fmt.Errorf("%w: %w", ErrRecord, err)
	}
	n, err := enode.New(enode.ValidSchemes, &r)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return n.String(), nil
}
