package discovery

import (
	"cmp"
	"crypto/ecdsa"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/p2p/enr"
	"github.com/multiformats/go-multiaddr"
)

const (
	// maxSeq is the largest sequence number there is room for: milliseconds,
	// for some thousand years. Eight bytes would not leave room for field rsv.
	maxSeq = 1<<48 - 1
	// savedNodes is the most nodes kept over a restart.
	savedNodes = 64
	// maxSaved bounds their file, in bytes: text is longer than a record.
	maxSaved = savedNodes * 2 * MaxRecord
)

// entries are the fields of the own record that Update writes, by name.
// Those of the UDP endpoint are the local node's to write.
type entries map[string]enr.Entry

// endpoint settles what the local node may say of its address: in one family
// the fixed one, or the one others see; in the other nothing, so that no
// stranger's word makes the record longer than there was room for.
func (v *V5) endpoint(port uint16) {
	none4, none6 := net.IPv4zero, net.IPv6unspecified
	if v.ip4 {
		v.local.SetStaticIP(none6)
	} else {
		v.local.SetStaticIP(none4)
	}
	if v.fixed.IsValid() {
		v.local.SetStaticIP(v.fixed.AsSlice())
	}
	v.local.SetFallbackUDP(int(port))
}

// Update changes what the record says; Seq of d is not used. The record is as
// it was when there is an error.
//
// Shards become field rs or rsv by their number. Addresses are chosen as in
// BuildENR, with room left for the UDP endpoint, but the plain one that
// becomes tcp is one at the record's address. With an IPv6 endpoint and a TCP
// port there is no room for more than 61 shards.
func (v *V5) Update(d Description) error {
	if d.Capabilities == (Capabilities{}) {
		return fmt.Errorf("%w: no capability", ErrRecord)
	}
	shared, err := d.fields()
	if err != nil {
		return err
	}
	list, err := d.addresses(v.cfg.Key)
	if err != nil {
		return err
	}
	plain, rest := v.pick(list)
	// What the record may hold at most: others may come to see the node at
	// any address and port.
	most := append([]enr.Entry{enr.UDP(math.MaxUint16)}, shared...)
	if !v.fixed.IsValid() { // written when IPv4 has another port than was listened on
		most = append(most, enr.UDP6(math.MaxUint16))
	}
	if plain.IsValid() {
		shared = append(shared, v.tcp(plain.Port()))
		most = append(most, v.tcp(math.MaxUint16))
	}
	if v.ip4 {
		most = append(most, enr.IPv4Addr(netip.AddrFrom4([4]byte{255, 255, 255, 255})))
	} else {
		most = append(most, enr.IPv6Addr(netip.IPv6LinkLocalAllNodes()))
	}
	_, rest, err = fit(v.private, maxSeq, most, rest)
	if err != nil {
		return err
	}
	say := make(entries)
	for _, e := range shared {
		say[e.ENRKey()] = e
	}
	if len(rest) > 0 {
		e := multiaddrsField(rest)
		say[e.ENRKey()] = e
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.fixed.IsValid() {
		v.local.SetFallbackIP(cmp.Or(plain.Addr(), netip.IPv4Unspecified()).AsSlice())
	}
	v.write(say)
	v.own = d
	return nil
}

// write makes the record say what it is to say. It is read and signed by
// others meanwhile: what goes or changes goes first, for a record too large
// cannot be signed.
func (v *V5) write(say entries) {
	for name, e := range v.say {
		if next := say[name]; next == nil || !reflect.DeepEqual(e, next) {
			v.local.Delete(e)
		}
	}
	for _, e := range say {
		v.local.Set(e)
	}
	v.say = say
}

// pick takes the address whose port is the record's tcp out of list.
func (v *V5) pick(list []multiaddr.Multiaddr) (netip.AddrPort, []multiaddr.Multiaddr) {
	if !v.fixed.IsValid() {
		return pickPlain(list, v.ip4)
	}
	for i, m := range list {
		if at, ok := plainTCP(m); ok && at.Addr() == v.fixed {
			return at, append(list[:i:i], list[i+1:]...)
		}
	}
	return netip.AddrPort{}, list
}

// tcp is the field of a TCP port.
func (v *V5) tcp(port uint16) enr.Entry {
	if v.ip4 {
		return enr.TCP(port)
	}
	return enr.TCP6(port)
}

// openLocal opens what is kept in dir, nothing where dir is empty, and returns
// the local node, whose sequence number is neither below the one kept nor
// below the time in milliseconds.
func openLocal(dir string, private *ecdsa.PrivateKey) (*enode.DB, *enode.LocalNode, []*enode.Node, error) {
	path := ""
	if dir != "" {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, nil, err
		}
		path = filepath.Join(dir, "sequence")
	}
	for {
		now := uint64(time.Now().UnixMilli())
		db, err := enode.OpenDB(path)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("discv5: %w", err)
		}
		local := enode.NewLocalNode(db, private)
		if local.Seq() >= now {
			return db, local, loadNodes(dir), nil
		}
		// The time is ahead of what was kept, and others may have seen records
		// made without it, or with a later copy: begin anew with the time.
		db.Close()
		if err := os.RemoveAll(path); err != nil {
			return nil, nil, nil, err
		}
	}
}

// saveNodes keeps nodes for the next start.
func saveNodes(dir string, nodes []*enode.Node) error {
	var text strings.Builder
	for _, n := range nodes[:min(len(nodes), savedNodes)] {
		fmt.Fprintln(&text, n.String())
	}
	path := filepath.Join(dir, "nodes")
	if err := os.WriteFile(path+".new", []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// loadNodes returns the nodes kept. They save a look-up, no more: without
// them, or where they are spoilt, the bootstrap nodes are asked.
func loadNodes(dir string) (nodes []*enode.Node) {
	if dir == "" {
		return nil
	}
	path := filepath.Join(dir, "nodes")
	info, err := os.Stat(path)
	if err != nil || info.Size() > maxSaved {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if n, err := parseNode(strings.TrimSpace(line)); err == nil && complete(n) {
			nodes = append(nodes, n)
		}
	}
	return nodes[:min(len(nodes), savedNodes)]
}
