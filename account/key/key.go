// Package key holds the secp256k1 keys that Status is made of: a [Private] key
// is ours, a [Public] key is anybody's, and no function takes one for the
// other. It is the bottom of the house: every layer may import it.
//
// Sources: 2/ACCOUNT and 65/STATUS-ACCOUNT-ADDRESS for the encodings,
// 53/WAKU2-X3DH for the key agreement.
package key

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/crypto/ecies"
	"github.com/multiformats/go-multibase"
)

// Sizes in bytes.
const (
	PrivateSize      = 32
	UncompressedSize = 65
	CompressedSize   = 33
	SignatureSize    = 65
	SharedSize       = 32
)

// Errors of this package. None of them contains key material.
var (
	ErrPublic    = errors.New("not a secp256k1 public key")
	ErrPrivate   = errors.New("not a secp256k1 private key")
	ErrSignature = errors.New("not a valid signature")
)

// uncompressedForm is the first byte of an uncompressed key.
const uncompressedForm = 0x04

// multicodecSecp256k1 is the varint of multicodec secp256k1-pub, 0xe7.
var multicodecSecp256k1 = []byte{0xe7, 0x01}

// Public is a secp256k1 public key. It is a comparable value, good as a map
// key; the zero value is no key.
type Public struct {
	b [UncompressedSize]byte
}

// PublicFromBytes reads a key from 33 (compressed) or 65 (uncompressed) bytes
// and checks that it is a point of the curve.
func PublicFromBytes(b []byte) (Public, error) {
	switch len(b) {
	case CompressedSize:
		pub, err := crypto.DecompressPubkey(b)
		if err != nil {
			return Public{}, ErrPublic
		}
		return publicFromECDSA(pub), nil
	case UncompressedSize:
		// go-ethereum's check of the same takes eight times as long, and a list of
		// chats has thousands of keys. The hybrid forms 06 and 07 are no keys.
		if _, err := secp256k1.ParsePubKey(b); err != nil || b[0] != uncompressedForm {
			return Public{}, ErrPublic
		}
		return Public{[UncompressedSize]byte(b)}, nil
	}
	return Public{}, fmt.Errorf("%w: %d bytes, want %d or %d", ErrPublic, len(b), CompressedSize, UncompressedSize)
}

// ParsePublic reads a key in any of its written forms: 0x04… (uncompressed),
// 0x02… or 0x03… (compressed), zQ3sh… or another multibase text of the
// multicodec form. The "0x" of hexadecimal may be left out. The multicodec form
// is also read in plain hexadecimal, 0xe701…, as deployed clients do.
func ParsePublic(s string) (Public, error) {
	s = strings.TrimSpace(s)
	if raw, err := hex.DecodeString(strings.TrimPrefix(s, "0x")); err == nil {
		if compressed, ok := bytes.CutPrefix(raw, multicodecSecp256k1); ok && len(compressed) == CompressedSize {
			raw = compressed
		}
		if len(raw) == CompressedSize || len(raw) == UncompressedSize {
			return PublicFromBytes(raw)
		}
	}
	_, raw, err := multibase.Decode(s)
	if err != nil {
		return Public{}, fmt.Errorf("%w: want 0x04…, 0x02…, 0x03… or zQ3sh…", ErrPublic)
	}
	compressed, ok := bytes.CutPrefix(raw, multicodecSecp256k1)
	if !ok || len(compressed) != CompressedSize {
		return Public{}, fmt.Errorf("%w: not multicodec secp256k1-pub (e7 01) with %d bytes", ErrPublic, CompressedSize)
	}
	return PublicFromBytes(compressed)
}

func publicFromECDSA(pub *ecdsa.PublicKey) Public {
	return Public{[UncompressedSize]byte(crypto.FromECDSAPub(pub))}
}

// IsZero reports whether p is no key.
func (p Public) IsZero() bool { return p == Public{} }

// Bytes returns the 65 bytes 04‖X‖Y.
func (p Public) Bytes() []byte { return p.b[:] }

// Compressed returns the 33 bytes of the compressed point.
func (p Public) Compressed() [CompressedSize]byte {
	var c [CompressedSize]byte
	c[0] = 2 + p.b[UncompressedSize-1]&1
	copy(c[1:], p.b[1:33])
	return c
}

// X returns the 32 big-endian bytes of the X coordinate.
func (p Public) X() [32]byte { return [32]byte(p.b[1:33]) }

// Hex returns the uncompressed form 0x04…, which is the contact id and the
// chat id of a one-to-one chat.
func (p Public) Hex() string { return "0x" + hex.EncodeToString(p.b[:]) }

// CompressedHex returns the compressed form 0x02… or 0x03….
func (p Public) CompressedHex() string {
	c := p.Compressed()
	return "0x" + hex.EncodeToString(c[:])
}

// String returns the form people see: zQ3sh….
func (p Public) String() string { return p.Multibase(multibase.Base58BTC) }

// Multibase returns the multicodec form in the given base.
func (p Public) Multibase(base multibase.Encoding) string {
	c := p.Compressed()
	s, err := multibase.Encode(base, append(append([]byte{}, multicodecSecp256k1...), c[:]...))
	if err != nil {
		panic(err) // a base that multibase does not know: a programming error
	}
	return s
}

