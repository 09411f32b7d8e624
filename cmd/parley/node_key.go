package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/parley-im/parley/internal/fault"
)

// nodeKey reads a node's key, 32 bytes in hexadecimal, and makes it where there
// is none. Node records are signed with secp256k1 keys, so it is one.
func nodeKey(path string) (crypto.PrivKey, error) {
	const op = "--nodekey-file"
	if path == "" {
		k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
		return k, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
		if err != nil {
			return nil, err
		}
		secret, err := k.Raw()
		if err != nil {
			return nil, err
		}
		return k, writeNew(path, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, hex.EncodeToString(secret))
			return err
		})
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	secret, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(raw)), "0x"))
	if err == nil && len(secret) != 32 {
		err = errors.New("wrong length")
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "%s: %s does not hold a key of 32 bytes in hexadecimal", op, path)
	}
	k, err := crypto.UnmarshalSecp256k1PrivateKey(secret)
	return k, fault.Wrap(fault.Usage, op, err)
}
