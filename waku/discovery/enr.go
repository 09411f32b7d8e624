// Package discovery finds peers to dial: from multiaddrs, node records
// (31/WAKU2-ENR), node lists in DNS (EIP-1459, Lists), the nodes' own network
// for that (33/WAKU2-DISCV5, V5) and multicast on a LAN (StartMDNS). Package
// peerexchange asks one node for records.
package discovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// ErrRecord is a node record that does not decode or breaks 31/WAKU2-ENR.
var ErrRecord = errors.New("not a valid node record")

// Capabilities are the bits of the record's waku2 field.
type Capabilities struct {
	Relay     bool `json:"relay"`
	Store     bool `json:"store"`
	Filter    bool `json:"filter"`
	Lightpush bool `json:"lightpush"`
	Sync      bool `json:"sync"`
}

// Record is what a node says of itself in its ENR.
type Record struct {
	PeerID peer.ID `json:"peer_id"`
	// Seq grows with every change of the record.
	Seq uint64 `json:"seq"`
	// Multiaddrs end in /p2p/<peer id>, in the node's order of preference;
	// those made from ip and tcp come last.
	Multiaddrs   []string     `json:"multiaddrs"`
	Capabilities Capabilities `json:"capabilities"`
	Cluster      *uint16      `json:"cluster,omitempty"`
	Shards       []uint16     `json:"shards,omitempty"`
	IP           string       `json:"ip,omitempty"`
	TCP          int          `json:"tcp,omitempty"`
	UDP          int          `json:"udp,omitempty"`

	node *enode.Node // what was parsed
}

// ParseENR reads the text form enr:… and verifies its signature.
func ParseENR(text string) (*Record, error) {
	n, err := parseNode(text)
	if err != nil {
		return nil, err
	}
	return fromNode(n)
}

