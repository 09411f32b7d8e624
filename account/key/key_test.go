package key

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/multiformats/go-multibase"

	"github.com/parley-im/parley/internal/vectors"
)

// order is the order of the curve, prime that of its field.
var (
	order = crypto.S256().Params().N
	prime = crypto.S256().Params().P
)

func generate(t testing.TB) Private {
	t.Helper()
	k, err := Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type identityCase struct {
	Address               string      `json:"address"`
	CompressedChatKey     string      `json:"compressedChatKey"`
	ContactID             string      `json:"contactId"`
	MulticodecMultibase16 string      `json:"multicodecMultibase16"`
	PrivateKey            vectors.Hex `json:"privateKey"`
	PublicCompressed      vectors.Hex `json:"publicKeyCompressed"`
	PublicUncompressed    vectors.Hex `json:"publicKeyUncompressed"`
}

// TestVectorsKeysIdentityForms writes and reads every form of recorded keys.
func TestVectorsKeysIdentityForms(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[identityCase](t, "keys_identity") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			k, err := PrivateFromBytes(c.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			pub := k.Public()
			compressed := pub.Compressed()
			address := pub.Address()
			for name, pair := range map[string][2]string{
				"private":      {hex.EncodeToString(k.Bytes()), hex.EncodeToString(c.PrivateKey)},
				"uncompressed": {hex.EncodeToString(pub.Bytes()), hex.EncodeToString(c.PublicUncompressed)},
				"compressed":   {hex.EncodeToString(compressed[:]), hex.EncodeToString(c.PublicCompressed)},
				"contact id":   {pub.Hex(), c.ContactID},
				"base58":       {pub.String(), c.CompressedChatKey},
				"base16":       {pub.Multibase(multibase.Base16), c.MulticodecMultibase16},
				"address":      {"0x" + hex.EncodeToString(address[:]), strings.ToLower(c.Address)},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s = %s, want %s", name, pair[0], pair[1])
				}
			}
			for _, form := range []string{
				c.ContactID, c.CompressedChatKey, c.MulticodecMultibase16,
				"0x" + c.MulticodecMultibase16[1:], hex.EncodeToString(c.PublicCompressed),
				"0x" + hex.EncodeToString(c.PublicCompressed), hex.EncodeToString(c.PublicUncompressed),
			} {
				if got, err := ParsePublic(form); err != nil || got != pub {
					t.Errorf("ParsePublic(%s) = %v, %v", form, got, err)
				}
			}
			for _, raw := range [][]byte{c.PublicCompressed, c.PublicUncompressed} {
				if got, err := PublicFromBytes(raw); err != nil || got != pub {
					t.Errorf("PublicFromBytes(%x) = %v, %v", raw, got, err)
				}
			}
		})
	}
}

type ecdhCase struct {
	PrivateA vectors.Hex `json:"privateKeyA"`
	PrivateB vectors.Hex `json:"privateKeyB"`
	PublicA  vectors.Hex `json:"publicKeyA"`
	PublicB  vectors.Hex `json:"publicKeyB"`
	Shared   vectors.Hex `json:"shared"`
}

// TestVectorsECDH agrees on recorded secrets from both sides.
func TestVectorsECDH(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[ecdhCase](t, "ecdh") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for _, side := range [][2]vectors.Hex{{c.PrivateA, c.PublicB}, {c.PrivateB, c.PublicA}} {
				private, err := PrivateFromBytes(side[0])
				if err != nil {
					t.Fatal(err)
				}
				public, err := PublicFromBytes(side[1])
				if err != nil {
					t.Fatal(err)
				}
				shared, err := private.ECDH(public)
				if err != nil || !bytes.Equal(shared[:], c.Shared) {
					t.Errorf("shared = %x, %v, want %x", shared, err, c.Shared)
				}
			}
		})
	}
}

