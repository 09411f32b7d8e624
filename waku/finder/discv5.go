package finder

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/peers"
)

const (
	// findPause is the pause between two searches of discv5 when nothing is
	// lacking.
	findPause = 2 * time.Minute
	// findBatch is the number of records that a search takes.
	findBatch = 30
)

// startV5 joins the discovery network.
func (f *Finder) startV5(first []*discovery.Record) (err error) {
	if f.cfg.Key == nil || f.cfg.Describe == nil {
		return errors.New("finder: discv5 needs the node's key and description")
	}
	var boot []string
	for _, r := range first {
		boot = append(boot, r.ENR())
	}
	database := ""
	if f.cfg.Dir != "" {
		database = filepath.Join(f.cfg.Dir, "discv5")
	}
	f.v5, err = discovery.ListenV5(discovery.V5Config{
		Key: f.cfg.Key, Listen: f.cfg.Discv5, Bootstrap: boot, Describe: f.cfg.Describe(), Database: database, Logger: f.log,
	})
	if err != nil {
		return fmt.Errorf("finder: joining the discovery network: %w", err)
	}
	changes, err := f.h.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("waku-finder"))
	if err != nil {
		return fmt.Errorf("finder: joining the discovery network: %w", err)
	}
	f.wg.Go(func() { f.announce(changes) })
	f.wg.Go(f.search)
	return nil
}

// announce keeps the node's record up to date with its addresses.
func (f *Finder) announce(changes event.Subscription) {
	defer changes.Close()
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-changes.Out():
			if err := f.v5.Update(f.cfg.Describe()); err != nil {
				f.log.Warn("the node's record is not updated", "cause", err)
			}
		}
	}
}

// search looks for peers in the discovery network, at leisure while none are
// lacking.
func (f *Finder) search() {
	for {
		n := 0
		for r := range f.v5.Find(f.ctx, discovery.Want{Shards: f.cfg.Want().Shards}) {
			f.foundRecord(r, peers.Discv5)
			if n++; n >= findBatch && len(f.manager.Status().Lacking) == 0 {
				break
			}
		}
		if !f.pause(findPause) {
			return
		}
	}
}
