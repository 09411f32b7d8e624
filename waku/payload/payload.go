// Package payload encrypts and signs what a Waku message carries, version 1
// (26/WAKU2-PAYLOAD): a padded and signed frame, sealed with AES-256-GCM under
// the key of a topic or with ECIES to a public key.
//
// It is the outermost envelope. Its signature names the sender to those who can
// open it; forward secrecy comes from the layers above.
package payload

import (
	"errors"
	"io"
	"sort"

	"github.com/parley-im/parley/account/key"
)

// Errors of this package. None of them contains key material.
var (
	ErrTooShort  = errors.New("sealed payload too short")
	ErrTooLarge  = errors.New("payload too large")
	ErrLength    = errors.New("bad payload length")
	ErrSignature = errors.New("bad payload signature")
	ErrDecrypt   = errors.New("payload decryption failed") // most often: not for this key
	ErrKey       = errors.New("no usable key")
	ErrRandom    = errors.New("no usable randomness")
)

// Sizes in bytes of what encryption adds to the frame.
const (
	// SymmetricOverhead is tag and nonce.
	SymmetricOverhead = gcmTagSize + gcmNonceSize
	// AsymmetricOverhead is ephemeral key, IV and MAC.
	AsymmetricOverhead = key.UncompressedSize + ivSize + macSize
)

// Opened is a payload after decryption.
type Opened struct {
	Payload []byte
	// Signer made the signature inside; zero when there is none. Status drops
	// unsigned payloads.
	Signer key.Public
	// Padding is meaningless, and kept so that a frame can be made again.
	Padding []byte
}

// SealSymmetric frames and signs plaintext and encrypts it with a topic's key
// (package topic). A zero signer leaves it unsigned. Padding and nonce come
// from rand.
func SealSymmetric(plaintext []byte, topicKey [SymmetricKeySize]byte, signer key.Private, rand io.Reader) ([]byte, error) {
	framed, err := frameRandom(plaintext, signer, rand)
	if err != nil {
		return nil, err
	}
	var nonce [gcmNonceSize]byte
	if err := random(rand, nonce[:]); err != nil {
		return nil, err
	}
	return sealGCM(framed, topicKey, nonce)
}

// OpenSymmetric decrypts and reads what SealSymmetric made. Without the right
// key it is ErrDecrypt; a receiver may then try another.
func OpenSymmetric(data []byte, topicKey [SymmetricKeySize]byte) (*Opened, error) {
	framed, err := openGCM(data, topicKey)
	if err != nil {
		return nil, err
	}
	return unframe(framed)
}

// SealAsymmetric frames and signs plaintext and encrypts it to the owner of a
// public key. A zero signer leaves it unsigned. Padding, ephemeral key and IV
// come from rand.
func SealAsymmetric(plaintext []byte, to key.Public, signer key.Private, rand io.Reader) ([]byte, error) {
	if to.IsZero() {
		return nil, ErrKey
	}
	framed, err := frameRandom(plaintext, signer, rand)
	if err != nil {
		return nil, err
	}
	ephemeral, err := key.Generate(rand)
	if err != nil {
		return nil, errors.Join(ErrRandom, err)
	}
	var iv [ivSize]byte
	if err := random(rand, iv[:]); err != nil {
		return nil, err
	}
	shared, err := ephemeral.ECDH(to)
	if err != nil {
		return nil, errors.Join(ErrKey, err)
	}
	return sealECIES(framed, shared, ephemeral.Public(), iv)
}

// OpenAsymmetric decrypts and reads what SealAsymmetric made for the owner of
// a private key.
func OpenAsymmetric(data []byte, own key.Private) (*Opened, error) {
	framed, err := openECIES(data, own)
	if err != nil {
		return nil, err
	}
	return unframe(framed)
}

// SealedSize returns the exact size in bytes of a sealed payload of n bytes.
func SealedSize(n int, signed, asymmetric bool) int {
	return framedSize(n, signed) + overhead(asymmetric)
}

// MaxSealable returns the largest n whose SealedSize is at most limit, -1 when
// not even an empty payload fits.
func MaxSealable(limit int, signed, asymmetric bool) int {
	tooMany := func(n int) bool { return SealedSize(n, signed, asymmetric) > limit }
	return sort.Search(min(max(limit, 0), MaxPlaintext)+1, tooMany) - 1
}

func overhead(asymmetric bool) int {
	if asymmetric {
		return AsymmetricOverhead
	}
	return SymmetricOverhead
}
