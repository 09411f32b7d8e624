package account

import (
	"bytes"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/parley-im/parley/account/key"
)

// StoreDir is the folder of the account files within a data folder.
const StoreDir = "accounts"

const fileSuffix = ".json"

// Errors of the store.
var (
	// ErrNotFound says that there is no account of this id.
	ErrNotFound = errors.New("no such account")
	// ErrExists says that there already is an account of this id.
	ErrExists = errors.New("the account already exists")
	// ErrNoPassword says that a new password is empty.
	ErrNoPassword = errors.New("the password is empty")
	// ErrSpec says that a Spec does not describe one account.
	ErrSpec = errors.New("not the description of an account")
)

// StoreConfig tunes a Store; the zero value is right for people's accounts.
type StoreConfig struct {
	// KDF is the cost of hashing new passwords; zero means DefaultKDF.
	KDF KDF
	// Rand gives keys, salts and ids; nil means crypto/rand.
	Rand io.Reader
}

// Store keeps accounts on disk, one encrypted file each. Its methods can be
// called from several goroutines.
type Store struct {
	dir  string
	kdf  KDF
	rand io.Reader

	mu sync.Mutex // serialises writes
}

// Info is the public part of an account file.
type Info struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	KeyUID  string    `json:"key_uid,omitempty"`
	Created time.Time `json:"created"`
	// File is the name of the file, in a list of the store.
	File string `json:"-"`
	// Err says why a listed file cannot be used; the other fields but File are
	// then empty.
	Err error `json:"-"`
}

// OpenStore opens the folder accounts of a data folder and makes it if need
// be, readable by its owner alone.
func OpenStore(dir string, config StoreConfig) (*Store, error) {
	if config.KDF == (KDF{}) {
		config.KDF = DefaultKDF()
	}
	if err := config.KDF.Check(); err != nil {
		return nil, err
	}
	if config.Rand == nil {
		config.Rand = cryptorand.Reader
	}
	dir = filepath.Join(dir, StoreDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the key store: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the key store: %w", err)
	}
	return &Store{dir: dir, kdf: config.KDF, rand: config.Rand}, nil
}

// Spec describes an account to create. Exactly one of Mnemonic, Keys and Chat
// says whose it is. It prints without its secrets.
type Spec struct {
	// Name is what the user calls the account, at most MaxNameSize bytes.
	Name string
	// Created is the current time.
	Created time.Time

	// Mnemonic is a recovery phrase, Passphrase its BIP-39 passphrase.
	Mnemonic, Passphrase string
	// Keys are derived keys whose recovery phrase is not known.
	Keys *Keys
	// Chat is a chat key whose master key is not known; Encryption, KeyUID and
	// WalletRoot, an extended key in base58, may be given with it.
	Chat, Encryption key.Private
	KeyUID           string
	WalletRoot       string

	// InstallationID is the UUID of this installation, empty for a new one.
	InstallationID string
}

// String returns the name of the account to be.
func (s Spec) String() string { return fmt.Sprintf("account to create (%q)", s.Name) }

// Format hides the secrets from every verb of package fmt.
func (s Spec) Format(f fmt.State, _ rune) { io.WriteString(f, s.String()) }

// LogValue hides the secrets from package slog.
func (s Spec) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON writes what String writes; there is no way back.
func (s Spec) MarshalJSON() ([]byte, error) { return quoted(s.String()) }

