package account

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/scrypt"

	"github.com/parley-im/parley/account/key"
)

// The decryption of Web3 Secret Storage. go-ethereum's own is not used: it
// panics on parameters of the wrong type, takes the memory a file asks for,
// and compares the MAC in variable time. It is what the tests compare with.

// kdfLimits bounds what a foreign file can make us compute.
type kdfLimits struct {
	// scryptBlocks bounds N·r, of which each takes 128 bytes of memory.
	scryptBlocks uint64
	// scryptWork bounds N·r·p.
	scryptWork uint64
	// pbkdf2Rounds bounds the iteration count.
	pbkdf2Rounds uint64
}

// allowScrypt reports whether parameters make sense and can be afforded; the
// divisions keep the products from overflowing.
func (l kdfLimits) allowScrypt(n, r, p uint64) bool {
	return n >= 2 && bits.OnesCount64(n) == 1 && r >= 1 && p >= 1 &&
		n <= l.scryptBlocks/r && p <= l.scryptWork/(n*r)
}

// keystoreLimits lets pass what clients write: scrypt with N·r·p = 2²¹ is the
// standard of go-ethereum, 262144 rounds that of PBKDF2.
var keystoreLimits = kdfLimits{scryptBlocks: 1 << 22, scryptWork: 1 << 23, pbkdf2Rounds: 1 << 22}

// web3KeySize is the length in bytes of the derived key: 16 for the cipher and
// 16 for the MAC.
const web3KeySize = 32

// sealedBox is a crypto object of Web3 Secret Storage. Byte strings are
// hexadecimal.
type sealedBox struct {
	Cipher       string `json:"cipher"`
	CipherText   string `json:"ciphertext"`
	CipherParams struct {
		IV string `json:"iv"`
	} `json:"cipherparams"`
	KDF       string `json:"kdf"`
	KDFParams struct {
		DKLen uint64 `json:"dklen"`
		Salt  string `json:"salt"`
		// Of scrypt.
		N uint64 `json:"n"`
		R uint64 `json:"r"`
		P uint64 `json:"p"`
		// Of PBKDF2.
		C   uint64 `json:"c"`
		PRF string `json:"prf"`
	} `json:"kdfparams"`
	MAC string `json:"mac"`
}

// openV3 opens a box of version 3: AES-128-CTR under the first half of the
// derived key.
func (b *sealedBox) openV3(password string, limits kdfLimits) ([]byte, error) {
	if b.Cipher != "aes-128-ctr" {
		return nil, fmt.Errorf("%w: cipher %q", ErrKeystore, clip(b.Cipher))
	}
	k, iv, text, err := b.authenticate(password, limits)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k[:16])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	cipher.NewCTR(block, iv).XORKeyStream(text, text)
	return text, nil
}

// openV1 opens a box of version 1: AES-128-CBC with PKCS #7 padding under the
// hash of the first half of the derived key.
func (b *sealedBox) openV1(password string, limits kdfLimits) ([]byte, error) {
	k, iv, text, err := b.authenticate(password, limits)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || len(text)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: ciphertext of %d bytes", ErrKeystore, len(text))
	}
	cipherKey := key.Keccak256(k[:16])
	block, err := aes.NewCipher(cipherKey[:16])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(text, text)
	// The MAC has vouched for the text: bad padding is no oracle.
	pad := int(text[len(text)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, fmt.Errorf("%w: padding", ErrKeystore)
	}
	for _, p := range text[len(text)-pad:] {
		if int(p) != pad {
			return nil, fmt.Errorf("%w: padding", ErrKeystore)
		}
	}
	return text[:len(text)-pad], nil
}

// authenticate derives the key from the password and checks the MAC. It
// returns the key, the IV of one block and the ciphertext.
func (b *sealedBox) authenticate(password string, limits kdfLimits) (k, iv, text []byte, err error) {
	if iv, err = hex.DecodeString(b.CipherParams.IV); err != nil || len(iv) != aes.BlockSize {
		return nil, nil, nil, fmt.Errorf("%w: initialisation vector", ErrKeystore)
	}
	if text, err = hex.DecodeString(b.CipherText); err != nil {
		return nil, nil, nil, fmt.Errorf("%w: ciphertext", ErrKeystore)
	}
	mac, err := hex.DecodeString(b.MAC)
	if err != nil || len(mac) != 32 {
		return nil, nil, nil, fmt.Errorf("%w: MAC", ErrKeystore)
	}
	if k, err = b.derive(password, limits); err != nil {
		return nil, nil, nil, err
	}
	want := key.Keccak256(k[16:web3KeySize], text)
	if subtle.ConstantTimeCompare(want[:], mac) != 1 {
		return nil, nil, nil, ErrPassword
	}
	return k, iv, text, nil
}

// derive hashes the password, after checking that it can be afforded.
func (b *sealedBox) derive(password string, limits kdfLimits) ([]byte, error) {
	p := b.KDFParams
	salt, err := hex.DecodeString(p.Salt)
	if err != nil {
		return nil, fmt.Errorf("%w: salt", ErrKeystore)
	}
	if p.DKLen != web3KeySize {
		return nil, fmt.Errorf("%w: derived key of %d bytes, want %d", ErrKDF, p.DKLen, web3KeySize)
	}
	switch b.KDF {
	case "scrypt":
		if !limits.allowScrypt(p.N, p.R, p.P) {
			return nil, fmt.Errorf("%w: scrypt n %d, r %d, p %d", ErrKDF, p.N, p.R, p.P)
		}
		k, err := scrypt.Key([]byte(password), salt, int(p.N), int(p.R), int(p.P), web3KeySize)
		if err != nil {
			return nil, fmt.Errorf("%w: scrypt n %d, r %d, p %d", ErrKDF, p.N, p.R, p.P)
		}
		return k, nil
	case "pbkdf2":
		if p.PRF != "hmac-sha256" {
			return nil, fmt.Errorf("%w: PBKDF2 with %q", ErrKeystore, clip(p.PRF))
		}
		if p.C < 1 || p.C > limits.pbkdf2Rounds {
			return nil, fmt.Errorf("%w: PBKDF2 with %d rounds", ErrKDF, p.C)
		}
		k, err := pbkdf2.Key(sha256.New, password, salt, int(p.C), web3KeySize)
		if err != nil {
			return nil, fmt.Errorf("%w: PBKDF2: %w", ErrKDF, err)
		}
		return k, nil
	}
	return nil, fmt.Errorf("%w: password hash %q", ErrKeystore, clip(b.KDF))
}
