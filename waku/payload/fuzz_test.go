package payload

import (
	"bytes"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

// What parses is written back byte by byte when the length field is minimal,
// and the sender of anything signed is recovered, not chosen.
func FuzzDecode(f *testing.F) {
	for _, c := range vectors.Cases[payloadCase](f, "waku_payload_v1") {
		if c.Kind == "Symmetric" && len(c.Encoded) < 2000 {
			framed, err := openGCM(c.Encoded, [32]byte(c.SymKey))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(framed)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := unframe(b)
		if err != nil {
			return
		}
		n := int(b[0] & flagLength)
		signed := b[0]&flagSignature != 0
		if 1+n+len(o.Payload)+len(o.Padding)+signatureSize(signed) != len(b) {
			t.Fatal("parts do not add up")
		}
		if o.Signer.IsZero() == signed {
			t.Fatal("signed without signer, or the reverse")
		}
		if n != lengthBytes(len(o.Payload)) || b[0]&^(flagLength|flagSignature) != 0 {
			return
		}
		again, err := frame(o.Payload, o.Padding, key.Private{})
		if err != nil {
			t.Fatal(err)
		}
		if signed {
			again[0] |= flagSignature
		}
		if !bytes.Equal(again, b[:len(b)-signatureSize(signed)]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}

func FuzzOpenSymmetric(f *testing.F) {
	var topicKey [32]byte
	for _, c := range vectors.Cases[payloadCase](f, "waku_payload_v1") {
		if c.Kind == "Symmetric" && len(c.Encoded) < 2000 {
			topicKey = [32]byte(c.SymKey)
			f.Add([]byte(c.Encoded))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		o, err := OpenSymmetric(b, topicKey)
		if (o == nil) == (err == nil) {
			t.Fatal("neither result nor error, or both")
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
	})
}

func FuzzOpenAsymmetric(f *testing.F) {
	var own key.Private
	for _, c := range vectors.Cases[payloadCase](f, "waku_payload_v1") {
		if c.Kind == "Asymmetric" && len(c.Encoded) < 2000 {
			own = c.recipient(f)
			f.Add([]byte(c.Encoded))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		o, err := OpenAsymmetric(b, own)
		if (o == nil) == (err == nil) {
			t.Fatal("neither result nor error, or both")
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
	})
}
