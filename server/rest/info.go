package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
)

// HealthStatus is the state of a node or of one of its protocols.
type HealthStatus string

// The states that nwaku has.
const (
	Initializing  HealthStatus = "INITIALIZING"
	Synchronizing HealthStatus = "SYNCHRONIZING"
	Ready         HealthStatus = "READY"
	NotReady      HealthStatus = "NOT_READY"
	NotMounted    HealthStatus = "NOT_MOUNTED"
	ShuttingDown  HealthStatus = "SHUTTING_DOWN"
)

// Health is the state of a node and of its protocols.
type Health struct {
	Node      HealthStatus     `json:"nodeHealth"`
	Protocols []ProtocolHealth `json:"protocolsHealth"`
}

// ProtocolHealth is the state of a protocol. As JSON it is an object with the
// state under the protocol's name, and the reason under desc where there is
// one.
type ProtocolHealth struct {
	Protocol string
	Status   HealthStatus
	Desc     string
}

// MarshalJSON implements json.Marshaler.
func (p ProtocolHealth) MarshalJSON() ([]byte, error) {
	out := map[string]string{p.Protocol: string(p.Status)}
	if p.Desc != "" {
		out["desc"] = p.Desc
	}
	return json.Marshal(out)
}

// HealthOf is the health of a node with a status: the protocols it serves and
// those it asks others with, and whether they have peers for it. Names and
// reasons are nwaku's.
func HealthOf(st node.Status) Health {
	served := func(protocol string) bool { return slices.Contains(st.Protocols, protocol) }
	spoken := func(protocols ...string) bool {
		return slices.ContainsFunc(st.Peers, func(p node.PeerStatus) bool {
			return slices.ContainsFunc(protocols, func(id string) bool { return slices.Contains(p.Protocols, id) })
		})
	}
	out := Health{Node: Ready}
	add := func(name string, mounted, ready bool, desc string) bool {
		p := ProtocolHealth{Protocol: name, Status: Ready}
		switch {
		case !mounted:
			p.Status = NotMounted
		case !ready:
			p.Status, p.Desc = NotReady, desc
		}
		out.Protocols = append(out.Protocols, p)
		return mounted && ready
	}
	relayPeers := 0
	for _, t := range st.Relay {
		relayPeers += t.Peers
	}
	relays := add("Relay", served(string(relay.ProtocolID)), relayPeers > 0, "No connected peers")
	const noRelay = "Node has no relay peers to fullfill push requests"
	add("Lightpush", served(string(lightpush.ProtocolV3)), relays, noRelay)
	add("Legacy Lightpush", served(string(lightpush.ProtocolV2)), relays, noRelay)
	add("Filter", served(string(filter.SubscribeID)), relays, "Relay is not ready, filter will not be able to sort out messages")
	stores := add("Store", served(string(store.ProtocolID)), st.Archive == nil || !st.Archive.Failing, "Messages cannot be written to the archive")
	add("Lightpush Client", true, relays || spoken(string(lightpush.ProtocolV3), string(lightpush.ProtocolV2)), "No Lightpush service peer available yet")
	add("Store Client", true, stores || spoken(string(store.ProtocolID)), "No Store service peer available yet, neither Store service set up for the node")
	add("Filter Client", true, spoken(string(filter.SubscribeID)), "No Filter service peer available yet")
	if len(st.Peers) == 0 {
		out.Node = NotReady
	}
	return out
}

// Info is what a node says of itself.
type Info struct {
	ListenAddresses []string `json:"listenAddresses"`
	ENRURI          string   `json:"enrUri,omitempty"`
}

func (s *Server) registerInfo() {
	register(s.routes, call{
		method: http.MethodGet, path: "/health", id: "health", summary: "State of the node and its protocols",
		out: healthShape{},
	}, func(context.Context, *noInput) reply { return value(http.StatusOK, s.cfg.Health()) })
	for path, id := range map[string]string{"/info": "info", "/debug/v1/info": "debug-info"} {
		register(s.routes, call{
			method: http.MethodGet, path: path, id: id, summary: "Addresses and record of the node", out: Info{},
		}, func(context.Context, *noInput) reply {
			in := Info{ListenAddresses: append([]string{}, s.cfg.Node.Addrs()...)}
			if s.cfg.ENR != nil {
				in.ENRURI = s.cfg.ENR()
			}
			return value(http.StatusOK, in)
		})
	}
	for path, id := range map[string]string{"/version": "version", "/debug/v1/version": "debug-version"} {
		register(s.routes, call{
			method: http.MethodGet, path: path, id: id, summary: "Version of the program",
		}, func(context.Context, *noInput) reply { return text(http.StatusOK, s.cfg.Version) })
	}
}

// healthShape describes the JSON of Health.
type healthShape struct {
	Node      HealthStatus        `json:"nodeHealth" enum:"INITIALIZING,SYNCHRONIZING,READY,NOT_READY,NOT_MOUNTED,SHUTTING_DOWN"`
	Protocols []map[string]string `json:"protocolsHealth" doc:"Each has the state under the protocol's name, and the reason under desc where there is one"`
}