// resolve returns the account that s describes, without its data key.
func (s Spec) resolve(rand io.Reader) (*Account, error) {
	if err := checkName(s.Name); err != nil {
		return nil, err
	}
	if y := s.Created.UTC().Year(); y < 1970 || y > 9999 {
		return nil, fmt.Errorf("%w: no time of creation", ErrSpec)
	}
	a := &Account{Name: s.Name, Created: s.Created.UTC().Truncate(time.Second), InstallationID: s.InstallationID}
	fromPhrase, fromKeys, fromChat := s.Mnemonic != "", s.Keys != nil, !s.Chat.IsZero()
	switch {
	case fromPhrase && !fromKeys && !fromChat:
		phrase, err := ParseMnemonic(s.Mnemonic)
		if err != nil {
			return nil, err
		}
		a.Mnemonic = phrase
		if s.Keys, err = Derive(phrase, s.Passphrase); err != nil {
			return nil, err
		}
	case fromKeys && !fromPhrase && !fromChat:
	case fromChat && !fromPhrase && !fromKeys:
		a.Chat, a.Encryption, a.KeyUID, a.WalletRoot = s.Chat, s.Encryption, s.KeyUID, s.WalletRoot
		if s.WalletRoot != "" {
			if _, err := NodeFromExtendedKey(s.WalletRoot); err != nil {
				return nil, fmt.Errorf("%w: wallet root: %w", ErrSpec, err)
			}
		}
	default:
		return nil, fmt.Errorf("%w: want one of recovery phrase, keys and chat key", ErrSpec)
	}
	if s.Keys != nil {
		if !s.Encryption.IsZero() || s.KeyUID != "" || s.WalletRoot != "" {
			return nil, fmt.Errorf("%w: encryption key, key uid or wallet root given beside what they are derived from", ErrSpec)
		}
		a.Chat, a.Encryption, a.KeyUID = s.Keys.Chat.Private, s.Keys.Encryption.Private, s.Keys.KeyUID()
		a.WalletRoot = s.Keys.WalletRoot.ExtendedKey()
	}
	if a.Chat.IsZero() {
		return nil, fmt.Errorf("%w: no chat key", ErrSpec)
	}
	a.ID = a.Chat.Public().String()
	if s.Passphrase != "" && !fromPhrase {
		return nil, fmt.Errorf("%w: passphrase without recovery phrase", ErrSpec)
	}
	if a.InstallationID == "" {
		id, err := uuid.NewRandomFromReader(rand)
		if err != nil {
			return nil, fmt.Errorf("making an installation id: %w", err)
		}
		a.InstallationID = id.String()
	} else if _, err := uuid.Parse(a.InstallationID); err != nil {
		return nil, fmt.Errorf("%w: the installation id is no UUID", ErrSpec)
	}
	return a, nil
}

// Create makes an account and its file. Errors are those of ParseMnemonic,
// ErrSpec, ErrName, ErrNoPassword and ErrExists.
//
// A recovery phrase is kept, sealed, in the file; a passphrase is not.
func (s *Store) Create(spec Spec, password string) (*Account, error) {
	if password == "" {
		return nil, ErrNoPassword
	}
	a, err := spec.resolve(s.rand)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(s.path(a.ID)); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrExists, a.ID)
	}
	if _, err := io.ReadFull(s.rand, a.dataKey[:]); err != nil {
		return nil, fmt.Errorf("making the data key: %w", err)
	}
	f := &file{Version: FileVersion, ID: a.ID, Name: a.Name, KeyUID: a.KeyUID, Created: a.Created}
	if err := f.wrap(a.dataKey, password, s.kdf, s.rand); err != nil {
		return nil, err
	}
	if err := f.sealSecrets(a.dataKey, a.secrets(), s.rand); err != nil {
		return nil, err
	}
	if err := s.add(f); err != nil {
		return nil, err
	}
	return a, nil
}

