package finder

import (
	"context"
	"maps"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/peerexchange"
	"github.com/parley-im/parley/waku/peers"
)

const (
	// lackEvery is how often it is looked whether peers are lacking.
	lackEvery = 3 * time.Second
	// exchangeEvery is how often one peer is asked for others.
	exchangeEvery = 5 * time.Minute
	// exchangePeers is how many it is asked for.
	exchangePeers = 30
	// exchangeTimeout bounds one request.
	exchangeTimeout = 20 * time.Second
)

// askPeers asks connected peers for others while some are lacking. It goes
// from one to the next, so that nobody alone chooses who is found
// (34/WAKU2-PEER-EXCHANGE, Security Considerations).
func (f *Finder) askPeers() {
	asked := make(map[peer.ID]time.Time)
	for f.pause(lackEvery) {
		if len(f.manager.Status().Lacking) == 0 {
			continue
		}
		now := time.Now()
		maps.DeleteFunc(asked, func(_ peer.ID, at time.Time) bool { return now.Sub(at) >= exchangeEvery })
		for _, p := range f.manager.Best(peerexchange.ProtocolID, peers.AnyShard) {
			if _, lately := asked[p]; lately {
				continue
			}
			asked[p] = now
			if f.ask(p) || f.ctx.Err() != nil {
				break
			}
		}
	}
}

// ask asks one peer for others and reports whether it answered.
func (f *Finder) ask(p peer.ID) bool {
	ctx, cancel := context.WithTimeout(f.ctx, exchangeTimeout)
	defer cancel()
	at := time.Now()
	records, err := peerexchange.Request(ctx, f.h, p, exchangePeers)
	f.manager.Served(p, peerexchange.ProtocolID, err, time.Since(at))
	if err != nil {
		f.log.Debug("no peers from peer exchange", "peer", p, "cause", err)
	}
	for _, r := range records {
		f.foundRecord(r, peers.PeerExchanged)
	}
	return err == nil
}
