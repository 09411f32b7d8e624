package discovery

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/libp2p/go-libp2p/core/crypto"
)

// v5ID sets the network apart from Ethereum's (33/WAKU2-DISCV5,
// WAKU2-Specific protocol-id).
var v5ID = [6]byte([]byte("d5waku"))

// DefaultV5Listen is where discv5 listens when nothing is said. Deployed nodes
// use port 9000.
const DefaultV5Listen = "127.0.0.1:0"

// ErrV5 is a configuration of discv5 that makes no sense.
var ErrV5 = errors.New("discv5 configuration")

// V5Config are the parameters of a V5.
type V5Config struct {
	// Key is the node's own, a secp256k1 key.
	Key crypto.PrivKey
	// Listen is the UDP address listened on, such as 0.0.0.0:9000; empty for
	// DefaultV5Listen.
	Listen string
	// Announce is the IP address, or address and UDP port, that others reach
	// the node at. When it is empty and Listen names no single address, the
	// record has the plain TCP address of Describe until enough others agree
	// on the address that they see the node at.
	Announce string
	// Bootstrap are records enr:… of nodes to ask first. Those without a UDP
	// address are of no use here and left out.
	Bootstrap []string
	// Describe is what the node's record says; Seq is not used.
	Describe Description
	// Accept, when given, sorts out further records that Find would return.
	// It must not block.
	Accept func(*Record) bool
	// Database is a directory of this node's own, which keeps the record's
	// sequence number and the nodes known over a restart. Without one the
	// number is the time of the start in milliseconds.
	Database string
	// Logger may be nil.
	Logger *slog.Logger

	// ping is how often known nodes are seen after; zero for the protocol's
	// own. Tests hurry.
	ping time.Duration
}

// V5 is a node of the discovery network (33/WAKU2-DISCV5). It answers others
// from the moment it listens, and looks for nodes while Find is ranged over.
//
// Its record holds one endpoint: of IPv6 when it listens on or announces a
// single IPv6 address, of IPv4 else.
type V5 struct {
	cfg     V5Config
	private *ecdsa.PrivateKey
	log     *slog.Logger
	fixed   netip.Addr // the record's address, valid when it is known
	ip4     bool       // the family of the record's endpoint
	db      *enode.DB
	local   *enode.LocalNode
	udp     *discover.UDPv5
	ctx     context.Context
	cancel  context.CancelFunc
	close   sync.Once

	mu  sync.Mutex
	own Description
	say entries
}

// ListenV5 starts a node of the discovery network.
func ListenV5(cfg V5Config) (_ *V5, err error) {
	v := &V5{cfg: cfg, log: cfg.Logger}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if v.private, err = recordKey(cfg.Key); err != nil {
		return nil, err
	}
	boot, err := bootNodes(cfg.Bootstrap)
	if err != nil {
		return nil, err
	}
	conn, announced, err := v.listen()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	var saved []*enode.Node
	if v.db, v.local, saved, err = openLocal(cfg.Database, v.private); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.db.Close()
		}
	}()
	v.endpoint(announced)
	if err = v.Update(cfg.Describe); err != nil {
		return nil, err
	}
	v.udp, err = discover.ListenV5(conn, v.local, discover.Config{
		PrivateKey: v.private, Bootnodes: append(boot, saved...), V5ProtocolID: &v5ID,
		PingInterval: cfg.ping, Log: log.NewLogger(quiet{v.log.Handler()}),
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrV5, err)
	}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v, nil
}

// bootNodes reads records of nodes to ask first.
func bootNodes(texts []string) (nodes []*enode.Node, err error) {
	for _, text := range texts {
		n, err := parseNode(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if complete(n) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// complete tells whether n can be asked.
func complete(n *enode.Node) bool {
	at, ok := n.UDPEndpoint()
	return ok && !at.Addr().IsMulticast() && n.Pubkey() != nil
}

// listen opens the socket and settles which address the record has, as far as
// that is known. The port announced is that of the record.
func (v *V5) listen() (conn *net.UDPConn, announced uint16, err error) {
	at := v.cfg.Listen
	if at == "" {
		at = DefaultV5Listen
	}
	addr, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrV5, err)
	}
	network := "udp"
	if ip := addr.AddrPort().Addr().Unmap(); ip.IsValid() {
		if ip.Is4() {
			network = "udp4"
		}
		if !ip.IsUnspecified() {
			v.fixed = ip
		}
	}
	if v.cfg.Announce != "" {
		ap, err := netip.ParseAddrPort(v.cfg.Announce)
		if err != nil {
			var ip netip.Addr
			if ip, err = netip.ParseAddr(v.cfg.Announce); err != nil {
				return nil, 0, fmt.Errorf("%w: announce %q is neither an IP address nor one with a port", ErrV5, v.cfg.Announce)
			}
			ap = netip.AddrPortFrom(ip, 0)
		}
		ip := ap.Addr().Unmap().WithZone("")
		if ip.IsUnspecified() || ip.IsMulticast() || v.fixed.IsValid() && v.fixed.Is4() != ip.Is4() || network == "udp4" && !ip.Is4() {
			return nil, 0, fmt.Errorf("%w: %s cannot be announced when listening on %s", ErrV5, ip, at)
		}
		v.fixed, announced = ip, ap.Port()
	}
	v.ip4 = !v.fixed.IsValid() || v.fixed.Is4()
	if conn, err = net.ListenUDP(network, addr); err != nil {
		return nil, 0, fmt.Errorf("discv5: %w", err)
	}
	if announced == 0 {
		announced = conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	return conn, announced, nil
}

// Record returns the node's record as others get it, enr:…. It changes with
// Update and with what others see of the node; its sequence number then grows.
func (v *V5) Record() string { return v.local.Node().String() }

// Meet makes a node known that was heard of elsewhere, if it answers, for
// which it has a second or so.
func (v *V5) Meet(r *Record) error {
	if r.node == nil || !complete(r.node) {
		return fmt.Errorf("%w: no UDP address", ErrRecord)
	}
	n, err := v.udp.RequestENR(r.node)
	if err != nil {
		return fmt.Errorf("discv5: %w", err)
	}
	v.udp.AddKnownNode(n)
	return nil
}

// Close leaves the network and keeps what is to be kept. Loops over Find end.
func (v *V5) Close() (err error) {
	v.close.Do(func() {
		v.cancel()
		if v.cfg.Database != "" {
			err = saveNodes(v.cfg.Database, v.live())
		}
		v.udp.Close()
		v.db.Close()
	})
	return err
}

// live returns the nodes that answered lately.
func (v *V5) live() (nodes []*enode.Node) {
	for _, bucket := range slices.Backward(v.udp.Nodes()) { // the fullest first
		for _, n := range bucket {
			if n.Live {
				nodes = append(nodes, n.Node)
			}
		}
	}
	return nodes
}