// List returns the public part of every account, in the order of their ids. A
// file that cannot be used is listed too, with its Err. The error is for a
// folder that cannot be read.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("listing accounts: %w", err)
	}
	var infos []Info
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), fileSuffix)
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		info := Info{File: entry.Name()}
		if f, err := s.read(id); err != nil {
			info.Err = err
		} else {
			info = f.info()
			info.File = entry.Name()
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Open opens an account with its password. The id may be any written form of
// the chat key. Errors are ErrNotFound, ErrPassword, ErrCorrupt and ErrVersion.
func (s *Store) Open(id, password string) (*Account, error) {
	f, err := s.find(id)
	if err != nil {
		return nil, err
	}
	dataKey, err := f.unwrap(password)
	if err != nil {
		return nil, err
	}
	if f.Imported {
		return s.settle(f.ID, dataKey)
	}
	return f.open(dataKey)
}

// settle opens an imported account for the first time and makes this
// installation one of its own: two with one id could not tell each other's
// messages from their own (54/WAKU2-X3DH-SESSIONS, Multi-device support).
func (s *Store) settle(id string, dataKey [dataKeySize]byte) (*Account, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(id)
	if err != nil {
		return nil, err
	}
	a, err := f.open(dataKey)
	if err != nil || !f.Imported {
		return a, err
	}
	installation, err := uuid.NewRandomFromReader(s.rand)
	if err != nil {
		return nil, fmt.Errorf("making an installation id: %w", err)
	}
	a.InstallationID, f.Imported = installation.String(), false
	if err := f.sealSecrets(dataKey, a.secrets(), s.rand); err != nil {
		return nil, err
	}
	raw, err := f.encode()
	if err != nil {
		return nil, err
	}
	return a, writeFile(s.path(f.ID), raw, true)
}

// ChangePassword seals the account's data key under a new password, with the
// store's KDF; data key, sealed secrets and database key stay as they are. A
// copy of the older file still opens with the older password. Errors are those
// of Open and ErrNoPassword.
func (s *Store) ChangePassword(id, password, newPassword string) error {
	if newPassword == "" {
		return ErrNoPassword
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.find(id)
	if err != nil {
		return err
	}
	dataKey, err := f.unwrap(password)
	if err != nil {
		return err
	}
	if err := f.wrap(dataKey, newPassword, s.kdf, s.rand); err != nil {
		return err
	}
	raw, err := f.encode()
	if err != nil {
		return err
	}
	return writeFile(s.path(f.ID), raw, true)
}

// Export writes the account's file, encrypted as it is, for Import.
func (s *Store) Export(id string, w io.Writer) error {
	f, err := s.find(id)
	if err != nil {
		return err
	}
	raw, err := f.encode()
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return fmt.Errorf("exporting the account: %w", err)
	}
	return nil
}

// Import adds an account file that Export wrote. When a password is given, the
// file must open with it. The account gets a new installation id when it is
// opened here for the first time. Errors are ErrCorrupt, ErrVersion, ErrPassword and
// ErrExists.
func (s *Store) Import(r io.Reader, password string) (Info, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxFileSize+1))
	if err != nil {
		return Info{}, fmt.Errorf("importing an account: %w", err)
	}
	f, err := parseFile(raw)
	if err != nil {
		return Info{}, err
	}
	if password != "" {
		dataKey, err := f.unwrap(password)
		if err != nil {
			return Info{}, err
		}
		if _, err := f.open(dataKey); err != nil {
			return Info{}, err
		}
	}
	f.Imported = true
	if err := s.add(f); err != nil {
		return Info{}, err
	}
	return f.info(), nil
}

// add writes a new account's file.
func (s *Store) add(f *file) error {
	raw, err := f.encode()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := writeFile(s.path(f.ID), raw, false); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, f.ID)
	} else if err != nil {
		return err
	}
	return nil
}

// find reads the file of the account with any written form of its id.
func (s *Store) find(id string) (*file, error) {
	pub, err := key.ParsePublic(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return s.read(pub.String())
}

// read reads and checks the file named id.
func (s *Store) read(id string) (*file, error) {
	r, err := os.Open(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the account: %w", err)
	}
	defer r.Close()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(io.LimitReader(r, MaxFileSize+1)); err != nil {
		return nil, fmt.Errorf("opening the account: %w", err)
	}
	f, err := parseFile(raw.Bytes())
	if err != nil {
		return nil, err
	}
	if f.ID != id {
		return nil, fmt.Errorf("%w: it is the file of %s", ErrCorrupt, f.ID)
	}
	return f, nil
}

// path is safe for names of the folder and for ids that key.ParsePublic wrote.
func (s *Store) path(id string) string { return filepath.Join(s.dir, id+fileSuffix) }
