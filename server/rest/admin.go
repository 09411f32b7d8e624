package rest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/metadata"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// MaxPeers bounds the peers that one call dials.
const MaxPeers = 64

// Peer is another node.
type Peer struct {
	Multiaddr string   `json:"multiaddr"`
	Protocols []string `json:"protocols"`
	Shards    []uint16 `json:"shards"`
	Connected string   `json:"connected" enum:"NotConnected,CannotConnect,CanConnect,Connected"`
	Agent     string   `json:"agent"`
	Origin    string   `json:"origin" enum:"UnknownOrigin,Discv5,Static,PeerExchange,Dns"`
}

// ShardPeers are the peers on a shard.
type ShardPeers struct {
	Shard uint16 `json:"shard"`
	Peers []Peer `json:"peers"`
}

// FilterTopic is what a filter subscription is of.
type FilterTopic struct {
	PubsubTopic  string `json:"pubsubTopic"`
	ContentTopic string `json:"contentTopic"`
}

// FilterSubscription is a subscriber of the node's filter service.
type FilterSubscription struct {
	PeerID   string        `json:"peerId"`
	Criteria []FilterTopic `json:"filterCriteria"`
}

// PeerStats are counts of peers by group.
type PeerStats map[string]map[string]int

// PeerAddrs are the addresses of peers to connect to: a list of
// multiaddresses (nwaku), or one object with a multiaddress (go-waku).
type PeerAddrs []string

// UnmarshalJSON implements json.Unmarshaler.
func (p *PeerAddrs) UnmarshalJSON(data []byte) error {
	var list []string
	if strings.HasPrefix(strings.TrimSpace(string(data)), "{") {
		var one string
		if err := readObject(data, map[string]any{"multiaddr": &one}); err != nil {
			return err
		}
		list = []string{one}
	} else if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*p = list
	return nil
}

type (
	shardInput struct {
		Shard string `path:"shardId"`
	}
	peerInput struct {
		PeerID string `path:"peerId"`
	}
	connectInput struct{ Body PeerAddrs }
	levelInput   struct {
		Level string `path:"logLevel" doc:"TRACE, DEBUG, INFO, NOTICE, WARN, ERROR or FATAL"`
	}
)

func (s *Server) registerAdmin() {
	const path = "/admin/v1/peers"
	peers := func(sub, id, summary string, list func() []Peer) {
		register(s.routes, call{method: http.MethodGet, path: path + sub, id: id, summary: summary, out: []Peer{}},
			func(context.Context, *noInput) reply { return value(http.StatusOK, list()) })
	}
	peers("", "peers", "All known peers", s.allPeers)
	peers("/connected", "peers-connected", "Connected peers", s.connectedPeers)
	peers("/service", "peers-service", "Peers that serve a protocol of Waku, with those they serve", s.servicePeers)
	register(s.routes, call{
		method: http.MethodGet, path: path + "/connected/on/{shardId}", id: "peers-connected-on",
		summary: "Connected peers on a shard", out: []Peer{}, errors: []int{400},
	}, func(_ context.Context, in *shardInput) reply {
		shard, err := strconv.ParseUint(in.Shard, 10, 16)
		if err != nil {
			return badShard(err)
		}
		return value(http.StatusOK, slices.DeleteFunc(s.connectedPeers(), func(p Peer) bool {
			return !slices.Contains(p.Shards, uint16(shard))
		}))
	})
	s.registerShardPeers(path+"/relay", "peers-relay", "Peers that relay with this node", s.cfg.Node.RelayPeers)
	s.registerShardPeers(path+"/mesh", "peers-mesh", "Peers in the mesh of this node", s.cfg.Node.MeshPeers)
	register(s.routes, call{
		method: http.MethodGet, path: path + "/stats", id: "peers-stats", summary: "Counts of peers", out: PeerStats{},
	}, func(context.Context, *noInput) reply { return value(http.StatusOK, s.peerStats()) })
	register(s.routes, call{
		method: http.MethodGet, path: "/admin/v1/peer/{peerId}", id: "peer", summary: "One peer", out: Peer{}, errors: []int{400, 404},
	}, s.onePeer)
	register(s.routes, call{
		method: http.MethodPost, path: path, id: "connect", summary: "Connect to peers", errors: []int{400},
		badBody: func(err error) reply { return text(http.StatusBadRequest, "Failed to decode request: "+sentence(err)) },
	}, s.connect)
	register(s.routes, call{
		method: http.MethodGet, path: "/admin/v1/filter/subscriptions", id: "filter-subscriptions",
		summary: "Subscribers of the filter service", out: []FilterSubscription{}, errors: []int{400},
	}, func(context.Context, *noInput) reply {
		if s.cfg.FilterSubscriptions == nil {
			return text(http.StatusBadRequest, "Error: Filter Protocol is not mounted to the node")
		}
		return value(http.StatusOK, append([]FilterSubscription{}, s.cfg.FilterSubscriptions()...))
	})
	register(s.routes, call{
		method: http.MethodPost, path: "/admin/v1/log-level/{logLevel}", id: "log-level", summary: "Set the level of the log", errors: []int{400, 503},
	}, s.setLogLevel)
}

