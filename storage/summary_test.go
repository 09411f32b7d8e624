package storage

import (
	"errors"
	"math"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// Summaries are read as they were written, and no other bytes are one.
func TestSummaryRecord(t *testing.T) {
	t.Parallel()
	peer := someone(t, 1)
	full := Summary{
		Last:   Preview{ID: message.ID{1}, From: peer, Text: "tüxt", Clock: math.MaxUint64, Timestamp: 5, ContentType: "text", State: chat.Sent, Deleted: true},
		Unread: 300, Mentions: 2, Pinned: true,
	}
	bare := Summary{Last: Preview{ID: message.ID{2}}}
	for _, s := range []Summary{full, bare, {}, {Unread: 1}, {Pinned: true}} {
		raw := encodeSummary(s)
		for _, known := range []key.Public{{}, peer, someone(t, 2)} {
			if got, err := decodeSummary("k", raw, known); err != nil || got != s {
				t.Errorf("%+v became %+v, %v", s, got, err)
			}
		}
		for n := range raw {
			if got, err := decodeSummary("k", raw[:n], peer); !errors.Is(err, ErrCorrupt) || got != (Summary{}) {
				t.Errorf("%d bytes of %d: %+v, %v", n, len(raw), got, err)
			}
		}
		if _, err := decodeSummary("k", append(raw, 0), peer); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a byte more: %v", err)
		}
	}
	raw := encodeSummary(full)
	raw[len(raw)-30] ^= 0xff // within the key
	if _, err := decodeSummary("k", raw, peer); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no key: %v", err)
	}
}
