package account

import (
	"bytes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/text/unicode/norm"

	"github.com/parley-im/parley/account/key"
)

const (
	// FileVersion is the version of account file this package reads and writes.
	FileVersion = 1
	// MaxFileSize bounds an account file, in bytes.
	MaxFileSize = 64 << 10
	// MaxNameSize bounds an account's name, in bytes of UTF-8.
	MaxNameSize = 256

	dataKeySize  = 32
	kdfAlgorithm = "argon2id"

	// Labels that keep the seals of a file apart; part of the format.
	wrapLabel       = "parley account v1 data key"
	secretsLabel    = "parley account v1 secrets"
	secretsKeyLabel = "parley account v1 secrets key"
)

// Errors of account files.
var (
	// ErrCorrupt says that a file is not an account file, or was damaged.
	ErrCorrupt = errors.New("not a valid account file")
	// ErrVersion says that a file is of a later version than FileVersion.
	ErrVersion = errors.New("account file of an unknown version")
	// ErrPassword says that the password is wrong. A file whose public part
	// was changed gives the same error: the two cannot be told apart.
	ErrPassword = errors.New("wrong password")
	// ErrName says that an account's name is too long or has characters that
	// cannot be shown.
	ErrName = errors.New("not a usable account name")
)

// file is an account file: a public header, the data key sealed under the
// password, and the secrets sealed under the data key. Byte slices are base64
// in JSON; a seal is nonce ‖ ciphertext of XChaCha20-Poly1305.
type file struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	KeyUID  string    `json:"key_uid,omitempty"`
	Created time.Time `json:"created"`
	KDF     fileKDF   `json:"kdf"`
	DataKey []byte    `json:"data_key"`
	Secrets []byte    `json:"secrets"`
	// Imported says that the file came from elsewhere and was not opened here
	// yet: the installation in it is the other one's.
	Imported bool `json:"imported,omitempty"`
}

type fileKDF struct {
	Algorithm string `json:"algorithm"`
	KDF
	Salt []byte `json:"salt"`
}

// secrets is what a file seals.
type secrets struct {
	Mnemonic       string `json:"mnemonic,omitempty"`
	Chat           []byte `json:"chat"`
	Encryption     []byte `json:"encryption,omitempty"`
	WalletRoot     string `json:"wallet_root,omitempty"`
	InstallationID string `json:"installation_id"`
}

// parseFile reads an account file and checks all that can be checked without
// the password.
func parseFile(raw []byte) (*file, error) {
	if len(raw) > MaxFileSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, MaxFileSize)
	}
	// The version first: a later one may look different.
	var version struct{ Version int }
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if version.Version > FileVersion {
		return nil, fmt.Errorf("%w: %d, this is %d", ErrVersion, version.Version, FileVersion)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return &f, nil
}

func (f *file) check() error {
	id, err := key.ParsePublic(f.ID)
	switch {
	case f.Version != FileVersion:
		return fmt.Errorf("version %d", f.Version)
	case err != nil:
		return err
	case id.String() != f.ID:
		return errors.New("id is not in its zQ3sh… form")
	case f.KDF.Algorithm != kdfAlgorithm:
		return fmt.Errorf("unknown password hash %q", clip(f.KDF.Algorithm))
	case len(f.KDF.Salt) != saltSize:
		return fmt.Errorf("salt of %d bytes, want %d", len(f.KDF.Salt), saltSize)
	case len(f.DataKey) != chacha20poly1305.NonceSizeX+dataKeySize+chacha20poly1305.Overhead:
		return fmt.Errorf("data key of %d bytes", len(f.DataKey))
	case len(f.Secrets) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead:
		return fmt.Errorf("secrets of %d bytes", len(f.Secrets))
	}
	if err := checkName(f.Name); err != nil {
		return err
	}
	return f.KDF.Check()
}

func checkName(name string) error {
	if len(name) > MaxNameSize {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(name), MaxNameSize)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("%w: not UTF-8", ErrName)
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: control character", ErrName)
		}
	}
	return nil
}

// encode writes the file as JSON that parseFile reads.
func (f *file) encode() ([]byte, error) {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing an account file: %w", err)
	}
	raw = append(raw, '\n')
	if len(raw) > MaxFileSize {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, MaxFileSize)
	}
	return raw, nil
}

// info returns the public part.
func (f *file) info() Info {
	return Info{ID: f.ID, Name: f.Name, KeyUID: f.KeyUID, Created: f.Created.UTC()}
}

