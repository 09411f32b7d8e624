package discovery

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum/go-ethereum/p2p/dnsdisc"
	"github.com/libp2p/go-libp2p/core/peer"
)

// ErrEntry is a bootstrap entry that is no list in DNS, node record or
// multiaddr.
var ErrEntry = errors.New("want enrtree://…, enr:… or a multiaddr that ends in /p2p/<peer id>")

// Check tells whether bootstrap entries have a form that can be read: lists
// enrtree://…, records enr:…, and multiaddrs with /p2p/…. Nothing is looked up.
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
