package payload

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/parley-im/parley/account/key"
)

// ECIES over secp256k1 (26/WAKU2-PAYLOAD, ECIES): AES-128-CTR and HMAC-SHA-256
// under keys from the concatenation KDF with SHA-256, empty shared strings.
const (
	ivSize  = 16
	macSize = sha256.Size
)

// eciesKeys derives the encryption and the MAC key from the X coordinate of
// the shared point. The 32 bytes needed are one round of the KDF.
func eciesKeys(shared [key.SharedSize]byte) (encryption [16]byte, mac [sha256.Size]byte) {
	var round [4 + key.SharedSize]byte
	round[3] = 1
	copy(round[4:], shared[:])
	k := sha256.Sum256(round[:])
	return [16]byte(k[:16]), sha256.Sum256(k[16:])
}

// sealECIES returns R(65) ‖ iv(16) ‖ ciphertext ‖ mac(32), where R is the
// ephemeral public key that shared comes from.
func sealECIES(framed []byte, shared [key.SharedSize]byte, r key.Public, iv [ivSize]byte) ([]byte, error) {
	encryption, mac := eciesKeys(shared)
	block, err := aes.NewCipher(encryption[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	out := make([]byte, key.UncompressedSize+ivSize+len(framed), len(framed)+AsymmetricOverhead)
	copy(out, r.Bytes())
	body := out[key.UncompressedSize:]
	copy(body, iv[:])
	cipher.NewCTR(block, iv[:]).XORKeyStream(body[ivSize:], framed)
	h := hmac.New(sha256.New, mac[:])
	h.Write(body)
	return h.Sum(out), nil
}

func openECIES(data []byte, own key.Private) ([]byte, error) {
	if len(data) < AsymmetricOverhead {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrTooShort, len(data), AsymmetricOverhead)
	}
	if own.IsZero() {
		return nil, ErrKey
	}
	r, err := key.PublicFromBytes(data[:key.UncompressedSize])
	if err != nil {
		return nil, ErrDecrypt
	}
	shared, err := own.ECDH(r)
	if err != nil {
		return nil, ErrDecrypt
	}
	encryption, mac := eciesKeys(shared)
	end := len(data) - macSize
	body := data[key.UncompressedSize:end]
	h := hmac.New(sha256.New, mac[:])
	h.Write(body)
	if !hmac.Equal(h.Sum(nil), data[end:]) {
		return nil, ErrDecrypt
	}
	block, err := aes.NewCipher(encryption[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	framed := make([]byte, len(body)-ivSize)
	cipher.NewCTR(block, body[:ivSize]).XORKeyStream(framed, body[ivSize:])
	return framed, nil
}
