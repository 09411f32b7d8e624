package client

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/parley-im/parley/internal/fault"
)

// The files of a data directory by which a daemon is found. Only their owner
// can read them.
const (
	daemonFile = "daemon.json"
	tokenFile  = "api-token"
	lockFile   = "daemon.lock"
)

// tokenSize is the length of a token in bytes, twice that in digits.
const tokenSize = 32

// Daemon is what a running daemon says of itself in its data directory.
type Daemon struct {
	// API is the URL of its API.
	API string `json:"api"`
	PID int    `json:"pid"`
	// Account is the id zQ3sh… of its account.
	Account string `json:"account"`
}

// FindDaemon returns the daemon of a data directory, a fault of kind
// unreachable when none runs. What a killed daemon left behind is no daemon.
func FindDaemon(dataDir string) (d Daemon, err error) {
	path := filepath.Join(dataDir, daemonFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, fault.New(fault.Unreachable, "no daemon runs on the data directory %s", dataDir).WithHint(hintRun)
	}
	if err != nil {
		return d, fault.Wrap(fault.Unreachable, "finding the daemon", err)
	}
	if err := json.Unmarshal(raw, &d); err != nil || d.API == "" {
		return d, fault.New(fault.Unreachable, "finding the daemon: %s cannot be read", path).WithHint(hintRun)
	}
	if !alive(d.PID) {
		return d, fault.New(fault.Unreachable, "the daemon of the data directory %s has died", dataDir).WithHint(hintRun)
	}
	return d, nil
}

// alive tells whether a process exists; when in doubt it does.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	if runtime.GOOS == "windows" {
		return true // FindProcess has looked
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, fs.ErrPermission)
}

// Publish writes d to the data directory, for FindDaemon.
func (d Daemon) Publish(dataDir string) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return fault.Wrap(fault.Internal, "announcing the daemon", writePrivate(filepath.Join(dataDir, daemonFile), append(raw, '\n')))
}

// Withdraw takes back what Publish wrote.
func Withdraw(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, daemonFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Lock makes the caller the one daemon of a data directory until unlock is
// called or the process ends, however it ends. A second one is a fault of kind
// conflict.
func Lock(dataDir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return nil, fault.Wrap(fault.Internal, "making the data directory", err)
	}
	lock := flock.New(filepath.Join(dataDir, lockFile), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "locking the data directory", err)
	}
	if !ok {
		what := "a daemon already runs on the data directory " + dataDir
		if d, err := FindDaemon(dataDir); err == nil {
			what += fmt.Sprintf(" (process %d, account %s)", d.PID, d.Account)
		}
		return nil, fault.New(fault.Conflict, "%s", what).
			WithHint("talk to it (`parley status`), stop it, or use another --data-dir")
	}
	return lock.Close, nil
}

// ReadToken returns the API token of a data directory.
func ReadToken(dataDir string) (string, error) {
	path := filepath.Join(dataDir, tokenFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.New(fault.Unreachable, "there is no API token in the data directory %s", dataDir).
			WithHint(hintRun + ", or give its --data-dir")
	}
	if err != nil {
		return "", fault.Wrap(fault.Denied, "reading the API token", err)
	}
	token := strings.TrimSpace(string(raw))
	if digits, err := hex.DecodeString(token); err != nil || len(digits) != tokenSize {
		return "", fault.New(fault.Denied, "the file %s holds no API token", path).
			WithHint("remove it: the next `parley run` makes a new one")
	}
	return token, nil
}

// EnsureToken returns the API token of a data directory, a new one if there is
// none. It stays the same over restarts, so that programs can keep it.
func EnsureToken(dataDir string) (string, error) {
	path := filepath.Join(dataDir, tokenFile)
	if _, err := os.Stat(path); err == nil {
		if err := os.Chmod(path, 0o600); err != nil {
			return "", fault.Wrap(fault.Internal, "protecting the API token", err)
		}
		return ReadToken(dataDir)
	}
	secret := make([]byte, tokenSize)
	rand.Read(secret) // never fails
	token := hex.EncodeToString(secret)
	return token, fault.Wrap(fault.Internal, "writing the API token", writePrivate(path, []byte(token+"\n")))
}

// writePrivate replaces a file as a whole; only its owner can read it.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
