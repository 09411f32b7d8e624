// Package account is who the user is: the recovery phrase and the keys derived
// from it, the names and pictures of a key, and the encrypted key store on
// disk.
//
// Sources: 2/ACCOUNT and 65/STATUS-ACCOUNT-ADDRESS, BIP-32, BIP-39, EIP-55,
// EIP-1581. The specifications name no format for keys at rest; the key
// store's is Parley's own, and files of status-go's key store can be imported.
//
// Start with [NewMnemonic] and [OpenStore]; [Store.Create] makes an account and
// [Store.Open] opens it with its password. A password is never kept, and no
// value of this package prints its secrets.
package account

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/parley-im/parley/account/key"
)

// ErrNoWallet says that an account was made without its wallet root, so that
// wallet accounts cannot be derived from it.
var ErrNoWallet = errors.New("the account has no wallet root key")

// databaseKeyLabel names the database key among the keys made of the data key.
const databaseKeyLabel = "parley account v1 database"

// Account is an opened account. It holds secrets: it prints, logs and marshals
// as its public part alone.
type Account struct {
	// ID is the chat public key as zQ3sh….
	ID string
	// Name is what the user called the account on this device.
	Name string
	// KeyUID is 0x and the SHA-256 of the master public key; empty when the
	// account was made from a chat key alone.
	KeyUID string
	// Created is when the account file was made, in whole seconds, UTC.
	Created time.Time
	// InstallationID is the UUIDv4 of this installation
	// (54/WAKU2-X3DH-SESSIONS).
	InstallationID string
	// Chat is the identity key. Secret.
	Chat key.Private
	// Encryption is the encryption key, zero when unknown. Secret.
	Encryption key.Private
	// Mnemonic is the recovery phrase, empty when unknown. Secret.
	Mnemonic string
	// WalletRoot is the extended key of the wallet accounts' parent in base58,
	// empty when unknown. Secret.
	WalletRoot string

	dataKey [dataKeySize]byte
}

// DatabaseKey returns the 32-byte key of the account's database: HKDF-SHA256
// of the data key. It does not change with the password.
func (a Account) DatabaseKey() [32]byte { return subkey(a.dataKey, databaseKeyLabel) }

// Wallet derives wallet account i, m/44'/60'/0'/0/i. It returns ErrNoWallet
// when the account has no wallet root.
func (a Account) Wallet(i uint32) (Node, error) {
	if a.WalletRoot == "" {
		return Node{}, ErrNoWallet
	}
	root, err := NodeFromExtendedKey(a.WalletRoot)
	if err != nil {
		return Node{}, err
	}
	root.Path = PathWalletRoot
	if i >= Hardened {
		return Node{}, fmt.Errorf("%w: wallet %d", ErrPath, i)
	}
	return root.Child(i)
}

// Info returns the public part of the account.
func (a Account) Info() Info {
	return Info{ID: a.ID, Name: a.Name, KeyUID: a.KeyUID, Created: a.Created}
}

// String returns the account's id and name.
func (a Account) String() string { return fmt.Sprintf("account %s (%q)", a.ID, a.Name) }

// Format hides the secrets from every verb of package fmt.
func (a Account) Format(f fmt.State, _ rune) { io.WriteString(f, a.String()) }

// LogValue hides the secrets from package slog.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON writes the public part.
func (a Account) MarshalJSON() ([]byte, error) { return json.Marshal(a.Info()) }

// subkey makes the key for one purpose out of a data key.
func subkey(dataKey [dataKeySize]byte, label string) [32]byte {
	k, err := hkdf.Key(sha256.New, dataKey[:], nil, label, 32)
	if err != nil {
		panic(err) // only for more than 255 hashes of output
	}
	return [32]byte(k)
}

func quoted(s string) ([]byte, error) { return json.Marshal(s) }
