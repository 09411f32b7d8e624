package account

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/google/uuid"
	"golang.org/x/crypto/scrypt"

	"github.com/parley-im/parley/account/key"
)

// Scrypt is the cost of the password hash of key store files that are written;
// its r is always 8.
type Scrypt struct{ N, P int }

// LightScrypt is the cost that deployed clients (status-go) write, the light
// one of go-ethereum.
func LightScrypt() Scrypt { return Scrypt{N: 4096, P: 6} }

const (
	scryptR = 8
	// scryptSaltSize is the length in bytes of the salts that are written.
	scryptSaltSize = 32
)

// WriteKeystore writes a key as a file of status-go's key store, Web3 Secret
// Storage of version 3, for [ReadKeystore]. The extended key is there when k
// has a Node. The password goes in as it is: deployed applications hand
// status-go 0x and its Keccak-256 instead, see [ClientPassword]. Errors are
// ErrKDF, ErrKeyMismatch for no key or a Node of another, and those of rand.
func WriteKeystore(k ImportedKey, password string, cost Scrypt, rand io.Reader) ([]byte, error) {
	if cost.N < 0 || cost.P < 0 || !keystoreLimits.allowScrypt(uint64(cost.N), scryptR, uint64(cost.P)) {
		return nil, fmt.Errorf("%w: scrypt n %d, p %d", ErrKDF, cost.N, cost.P)
	}
	if k.Private.IsZero() || k.Node.ext != nil && !k.Node.Private.Equal(k.Private) {
		return nil, fmt.Errorf("%w: to be written", ErrKeyMismatch)
	}
	id, err := uuid.NewRandomFromReader(rand)
	if err != nil {
		return nil, fmt.Errorf("writing a key store file: %w", err)
	}
	box, err := sealV3(k.Private.Bytes(), password, cost, rand)
	if err != nil {
		return nil, err
	}
	extended := "Zeroed extended key"
	if k.Node.ext != nil {
		extended = k.Node.ExtendedKey()
	}
	extendedBox, err := sealV3([]byte(extended), password, cost, rand)
	if err != nil {
		return nil, err
	}
	address := k.Private.Public().Address()
	return json.Marshal(struct {
		Address         string    `json:"address"`
		Crypto          writtenV3 `json:"crypto"`
		ID              string    `json:"id"`
		Version         int       `json:"version"`
		ExtendedKey     writtenV3 `json:"extendedkey"`
		SubAccountIndex uint32    `json:"subaccountindex"`
	}{hex.EncodeToString(address[:]), box, id.String(), 3, extendedBox, k.SubAccountIndex})
}

// ClientPassword returns what deployed applications hand to status-go for a
// password: 0x and its Keccak-256 in small digits. An application that gets a
// key store sealed under it opens that with the password itself.
func ClientPassword(password string) string { return clientPasswords(password)[1] }

// writtenV3 is a crypto object as it is written: unlike sealedBox, without the
// parameters of PBKDF2.
type writtenV3 struct {
	Cipher       string `json:"cipher"`
	CipherText   string `json:"ciphertext"`
	CipherParams struct {
		IV string `json:"iv"`
	} `json:"cipherparams"`
	KDF       string `json:"kdf"`
	KDFParams struct {
		DKLen int    `json:"dklen"`
		N     int    `json:"n"`
		P     int    `json:"p"`
		R     int    `json:"r"`
		Salt  string `json:"salt"`
	} `json:"kdfparams"`
	MAC string `json:"mac"`
}

func sealV3(plain []byte, password string, cost Scrypt, rand io.Reader) (box writtenV3, err error) {
	var random [scryptSaltSize + aes.BlockSize]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return box, fmt.Errorf("writing a key store file: %w", err)
	}
	salt, iv := random[:scryptSaltSize], random[scryptSaltSize:]
	k, err := scrypt.Key([]byte(password), salt, cost.N, scryptR, cost.P, web3KeySize)
	if err != nil {
		return box, fmt.Errorf("%w: scrypt n %d, p %d", ErrKDF, cost.N, cost.P)
	}
	block, err := aes.NewCipher(k[:16])
	if err != nil {
		return box, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	text := make([]byte, len(plain))
	cipher.NewCTR(block, iv).XORKeyStream(text, plain)
	mac := key.Keccak256(k[16:web3KeySize], text)

	box.Cipher, box.CipherText, box.KDF, box.MAC = "aes-128-ctr", hex.EncodeToString(text), "scrypt", hex.EncodeToString(mac[:])
	box.CipherParams.IV = hex.EncodeToString(iv)
	box.KDFParams.DKLen, box.KDFParams.N, box.KDFParams.P, box.KDFParams.R = web3KeySize, cost.N, cost.P, scryptR
	box.KDFParams.Salt = hex.EncodeToString(salt)
	return box, nil
}
