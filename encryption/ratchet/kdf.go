package ratchet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// The info strings of deployed clients, and the sizes of what is derived.
const (
	rootInfo    = "rsZUpEuXUqqwXBvSy3EcievAh4cMj6QL"
	messageInfo = "pcwSByyx2CRdryCffXJwy7xgVZWtW5Sh"

	rootLen    = 96 // root key, chain key, header key (not used)
	messageLen = 80 // encryption key, authentication key, iv

	ivSize  = aes.BlockSize
	macSize = sha256.Size
)

// Overhead is how many bytes a ciphertext is longer than its plaintext.
const Overhead = ivSize + macSize

var zeroSalt [32]byte

// rootStep mixes a Diffie-Hellman output into the root key: new root key and
// the chain key that starts with it.
func rootStep(root, shared [32]byte) (newRoot, chain [32]byte) {
	out := derive(shared[:], root[:], rootInfo, rootLen)
	return [32]byte(out[:32]), [32]byte(out[32:64])
}

// chainStep moves a chain one message on.
func chainStep(chain [32]byte) (next, messageKey [32]byte) {
	return hmacByte(chain, 0x0f), hmacByte(chain, 0x10)
}

// hmacByte is HMAC-SHA-256 (RFC 2104) of one byte under a 32-byte key, written
// out because it runs for each skipped message: it allocates nothing.
func hmacByte(key [32]byte, message byte) [32]byte {
	var inner [sha256.BlockSize + 1]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		inner[i], outer[i] = 0x36, 0x5c
	}
	for i, k := range key {
		inner[i] ^= k
		outer[i] ^= k
	}
	inner[sha256.BlockSize] = message
	digest := sha256.Sum256(inner[:])
	copy(outer[sha256.BlockSize:], digest[:])
	return sha256.Sum256(outer[:])
}

// expand makes the three keys of one message.
func expand(messageKey [32]byte) (enc, auth []byte, iv []byte) {
	out := derive(messageKey[:], zeroSalt[:], messageInfo, messageLen)
	return out[:32], out[32:64], out[64:]
}

func derive(secret, salt []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, salt, info, n)
	if err != nil {
		panic(err) // only for lengths beyond 8160 bytes: a programming error
	}
	return out
}

// seal encrypts and authenticates: iv ‖ ct ‖ HMAC(auth, AD ‖ iv ‖ ct).
func seal(messageKey [32]byte, h Header, plaintext []byte) []byte {
	enc, auth, iv := expand(messageKey)
	out := make([]byte, ivSize+len(plaintext), Overhead+len(plaintext))
	copy(out, iv)
	ctr(enc, iv).XORKeyStream(out[ivSize:], plaintext)
	return appendMAC(out, auth, h, out)
}

// open is the inverse of seal.
func open(messageKey [32]byte, h Header, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < Overhead {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrMAC, len(ciphertext), Overhead)
	}
	enc, auth, _ := expand(messageKey)
	body, mac := ciphertext[:len(ciphertext)-macSize], ciphertext[len(ciphertext)-macSize:]
	var want [macSize]byte
	if !hmac.Equal(appendMAC(want[:0], auth, h, body), mac) {
		return nil, ErrMAC
	}
	plaintext := make([]byte, len(body)-ivSize)
	ctr(enc, body[:ivSize]).XORKeyStream(plaintext, body[ivSize:])
	return plaintext, nil
}

func appendMAC(dst, auth []byte, h Header, body []byte) []byte {
	ad := h.associatedData()
	m := hmac.New(sha256.New, auth)
	m.Write(ad[:])
	m.Write(body)
	return m.Sum(dst)
}

func ctr(enc, iv []byte) cipher.Stream {
	block, err := aes.NewCipher(enc)
	if err != nil {
		panic(err) // the key has 32 bytes
	}
	return cipher.NewCTR(block, iv)
}
