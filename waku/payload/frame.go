package payload

import (
	"fmt"
	"io"

	"github.com/parley-im/parley/account/key"
)

// The plaintext of a sealed payload (26/WAKU2-PAYLOAD, ABNF):
//
//	flags(1) ‖ length(1–3, little endian) ‖ payload ‖ padding ‖ [signature(65)]
const (
	flagLength    = 0x03 // bits 0 and 1: bytes of the length field
	flagSignature = 0x04 // bit 2: a signature is at the end

	// MaxPlaintext is the largest payload in bytes: three length bytes. The
	// ABNF speaks of four and more, which two bits cannot say.
	MaxPlaintext = 1<<24 - 1

	// blockSize is what padding fills the plaintext up to a multiple of.
	blockSize = 256
)

// lengthBytes returns how many bytes the length field takes: as few as
// possible, at least one.
func lengthBytes(n int) int {
	switch {
	case n < 1<<8:
		return 1
	case n < 1<<16:
		return 2
	}
	return 3
}

func signatureSize(signed bool) int {
	if signed {
		return key.SignatureSize
	}
	return 0
}

// paddingSize returns 1 to 256: what brings a plaintext to a multiple of 256. An
// aligned one gets a full block.
func paddingSize(n int, signed bool) int {
	return blockSize - (1+lengthBytes(n)+n+signatureSize(signed))%blockSize
}

// framedSize returns the size of the padded plaintext of a payload of n bytes.
func framedSize(n int, signed bool) int {
	return 1 + lengthBytes(n) + n + paddingSize(n, signed) + signatureSize(signed)
}

// frame lays out a payload with the given padding and signs it. A zero signer
// leaves it unsigned.
func frame(payload, padding []byte, signer key.Private) ([]byte, error) {
	if len(payload) > MaxPlaintext {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), MaxPlaintext)
	}
	n := lengthBytes(len(payload))
	flags := byte(n)
	if !signer.IsZero() {
		flags |= flagSignature
	}
	b := make([]byte, 0, 1+n+len(payload)+len(padding)+key.SignatureSize)
	b = append(b, flags)
	for i := range n {
		b = append(b, byte(len(payload)>>(8*i)))
	}
	b = append(b, payload...)
	b = append(b, padding...)
	if signer.IsZero() {
		return b, nil
	}
	sig, err := signer.Sign(key.Keccak256(b))
	if err != nil {
		return nil, err
	}
	return append(b, sig...), nil
}

// unframe reads what frame wrote. The parts share b's memory.
func unframe(b []byte) (*Opened, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: no flags", ErrTooShort)
	}
	n := int(b[0] & flagLength)
	if n == 0 {
		return nil, fmt.Errorf("%w: no length field", ErrLength)
	}
	signed := b[0]&flagSignature != 0
	end := len(b) - signatureSize(signed)
	start := 1 + n
	if end < start {
		return nil, fmt.Errorf("%w: %d bytes of plaintext", ErrTooShort, len(b))
	}
	size := 0
	for i, d := range b[1:start] {
		size |= int(d) << (8 * i)
	}
	if size > end-start {
		return nil, fmt.Errorf("%w: %d bytes announced, %d there", ErrLength, size, end-start)
	}
	o := &Opened{Payload: b[start : start+size : start+size], Padding: b[start+size : end : end]}
	if signed {
		signer, err := key.Recover(key.Keccak256(b[:end]), b[end:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSignature, err)
		}
		o.Signer = signer
	}
	return o, nil
}

// frameRandom is frame with as much random padding as fills the block.
func frameRandom(payload []byte, signer key.Private, rand io.Reader) ([]byte, error) {
	if len(payload) > MaxPlaintext { // before spending randomness
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), MaxPlaintext)
	}
	var block [blockSize]byte
	padding := block[:paddingSize(len(payload), !signer.IsZero())]
	if err := random(rand, padding); err != nil {
		return nil, err
	}
	return frame(payload, padding, signer)
}

// random fills b from rand; deployed clients refuse padding and nonces that
// are all zero, so those are drawn again.
func random(rand io.Reader, b []byte) error {
	const draws = 16 // one zero byte in a row of 16 has probability 2^-128
	for range draws {
		if _, err := io.ReadFull(rand, b); err != nil {
			return fmt.Errorf("%w: %w", ErrRandom, err)
		}
		for _, v := range b {
			if v != 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: only zeros", ErrRandom)
}
