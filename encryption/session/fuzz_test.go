package session

import (
	"bytes"
	"crypto/rand"
	"errors"
	"maps"
	"testing"

	"github.com/parley-im/parley/encryption/ratchet"
	"github.com/parley-im/parley/internal/vectors"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

var typed = []error{
	ErrNotProtocolMessage, ErrNotForUs, ErrNotPaired, ErrOwnEcho, ErrNoSession, ErrUnknownPreKey, ErrBundle,
	ErrGroupKey, ErrHeader, ErrDecrypt,
	ratchet.ErrReplay, ratchet.ErrTooManySkipped, ratchet.ErrMAC, ratchet.ErrHeader,
}

// Whatever comes in: a typed error and an unchanged store, or a message.
func FuzzOpen(f *testing.F) {
	alice, bob := pair(f)
	for range 3 {
		f.Add(alice.seal(f, bob, "hello").Bytes)
	}
	bob.mustOpen(f, alice, alice.seal(f, bob, "hello").Bytes, "hello")
	f.Add(alice.seal(f, bob, "next").Bytes)
	unsigned := func(m *encryptionpb.ProtocolMessage) { m.Bundles = nil } // lets changes get further
	f.Add(change(f, alice.seal(f, bob, "next").Bytes, unsigned))
	dh, err := alice.SealDH(alice.st, alice.now, rand.Reader, bob.self(), []byte("dh"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(change(f, dh, unsigned))
	for _, c := range vectors.Cases[recordedForm](f, "protocol_message_misc") {
		f.Add([]byte(c.ProtocolMessage))
	}
	before := bob.content()
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &device{bob.Protocol, bob.st.Copy(), bob.now}
		o, err := d.open(alice, data)
		if err == nil {
			if o == nil {
				t.Fatal("neither message nor error")
			}
			return
		}
		if !maps.Equal(before, d.content()) {
			t.Fatalf("%v changed the store", err)
		}
		for _, want := range typed {
			if errors.Is(err, want) {
				return
			}
		}
		t.Fatalf("untyped error %v", err)
	})
}

// Records that cannot be read are an error, and those that can are written
// back the same.
func FuzzRecords(f *testing.F) {
	alice, bob := pair(f)
	alice.seal(f, bob, "missing")
	bob.mustOpen(f, alice, alice.seal(f, bob, "hello").Bytes, "hello")
	bob.st.Scan("", func(_ string, v []byte) error { f.Add(v); return nil })
	f.Fuzz(func(t *testing.T, data []byte) {
		check := func(again []byte, err error, exact bool) {
			if err != nil && !errors.Is(err, ErrStore) {
				t.Fatalf("untyped error %v", err)
			}
			if err == nil && exact && !bytes.Equal(again, data) {
				t.Fatalf("%x written back as %x", data, again)
			}
		}
		if r, err := decodePeer(data); err != nil {
			check(nil, err, false)
		} else {
			again, err := decodePeer(r.encode())
			if err != nil || !bytes.Equal(again.encode(), r.encode()) {
				t.Fatalf("peer record does not come back: %v", err)
			}
		}
		if r, err := decodeSession(data); err != nil {
			check(nil, err, false)
		} else {
			check(r.encode(), nil, true)
		}
		_, err := decodeOwn(data)
		check(nil, err, false)
		_, err = decodePreKey(data)
		check(nil, err, false)
		if k, err := decodeSkipped(data); err == nil {
			check(encodeSkipped(k), nil, true)
		}
	})
}
