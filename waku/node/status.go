package node

import (
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/parley-im/parley/waku/filter"
)

// Status is what a node is and whom it is connected to at one moment.
type Status struct {
	PeerID  string   `json:"peer_id"`
	Mode    Mode     `json:"mode"`
	Cluster uint16   `json:"cluster"`
	Shards  []uint16 `json:"shards"`
	// Addrs are the node's addresses, complete with its peer id.
	Addrs []string `json:"addrs"`
	// Protocols are those the node serves.
	Protocols []string     `json:"protocols"`
	Peers     []PeerStatus `json:"peers"`
	// Relay holds the relayed pubsub topics; empty in light mode.
	Relay map[string]TopicStatus `json:"relay"`
	// Filter is the filter client's state; nil where the node relays.
	Filter *FilterStatus `json:"filter,omitempty"`
	// StorePeers are those asked for history, in order.
	StorePeers []string `json:"store_peers"`
	// Archive tells of what is written to the archive; nil where there is none.
	Archive *ArchiveStatus `json:"archive,omitempty"`
	// Tap tells of those who listen in.
	Tap TapStatus `json:"tap"`
}

// PeerStatus is a connected peer.
type PeerStatus struct {
	ID   string `json:"id"`
	Addr string `json:"addr"`
	// Direction says who dialled: Inbound or Outbound.
	Direction string `json:"direction"`
	// Agent is how the peer names its software.
	Agent     string   `json:"agent"`
	Protocols []string `json:"protocols"`
	// LatencyMS is the smoothed round-trip time in milliseconds; 0 before
	// the first measurement.
	LatencyMS      float64   `json:"latency_ms"`
	ConnectedSince time.Time `json:"connected_since"`
	// Static says that the connection is kept up.
	Static bool `json:"static"`
	// Shards are those the peer says it relays.
	Shards []uint16 `json:"shards"`
}

// TopicStatus is a relayed pubsub topic.
type TopicStatus struct {
	// Peers relay the topic; Mesh of them exchange full messages with this
	// node.
	Peers int `json:"peers"`
	Mesh  int `json:"mesh"`
}

// FilterStatus is how it stands with the subscriptions of a light node.
type FilterStatus struct {
	// Topics is the number of content topics wanted.
	Topics int `json:"topics"`
	// Certain is the time up to which no message can have been missed.
	Certain time.Time          `json:"certain"`
	Peers   []FilterPeerStatus `json:"peers"`
}

// FilterPeerStatus is a filter peer: subscribing, active, or waiting to be
// tried again after it failed.
type FilterPeerStatus struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Topics   int       `json:"topics"`
	LastPing time.Time `json:"last_ping,omitzero"`
	Retry    time.Time `json:"retry,omitzero"`
	Cause    string    `json:"cause,omitempty"`
}

func filterStatus(st filter.Status) *FilterStatus {
	out := &FilterStatus{Topics: st.Criteria, Certain: st.Certain, Peers: []FilterPeerStatus{}}
	for _, p := range st.Peers {
		ps := FilterPeerStatus{
			ID: p.ID.String(), State: string(p.State), Topics: p.Criteria,
			LastPing: p.LastPing, Retry: p.Retry,
		}
		if p.Err != nil {
			ps.Cause = p.Err.Error()
		}
		out.Peers = append(out.Peers, ps)
	}
	return out
}

// Status tells the state of the node.
func (n *Node) Status() Status {
	s := Status{
		PeerID:     n.h.ID().String(),
		Mode:       n.cfg.Mode,
		Cluster:    n.cfg.Cluster,
		Shards:     append([]uint16{}, n.shards()...),
		Addrs:      n.Addrs(),
		Protocols:  protocolNames(n.h.Mux().Protocols()),
		Relay:      make(map[string]TopicStatus),
		StorePeers: []string{},
		Peers:      []PeerStatus{},
	}
	for _, p := range n.h.Network().Peers() {
		if status, ok := n.peerStatus(p); ok {
			s.Peers = append(s.Peers, status)
		}
	}
	slices.SortFunc(s.Peers, func(a, b PeerStatus) int { return a.ConnectedSince.Compare(b.ConnectedSince) })
	if n.relay != nil {
		for _, t := range n.relay.Topics() {
			s.Relay[t] = TopicStatus{Peers: len(n.relay.Peers(t)), Mesh: len(n.relay.Mesh(t))}
		}
	}
	if f := n.filter.Load(); f != nil {
		s.Filter = filterStatus(f.Status())
	}
	if n.archive != nil {
		st := n.archive.status()
		s.Archive = &st
	}
	s.Tap = n.taps.status()
	for _, p := range n.storePeers("") {
		s.StorePeers = append(s.StorePeers, p.String())
	}
	return s
}

func (n *Node) peerStatus(p peer.ID) (PeerStatus, bool) {
	var first network.Conn
	for _, c := range n.h.Network().ConnsToPeer(p) {
		if first == nil || c.Stat().Opened.Before(first.Stat().Opened) {
			first = c
		}
	}
	if first == nil {
		return PeerStatus{}, false
	}
	known, _ := n.h.Peerstore().GetProtocols(p)
	agent, _ := n.h.Peerstore().Get(p, "AgentVersion")
	name, _ := agent.(string)
	in, _ := n.metadata.Info(p)
	return PeerStatus{
		ID:             p.String(),
		Addr:           first.RemoteMultiaddr().String(),
		Direction:      first.Stat().Direction.String(),
		Agent:          name,
		Protocols:      protocolNames(known),
		LatencyMS:      float64(n.h.Peerstore().LatencyEWMA(p)) / float64(time.Millisecond),
		ConnectedSince: first.Stat().Opened,
		Static:         n.peers.static(p),
		Shards:         append([]uint16{}, in.Shards...),
	}, true
}

func protocolNames(ids []protocol.ID) []string {
	out := protocol.ConvertToStrings(ids)
	slices.Sort(out)
	return out
}
