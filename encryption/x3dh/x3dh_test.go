package x3dh

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

type vector struct {
	Fn                    string
	InitiatorIdentity     vectors.Hex
	InitiatorEphemeral    vectors.Hex
	ResponderIdentity     vectors.Hex
	ResponderSignedPreKey vectors.Hex
	SharedSecret          vectors.Hex
	IdentityPrivateKey    vectors.Hex
	Identity              vectors.Hex
	BundleProtobuf        vectors.Hex
	Signature             vectors.Hex
	SignatureMaterial     vectors.Hex
	Timestamp             int64
	SignedPreKeys         map[string]vectorPreKey
	SignedPreKeyPrivates  map[string]vectors.Hex
}

type vectorPreKey struct {
	SignedPreKey             vectors.Hex
	Version, ProtocolVersion uint32
}

func private(t testing.TB, b []byte) key.Private {
	t.Helper()
	k, err := key.PrivateFromBytes(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func fresh(t testing.TB) key.Private {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVectorsX3DH(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[vector](t, "x3dh") {
		t.Run(fmt.Sprintf("%s/%d", c.Fn, i), func(t *testing.T) {
			t.Parallel()
			switch c.Fn {
			case "x3dh":
				agreement(t, c)
			case "bundle":
				bundle(t, c)
			default:
				t.Fatalf("unknown function %q", c.Fn)
			}
		})
	}
}

func agreement(t *testing.T, c vector) {
	ika, eka := private(t, c.InitiatorIdentity), private(t, c.InitiatorEphemeral)
	ikb, spkb := private(t, c.ResponderIdentity), private(t, c.ResponderSignedPreKey)
	spk := LocalPreKey{spkb}
	initiator, err := Initiate(ika, LocalEphemeral{eka}, ikb.Public(), spk.Remote())
	if err != nil {
		t.Fatal(err)
	}
	responder, err := Respond(ikb, spk, ika.Public(), RemoteEphemeral{eka.Public()})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(initiator[:], c.SharedSecret) || initiator != responder {
		t.Errorf("initiator %x, responder %x, want %x", initiator[:], responder[:], []byte(c.SharedSecret))
	}
}

func bundle(t *testing.T, c vector) {
	var entries []Entry
	for id, e := range c.SignedPreKeys {
		pub, err := key.PublicFromBytes(e.SignedPreKey)
		if err != nil {
			t.Fatal(err)
		}
		if spk, ok := c.SignedPreKeyPrivates[id]; ok && private(t, spk).Public() != pub {
			t.Errorf("%s: private half does not fit", id)
		}
		entries = append(entries, Entry{id, RemotePreKey{pub}, e.Version, e.ProtocolVersion})
	}
	signed, err := Sign(private(t, c.IdentityPrivateKey), entries, c.Timestamp)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(signed.Signature, c.Signature) {
		t.Errorf("signature %x, want %x", signed.Signature, []byte(c.Signature))
	}
	var recorded encryptionpb.Bundle
	if err := proto.Unmarshal(c.BundleProtobuf, &recorded); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(signed, &recorded) {
		t.Errorf("bundle %v, want %v", signed, &recorded)
	}
	v, err := Decode(c.BundleProtobuf)
	if err != nil {
		t.Fatal(err)
	}
	if id := v.Identity().Compressed(); !bytes.Equal(id[:], c.Identity) || v.Timestamp() != c.Timestamp {
		t.Errorf("identity %x at %d", id, v.Timestamp())
	}
	if got := signatureInput(v.Entries(), v.Timestamp()); !bytes.Equal(got, c.SignatureMaterial) {
		t.Errorf("signature over %x, want %x", got, []byte(c.SignatureMaterial))
	}
	if len(v.Entries()) != len(c.SignedPreKeys) {
		t.Errorf("%d entries, want %d", len(v.Entries()), len(c.SignedPreKeys))
	}
	for _, e := range v.Entries() {
		want := c.SignedPreKeys[e.Installation]
		if spk := e.PreKey.Public.Compressed(); !bytes.Equal(spk[:], want.SignedPreKey) ||
			e.Version != want.Version || e.ProtocolVersion != want.ProtocolVersion {
			t.Errorf("entry %+v, want %+v", e, want)
		}
	}
}

// The keys are 32 equal ASCII digits; the secret is that of deployed clients.
func TestAgreementKnownAnswer(t *testing.T) {
	t.Parallel()
	digits := func(d string) key.Private { return private(t, []byte(strings.Repeat(d, 32))) }
	got, err := Initiate(digits("0"), LocalEphemeral{digits("1")}, digits("2").Public(), RemotePreKey{digits("3").Public()})
	if err != nil {
		t.Fatal(err)
	}
	if hex := fmt.Sprintf("%x", got[:]); hex != "a4e923d0af8fe78a056363be20e71c0a58e569ea8fc1f79289eca10d9f68133a" {
		t.Errorf("got %s", hex)
	}
	if s := fmt.Sprintf("%v %x %s", got, got, got); s != "[secret] [secret] [secret]" {
		t.Errorf("a secret prints as %q", s)
	}
	if _, err := Initiate(digits("0"), LocalEphemeral{}, digits("2").Public(), RemotePreKey{digits("3").Public()}); !errors.Is(err, ErrAgreement) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := Respond(digits("0"), LocalPreKey{digits("1")}, digits("2").Public(), RemoteEphemeral{}); !errors.Is(err, ErrAgreement) {
		t.Errorf("without a key: %v", err)
	}
}

func entriesOf(t testing.TB, n int, id func(int) string) []Entry {
	var entries []Entry
	for i := range n {
		entries = append(entries, Entry{id(i), RemotePreKey{fresh(t).Public()}, uint32(i + 1), 1})
	}
	return entries
}

func TestBundleLimits(t *testing.T) {
	t.Parallel()
	identity := fresh(t)
	short := func(i int) string { return fmt.Sprintf("installation-%d", i) }
	long := func(n int) func(int) string { return func(int) string { return strings.Repeat("i", n) } }
	cases := []struct {
		name    string
		entries []Entry
		want    error
	}{
		{"most installations", entriesOf(t, MaxInstallations, short), nil},
		{"one too many", entriesOf(t, MaxInstallations+1, short), ErrBundle},
		{"longest id", entriesOf(t, 1, long(MaxInstallationID)), nil},
		{"id too long", entriesOf(t, 1, long(MaxInstallationID+1)), ErrBundle},
		{"empty id", entriesOf(t, 1, long(0)), ErrBundle},
		{"reserved id", entriesOf(t, 1, func(int) string { return ReservedID }), ErrBundle},
		{"none", nil, ErrBundle},
		{"twice", entriesOf(t, 2, long(3)), ErrBundle},
		{"no key", []Entry{{Installation: "a"}}, ErrBundle},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			signed, err := Sign(identity, c.entries, 7)
			if !errors.Is(err, c.want) {
				t.Fatalf("signing: %v, want %v", err, c.want)
			}
			if err == nil {
				_, err = Verify(signed)
			} else {
				// The same content with a valid signature over it.
				id := identity.Public().Compressed()
				signed = &encryptionpb.Bundle{Identity: id[:], SignedPreKeys: map[string]*encryptionpb.SignedPreKey{}}
				for _, e := range c.entries {
					spk := e.PreKey.Public.Compressed()
					signed.SignedPreKeys[e.Installation] = &encryptionpb.SignedPreKey{SignedPreKey: spk[:], Version: e.Version}
				}
				signed.Signature, _ = identity.Sign(key.Keccak256(signatureInput(c.entries, 0)))
				if _, err = Verify(signed); c.name == "twice" {
					return // a map has each id once
				}
			}
			if !errors.Is(err, c.want) {
				t.Errorf("verifying: %v, want %v", err, c.want)
			}
		})
	}
}

// Everything but the protocol version is covered by the signature.
func TestVerifyRefusesChanges(t *testing.T) {
	t.Parallel()
	identity, other := fresh(t), fresh(t)
	otherID := other.Public().Compressed()
	changes := map[string]struct {
		change func(*encryptionpb.Bundle)
		want   error
	}{
		"nothing":          {func(*encryptionpb.Bundle) {}, nil},
		"protocol version": {func(b *encryptionpb.Bundle) { b.SignedPreKeys["one"].ProtocolVersion = 9 }, nil},
		"identity":         {func(b *encryptionpb.Bundle) { b.Identity = otherID[:] }, ErrSignature},
		"identity form":    {func(b *encryptionpb.Bundle) { b.Identity = identity.Public().Bytes() }, ErrBundle},
		"identity point":   {func(b *encryptionpb.Bundle) { b.Identity = make([]byte, 33) }, ErrBundle},
		"version":          {func(b *encryptionpb.Bundle) { b.SignedPreKeys["one"].Version++ }, ErrSignature},
		"pre key":          {func(b *encryptionpb.Bundle) { b.SignedPreKeys["one"].SignedPreKey = otherID[:] }, ErrSignature},
		"pre key point":    {func(b *encryptionpb.Bundle) { b.SignedPreKeys["one"].SignedPreKey[0] = 9 }, ErrBundle},
		"pre key missing":  {func(b *encryptionpb.Bundle) { b.SignedPreKeys["one"] = nil }, ErrBundle},
		"installation":     {func(b *encryptionpb.Bundle) { delete(b.SignedPreKeys, "two") }, ErrSignature},
		"timestamp":        {func(b *encryptionpb.Bundle) { b.Timestamp++ }, ErrSignature},
		"no timestamp":     {func(b *encryptionpb.Bundle) { b.Timestamp = 0 }, ErrSignature},
		"signature":        {func(b *encryptionpb.Bundle) { b.Signature[40] ^= 1 }, ErrSignature},
		"no signature":     {func(b *encryptionpb.Bundle) { b.Signature = nil }, ErrSignature},
	}
	ids := []string{"one", "two"}
	signed, err := Sign(identity, entriesOf(t, 2, func(i int) string { return ids[i] }), 1700000000000000000)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range changes {
		b := proto.CloneOf(signed)
		c.change(b)
		if _, err := Verify(b); !errors.Is(err, c.want) {
			t.Errorf("%s changed: %v, want %v", name, err, c.want)
		}
	}
	if _, err := Verify(nil); !errors.Is(err, ErrBundle) {
		t.Errorf("no bundle: %v", err)
	}
	if _, err := Decode([]byte{0xff}); !errors.Is(err, ErrBundle) {
		t.Errorf("no protobuf: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range vectors.Cases[vector](f, "x3dh") {
		if c.Fn == "bundle" {
			f.Add([]byte(c.BundleProtobuf))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Decode(data)
		if err != nil {
			if !errors.Is(err, ErrBundle) && !errors.Is(err, ErrSignature) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if b.Identity().IsZero() || len(b.Entries()) == 0 || len(b.Entries()) > MaxInstallations {
			t.Fatalf("accepted %+v", b)
		}
	})
}

func BenchmarkInitiate(b *testing.B) {
	own, ephemeral, peer, spk := fresh(b), fresh(b), fresh(b).Public(), fresh(b).Public()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Initiate(own, LocalEphemeral{ephemeral}, peer, RemotePreKey{spk}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	identity := fresh(b)
	entries := entriesOf(b, 3, func(i int) string { return fmt.Sprint(i) })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(identity, entries, 1700000000000000000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	signed, err := Sign(fresh(b), entriesOf(b, 1, func(i int) string { return fmt.Sprint(i) }), 1700000000000000000)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Verify(signed); err != nil {
			b.Fatal(err)
		}
	}
}