// TestECDHKeepsLeadingZeros checks that a short X coordinate is padded, and
// every secret against a multiplication done another way.
func TestECDHKeepsLeadingZeros(t *testing.T) {
	t.Parallel()
	a := generate(t)
	for zeros := 0; zeros < 1; {
		b := generate(t)
		shared, err := a.ECDH(b.Public())
		if err != nil {
			t.Fatal(err)
		}
		// a·b as a scalar times the base point.
		n := new(big.Int).Mul(new(big.Int).SetBytes(a.Bytes()), new(big.Int).SetBytes(b.Bytes()))
		x, _ := crypto.S256().ScalarBaseMult(n.Mod(n, order).FillBytes(make([]byte, 32)))
		if want := x.FillBytes(make([]byte, 32)); !bytes.Equal(shared[:], want) {
			t.Fatalf("shared = %x, want %x", shared, want)
		}
		if shared[0] == 0 {
			zeros++
		}
	}
}

// onCurve returns the point with the smallest X coordinate.
func onCurve(t *testing.T) (x, y *big.Int) {
	t.Helper()
	for i := int64(1); ; i++ {
		y2 := new(big.Int).Exp(big.NewInt(i), big.NewInt(3), prime)
		y2.Add(y2, big.NewInt(7)).Mod(y2, prime)
		if y := new(big.Int).ModSqrt(y2, prime); y != nil {
			return big.NewInt(i), y
		}
	}
}

// lowOnCurve returns the point with the smallest Y coordinate.
func lowOnCurve() (x, y *big.Int) {
	third := new(big.Int).Div(new(big.Int).Add(prime, big.NewInt(2)), big.NewInt(9))
	for i := int64(1); ; i++ {
		cube := big.NewInt(i*i - 7)
		x := new(big.Int).Exp(cube.Mod(cube, prime), third, prime)
		if new(big.Int).Exp(x, big.NewInt(3), prime).Cmp(cube) == 0 {
			return x, big.NewInt(i)
		}
	}
}

func point(x, y *big.Int) []byte {
	return append(append([]byte{4}, x.FillBytes(make([]byte, 32))...), y.FillBytes(make([]byte, 32))...)
}

