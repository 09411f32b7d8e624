package account

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Derivation paths of an account (65/STATUS-ACCOUNT-ADDRESS, EIP-1581, BIP-44).
const (
	// PathMaster is the root of the tree.
	PathMaster = "m"
	// PathEIP1581 is the root of the keys that hold no money. Deployed clients
	// (status-go) keep the key of m/43'/60' under this name, as their reader of
	// paths loses a last hardened step; no key on the wire depends on it.
	PathEIP1581 = "m/43'/60'/1581'"
	// PathChat is the chat key: it signs everything and is the user's id.
	PathChat = "m/43'/60'/1581'/0'/0"
	// PathEncryption is the encryption key. It never goes on the wire.
	PathEncryption = "m/43'/60'/1581'/1'/0"
	// PathWalletRoot is the parent of the wallet accounts.
	PathWalletRoot = "m/44'/60'/0'/0"
	// PathDefaultWallet is the first wallet account.
	PathDefaultWallet = "m/44'/60'/0'/0/0"
)

const (
	// Hardened is added to an index to make it hardened (written ').
	Hardened uint32 = 1 << 31
	// MaxPathDepth is the number of steps BIP-32 can express.
	MaxPathDepth = 255
)

// ErrPath says that a text is not a BIP-32 path.
var ErrPath = errors.New("not a derivation path")

// ParsePath reads m, or m followed by up to MaxPathDepth steps "/index", each
// index at most 2³¹-1 and hardened when followed by ', h or H. It returns the
// steps with Hardened added where it is asked for.
func ParsePath(path string) ([]uint32, error) {
	rest, ok := strings.CutPrefix(path, PathMaster)
	if !ok || rest != "" && rest[0] != '/' {
		return nil, fmt.Errorf("%w: %q does not begin with m", ErrPath, clip(path))
	}
	if n := strings.Count(rest, "/"); n > MaxPathDepth {
		return nil, fmt.Errorf("%w: %d steps, at most %d", ErrPath, n, MaxPathDepth)
	}
	if rest == "" {
		return nil, nil
	}
	var steps []uint32
	for part := range strings.SplitSeq(rest[1:], "/") {
		step, err := parseStep(part)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func parseStep(part string) (uint32, error) {
	digits := strings.TrimRight(part, "'hH")
	if len(part)-len(digits) > 1 {
		return 0, fmt.Errorf("%w: step %q", ErrPath, clip(part))
	}
	index, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%w: step %q", ErrPath, clip(part))
	}
	if digits != part {
		return uint32(index) + Hardened, nil
	}
	return uint32(index), nil
}

// FormatPath writes steps as ParsePath reads them, hardened ones with '.
func FormatPath(steps []uint32) string {
	var b strings.Builder
	b.WriteString(PathMaster)
	for _, step := range steps {
		b.WriteByte('/')
		b.WriteString(strconv.FormatUint(uint64(step&^Hardened), 10))
		if step >= Hardened {
			b.WriteByte('\'')
		}
	}
	return b.String()
}

// clip keeps foreign text in an error short.
func clip(s string) string {
	const most = 32
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
