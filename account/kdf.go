package account

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// Bounds of the password hash, checked before any memory is taken: a hostile
// file cannot ask for more.
const (
	MaxKDFTime      = 16
	MaxKDFMemoryKiB = 1 << 20
	MaxKDFThreads   = 16
	// MinKDFMemoryPerThread is Argon2's own lower bound, in KiB.
	MinKDFMemoryPerThread = 8
	// saltSize is the length in bytes of the salt, no other is read.
	saltSize = 16
)

// ErrKDF says that the parameters of a password hash are out of bounds.
var ErrKDF = errors.New("password hash parameters out of bounds")

// KDF is the cost of the password hash, Argon2id.
type KDF struct {
	// Time is the number of passes.
	Time uint32 `json:"time"`
	// MemoryKiB is the memory in KiB.
	MemoryKiB uint32 `json:"memory_kib"`
	// Threads is the number of lanes.
	Threads uint8 `json:"threads"`
}

// DefaultKDF is the cost for people's passwords: 3 passes over 64 MiB in 4
// lanes, the second choice of RFC 9106, section 4.
func DefaultKDF() KDF { return KDF{Time: 3, MemoryKiB: 64 << 10, Threads: 4} }

// Check returns ErrKDF when k is out of bounds.
func (k KDF) Check() error {
	switch {
	case k.Time < 1 || k.Time > MaxKDFTime:
		return fmt.Errorf("%w: %d passes, want 1 to %d", ErrKDF, k.Time, MaxKDFTime)
	case k.Threads < 1 || k.Threads > MaxKDFThreads:
		return fmt.Errorf("%w: %d threads, want 1 to %d", ErrKDF, k.Threads, MaxKDFThreads)
	case k.MemoryKiB < MinKDFMemoryPerThread*uint32(k.Threads) || k.MemoryKiB > MaxKDFMemoryKiB:
		return fmt.Errorf("%w: %d KiB, want %d to %d", ErrKDF, k.MemoryKiB,
			MinKDFMemoryPerThread*uint32(k.Threads), MaxKDFMemoryKiB)
	}
	return nil
}

// key hashes a password. The caller has checked k.
func (k KDF) key(password string, salt []byte) []byte {
	return argon2.IDKey(passwordBytes(password), salt, k.Time, k.MemoryKiB, k.Threads, 32)
}