// parseNode is ParseENR without a look at the fields.
func parseNode(text string) (*enode.Node, error) {
	// The parser reads enode://… too, which nobody signed.
	if !strings.HasPrefix(text, "enr:") {
		return nil, fmt.Errorf("%w: no enr: at its beginning", ErrRecord)
	}
	n, err := enode.Parse(enode.ValidSchemes, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return n, nil
}

// ParseRaw reads the binary form of a record, at most MaxRecord bytes of RLP,
// and verifies its signature.
func ParseRaw(raw []byte) (*Record, error) {
	var r enr.Record
	if err := rlp.DecodeBytes(raw, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	n, err := enode.New(enode.ValidSchemes, &r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return fromNode(n)
}

// ENR returns the text form of a record that was parsed, enr:…; empty for one
// that was made otherwise.
func (r *Record) ENR() string {
	if r.node == nil {
		return ""
	}
	return r.node.String()
}

// Raw returns the binary form of a record that was parsed; nil for one that
// was made otherwise.
func (r *Record) Raw() []byte {
	if r.node == nil {
		return nil
	}
	raw, _ := rlp.EncodeToBytes(r.node.Record()) // encodes as it was decoded
	return raw
}

func fromNode(n *enode.Node) (*Record, error) {
	pub := n.Pubkey()
	if pub == nil {
		return nil, fmt.Errorf("%w: no secp256k1 key", ErrRecord)
	}
	id, err := peerID(n)
	if err != nil {
		return nil, err
	}
	r := &Record{PeerID: id, Seq: n.Seq(), TCP: n.TCP(), UDP: n.UDP(), node: n}
	if ip := n.IPAddr(); ip.IsValid() {
		r.IP = ip.String()
	}
	if err := r.readCapabilities(n); err != nil {
		return nil, err
	}
	if err := r.readShards(n); err != nil {
		return nil, err
	}
	return r, r.readMultiaddrs(n)
}

func peerID(n *enode.Node) (peer.ID, error) {
	pub, err := crypto.UnmarshalSecp256k1PublicKey(ethcrypto.CompressPubkey(n.Pubkey()))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return peer.IDFromPublicKey(pub)
}

// field reads an optional field of raw bytes.
func field(n *enode.Node, name string) ([]byte, error) {
	var raw []byte
	err := n.Load(enr.WithEntry(name, &raw))
	if enr.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: field %s: %w", ErrRecord, name, err)
	}
	return raw, nil
}

func (r *Record) readCapabilities(n *enode.Node) error {
	raw, err := field(n, "waku2")
	if err != nil || len(raw) == 0 {
		return err
	}
	bit := func(i int) bool { return raw[0]>>i&1 == 1 }
	r.Capabilities = Capabilities{Relay: bit(0), Store: bit(1), Filter: bit(2), Lightpush: bit(3), Sync: bit(4)}
	return nil
}

// shardVector is the size of field rsv's bit vector in bytes.
const shardVector = 128

// readShards reads field rs, else rsv (WAKU2-RELAY-SHARDING: with both, rsv is
// ignored). Deployed nodes number the bits of rsv from the least significant
// bit of the first byte.
func (r *Record) readShards(n *enode.Node) error {
	raw, err := field(n, "rs")
	if err != nil {
		return err
	}
	if raw != nil {
		if len(raw) < 3 || len(raw) != 3+2*int(raw[2]) {
			return fmt.Errorf("%w: field rs has %d bytes", ErrRecord, len(raw))
		}
		cluster := binary.BigEndian.Uint16(raw)
		r.Cluster = &cluster
		for i := 3; i < len(raw); i += 2 {
			r.Shards = append(r.Shards, binary.BigEndian.Uint16(raw[i:]))
		}
		return nil
	}
	if raw, err = field(n, "rsv"); err != nil || raw == nil {
		return err
	}
	if len(raw) != 2+shardVector {
		return fmt.Errorf("%w: field rsv has %d bytes, want %d", ErrRecord, len(raw), 2+shardVector)
	}
	cluster := binary.BigEndian.Uint16(raw)
	r.Cluster = &cluster
	for i := range shardVector * 8 {
		if raw[2+i/8]>>(i%8)&1 == 1 {
			r.Shards = append(r.Shards, uint16(i))
		}
	}
	return nil
}

func (r *Record) readMultiaddrs(n *enode.Node) error {
	raw, err := field(n, "multiaddrs")
	if err != nil {
		return err
	}
	suffix := "/p2p/" + r.PeerID.String()
	for len(raw) > 0 {
		if len(raw) < 2 || len(raw) < 2+int(binary.BigEndian.Uint16(raw)) {
			return fmt.Errorf("%w: field multiaddrs is cut short", ErrRecord)
		}
		size := 2 + int(binary.BigEndian.Uint16(raw))
		// An address of a kind not known here says nothing against the others.
		if m, err := multiaddr.NewMultiaddrBytes(raw[2:size]); err == nil {
			if text, ok := r.dialable(m); ok {
				r.Multiaddrs = append(r.Multiaddrs, text+suffix)
			}
		}
		raw = raw[size:]
	}
	if ip := n.IPAddr(); ip.IsValid() && r.TCP != 0 {
		family := "ip6"
		if ip.Is4() {
			family = "ip4"
		}
		plain := fmt.Sprintf("/%s/%s/tcp/%d%s", family, ip, r.TCP, suffix)
		if !slices.Contains(r.Multiaddrs, plain) {
			r.Multiaddrs = append(r.Multiaddrs, plain)
		}
	}
	return nil
}

// dialable returns an address of field multiaddrs as it is dialled. One that
// names a peer is that of a relay, behind which the node is: the record leaves
// /p2p-circuit out (31/WAKU2-ENR).
func (r *Record) dialable(m multiaddr.Multiaddr) (text string, ok bool) {
	at, of := peer.SplitAddr(m)
	switch {
	case at == nil:
		return "", false
	case of == "" || of == r.PeerID:
		return at.String(), true
	}
	return m.String() + "/p2p-circuit", true
}

// AddrInfo returns the record as an address to dial.
func (r *Record) AddrInfo() peer.AddrInfo {
	info := peer.AddrInfo{ID: r.PeerID}
	for _, s := range r.Multiaddrs {
		m, err := multiaddr.NewMultiaddr(s)
		if err != nil {
			continue // built above from what parsed
		}
		if addr, _ := peer.SplitAddr(m); addr != nil {
			info.Addrs = append(info.Addrs, addr)
		}
	}
	return info
}
