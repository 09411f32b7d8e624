package payload

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/ethereum/go-ethereum/crypto/ecies"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

// source is a reproducible stream of bytes.
func source(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func private(t testing.TB, seed byte) key.Private {
	t.Helper()
	k, err := key.Generate(source(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type payloadCase struct {
	Kind, Name          string
	Data                vectors.Hex
	DecodedPadding      vectors.Hex
	ExplicitPadding     *vectors.Hex
	Encoded             vectors.Hex
	SymKey              vectors.Hex
	RecipientPrivateKey string
	AuthorPrivateKey    string
	AuthorPublicKey     string
	Signature           vectors.Hex
}

func (c payloadCase) recipient(t testing.TB) key.Private {
	t.Helper()
	k, err := key.ParsePrivate(c.RecipientPrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (c payloadCase) author(t testing.TB) (k key.Private) {
	t.Helper()
	if c.AuthorPrivateKey == "" {
		return k
	}
	k, err := key.ParsePrivate(c.AuthorPrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVectorsWakuPayloadV1(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[payloadCase](t, "waku_payload_v1") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			var opened *Opened
			var err error
			symmetric := c.Kind == "Symmetric"
			if symmetric {
				opened, err = OpenSymmetric(c.Encoded, [32]byte(c.SymKey))
			} else {
				opened, err = OpenAsymmetric(c.Encoded, c.recipient(t))
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(opened.Payload, c.Data) {
				t.Errorf("payload %x, want %x", opened.Payload, c.Data)
			}
			if !bytes.Equal(opened.Padding, c.DecodedPadding) {
				t.Errorf("padding %x, want %x", opened.Padding, c.DecodedPadding)
			}
			author := c.author(t)
			if opened.Signer != author.Public() {
				t.Errorf("signer %v, want %v", opened.Signer, author.Public())
			}
			if c.AuthorPublicKey != "" {
				if want, err := key.ParsePublic(c.AuthorPublicKey); err != nil || opened.Signer != want {
					t.Errorf("signer %v, want %v (%v)", opened.Signer, want, err)
				}
			}

			// And back to the same bytes, with the randomness of the file.
			framed, err := frame(c.Data, c.DecodedPadding, author)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasSuffix(framed, c.Signature) {
				t.Errorf("frame ends with %x, want signature %x", framed[max(0, len(framed)-65):], c.Signature)
			}
			var sealed []byte
			if symmetric {
				nonce := [gcmNonceSize]byte(c.Encoded[len(c.Encoded)-gcmNonceSize:])
				sealed, err = sealGCM(framed, [32]byte(c.SymKey), nonce)
			} else {
				sealed, err = reseal(framed, c.Encoded, c.recipient(t))
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sealed, c.Encoded) {
				t.Errorf("sealed %x, want %x", sealed, []byte(c.Encoded))
			}
			if c.ExplicitPadding == nil {
				if got := SealedSize(len(c.Data), !author.IsZero(), !symmetric); got != len(c.Encoded) {
					t.Errorf("SealedSize %d, want %d", got, len(c.Encoded))
				}
			}
		})
	}
}

// reseal encrypts with the ephemeral key and IV of an existing ciphertext; the
// recipient's private key gives the same shared point.
func reseal(framed, sealed []byte, recipient key.Private) ([]byte, error) {
	r, err := key.PublicFromBytes(sealed[:key.UncompressedSize])
	if err != nil {
		return nil, err
	}
	shared, err := recipient.ECDH(r)
	if err != nil {
		return nil, err
	}
	return sealECIES(framed, shared, r, [ivSize]byte(sealed[key.UncompressedSize:]))
}

var sizes = []int{0, 1, 5, 188, 189, 190, 252, 253, 254, 255, 256, 257, 1000, 65535, 65536, 100_000}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	topicKey := [32]byte{1}
	to := private(t, 1)
	for _, signer := range []key.Private{{}, private(t, 2)} {
		for _, n := range sizes {
			want := make([]byte, n)
			source(9).Read(want)
			check := func(opened *Opened, err error, sealed []byte, asymmetric bool) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(opened.Payload, want) || opened.Signer != signer.Public() {
					t.Errorf("%d bytes, signed %v: came back as %d bytes of %v", n, !signer.IsZero(), len(opened.Payload), opened.Signer)
				}
				if len(opened.Padding) < 1 || len(opened.Padding) > blockSize {
					t.Errorf("%d bytes: %d bytes of padding", n, len(opened.Padding))
				}
				if got := SealedSize(n, !signer.IsZero(), asymmetric); got != len(sealed) {
					t.Errorf("%d bytes: SealedSize %d, sealed %d", n, got, len(sealed))
				}
				if (len(sealed)-overhead(asymmetric))%blockSize != 0 {
					t.Errorf("%d bytes: sealed %d is not padded", n, len(sealed))
				}
			}
			sealed, err := SealSymmetric(want, topicKey, signer, source(3))
			if err != nil {
				t.Fatal(err)
			}
			opened, err := OpenSymmetric(sealed, topicKey)
			check(opened, err, sealed, false)

			sealed, err = SealAsymmetric(want, to.Public(), signer, source(3))
			if err != nil {
				t.Fatal(err)
			}
			opened, err = OpenAsymmetric(sealed, to)
			check(opened, err, sealed, true)
		}
	}
}

// The same randomness gives the same bytes: nothing else random goes in.
func TestSealDeterministic(t *testing.T) {
	t.Parallel()
	to, signer := private(t, 1), private(t, 2)
	for range 3 {
		a, err := SealAsymmetric([]byte("x"), to.Public(), signer, source(4))
		if err != nil {
			t.Fatal(err)
		}
		b, err := SealAsymmetric([]byte("x"), to.Public(), signer, source(4))
		if err != nil {
			t.Fatal(err)
		}
		c, err := SealAsymmetric([]byte("x"), to.Public(), signer, source(5))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) || bytes.Equal(a, c) {
			t.Fatal("sealing does not depend on rand alone")
		}
	}
}

// go-ethereum's ECIES is what deployed clients use: both directions.
func TestECIESAgainstGoEthereum(t *testing.T) {
	t.Parallel()
	to := private(t, 1)
	for _, n := range sizes[1:] { // a frame is never empty
		framed := make([]byte, n)
		source(7).Read(framed)
		sealed, err := ecies.Encrypt(source(8), ecies.ImportECDSAPublic(to.Public().ECDSA()), framed, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := openECIES(sealed, to); err != nil || !bytes.Equal(got, framed) {
			t.Errorf("%d bytes from go-ethereum: %v", n, err)
		}
		ours, err := reseal(framed, sealed, to)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ecies.ImportECDSA(to.ECDSA()).Decrypt(ours, nil, nil); err != nil || !bytes.Equal(got, framed) {
			t.Errorf("%d bytes to go-ethereum: %v", n, err)
		}
	}
}

// 26/WAKU2-PAYLOAD asks for v 27 or 28; deployed clients send 0 or 1. Both are
// read, the second is sent.
func TestSignatureV(t *testing.T) {
	t.Parallel()
	seen := map[byte]bool{}
	for seed := byte(0); len(seen) < 2; seed++ {
		signer := private(t, seed)
		framed, err := frame([]byte("x"), []byte{1}, signer)
		if err != nil {
			t.Fatal(err)
		}
		last := len(framed) - 1
		v := framed[last]
		if v > 1 {
			t.Fatalf("v is %d", v)
		}
		seen[v] = true
		framed[last] = v + 27
		if o, err := unframe(framed); err != nil || o.Signer != signer.Public() {
			t.Errorf("v %d: %v", v+27, err)
		}
		for _, bad := range []byte{2, 3, 4, 26, 29, 255} {
			framed[last] = bad
			if o, err := unframe(framed); err == nil && o.Signer == signer.Public() {
				t.Errorf("v %d gives the signer", bad)
			} else if err != nil && !errors.Is(err, ErrSignature) {
				t.Errorf("v %d: %v, want ErrSignature", bad, err)
			}
		}
	}
}

func TestUnframeErrors(t *testing.T) {
	t.Parallel()
	signature := make([]byte, key.SignatureSize)
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":                    {nil, ErrTooShort},
		"no length field":            {[]byte{0, 1, 2}, ErrLength},
		"length cut":                 {[]byte{3, 1, 0}, ErrTooShort},
		"signature cut":              {append([]byte{5}, signature...), ErrTooShort},
		"length beyond the end":      {[]byte{1, 3, 1, 2}, ErrLength},
		"length into the signature":  {append([]byte{5, 1}, signature...), ErrLength},
		"signature of zeros":         {append([]byte{5, 0}, signature...), ErrSignature},
		"largest length, short data": {[]byte{3, 0xff, 0xff, 0xff}, ErrLength},
	} {
		if o, err := unframe(c.b); !errors.Is(err, c.want) || o != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// A longer length field than needed is read: the ABNF allows it.
	for _, b := range [][]byte{{1, 1, 'x', 9}, {2, 1, 0, 'x', 9}, {3, 1, 0, 0, 'x', 9}} {
		if o, err := unframe(b); err != nil || string(o.Payload) != "x" || !bytes.Equal(o.Padding, []byte{9}) {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func TestPlaintextLimit(t *testing.T) {
	t.Parallel()
	topicKey := [32]byte{1}
	big := make([]byte, MaxPlaintext+1)
	sealed, err := SealSymmetric(big[:MaxPlaintext], topicKey, key.Private{}, source(1))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := OpenSymmetric(sealed, topicKey); err != nil || len(o.Payload) != MaxPlaintext {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := SealSymmetric(big, topicKey, key.Private{}, source(1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above: %v, want ErrTooLarge", err)
	}
	if _, err := SealAsymmetric(big, private(t, 1).Public(), key.Private{}, source(1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above: %v, want ErrTooLarge", err)
	}
	if _, err := frame(big, nil, key.Private{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above: %v, want ErrTooLarge", err)
	}
}

func TestOpenHostile(t *testing.T) {
	t.Parallel()
	topicKey, own := [32]byte{1}, private(t, 1)
	sym, err := SealSymmetric([]byte("text"), topicKey, private(t, 2), source(3))
	if err != nil {
		t.Fatal(err)
	}
	asym, err := SealAsymmetric([]byte("text"), own.Public(), private(t, 2), source(3))
	if err != nil {
		t.Fatal(err)
	}
	openers := map[string]struct {
		sealed []byte
		least  int
		open   func([]byte) (*Opened, error)
	}{
		"symmetric":  {sym, SymmetricOverhead, func(b []byte) (*Opened, error) { return OpenSymmetric(b, topicKey) }},
		"asymmetric": {asym, AsymmetricOverhead, func(b []byte) (*Opened, error) { return OpenAsymmetric(b, own) }},
	}
	for name, c := range openers {
		for n := range c.sealed {
			want := ErrDecrypt
			if n < c.least {
				want = ErrTooShort
			}
			if o, err := c.open(c.sealed[:n]); !errors.Is(err, want) || o != nil {
				t.Errorf("%s cut to %d bytes: %v, want %v", name, n, err, want)
			}
		}
		for i := range c.sealed {
			bent := bytes.Clone(c.sealed)
			bent[i] ^= 1 << (i % 8)
			if o, err := c.open(bent); !errors.Is(err, ErrDecrypt) || o != nil {
				t.Errorf("%s with byte %d changed: %v, want ErrDecrypt", name, i, err)
			}
		}
	}
	if _, err := OpenSymmetric(sym, [32]byte{2}); !errors.Is(err, ErrDecrypt) {
		t.Errorf("another topic's key: %v, want ErrDecrypt", err)
	}
	if _, err := OpenAsymmetric(asym, private(t, 9)); !errors.Is(err, ErrDecrypt) {
		t.Errorf("another's key: %v, want ErrDecrypt", err)
	}
	// Encrypted nothing is not a frame.
	empty, err := sealGCM(nil, topicKey, [12]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSymmetric(empty, topicKey); !errors.Is(err, ErrTooShort) {
		t.Errorf("empty frame: %v, want ErrTooShort", err)
	}
}

func TestMissingKeys(t *testing.T) {
	t.Parallel()
	long := make([]byte, 500)
	if _, err := SealSymmetric(nil, [32]byte{}, key.Private{}, source(1)); !errors.Is(err, ErrKey) {
		t.Errorf("SealSymmetric: %v", err)
	}
	if _, err := OpenSymmetric(long, [32]byte{}); !errors.Is(err, ErrKey) {
		t.Errorf("OpenSymmetric: %v", err)
	}
	if _, err := SealAsymmetric(nil, key.Public{}, key.Private{}, source(1)); !errors.Is(err, ErrKey) {
		t.Errorf("SealAsymmetric: %v", err)
	}
	if _, err := OpenAsymmetric(long, key.Private{}); !errors.Is(err, ErrKey) {
		t.Errorf("OpenAsymmetric: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestRandomness(t *testing.T) {
	t.Parallel()
	// A source that is exhausted anywhere, or that gives zeros, is an error.
	const needed = 249 + gcmNonceSize // padding of 5 bytes unsigned, nonce
	for n := range needed {
		if _, err := SealSymmetric([]byte("hello"), [32]byte{1}, key.Private{}, io.LimitReader(source(1), int64(n))); !errors.Is(err, ErrRandom) {
			t.Fatalf("%d random bytes: %v, want ErrRandom", n, err)
		}
	}
	if _, err := SealSymmetric([]byte("hello"), [32]byte{1}, key.Private{}, io.LimitReader(source(1), needed)); err != nil {
		t.Errorf("enough random bytes: %v", err)
	}
	if _, err := SealSymmetric(nil, [32]byte{1}, key.Private{}, zeros{}); !errors.Is(err, ErrRandom) {
		t.Errorf("zeros: %v, want ErrRandom", err)
	}
	for _, n := range []int64{0, 249, 249 + 31, 249 + 32 + 15} {
		if _, err := SealAsymmetric([]byte("hello"), private(t, 1).Public(), key.Private{}, io.LimitReader(source(1), n)); !errors.Is(err, ErrRandom) {
			t.Errorf("asymmetric, %d random bytes: %v, want ErrRandom", n, err)
		}
	}
	// Padding of zeros is drawn again.
	first := make([]byte, 249)
	r := io.MultiReader(bytes.NewReader(first), source(1))
	sealed, err := SealSymmetric([]byte("hello"), [32]byte{1}, key.Private{}, r)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := OpenSymmetric(sealed, [32]byte{1}); err != nil || bytes.Equal(o.Padding, first) {
		t.Errorf("padding of zeros was used (%v)", err)
	}
}

func TestMaxSealable(t *testing.T) {
	t.Parallel()
	for _, signed := range []bool{false, true} {
		for _, asymmetric := range []bool{false, true} {
			least := SealedSize(0, signed, asymmetric)
			for _, limit := range []int{least, least + 1, least + 255, least + 256, 600, 66_000, 66_100, 149_900, 1 << 25} {
				n := MaxSealable(limit, signed, asymmetric)
				if n < 0 || SealedSize(n, signed, asymmetric) > limit {
					t.Errorf("limit %d: %d does not fit", limit, n)
				}
				if n < MaxPlaintext && SealedSize(n+1, signed, asymmetric) <= limit {
					t.Errorf("limit %d: %d would fit as well", limit, n+1)
				}
			}
			for _, limit := range []int{least - 1, 0, -5} {
				if n := MaxSealable(limit, signed, asymmetric); n != -1 {
					t.Errorf("limit %d: %d, want -1", limit, n)
				}
			}
		}
	}
}
