package discovery

import (
	"crypto/ecdsa"
	"encoding/binary"
	"fmt"
	"slices"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/libp2p/go-libp2p/core/crypto"
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
	// /p2p/…. Those nobody can dial, of host 0.0.0.0 or port 0, are left out.
	Multiaddrs []string
}

// BuildENR signs the record of a node (31/WAKU2-ENR, WAKU2-RELAY-SHARDING) and
// returns its text form enr:…. The key is the node's and must be a secp256k1
// key, which records are signed with.
//
// A plain TCP address of an IPv4 host becomes ip and tcp, one of an IPv6 host
// ip6 and tcp6: the first that is public, else the first. All others are in
// multiaddrs in their order; where the size of a record leaves no room for
// all, those that reach the fewest are left out first (see reach).
func BuildENR(k crypto.PrivKey, d Description) (string, error) {
	private, err := recordKey(k)
	if err != nil {
		return "", err
	}
	fields, err := d.fields()
	if err != nil {
		return "", err
	}
	list, err := d.addresses(k)
	if err != nil {
		return "", err
	}
	if at, rest := pickPlain(list, true); at.IsValid() {
		fields, list = append(fields, enr.IPv4Addr(at.Addr()), enr.TCP(at.Port())), rest
	}
	if at, rest := pickPlain(list, false); at.IsValid() {
		fields, list = append(fields, enr.IPv6Addr(at.Addr()), enr.TCP6(at.Port())), rest
	}
	text, _, err := fit(private, d.Seq, fields, list)
	return text, err
}

// fit signs a record with as many of the addresses as it has room for, which
// it returns too.
func fit(private *ecdsa.PrivateKey, seq uint64, fields []enr.Entry, list []multiaddr.Multiaddr) (string, []multiaddr.Multiaddr, error) {
	for {
		text, err := sign(private, seq, fields, list)
		if err == nil || len(list) == 0 {
			return text, list, err
		}
		list = leaveOut(list)
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

func sign(private *ecdsa.PrivateKey, seq uint64, fields []enr.Entry, list []multiaddr.Multiaddr) (string, error) {
	var r enr.Record
	for _, f := range fields {
		r.Set(f)
	}
	if len(list) > 0 {
		r.Set(multiaddrsField(list))
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

// multiaddrsField is the field that readMultiaddrs reads.
func multiaddrsField(list []multiaddr.Multiaddr) enr.Entry {
	var value []byte
	for _, m := range list {
		value = append(binary.BigEndian.AppendUint16(value, uint16(len(m.Bytes()))), m.Bytes()...)
	}
	return enr.WithEntry("multiaddrs", value)
}