// Address returns the 20 bytes of the Ethereum address.
func (p Public) Address() [20]byte {
	h := Keccak256(p.b[1:])
	return [20]byte(h[12:])
}

// ECDSA returns the key as the standard library's type, nil for the zero key.
func (p Public) ECDSA() *ecdsa.PublicKey {
	pub, err := crypto.UnmarshalPubkey(p.b[:])
	if err != nil {
		return nil
	}
	return pub
}

// MarshalText writes the key as String does.
func (p Public) MarshalText() ([]byte, error) {
	if p.IsZero() {
		return nil, nil
	}
	return []byte(p.String()), nil
}

// UnmarshalText reads what ParsePublic reads; empty text is the zero key.
func (p *Public) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = Public{}
		return nil
	}
	parsed, err := ParsePublic(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}

// Private is a secp256k1 private key with its public key. It prints as
// [private key], whatever the verb. The zero value is no key.
type Private struct {
	k   *ecdsa.PrivateKey
	pub Public
}

// PrivateFromBytes reads a key from 32 big-endian bytes.
func PrivateFromBytes(b []byte) (Private, error) {
	k, err := crypto.ToECDSA(b)
	if err != nil {
		return Private{}, ErrPrivate
	}
	return Private{k, publicFromECDSA(&k.PublicKey)}, nil
}

// ParsePrivate reads a key from 64 hexadecimal digits, with or without 0x.
func ParsePrivate(s string) (Private, error) {
	b, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(s), "0x"))
	if err != nil {
		return Private{}, ErrPrivate
	}
	return PrivateFromBytes(b)
}

// Generate makes a key from the first 32 bytes of rand that are a valid
// scalar; with overwhelming probability those are its first 32 bytes.
func Generate(rand io.Reader) (Private, error) {
	for {
		var b [PrivateSize]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return Private{}, fmt.Errorf("generating a key: %w", err)
		}
		if k, err := PrivateFromBytes(b[:]); err == nil {
			return k, nil
		}
	}
}

// IsZero reports whether k is no key.
func (k Private) IsZero() bool { return k.k == nil }

// Public returns the key's public half.
func (k Private) Public() Public { return k.pub }

// Bytes returns the 32 secret bytes, nil for the zero key.
func (k Private) Bytes() []byte { return crypto.FromECDSA(k.k) }

// ECDSA returns the key as the standard library's type; do not change it.
func (k Private) ECDSA() *ecdsa.PrivateKey { return k.k }

// Equal compares in constant time.
func (k Private) Equal(o Private) bool {
	if k.IsZero() || o.IsZero() {
		return k.IsZero() == o.IsZero()
	}
	return subtle.ConstantTimeCompare(k.Bytes(), o.Bytes()) == 1
}

// String hides the key.
func (k Private) String() string { return "[private key]" }

// Format hides the key from every verb of package fmt.
func (k Private) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// Sign signs a 32-byte digest: 65 bytes r‖s‖v with v 0 or 1, deterministic
// (RFC 6979). The zero key gives ErrPrivate.
func (k Private) Sign(digest [32]byte) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrPrivate
	}
	sig, err := crypto.Sign(digest[:], k.k)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return sig, nil
}

// ECDH returns the 32-byte X coordinate of the shared point, zero-padded on
// the left (53/WAKU2-X3DH). A zero private key gives ErrPrivate, a zero public
// key ErrPublic.
func (k Private) ECDH(remote Public) ([SharedSize]byte, error) {
	if k.IsZero() {
		return [SharedSize]byte{}, ErrPrivate
	}
	pub := remote.ECDSA()
	if pub == nil {
		return [SharedSize]byte{}, ErrPublic
	}
	shared, err := ecies.ImportECDSA(k.k).GenerateShared(ecies.ImportECDSAPublic(pub), SharedSize/2, SharedSize/2)
	if err != nil {
		return [SharedSize]byte{}, fmt.Errorf("key agreement: %w", err)
	}
	return [SharedSize]byte(shared), nil
}

// Recover returns the key that made a 65-byte signature over digest. Both v
// 0, 1 (deployed) and 27, 28 (26/WAKU2-PAYLOAD) are read.
func Recover(digest [32]byte, sig []byte) (Public, error) {
	if len(sig) != SignatureSize {
		return Public{}, fmt.Errorf("%w: %d bytes, want %d", ErrSignature, len(sig), SignatureSize)
	}
	// Only these four: without cgo the library below would also take 4 and 5.
	switch v := sig[64]; v {
	case 0, 1:
	case 27, 28:
		sig = append(bytes.Clone(sig[:64]), v-27)
	default:
		return Public{}, fmt.Errorf("%w: recovery id %d", ErrSignature, v)
	}
	raw, err := crypto.Ecrecover(digest[:], sig)
	if err != nil || len(raw) != UncompressedSize {
		return Public{}, ErrSignature
	}
	return Public{[UncompressedSize]byte(raw)}, nil
}

// Keccak256 is Ethereum's hash (original padding, not NIST SHA-3) over the
// concatenation of its arguments.
func Keccak256(data ...[]byte) [32]byte { return crypto.Keccak256Hash(data...) }

// Less orders two keys by their X coordinate, as MVDS group ids need.
func Less(a, b Public) bool {
	return new(big.Int).SetBytes(a.b[1:33]).Cmp(new(big.Int).SetBytes(b.b[1:33])) < 0
}
