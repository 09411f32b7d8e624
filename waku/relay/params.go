package relay

import (
	"crypto/sha256"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// Parameters of GossipSub as 29/WAKU2-CONFIG recommends them. Three differ:
//   - D_out: recommended D_low-1 = 3. The library wants it below D/2, as the
//     GossipSub 1.1 specification does; 2 is the most that is allowed.
//   - history of 6 windows in place of 5, as deployed nodes have it: gossip
//     about a message is answered one heartbeat longer.
//   - unsubscribe back-off of 5 s, which 29/WAKU2-CONFIG does not name and
//     deployed nodes set.
const (
	meshDegree     = 6
	meshLow        = 4
	meshHigh       = 8
	meshScore      = meshLow
	meshOut        = 2
	gossipDegree   = 6
	historyLength  = 6
	historyGossip  = 3
	heartbeat      = time.Second
	fanoutTTL      = time.Minute
	seenTTL        = 2 * time.Minute
	pruneBackoff   = time.Minute
	unsubBackoff   = 5 * time.Second
	gossipFactor   = 0.25
	maxIHaveIDs    = 5000
	maxIHavePerRPC = 10

	// What waits to be sent to one neighbour, and to be validated. The
	// library's own 32 of each lose messages of a burst in silence; deployed
	// relays queue 1024.
	neighbourQueue  = 1024
	validationQueue = 1024
)

func gossipParams() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi = meshDegree, meshLow, meshHigh
	p.Dscore, p.Dout, p.Dlazy = meshScore, meshOut, gossipDegree
	p.HistoryLength, p.HistoryGossip = historyLength, historyGossip
	p.HeartbeatInterval = heartbeat
	p.FanoutTTL = fanoutTTL
	p.PruneBackoff, p.UnsubscribeBackoff = pruneBackoff, unsubBackoff
	p.GossipFactor = gossipFactor
	p.MaxIHaveLength, p.MaxIHaveMessages = maxIHaveIDs, maxIHavePerRPC
	return p
}

// Peer scoring as deployed relays have it. The library does not count
// loopback addresses as colocated, so that nodes on one machine are not
// punished for it.
func scoreParams() *pubsub.PeerScoreParams {
	return &pubsub.PeerScoreParams{
		Topics:                      map[string]*pubsub.TopicScoreParams{},
		AppSpecificScore:            func(peer.ID) float64 { return 0 },
		IPColocationFactorWeight:    -50,
		IPColocationFactorThreshold: 5,
		BehaviourPenaltyWeight:      -10,
		BehaviourPenaltyDecay:       0.986,
		DecayInterval:               12 * time.Second,
		DecayToZero:                 0.01,
		RetainScore:                 10 * time.Minute,
	}
}

// topicScoreParams scores one topic: some credit for staying in the mesh and
// for being first, a heavy penalty for invalid messages, none for silence
// (topics of one small group are silent most of the time).
func topicScoreParams() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		SkipAtomicValidation:           true,
		TopicWeight:                    1,
		TimeInMeshWeight:               0.01,
		TimeInMeshQuantum:              time.Second,
		TimeInMeshCap:                  10,
		FirstMessageDeliveriesWeight:   1,
		FirstMessageDeliveriesDecay:    0.5,
		FirstMessageDeliveriesCap:      10,
		InvalidMessageDeliveriesWeight: -100,
		InvalidMessageDeliveriesDecay:  0.5,
	}
}

// scoreThresholds are those of deployed relays. No score reaches the one for
// peer exchange: peers come from discovery, not from whoever prunes us.
func scoreThresholds() *pubsub.PeerScoreThresholds {
	return &pubsub.PeerScoreThresholds{
		GossipThreshold:   -100,
		PublishThreshold:  -1000,
		GraylistThreshold: -10000,
		AcceptPXThreshold: 1000,
	}
}

// features says what our protocol id stands for: GossipSub 1.2.
func features(f pubsub.GossipSubFeature, p protocol.ID) bool {
	switch f {
	case pubsub.GossipSubFeatureMesh, pubsub.GossipSubFeaturePX, pubsub.GossipSubFeatureIdontwant:
		return p == ProtocolID
	}
	return false
}

// messageID is the message id of the Waku relay: SHA-256 of the data.
func messageID(m *pubsubpb.Message) string {
	sum := sha256.Sum256(m.GetData())
	return string(sum[:])
}
