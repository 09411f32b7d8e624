package pairing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/btcutil/base58"
)

const (
	nonceSize = 12
	// challengeSize is the length in bytes of the challenges we give,
	// maxChallenge that of those we answer.
	challengeSize = 64
	maxChallenge  = 1024
	// maxAnswer bounds the text of an answer to a challenge of ours; the right
	// one has 92 bytes in base58.
	maxAnswer = 256
	// challengeHeader has the answer, and gives the cookie its name.
	challengeHeader = "challenge"
)

// seal returns nonce ‖ ciphertext of AES-256-GCM.
func seal(k [keySize]byte, plain []byte, rand io.Reader) ([]byte, error) {
	nonce := make([]byte, nonceSize, nonceSize+len(plain)+16)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return newAEAD(k).Seal(nonce, nonce, plain, nil), nil
}

// open opens what seal made. The error is ErrSealed.
func open(k [keySize]byte, sealed []byte) ([]byte, error) {
	if len(sealed) < nonceSize {
		return nil, ErrSealed
	}
	plain, err := newAEAD(k).Open(nil, sealed[:nonceSize], sealed[nonceSize:], nil)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

func newAEAD(k [keySize]byte) cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // only for a key of another size
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for another size of block
	}
	return aead
}

// answer returns the answer to a challenge: base58 of the sealed challenge.
func answer(k [keySize]byte, challenge []byte, rand io.Reader) (string, error) {
	sealed, err := seal(k, challenge, rand)
	return base58.Encode(sealed), err
}

// right says whether an answer is that to a challenge.
func right(k [keySize]byte, answer string, challenge []byte) bool {
	if len(answer) > maxAnswer {
		return false
	}
	plain, err := open(k, base58.Decode(answer))
	return err == nil && subtle.ConstantTimeCompare(plain, challenge) == 1
}
