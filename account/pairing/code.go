package pairing

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"

	"github.com/btcsuite/btcd/btcutil/base58"
	"github.com/google/uuid"
)

const (
	// MaxCodeSize bounds the text of a code, in bytes.
	MaxCodeSize = 2048
	// MaxAddrs bounds the number of addresses in a code.
	MaxAddrs = 32
	// MaxKeyUIDSize bounds the key uid in a code, in bytes.
	MaxKeyUIDSize = 128

	// codePrefix begins every code; the base58 form of codeVersion follows.
	codePrefix  = "cs"
	codeVersion = 2
	// codeParts is the number of parts that a code must have.
	codeParts = 5

	keySize = 32
)

// Code is what the device that waits shows and the other reads. It is a secret
// and prints without it; Text is the code itself.
type Code struct {
	// Addrs and Port are where the device waits.
	Addrs []netip.Addr
	Port  uint16
	// Server is the P-256 key that its certificate has.
	Server *ecdsa.PublicKey
	// Key is the AES key that everything is sealed under. Secret.
	Key [keySize]byte
	// InstallationID is the UUID of the installation that waits, KeyUID that of
	// its account; both empty when it has no account yet.
	InstallationID, KeyUID string
}

// Text returns the code as it is shown, cs3:…: base58 parts after colons. They
// are addresses (the number of those of IPv4, these, the number of those of
// IPv6, these), port, compressed key, AES key, UUID, and key uid.
func (c Code) Text() string {
	var v4, v6 []byte
	var n4, n6 byte
	for _, addr := range c.Addrs {
		if addr = addr.Unmap(); addr.Is4() {
			v4, n4 = append(v4, addr.AsSlice()...), n4+1
		} else {
			v6, n6 = append(v6, addr.AsSlice()...), n6+1
		}
	}
	addrs := append(append([]byte{n4}, v4...), append([]byte{n6}, v6...)...)
	var installation []byte
	if id, err := uuid.Parse(c.InstallationID); err == nil {
		installation = id[:]
	}
	parts := []string{codePrefix + base58.Encode([]byte{codeVersion})}
	for _, part := range [][]byte{
		addrs, new(big.Int).SetUint64(uint64(c.Port)).Bytes(), compress(c.Server), c.Key[:], installation, []byte(c.KeyUID),
	} {
		parts = append(parts, base58.Encode(part))
	}
	return strings.Join(parts, ":")
}

// ParseCode reads a code of any version; parts that are not known here are
// passed over. The error is ErrCode.
func ParseCode(text string) (c Code, err error) {
	if len(text) > MaxCodeSize {
		return Code{}, fmt.Errorf("%w: more than %d bytes", ErrCode, MaxCodeSize)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(text), codePrefix)
	if !ok {
		return Code{}, fmt.Errorf("%w: it does not begin with %s", ErrCode, codePrefix)
	}
	parts := strings.Split(text, ":")
	if len(parts) < codeParts {
		return Code{}, fmt.Errorf("%w: %d parts, at least %d", ErrCode, len(parts), codeParts)
	}
	if c.Addrs, err = parseAddrs(base58.Decode(parts[1])); err != nil {
		return Code{}, err
	}
	port := new(big.Int).SetBytes(base58.Decode(parts[2]))
	if port.Sign() == 0 || port.BitLen() > 16 {
		return Code{}, fmt.Errorf("%w: no port", ErrCode)
	}
	c.Port = uint16(port.Uint64())
	if c.Server, err = decompress(base58.Decode(parts[3])); err != nil {
		return Code{}, err
	}
	secret := base58.Decode(parts[4])
	if len(secret) != keySize {
		return Code{}, fmt.Errorf("%w: key of %d bytes, want %d", ErrCode, len(secret), keySize)
	}
	c.Key = [keySize]byte(secret)
	if len(parts) > 5 && parts[5] != "" {
		id, err := uuid.FromBytes(base58.Decode(parts[5]))
		if err != nil {
			return Code{}, fmt.Errorf("%w: installation id", ErrCode)
		}
		c.InstallationID = id.String()
	}
	if len(parts) > 6 && parts[6] != "" {
		uid := base58.Decode(parts[6])
		if len(uid) == 0 || len(uid) > MaxKeyUIDSize || !shown(string(uid)) {
			return Code{}, fmt.Errorf("%w: key uid", ErrCode)
		}
		c.KeyUID = string(uid)
	}
	return c, nil
}

// parseAddrs reads the number of addresses and the addresses, of IPv4 and then
// of IPv6; what follows is passed over.
func parseAddrs(b []byte) (addrs []netip.Addr, err error) {
	for _, size := range []int{4, 16} {
		if len(b) == 0 {
			return nil, fmt.Errorf("%w: addresses end early", ErrCode)
		}
		count := int(b[0])
		b = b[1:]
		if len(b) < count*size {
			return nil, fmt.Errorf("%w: addresses end early", ErrCode)
		}
		if len(addrs)+count > MaxAddrs {
			return nil, fmt.Errorf("%w: more than %d addresses", ErrCode, MaxAddrs)
		}
		for range count {
			addr, _ := netip.AddrFromSlice(b[:size])
			addrs, b = append(addrs, addr.Unmap()), b[size:]
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w: no address", ErrCode)
	}
	return addrs, nil
}

// compress returns a P-256 key as 02 or 03 and X; nil for no key.
func compress(k *ecdsa.PublicKey) []byte {
	if k == nil {
		return nil
	}
	b, err := k.Bytes()
	if err != nil || len(b) != 65 {
		return nil
	}
	return append([]byte{2 + b[64]&1}, b[1:33]...)
}

func decompress(b []byte) (*ecdsa.PublicKey, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), b)
	if x == nil {
		return nil, fmt.Errorf("%w: public key", ErrCode)
	}
	point := make([]byte, 65)
	point[0] = 4
	x.FillBytes(point[1:33])
	y.FillBytes(point[33:])
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, fmt.Errorf("%w: public key", ErrCode)
	}
	return k, nil
}

// String says that this is a code.
func (c Code) String() string { return "[pairing code]" }

// Format hides the secrets from every verb of package fmt.
func (c Code) Format(f fmt.State, _ rune) { io.WriteString(f, c.String()) }

// LogValue hides the secrets from package slog.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON writes what String writes; there is no way back.
func (c Code) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }
