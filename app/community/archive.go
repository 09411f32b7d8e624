package community

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// MaxURI is the longest link to an archive, in bytes.
const MaxURI = 8192

// ArchiveLink leads to the history of a community (61/STATUS-Community-History-
// Service). It says not whose: its author is the community.
type ArchiveLink struct {
	// Clock is in milliseconds.
	Clock uint64 `json:"clock,omitempty"`
	// URI is a magnet link; newer clients also write other links.
	URI string `json:"uri,omitempty"`
}

// Encode returns the payload of type COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK.
func (l ArchiveLink) Encode() ([]byte, error) {
	return message.Encode(&apppb.CommunityMessageArchiveMagnetlink{Clock: l.Clock, MagnetUri: l.URI})
}

// ParseArchiveLink reads a link.
func ParseArchiveLink(payload []byte) (ArchiveLink, error) {
	if len(payload) > MaxRequestSize {
		return ArchiveLink{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), MaxRequestSize)
	}
	var m apppb.CommunityMessageArchiveMagnetlink
	if err := proto.Unmarshal(payload, &m); err != nil {
		return ArchiveLink{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if m.MagnetUri == "" || m.Clock == 0 {
		return ArchiveLink{}, fmt.Errorf("%w: link without clock or address", ErrMalformed)
	}
	if n := len(m.MagnetUri); n > MaxURI {
		return ArchiveLink{}, fmt.Errorf("%w: link of %d bytes, at most %d", ErrTooLarge, n, MaxURI)
	}
	return ArchiveLink{Clock: m.Clock, URI: m.MagnetUri}, nil
}

// Link takes note of a link by its author, who must be the community. A lower
// clock than that of the known one is ErrOutdated; of two links of one clock
// the same holds for all. fresh tells whether the link is another than before.
func (c Community) Link(l ArchiveLink, author key.Public) (after Community, fresh bool, err error) {
	if c.Key.IsZero() || author != c.Key {
		return c, false, ErrAuthor
	}
	if l.Clock < c.Archive.Clock {
		return c, false, fmt.Errorf("%w: %d ms, not before %d", ErrOutdated, l.Clock, c.Archive.Clock)
	}
	if l.Clock == c.Archive.Clock && l.URI <= c.Archive.URI {
		return c, false, nil
	}
	fresh = l.URI != c.Archive.URI
	c.Archive = l
	return c, fresh, nil
}
