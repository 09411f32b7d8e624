package session

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"

	"github.com/parley-im/parley/account/key"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// The DH form (53/WAKU2-X3DH, DH_header) is for a peer whose bundle is not
// known: AES-256-GCM with the Diffie-Hellman output of a fresh key and the
// peer's identity key. The nonce stands behind the tag.

const nonceSize = 12

// sealDH reads a key and a nonce from rand.
func sealDH(to key.Public, payload []byte, rand io.Reader) (*encryptionpb.EncryptedMessageProtocol, error) {
	ephemeral, err := key.Generate(rand)
	if err != nil {
		return nil, err
	}
	var nonce [nonceSize]byte
	if _, err := io.ReadFull(rand, nonce[:]); err != nil {
		return nil, fmt.Errorf("generating a nonce: %w", err)
	}
	aead, err := gcm(ephemeral, to)
	if err != nil {
		return nil, err
	}
	header := ephemeral.Public().Compressed()
	sealed := make([]byte, 0, len(payload)+aead.Overhead()+nonceSize)
	sealed = append(aead.Seal(sealed, nonce[:], payload, nil), nonce[:]...)
	return &encryptionpb.EncryptedMessageProtocol{
		DhHeader: &encryptionpb.DHHeader{Key: header[:]},
		Payload:  sealed,
	}, nil
}

func (p *Protocol) openDH(header *encryptionpb.DHHeader, sealed []byte) ([]byte, error) {
	ephemeral, err := key.PublicFromBytes(header.GetKey())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	if len(sealed) < nonceSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrDecrypt, len(sealed))
	}
	aead, err := gcm(p.Identity, ephemeral)
	if err != nil {
		return nil, err
	}
	body, nonce := sealed[:len(sealed)-nonceSize], sealed[len(sealed)-nonceSize:]
	payload, err := aead.Open(nil, nonce, body, nil)
	if err != nil {
		return nil, ErrDecrypt
	}
	return payload, nil
}

func gcm(private key.Private, public key.Public) (cipher.AEAD, error) {
	shared, err := private.ECDH(public)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(shared[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
