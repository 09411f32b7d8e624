package payload

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// SymmetricKeySize is the size of an AES-256 key in bytes.
const SymmetricKeySize = 32

const (
	gcmNonceSize = 12
	gcmTagSize   = 16
)

func newGCM(k [SymmetricKeySize]byte) (cipher.AEAD, error) {
	// A zero key is one that somebody forgot to set; deployed clients refuse
	// it too.
	if k == [SymmetricKeySize]byte{} {
		return nil, ErrKey
	}
	block, err := aes.NewCipher(k[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return cipher.NewGCM(block)
}

// sealGCM returns ciphertext ‖ tag(16) ‖ nonce(12).
func sealGCM(framed []byte, k [SymmetricKeySize]byte, nonce [gcmNonceSize]byte) ([]byte, error) {
	gcm, err := newGCM(k)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(framed)+SymmetricOverhead)
	out = gcm.Seal(out, nonce[:], framed, nil)
	return append(out, nonce[:]...), nil
}

func openGCM(data []byte, k [SymmetricKeySize]byte) ([]byte, error) {
	if len(data) < SymmetricOverhead {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrTooShort, len(data), SymmetricOverhead)
	}
	gcm, err := newGCM(k)
	if err != nil {
		return nil, err
	}
	end := len(data) - gcmNonceSize
	framed, err := gcm.Open(nil, data[end:], data[:end], nil)
	if err != nil {
		return nil, ErrDecrypt
	}
	return framed, nil
}