func TestPublicRejects(t *testing.T) {
	t.Parallel()
	pub := generate(t).Public()
	c := pub.Compressed()
	x, y := onCurve(t)
	if _, err := PublicFromBytes(point(x, y)); err != nil {
		t.Fatalf("a point of the curve: %v", err)
	}
	lowX, lowY := lowOnCurve()
	if _, err := PublicFromBytes(point(lowX, lowY)); err != nil {
		t.Fatalf("a point of the curve: %v", err)
	}
	flipped := slices.Clone(pub.Bytes())
	flipped[64] ^= 1
	hybrid := slices.Clone(pub.Bytes())
	hybrid[0] = 6 + hybrid[64]&1
	for name, raw := range map[string][]byte{
		"empty":                 {},
		"32 bytes":              c[1:],
		"34 bytes":              append(c[:], 0),
		"64 bytes":              pub.Bytes()[1:],
		"66 bytes":              append(slices.Clone(pub.Bytes()), 0),
		"infinity":              make([]byte, UncompressedSize),
		"compressed infinity":   make([]byte, CompressedSize),
		"not on the curve":      flipped,
		"hybrid":                hybrid,
		"prefix 05":             append([]byte{5}, c[1:]...),
		"x not below the prime": point(new(big.Int).Add(x, prime), y),
		"y not below the prime": point(lowX, new(big.Int).Add(lowY, prime)),
		"compressed x too big":  append([]byte{2}, new(big.Int).Add(x, prime).FillBytes(make([]byte, 32))...),
	} {
		if got, err := PublicFromBytes(raw); !errors.Is(err, ErrPublic) || !got.IsZero() {
			t.Errorf("%s: %v, %v, want ErrPublic", name, got, err)
		}
	}
	codec := func(prefix ...byte) string {
		s, err := multibase.Encode(multibase.Base58BTC, append(prefix, c[:CompressedSize]...))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, text := range map[string]string{
		"empty":            "",
		"prefix alone":     "0x",
		"odd digits":       pub.Hex()[:131],
		"not hexadecimal":  "0x" + strings.Repeat("g", 66),
		"address":          "0x5Fd327d30E249193E53B6f22DDA434afbaD4733C",
		"no multibase":     "hello",
		"bad base58":       "z0OIl",
		"other codec":      codec(0xea, 0x01),
		"non-minimal code": codec(0xe7, 0x81, 0x00),
		"no codec":         codec(),
		"too short":        pub.String()[:40],
		"long":             "z" + strings.Repeat("Q", 500),
	} {
		if got, err := ParsePublic(text); !errors.Is(err, ErrPublic) || !got.IsZero() {
			t.Errorf("%s: %v, %v, want ErrPublic", name, got, err)
		}
	}
}

// TestMultibaseForms reads a key written in every base that can stand for it.
func TestMultibaseForms(t *testing.T) {
	t.Parallel()
	pub := generate(t).Public()
	for name, base := range multibase.Encodings {
		if base == multibase.Identity {
			continue // raw bytes are no text
		}
		if got, err := ParsePublic(pub.Multibase(base)); err != nil || got != pub {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestPublicText(t *testing.T) {
	t.Parallel()
	type message struct{ From, To Public }
	want := message{From: generate(t).Public()}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), `"zQ3sh`) {
		t.Errorf("marshalled as %s", raw)
	}
	got := message{To: want.From}
	if err := json.Unmarshal(raw, &got); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if err := json.Unmarshal([]byte(`{"From":"zQ3"}`), &got); !errors.Is(err, ErrPublic) || got != want {
		t.Errorf("bad text: %+v, %v", got, err)
	}
}

func TestPrivateRejects(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"empty":     {},
		"31 bytes":  bytes.Repeat([]byte{1}, 31),
		"33 bytes":  bytes.Repeat([]byte{1}, 33),
		"zero":      make([]byte, 32),
		"order":     order.Bytes(),
		"above":     bytes.Repeat([]byte{0xff}, 32),
		"order + 1": new(big.Int).Add(order, big.NewInt(1)).Bytes(),
	} {
		if k, err := PrivateFromBytes(raw); !errors.Is(err, ErrPrivate) || !k.IsZero() {
			t.Errorf("%s: %v, want ErrPrivate", name, err)
		}
		if k, err := ParsePrivate(hex.EncodeToString(raw)); !errors.Is(err, ErrPrivate) || !k.IsZero() {
			t.Errorf("%s as text: %v, want ErrPrivate", name, err)
		}
	}
	if _, err := ParsePrivate(strings.Repeat("xy", 32)); !errors.Is(err, ErrPrivate) {
		t.Errorf("not hexadecimal: %v, want ErrPrivate", err)
	}
	largest := new(big.Int).Sub(order, big.NewInt(1)).Bytes()
	for _, raw := range [][]byte{append(make([]byte, 31), 1), largest} {
		k, err := PrivateFromBytes(raw)
		if err != nil || !bytes.Equal(k.Bytes(), raw) {
			t.Errorf("%x: %x, %v", raw, k.Bytes(), err)
		}
		if parsed, err := ParsePrivate(" 0x" + hex.EncodeToString(raw) + "\n"); err != nil || !parsed.Equal(k) {
			t.Errorf("%x as text: %v", raw, err)
		}
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	// A scalar that is no key is skipped, and what follows is taken.
	want := generate(t)
	k, err := Generate(bytes.NewReader(append(make([]byte, 32), want.Bytes()...)))
	if err != nil || !k.Equal(want) {
		t.Errorf("after a zero scalar: equal %v, %v", k.Equal(want), err)
	}
	if _, err := Generate(bytes.NewReader(make([]byte, 31))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short randomness: %v", err)
	}
}

// TestPrivateHides prints, logs and marshals a key in every way it could leak.
func TestPrivateHides(t *testing.T) {
	t.Parallel()
	k := generate(t)
	digits := hex.EncodeToString(k.Bytes())
	number := new(big.Int).SetBytes(k.Bytes()).String()
	holder := struct {
		Key     Private
		Pointer *Private
		hidden  Private
	}{k, &k, k}
	var texts []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t"} {
		texts = append(texts, fmt.Sprintf(verb, k), fmt.Sprintf(verb, &k), fmt.Sprintf(verb, holder))
	}
	raw, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(texts, string(raw), k.String()) {
		low := strings.ToLower(text)
		if strings.Contains(low, digits) || strings.Contains(low, number) ||
			strings.Contains(low, hex.EncodeToString([]byte(digits))) {
			t.Errorf("leaks the key: %s", strings.ReplaceAll(low, digits, "…"))
		}
	}
	if got := fmt.Sprintf("%+v", k); got != "[private key]" {
		t.Errorf("prints %s", got)
	}
}

func TestZeroKeys(t *testing.T) {
	t.Parallel()
	k := generate(t)
	var noPrivate Private
	var noPublic Public
	if !noPrivate.IsZero() || !noPublic.IsZero() || noPublic.ECDSA() != nil || noPrivate.ECDSA() != nil || noPrivate.Bytes() != nil {
		t.Error("the zero key is a key")
	}
	if noPrivate.Equal(k) || k.Equal(noPrivate) || !noPrivate.Equal(Private{}) || !k.Equal(k) || k.Equal(generate(t)) {
		t.Error("Equal is wrong")
	}
	if _, err := noPrivate.Sign([32]byte{}); !errors.Is(err, ErrPrivate) {
		t.Errorf("sign: %v, want ErrPrivate", err)
	}
	if _, err := noPrivate.ECDH(k.Public()); !errors.Is(err, ErrPrivate) {
		t.Errorf("key agreement without a private key: %v", err)
	}
	if _, err := k.ECDH(noPublic); !errors.Is(err, ErrPublic) {
		t.Errorf("key agreement without a public key: %v", err)
	}
}

func TestSignRecover(t *testing.T) {
	t.Parallel()
	k := generate(t)
	digest := Keccak256([]byte("a "), []byte("message"))
	if digest != Keccak256([]byte("a message")) {
		t.Error("the hash depends on how its input is cut")
	}
	sig, err := k.Sign(digest)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := k.Sign(digest)
	if len(sig) != SignatureSize || sig[64] > 1 || !bytes.Equal(sig, again) {
		t.Fatalf("signatures %x and %x", sig, again)
	}
	if s := new(big.Int).SetBytes(sig[32:64]); s.Cmp(new(big.Int).Rsh(order, 1)) > 0 {
		t.Error("s is in the upper half")
	}
	// Every recovery id: two name the key, two its mirror, the rest nothing.
	for v := range 256 {
		changed := append(bytes.Clone(sig[:64]), byte(v))
		before := bytes.Clone(changed)
		pub, err := Recover(digest, changed)
		if !bytes.Equal(before, changed) {
			t.Fatalf("v %d: the signature was changed", v)
		}
		switch v {
		case 0, 1, 27, 28:
			if err != nil || (pub == k.Public()) != (byte(v)%27 == sig[64]) {
				t.Errorf("v %d: %v, %v", v, pub, err)
			}
		default:
			if !errors.Is(err, ErrSignature) || !pub.IsZero() {
				t.Errorf("v %d: %v, %v, want ErrSignature", v, pub, err)
			}
		}
	}
	if pub, err := Recover(Keccak256([]byte("another")), sig); err == nil && pub == k.Public() {
		t.Error("the signature holds for another message")
	}
}

func TestRecoverRejects(t *testing.T) {
	t.Parallel()
	sig, err := generate(t).Sign([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	with := func(from int, b []byte) []byte {
		s := bytes.Clone(sig)
		copy(s[from:], b)
		return s
	}
	for name, bad := range map[string][]byte{
		"empty":    {},
		"64 bytes": sig[:64],
		"66 bytes": append(bytes.Clone(sig), 0),
		"r zero":   with(0, make([]byte, 32)),
		"s zero":   with(32, make([]byte, 32)),
		"r order":  with(0, order.Bytes()),
		"s order":  with(32, order.Bytes()),
		"all ones": bytes.Repeat([]byte{0xff}, SignatureSize),
	} {
		if pub, err := Recover([32]byte{1}, bad); !errors.Is(err, ErrSignature) || !pub.IsZero() {
			t.Errorf("%s: %v, %v, want ErrSignature", name, pub, err)
		}
	}
}

func TestLess(t *testing.T) {
	t.Parallel()
	keys := []Public{generate(t).Public(), generate(t).Public(), generate(t).Public()}
	slices.SortFunc(keys, func(a, b Public) int {
		if Less(a, b) {
			return -1
		}
		return 1
	})
	for i := 1; i < len(keys); i++ {
		a, b := keys[i-1].X(), keys[i].X()
		if bytes.Compare(a[:], b[:]) > 0 || Less(keys[i], keys[i-1]) || Less(keys[i], keys[i]) {
			t.Errorf("not in order: %x, %x", a, b)
		}
	}
}

// FuzzParsePublic reads foreign text as a key: what parses is a point of the
// curve and reads back equal from every form it is written in.
func FuzzParsePublic(f *testing.F) {
	for _, c := range vectors.Cases[identityCase](f, "keys_identity") {
		f.Add(c.ContactID)
		f.Add(c.CompressedChatKey)
		f.Add(c.MulticodecMultibase16)
		f.Add("0x" + hex.EncodeToString(c.PublicCompressed))
	}
	f.Add("")
	f.Add("0x")
	f.Fuzz(func(t *testing.T, text string) {
		pub, err := ParsePublic(text)
		if err != nil {
			if !errors.Is(err, ErrPublic) || !pub.IsZero() {
				t.Fatalf("%v, %v", pub, err)
			}
			return
		}
		x, y := new(big.Int).SetBytes(pub.Bytes()[1:33]), new(big.Int).SetBytes(pub.Bytes()[33:])
		if x.Cmp(prime) >= 0 || y.Cmp(prime) >= 0 || !crypto.S256().IsOnCurve(x, y) {
			t.Fatalf("%q is no point: %s", text, pub.Hex())
		}
		for _, form := range []string{pub.Hex(), pub.CompressedHex(), pub.String(), pub.Multibase(multibase.Base16)} {
			if again, err := ParsePublic(form); err != nil || again != pub {
				t.Fatalf("%s reads as %v, %v", form, again, err)
			}
		}
	})
}

// FuzzRecover recovers keys from foreign signatures: what it finds must verify.
func FuzzRecover(f *testing.F) {
	for i, c := range vectors.Cases[identityCase](f, "keys_identity") {
		k, err := PrivateFromBytes(c.PrivateKey)
		if err != nil {
			f.Fatal(err)
		}
		digest := Keccak256([]byte{byte(i)})
		sig, err := k.Sign(digest)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(digest[:], sig)
	}
	f.Fuzz(func(t *testing.T, hash, sig []byte) {
		digest := Keccak256(hash)
		if len(hash) == 32 {
			digest = [32]byte(hash)
		}
		pub, err := Recover(digest, sig)
		if err != nil {
			if !errors.Is(err, ErrSignature) || !pub.IsZero() {
				t.Fatalf("%v, %v", pub, err)
			}
			return
		}
		// The verifier takes only the lower half of s.
		s := new(big.Int).SetBytes(sig[32:64])
		if s.Cmp(new(big.Int).Rsh(order, 1)) > 0 {
			s.Sub(order, s)
		}
		normal := append(bytes.Clone(sig[:32]), s.FillBytes(make([]byte, 32))...)
		if !crypto.VerifySignature(pub.Bytes(), digest[:], normal) {
			t.Fatalf("%x does not verify under the key it gave", sig)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	k := generate(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Sign([32]byte{1}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecover(b *testing.B) {
	sig, err := generate(b).Sign([32]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Recover([32]byte{1}, sig); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkECDH(b *testing.B) {
	k, pub := generate(b), generate(b).Public()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.ECDH(pub); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParsePublic(b *testing.B) {
	pub := generate(b).Public()
	for name, text := range map[string]string{
		"uncompressed": pub.Hex(), "compressed": pub.CompressedHex(), "base58": pub.String(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParsePublic(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