func badShard(err error) reply { return textf(http.StatusBadRequest, "Invalid shardId: %v", err) }

// registerShardPeers adds the calls for the peers on all shards and on one.
func (s *Server) registerShardPeers(path, id, summary string, on func(pubsubTopic string) []peer.ID) {
	list := func(shard uint16, pubsub string) ShardPeers {
		ids := on(pubsub)
		return ShardPeers{Shard: shard, Peers: slices.DeleteFunc(s.connectedPeers(), func(p Peer) bool {
			return !slices.ContainsFunc(ids, func(id peer.ID) bool { return strings.HasSuffix(p.Multiaddr, "/p2p/"+id.String()) })
		})}
	}
	register(s.routes, call{method: http.MethodGet, path: path, id: id, summary: summary, out: []ShardPeers{}, errors: []int{503}},
		func(context.Context, *noInput) reply {
			if s.relay == nil {
				return noRelayReply
			}
			out := []ShardPeers{}
			for _, t := range s.cfg.Node.RelayTopics() {
				if _, shard, err := topic.ParsePubsub(t); err == nil {
					out = append(out, list(shard, t))
				}
			}
			return value(http.StatusOK, out)
		})
	register(s.routes, call{method: http.MethodGet, path: path + "/on/{shardId}", id: id + "-on", summary: summary + ", on one shard", out: ShardPeers{}, errors: []int{400, 503}},
		func(_ context.Context, in *shardInput) reply {
			shard, err := strconv.ParseUint(in.Shard, 10, 16)
			switch {
			case err != nil:
				return badShard(err)
			case s.relay == nil:
				return noRelayReply
			}
			return value(http.StatusOK, list(uint16(shard), topic.Pubsub(s.cfg.Cluster, uint16(shard))))
		})
}

var noRelayReply = text(http.StatusServiceUnavailable, "Error: Relay Protocol is not mounted to the node")

// connectedPeers are the connected peers in the order of their addresses.
func (s *Server) connectedPeers() []Peer {
	out := []Peer{}
	for _, p := range s.cfg.Node.Status().Peers {
		origin := "UnknownOrigin"
		if p.Static {
			origin = "Static"
		}
		out = append(out, Peer{
			Multiaddr: p.Addr + "/p2p/" + p.ID, Protocols: append([]string{}, p.Protocols...),
			Shards: append([]uint16{}, p.Shards...), Connected: network.Connected.String(),
			Agent: p.Agent, Origin: origin,
		})
	}
	sortPeers(out)
	return out
}

func sortPeers(peers []Peer) {
	slices.SortFunc(peers, func(a, b Peer) int { return cmp.Compare(a.Multiaddr, b.Multiaddr) })
}

// allPeers are the connected peers, and those known with an address.
func (s *Server) allPeers() []Peer {
	out := s.connectedPeers()
	h := s.cfg.Node.Host()
	for _, p := range h.Peerstore().PeersWithAddrs() {
		if p == h.ID() || h.Network().Connectedness(p) == network.Connected {
			continue
		}
		addrs := h.Peerstore().Addrs(p)
		if len(addrs) == 0 {
			continue
		}
		known, _ := h.Peerstore().GetProtocols(p)
		agent, _ := h.Peerstore().Get(p, "AgentVersion")
		name, _ := agent.(string)
		names := append([]string{}, protocol.ConvertToStrings(known)...)
		slices.Sort(names)
		out = append(out, Peer{
			Multiaddr: addrs[0].String() + "/p2p/" + p.String(), Protocols: names, Shards: []uint16{},
			Connected: network.NotConnected.String(), Agent: name, Origin: "UnknownOrigin",
		})
	}
	sortPeers(out)
	return out
}

