package account

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
)

// TestWriteKeystore writes files that go-ethereum and this package read.
func TestWriteKeystore(t *testing.T) {
	t.Parallel()
	keys := examples(t)
	for name, k := range map[string]ImportedKey{
		"with extended key": {Private: keys.Master.Private, Node: keys.Master, SubAccountIndex: 3},
		"without":           {Private: keys.Chat.Private},
	} {
		raw, err := WriteKeystore(k, testPassword, Scrypt{tinyN, tinyP}, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := keystore.DecryptKey(raw, testPassword)
		if err != nil || !bytes.Equal(crypto.FromECDSA(theirs.PrivateKey), k.Private.Bytes()) {
			t.Errorf("%s: go-ethereum reads %v", name, err)
		}
		ours, err := ReadKeystore(raw, testPassword)
		if err != nil || !ours.Private.Equal(k.Private) || ours.Node.ExtendedKey() != k.Node.ExtendedKey() || ours.SubAccountIndex != k.SubAccountIndex {
			t.Errorf("%s: read %v, %v", name, ours, err)
		}
		if _, err := ReadKeystore(raw, testPassword+"x"); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: another password gives %v", name, err)
		}
		again, err := WriteKeystore(k, testPassword, Scrypt{tinyN, tinyP}, rand.Reader)
		if err != nil || bytes.Equal(again, raw) {
			t.Errorf("%s: the same salt twice, %v", name, err)
		}
	}
}

func TestWriteKeystoreRefuses(t *testing.T) {
	t.Parallel()
	keys := examples(t)
	chat := ImportedKey{Private: keys.Chat.Private}
	for _, c := range []struct {
		k    ImportedKey
		cost Scrypt
		want error
	}{
		{chat, Scrypt{3, 1}, ErrKDF},
		{chat, Scrypt{-2, 1}, ErrKDF},
		{chat, Scrypt{2, 0}, ErrKDF},
		{chat, Scrypt{1 << 30, 1}, ErrKDF},
		{ImportedKey{}, Scrypt{2, 1}, ErrKeyMismatch},
		{ImportedKey{Private: keys.Chat.Private, Node: keys.Master}, Scrypt{2, 1}, ErrKeyMismatch},
	} {
		if raw, err := WriteKeystore(c.k, "p", c.cost, rand.Reader); raw != nil || !errors.Is(err, c.want) {
			t.Errorf("%v: %v, want %v", c.cost, err, c.want)
		}
	}
	broken := errors.New("no randomness")
	for n := range 3 {
		r := iotest.ErrReader(broken)
		if n > 0 {
			r = &failing{left: 16 + 48*(n-1), err: broken}
		}
		if _, err := WriteKeystore(chat, "p", Scrypt{2, 1}, r); !errors.Is(err, broken) {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// failing gives zeros, then an error.
type failing struct {
	left int
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, f.err
	}
	n := min(len(p), f.left)
	clear(p[:n])
	f.left -= n
	return n, nil
}

func TestClientPassword(t *testing.T) {
	t.Parallel()
	if got := ClientPassword("password"); got != "0xb68fe43f0d1a0d7aef123722670be50268e15365401c442f8806ef83b612976b" {
		t.Error(got)
	}
	raw, err := WriteKeystore(ImportedKey{Private: examples(t).Chat.Private}, ClientPassword("password"), Scrypt{tinyN, tinyP}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeystore(raw, "password"); err != nil {
		t.Error(err)
	}
}
