package parley

import (
	"github.com/gofrs/flock"

	"github.com/parley-im/parley/internal/fault"
)

// lockFile takes the lock that keeps a second process from an account. It
// ends with the process, however that ends.
func lockFile(path string) (*flock.Flock, error) {
	lock := flock.New(path)
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "locking the account", err)
	}
	if !ok {
		return nil, fault.New(fault.Conflict, "the account is in use by another process").
			WithHint("talk to the running daemon, or stop it first")
	}
	return lock, nil
}
