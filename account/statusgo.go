package account

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parley-im/parley/account/key"
)

// MaxKeystoreFileSize bounds a file of status-go's key store, in bytes.
const MaxKeystoreFileSize = 64 << 10

// Errors of importing key store files; a wrong password is ErrPassword,
// excessive parameters of the password hash are ErrKDF.
var (
	// ErrKeystore says that a file is not a Web3 Secret Storage file that can
	// be read.
	ErrKeystore = errors.New("not a readable key store file")
	// ErrKeyMismatch says that the parts of a key store file do not belong
	// together: private key, extended key and address.
	ErrKeyMismatch = errors.New("the keys of the key store file do not match")
)

// ImportedKey is the content of a file of status-go's key store. It prints
// without its secrets.
type ImportedKey struct {
	// Private is the key.
	Private key.Private
	// Node is the same key with its children, the zero Node when the file has
	// no extended key. Its Path is not known.
	Node Node
	// SubAccountIndex is the number of accounts that status-go had derived.
	SubAccountIndex uint32
}

// String returns the key's address.
func (k ImportedKey) String() string { return "imported key " + Address(k.Private.Public()) }

// Format hides the secrets from every verb of package fmt.
func (k ImportedKey) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// MarshalJSON writes what String writes; there is no way back.
func (k ImportedKey) MarshalJSON() ([]byte, error) { return quoted(k.String()) }

// keystoreFile is a file of Web3 Secret Storage, version 3 or 1, with the two
// fields that status-go adds.
type keystoreFile struct {
	Address         string          `json:"address"`
	Crypto          sealedBox       `json:"crypto"`
	Version         json.RawMessage `json:"version"`
	ExtendedKey     *sealedBox      `json:"extendedkey"`
	SubAccountIndex uint32          `json:"subaccountindex"`
}

// ReadKeystore opens one file of status-go's key store (Web3 Secret Storage,
// versions 1 and 3): the private key and, when there is one, the extended key
// beside it, which must be of the same private key.
//
// The password is tried as it is and as deployed applications hand it to
// status-go: 0x and its Keccak-256, in small or capital digits.
//
// Errors are ErrKeystore, ErrKDF, ErrPassword and ErrKeyMismatch.
func ReadKeystore(raw []byte, password string) (ImportedKey, error) {
	return readKeystore(raw, password, keystoreLimits)
}

func readKeystore(raw []byte, password string, limits kdfLimits) (ImportedKey, error) {
	if len(raw) > MaxKeystoreFileSize {
		return ImportedKey{}, fmt.Errorf("%w: more than %d bytes", ErrKeystore, MaxKeystoreFileSize)
	}
	var f keystoreFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return ImportedKey{}, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	var open func(*sealedBox, string, kdfLimits) ([]byte, error)
	switch string(f.Version) {
	case "3":
		open = (*sealedBox).openV3
	case `"1"`:
		open = (*sealedBox).openV1
	default:
		return ImportedKey{}, fmt.Errorf("%w: version %q, want 3 or \"1\"", ErrKeystore, clip(string(f.Version)))
	}
	var secret []byte
	err := ErrPassword
	for _, form := range clientPasswords(password) {
		if secret, err = open(&f.Crypto, form, limits); !errors.Is(err, ErrPassword) {
			password = form
			break
		}
	}
	if err != nil {
		return ImportedKey{}, err
	}
	var imported ImportedKey
	if imported.Private, err = key.PrivateFromBytes(secret); err != nil {
		return ImportedKey{}, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	address := imported.Private.Public().Address()
	if f.Address != "" && !strings.EqualFold(strings.TrimPrefix(f.Address, "0x"), hex.EncodeToString(address[:])) {
		return ImportedKey{}, fmt.Errorf("%w: address", ErrKeyMismatch)
	}
	imported.SubAccountIndex = f.SubAccountIndex
	if imported.Node, err = readExtendedKey(f.ExtendedKey, password, limits); err != nil {
		return ImportedKey{}, err
	}
	if imported.Node.ext != nil && !imported.Node.Private.Equal(imported.Private) {
		return ImportedKey{}, fmt.Errorf("%w: extended key", ErrKeyMismatch)
	}
	return imported, nil
}

// noExtendedKey is what status-go writes for a key that was not derived.
const noExtendedKey = "zeroed extended key"

// readExtendedKey opens the second sealed box, the zero Node when there is
// none.
func readExtendedKey(box *sealedBox, password string, limits kdfLimits) (Node, error) {
	if box == nil || box.CipherText == "" {
		return Node{}, nil
	}
	text, err := box.openV3(password, limits)
	if err != nil {
		return Node{}, fmt.Errorf("extended key: %w", err)
	}
	if len(text) == 0 || strings.EqualFold(string(text), noExtendedKey) {
		return Node{}, nil
	}
	node, err := NodeFromExtendedKey(string(text))
	if err != nil {
		return Node{}, fmt.Errorf("%w: %w", ErrKeystore, err)
	}
	return node, nil
}

// clientPasswords returns the forms of a password to try, in this order.
func clientPasswords(password string) [3]string {
	h := key.Keccak256([]byte(password))
	digits := hex.EncodeToString(h[:])
	return [3]string{password, "0x" + digits, "0x" + strings.ToUpper(digits)}
}
