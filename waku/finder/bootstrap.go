package finder

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/parley-im/parley/waku/discovery"
	"github.com/parley-im/parley/waku/peers"
)

const (
	// listEvery is how often a list in DNS is looked at again.
	listEvery = time.Hour
	// listRetry is the first pause after one could not be read. It doubles up
	// to the usual one, but stays for a prompt node that is alone.
	listRetry = 30 * time.Second
)

// bootstrap is where others are found first.
type bootstrap struct {
	lists   []string
	records []*discovery.Record
	addrs   []peer.AddrInfo
}

// sortBootstrap tells the kinds of bootstrap entries apart.
func sortBootstrap(entries []string) (b bootstrap, err error) {
	entries = slices.DeleteFunc(slices.Clone(entries), func(e string) bool { return e == "none" })
	if err := discovery.Check(entries); err != nil {
		return b, err
	}
	for _, e := range entries {
		switch {
		case strings.HasPrefix(e, "enrtree://"):
			b.lists = append(b.lists, e)
		case strings.HasPrefix(e, "enr:"):
			r, err := discovery.ParseENR(e)
			if err != nil {
				return b, err
			}
			b.records = append(b.records, r)
		default:
			info, err := peer.AddrInfoFromString(e)
			if err != nil {
				return b, err
			}
			b.addrs = append(b.addrs, *info)
		}
	}
	return b, nil
}

// startLists reads lists in DNS, each for itself: one that fails holds up none
// of the others.
func (f *Finder) startLists(urls []string) error {
	var all []*discovery.Lists
	for _, url := range urls {
		list, err := discovery.NewLists(discovery.ListsConfig{URLs: []string{url}, Resolver: f.cfg.Resolver})
		if err != nil {
			return err
		}
		all = append(all, list)
	}
	for _, list := range all {
		f.wg.Go(func() { f.readList(list) })
	}
	return nil
}

// readList takes over what a list says, now and after each refresh.
func (f *Finder) readList(list *discovery.Lists) {
	var known map[string]bool
	retry := listRetry
	for {
		pause := listEvery
		err := list.Refresh(f.ctx)
		switch {
		case f.ctx.Err() != nil:
			return
		case err == nil:
			known, retry = f.listed(list.Records(), known), listRetry
		case f.cfg.Prompt && f.alone():
			pause = listRetry
		default:
			pause, retry = retry, min(2*retry, listEvery)
		}
		if err != nil {
			f.log.Warn("a node list in DNS cannot be read", "cause", err, "again_in", pause)
		}
		// Not all nodes started together ask together.
		if !f.pause(pause - rand.N(pause/10)) {
			return
		}
	}
}

// listed takes over those records of a list that are not known from before,
// and returns what is known now.
func (f *Finder) listed(records []*discovery.Record, before map[string]bool) map[string]bool {
	now := make(map[string]bool, len(records))
	var news []*discovery.Record
	for _, r := range records {
		text := r.ENR()
		now[text] = true
		if !before[text] {
			news = append(news, r)
			f.foundRecord(r, peers.DNS)
		}
	}
	if len(news) > 0 {
		f.tell()
		f.meet(news)
	}
	return now
}

// meet makes nodes known to the discovery network.
func (f *Finder) meet(records []*discovery.Record) {
	for _, r := range records {
		if f.v5 == nil || f.ctx.Err() != nil {
			return
		}
		_ = f.v5.Meet(r) // those without a UDP address are of no use there
	}
}

// pause waits, and reports whether the Finder goes on.
func (f *Finder) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-f.ctx.Done():
		return false
	}
}