// wrap seals the data key under a password with a new salt.
func (f *file) wrap(dataKey [dataKeySize]byte, password string, kdf KDF, rand io.Reader) error {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return fmt.Errorf("sealing the data key: %w", err)
	}
	f.KDF = fileKDF{Algorithm: kdfAlgorithm, KDF: kdf, Salt: salt}
	var err error
	f.DataKey, err = seal(kdf.key(password, salt), dataKey[:], f.wrapContext(), rand)
	return err
}

// unwrap opens the data key.
func (f *file) unwrap(password string) (dataKey [dataKeySize]byte, err error) {
	plain, ok := unseal(f.KDF.key(password, f.KDF.Salt), f.DataKey, f.wrapContext())
	if !ok {
		return dataKey, ErrPassword
	}
	return [dataKeySize]byte(plain), nil
}

// wrapContext is the whole public header, authenticated with the data key.
func (f *file) wrapContext() []byte {
	return fields(wrapLabel, f.ID, f.Name, f.KeyUID, number(uint64(f.Created.Unix())), f.KDF.Algorithm,
		number(uint64(f.KDF.Time)), number(uint64(f.KDF.MemoryKiB)), number(uint64(f.KDF.Threads)), string(f.KDF.Salt))
}

// secretsContext is what of the header does not change with the password.
func (f *file) secretsContext() []byte {
	return fields(secretsLabel, f.ID, f.KeyUID, number(uint64(f.Created.Unix())))
}

// secrets returns what of an account is sealed in its file.
func (a *Account) secrets() secrets {
	return secrets{
		Mnemonic: a.Mnemonic, Chat: a.Chat.Bytes(), Encryption: a.Encryption.Bytes(),
		WalletRoot: a.WalletRoot, InstallationID: a.InstallationID,
	}
}

// sealSecrets seals the secrets under the data key.
func (f *file) sealSecrets(dataKey [dataKeySize]byte, s secrets, rand io.Reader) error {
	plain, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("sealing the account: %w", err)
	}
	k := subkey(dataKey, secretsKeyLabel)
	f.Secrets, err = seal(k[:], plain, f.secretsContext(), rand)
	return err
}

// open opens the secrets and checks that they belong to the header.
func (f *file) open(dataKey [dataKeySize]byte) (*Account, error) {
	k := subkey(dataKey, secretsKeyLabel)
	plain, ok := unseal(k[:], f.Secrets, f.secretsContext())
	if !ok {
		return nil, fmt.Errorf("%w: the secrets do not open", ErrCorrupt)
	}
	var s secrets
	if err := json.Unmarshal(plain, &s); err != nil {
		// The cause could quote a secret.
		return nil, fmt.Errorf("%w: the secrets cannot be read", ErrCorrupt)
	}
	chat, err := key.PrivateFromBytes(s.Chat)
	if err != nil || chat.Public().String() != f.ID {
		return nil, fmt.Errorf("%w: the chat key is not the account's", ErrCorrupt)
	}
	var encryption key.Private
	if len(s.Encryption) > 0 {
		if encryption, err = key.PrivateFromBytes(s.Encryption); err != nil {
			return nil, fmt.Errorf("%w: encryption key: %w", ErrCorrupt, err)
		}
	}
	if _, err := uuid.Parse(s.InstallationID); err != nil {
		return nil, fmt.Errorf("%w: installation id is no UUID", ErrCorrupt)
	}
	return &Account{
		ID: f.ID, Name: f.Name, KeyUID: f.KeyUID, Created: f.Created.UTC(),
		InstallationID: s.InstallationID,
		Chat:           chat, Encryption: encryption, Mnemonic: s.Mnemonic, WalletRoot: s.WalletRoot,
		dataKey: dataKey,
	}, nil
}

// passwordBytes makes one byte string of a password, however the keyboard of
// the day composes its accents.
func passwordBytes(password string) []byte { return []byte(norm.NFKD.String(password)) }

// fields joins values so that no two lists of values look alike: each after
// its length as 4 bytes.
func fields(values ...string) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = append(b, v...)
	}
	return b
}

func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// seal returns nonce ‖ ciphertext.
func seal(k, plain, context []byte, rand io.Reader) ([]byte, error) {
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return newAEAD(k).Seal(nonce, nonce, plain, context), nil
}

// unseal opens what seal made, false when key or context differ.
func unseal(k, sealed, context []byte) ([]byte, bool) {
	nonce, ciphertext := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	plain, err := newAEAD(k).Open(nil, nonce, ciphertext, context)
	return plain, err == nil
}

func newAEAD(k []byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(k)
	if err != nil {
		panic(err) // only for a key that is not 32 bytes
	}
	return aead
}
