package ops

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/parley-im/parley/waku/filter"
	"github.com/parley-im/parley/waku/lightpush"
	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
)

// Health is the state of a node and of each of its protocols.
type Health struct {
	// Ready: every protocol does what it is there for.
	Ready     bool             `json:"ready"`
	Protocols []ProtocolHealth `json:"protocols"`
}

// ProtocolHealth is the state of one protocol.
type ProtocolHealth struct {
	Protocol string `json:"protocol"`
	Mounted  bool   `json:"mounted"`
	Ready    bool   `json:"ready"`
	// Why says what is missing; empty when ready or not mounted.
	Why string `json:"why,omitempty"`
}

// Health looks at the node, and takes at most some two seconds for it.
func (s *Server) Health() Health { return s.healthOf(s.cfg.Status()) }

func (s *Server) healthOf(st node.Status) Health {
	serves := func(id string) bool { return slices.Contains(st.Protocols, id) }
	relayHealth := ProtocolHealth{Protocol: "relay", Mounted: serves(string(relay.ProtocolID))}
	if relayHealth.Mounted {
		relayHealth.Why = relayWants(st)
	}
	lightpushHealth := ProtocolHealth{Protocol: "lightpush", Mounted: serves(string(lightpush.ProtocolV3))}
	filterHealth := ProtocolHealth{Protocol: "filter", Mounted: serves(string(filter.SubscribeID))}
	if relayHealth.Why != "" {
		// What comes in by lightpush goes out by relay, and filter gives what
		// relay brings.
		if lightpushHealth.Mounted {
			lightpushHealth.Why = "relay is not ready"
		}
		if filterHealth.Mounted {
			filterHealth.Why = "relay is not ready"
		}
	}
	storeHealth := ProtocolHealth{Protocol: "store", Mounted: serves(string(store.ProtocolID))}
	if storeHealth.Mounted {
		storeHealth.Why = s.storeWants(st)
	}
	h := Health{Ready: true, Protocols: []ProtocolHealth{relayHealth, filterHealth, lightpushHealth, storeHealth}}
	for i := range h.Protocols {
		p := &h.Protocols[i]
		p.Ready = p.Mounted && p.Why == ""
		h.Ready = h.Ready && (p.Ready || !p.Mounted)
	}
	return h
}

// storeWants says what the store is short of.
func (s *Server) storeWants(st node.Status) string {
	if trouble := s.cfg.Trouble(); trouble != "" {
		return trouble
	}
	if st.Archive != nil && st.Archive.Failing {
		return "messages cannot be written; the log says why"
	}
	if s.prober != nil && s.prober.check() != nil {
		return "the archive does not answer; the log says why"
	}
	return ""
}

// relayWants says what the relay is short of.
func relayWants(st node.Status) string {
	if len(st.Relay) == 0 {
		return "no topic is relayed"
	}
	var alone []string
	for topic, t := range st.Relay {
		if t.Peers == 0 {
			alone = append(alone, topic)
		}
	}
	if len(alone) == 0 {
		return ""
	}
	slices.Sort(alone)
	return "no relay peer on " + strings.Join(alone, ", ")
}

// healthz: the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.cfg.Version})
}

// readyz: the node does what it is there for; 503 when it does not.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	h := s.Health()
	code := http.StatusOK
	if !h.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, h)
}

func (s *Server) capacityJSON(w http.ResponseWriter, r *http.Request) {
	c, err := s.Capacity(r.Context())
	if err != nil {
		s.cfg.Log.Warn("the archive cannot be counted", "cause", err)
		http.Error(w, "the archive cannot be counted now", http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, c)
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
