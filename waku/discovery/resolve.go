package discovery

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/libp2p/go-libp2p/core/peer"
)

// listMost is how many nodes of one DNS list are used.
const listMost = 100

// ErrEntry is a bootstrap entry in none of the forms that Resolve reads.
var ErrEntry = errors.New("want enrtree://…, enr:… or a multiaddr that ends in /p2p/<peer id>")

// Check tells whether entries have a form that Resolve reads, without looking
// anything up.
func Check(entries []string) error {
	for _, entry := range entries {
		var err error
		switch {
		case strings.HasPrefix(entry, "enrtree://"):
			_, _, err = dnsdisc.ParseURL(entry)
		case strings.HasPrefix(entry, "enr:"):
			_, err = ParseENR(entry)
		default:
			_, err = peer.AddrInfoFromString(entry)
		}
		if err != nil {
			return fmt.Errorf("%w: %q: %w", ErrEntry, entry, err)
		}
	}
	return nil
}

// Resolve turns bootstrap entries into peers to dial: multiaddrs with /p2p/…,
// records enr:…, and lists enrtree://…, which are looked up in DNS and whose
// signatures are verified. Entries that fail do not keep the others from being
// used: their errors come back joined, beside what was found.
func Resolve(ctx context.Context, entries []string) ([]peer.AddrInfo, error) {
	return resolve(ctx, entries, dnsdisc.NewClient(dnsdisc.Config{}).SyncTree)
}

func resolve(ctx context.Context, entries []string, syncTree func(url string) (*dnsdisc.Tree, error)) (found []peer.AddrInfo, err error) {
	var errs []error
	for _, entry := range entries {
		var peers []peer.AddrInfo
		switch {
		case strings.HasPrefix(entry, "enrtree://"):
			peers, err = list(ctx, entry, syncTree)
		case strings.HasPrefix(entry, "enr:"):
			var r *Record
			if r, err = ParseENR(entry); err == nil {
				peers = []peer.AddrInfo{r.AddrInfo()}
			}
		default:
			var info *peer.AddrInfo
			if info, err = peer.AddrInfoFromString(entry); err == nil {
				peers = []peer.AddrInfo{*info}
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", entry, err))
		}
		found = append(found, peers...)
	}
	return found, errors.Join(errs...)
}

// list reads a node list, in random order.
func list(ctx context.Context, url string, syncTree func(string) (*dnsdisc.Tree, error)) ([]peer.AddrInfo, error) {
	type answer struct {
		tree *dnsdisc.Tree
		err  error
	}
	ch := make(chan answer, 1) // SyncTree takes no context
	go func() {
		tree, err := syncTree(url)
		ch <- answer{tree, err}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case a := <-ch:
		if a.err != nil {
			return nil, a.err
		}
		var found []peer.AddrInfo
		for _, r := range choose(a.tree.Nodes(), listMost) {
			found = append(found, r.AddrInfo())
		}
		return found, nil
	}
}
