package session

import (
	"testing"

	"github.com/parley-im/parley/encryption/ratchet"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// gap makes n messages that are held back, then one that arrives.
func gap(t *testing.T, from, to *device, n int) (missing [][]byte) {
	t.Helper()
	for range n {
		missing = append(missing, from.seal(t, to, "missing").Bytes)
	}
	to.mustOpen(t, from, from.seal(t, to, "arrives").Bytes, "arrives")
	return missing
}

func stored(t *testing.T, d *device) (keys, chains int) {
	t.Helper()
	var total int
	d.st.Scan(sessionPrefix, func(_ string, v []byte) error {
		r, err := decodeSession(v)
		if err != nil {
			t.Fatal(err)
		}
		total += int(r.stored)
		return nil
	})
	if keys = d.count(skippedPrefix); keys != total {
		t.Fatalf("%d keys, but %d counted", keys, total)
	}
	return keys, d.count(chainPrefix)
}

// MaxStored keys are kept, and with one more the oldest is gone.
func TestMaxStored(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	alice.BundleRefresh = ratchet.MaxKeep * 3600e9 // no signatures: this is about keys
	first := gap(t, alice, bob, ratchet.MaxSkip)
	second := gap(t, alice, bob, ratchet.MaxSkip)
	if n, _ := stored(t, bob); n != ratchet.MaxStored {
		t.Fatalf("%d keys, want %d", n, ratchet.MaxStored)
	}
	atLimit := bob.st.Copy()
	bob.mustOpen(t, alice, first[0], "missing")
	bob.refuses(t, alice, first[0], ratchet.ErrReplay)
	bob.st = atLimit
	third := gap(t, alice, bob, 1)
	if n, chains := stored(t, bob); n != ratchet.MaxStored || chains != 1 {
		t.Fatalf("%d keys in %d chains", n, chains)
	}
	bob.refuses(t, alice, first[0], ratchet.ErrReplay)
	for _, m := range append(append(first[1:], second...), third...) {
		bob.mustOpen(t, alice, m, "missing")
	}
	if keys, chains := stored(t, bob); keys+chains != 0 {
		t.Errorf("%d keys, %d chains left", keys, chains)
	}
}

// A key is kept until MaxKeep further keys have been derived.
func TestMaxKeep(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	alice.BundleRefresh = ratchet.MaxKeep * 3600e9
	missing := gap(t, alice, bob, 2) // keys 1 and 2; key 3 arrived
	for n := 4; n <= ratchet.MaxKeep; n++ {
		bob.mustOpen(t, alice, alice.seal(t, bob, "next").Bytes, "next")
	}
	if n, _ := stored(t, bob); n != 2 {
		t.Fatalf("%d keys after %d", n, ratchet.MaxKeep)
	}
	bob.mustOpen(t, alice, alice.seal(t, bob, "next").Bytes, "next") // MaxKeep after the first
	if n, _ := stored(t, bob); n != 1 {
		t.Fatalf("%d keys", n)
	}
	bob.refuses(t, alice, missing[0], ratchet.ErrReplay)
	bob.mustOpen(t, alice, missing[1], "missing")
	if keys, chains := stored(t, bob); keys+chains != 0 {
		t.Errorf("%d keys, %d chains left", keys, chains)
	}
}

func TestTooManySkipped(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	for range ratchet.MaxSkip + 1 {
		alice.seal(t, bob, "missing")
	}
	bob.refuses(t, alice, alice.seal(t, bob, "too far").Bytes, ratchet.ErrTooManySkipped)
}

// Missing messages of several chains open in any order, once each, and a
// broken copy of one does not spend its key.
func TestMissingAcrossChains(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t)
	var missing [][]byte
	for range 5 {
		missing = append(missing, gap(t, alice, bob, 3)...)
		missing = append(missing, alice.seal(t, bob, "missing").Bytes) // the end of the chain
		alice.mustOpen(t, bob, bob.seal(t, alice, "turn").Bytes, "turn")
	}
	bob.mustOpen(t, alice, alice.seal(t, bob, "last").Bytes, "last")
	if keys, chains := stored(t, bob); keys != len(missing) || chains != 5 {
		t.Fatalf("%d keys, %d chains", keys, chains)
	}
	for i := range missing {
		m := missing[(i*7)%len(missing)]
		bob.refuses(t, alice, change(t, m, func(m *encryptionpb.ProtocolMessage) { entryOf(m).Payload[20] ^= 1 }), ratchet.ErrMAC)
		bob.mustOpen(t, alice, m, "missing")
		if _, err := bob.open(alice, m); err == nil {
			t.Fatal("opened twice")
		}
	}
	if keys, chains := stored(t, bob); keys+chains != 0 {
		t.Errorf("%d keys, %d chains left", keys, chains)
	}
	bob.mustOpen(t, alice, alice.seal(t, bob, "after").Bytes, "after")
}