// serviceProtocols are the protocols of Waku that peers serve.
var serviceProtocols = []protocol.ID{
	relay.ProtocolID, filter.SubscribeID, store.ProtocolID, "/vac/waku/store/2.0.0-beta4",
	lightpush.ProtocolV2, lightpush.ProtocolV3, "/vac/waku/peer-exchange/2.0.0-alpha1",
	"/vac/waku/reconciliation/1.0.0", "/vac/waku/transfer/1.0.0",
}

func (s *Server) servicePeers() []Peer {
	out := s.allPeers()
	for i := range out {
		out[i].Protocols = slices.DeleteFunc(out[i].Protocols, func(id string) bool {
			return !slices.Contains(serviceProtocols, protocol.ID(id))
		})
	}
	return slices.DeleteFunc(out, func(p Peer) bool { return len(p.Protocols) == 0 })
}

func (s *Server) peerStats() PeerStats {
	all, st := s.allPeers(), s.cfg.Node.Status()
	out := PeerStats{
		"Sum": {"Total peers": len(all)},
		"By Connectedness": {
			"Connected": 0, "NotConnected": 0, "CannotConnect": 0, "CanConnect": 0,
		},
		"Relay peers": {"Total relay peers": 0}, "Mesh peers": {"Total mesh peers": 0},
		"By Protocols": {string(filter.PushID): 0, string(metadata.ProtocolID): 0},
	}
	protocols := out["By Protocols"]
	for _, id := range serviceProtocols {
		protocols[string(id)] = 0
	}
	for _, p := range all {
		out["By Connectedness"][p.Connected]++
		for _, id := range p.Protocols {
			if _, counted := protocols[id]; counted {
				protocols[id]++
			}
		}
	}
	for pubsub, t := range maps.All(st.Relay) {
		if _, shard, err := topic.ParsePubsub(pubsub); err == nil {
			key := strconv.Itoa(int(shard))
			out["Relay peers"][key] = t.Peers
			out["Mesh peers"][key] = t.Mesh
			out["Relay peers"]["Total relay peers"] += t.Peers
			out["Mesh peers"]["Total mesh peers"] += t.Mesh
		}
	}
	return out
}

func (s *Server) onePeer(_ context.Context, in *peerInput) reply {
	id, err := peer.Decode(in.PeerID)
	if err != nil {
		return text(http.StatusBadRequest, "Invalid argument:"+err.Error())
	}
	for _, p := range s.allPeers() {
		if strings.HasSuffix(p.Multiaddr, "/p2p/"+id.String()) {
			return value(http.StatusOK, p)
		}
	}
	return textf(http.StatusNotFound, "Peer with ID %s not found", in.PeerID)
}

// connect dials peers one after the other, to the first that fails.
func (s *Server) connect(ctx context.Context, in *connectInput) reply {
	if len(in.Body) > MaxPeers {
		return textf(http.StatusBadRequest, "Failed to decode request: %d peers, at most %d", len(in.Body), MaxPeers)
	}
	for i, addr := range in.Body {
		p, err := peer.AddrInfoFromString(addr)
		if err != nil {
			return textf(http.StatusBadRequest, "Couldn't parse remote peer info: %v", err)
		}
		if err := s.dial(ctx, *p); err != nil {
			s.log.Debug("a peer named by a call is not reached", "peer", p.ID, "cause", err)
			return textf(http.StatusBadRequest, "Failed to connect to peer at index: %d - %s", i, addr)
		}
	}
	return ok()
}

func (s *Server) dial(ctx context.Context, p peer.AddrInfo) error {
	if p.ID == s.cfg.Node.Host().ID() {
		return fmt.Errorf("%w: it is this node", node.ErrUnreachable)
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	return s.cfg.Node.Dial(ctx, p)
}

// levels are nwaku's names of log levels.
var levels = map[string]slog.Level{
	"TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "NOTICE": slog.LevelInfo + 2,
	"WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError + 4,
}

func (s *Server) setLogLevel(_ context.Context, in *levelInput) reply {
	level, known := levels[strings.ToUpper(in.Level)]
	switch {
	case s.cfg.LogLevel == nil:
		return text(http.StatusServiceUnavailable, "Dynamic Log level management is not enabled here.")
	case !known:
		return textf(http.StatusBadRequest, "Invalid log-level: %s. Please specify one of TRACE, DEBUG, INFO, NOTICE, WARN, ERROR or FATAL", in.Level)
	}
	s.cfg.LogLevel.Set(level)
	return ok()
}
