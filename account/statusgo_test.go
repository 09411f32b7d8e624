package account

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/keystore"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/google/uuid"

	"github.com/parley-im/parley/account/key"
)

// tinyN and tinyP are the scrypt parameters of test files.
const tinyN, tinyP = 2, 1

// sealed makes a crypto object with go-ethereum's key store.
func sealed(t testing.TB, plain []byte, password string, n, p int) map[string]any {
	t.Helper()
	box, err := keystore.EncryptDataV3(plain, []byte(password), n, p)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(box)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// statusFile makes a file as status-go writes it.
func statusFile(t testing.TB, private key.Private, extended, password string) map[string]any {
	t.Helper()
	address := private.Public().Address()
	return map[string]any{
		"address":         hex.EncodeToString(address[:]),
		"crypto":          sealed(t, private.Bytes(), password, tinyN, tinyP),
		"id":              uuid.NewString(),
		"version":         3,
		"extendedkey":     sealed(t, []byte(extended), password, tinyN, tinyP),
		"subaccountindex": 5,
	}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func examples(t testing.TB) *Keys {
	t.Helper()
	keys, err := Derive(examplePhrase, "")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestReadKeystore(t *testing.T) {
	t.Parallel()
	keys := examples(t)
	for _, node := range []Node{keys.Chat, keys.WalletRoot, keys.Master} {
		raw := marshal(t, statusFile(t, node.Private, node.ExtendedKey(), testPassword))
		// What go-ethereum reads in the same file.
		if want, err := keystore.DecryptKey(raw, testPassword); err != nil || !bytes.Equal(crypto.FromECDSA(want.PrivateKey), node.Private.Bytes()) {
			t.Fatalf("the file is not good: %v", err)
		}
		got, err := ReadKeystore(raw, testPassword)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Private.Equal(node.Private) || got.Node.ExtendedKey() != node.ExtendedKey() || got.SubAccountIndex != 5 || got.Node.Path != "" {
			t.Errorf("%s: %+v", node.Path, got)
		}
	}
	// A master key gives the whole account back.
	got, err := ReadKeystore(marshal(t, statusFile(t, keys.Master.Private, keys.Master.ExtendedKey(), testPassword)), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	again, err := DeriveMaster(got.Node)
	if err != nil || again.KeyUID() != keys.KeyUID() || again.Chat.String() != keys.Chat.String() {
		t.Errorf("derived %v, %v", again, err)
	}
}

// TestReadKeystorePasswords opens files whose password a client hashed first.
func TestReadKeystorePasswords(t *testing.T) {
	t.Parallel()
	chat := examples(t).Chat
	// Keccak-256 of "password", worked out elsewhere.
	const hash = "b68fe43f0d1a0d7aef123722670be50268e15365401c442f8806ef83b612976b"
	for _, stored := range []string{"password", "0x" + hash, "0x" + strings.ToUpper(hash)} {
		raw := marshal(t, statusFile(t, chat.Private, chat.ExtendedKey(), stored))
		if got, err := ReadKeystore(raw, "password"); err != nil || !got.Private.Equal(chat.Private) {
			t.Errorf("password stored as %.6s…: %v", stored, err)
		}
		for _, wrong := range []string{"", "Password", hash} {
			if got, err := ReadKeystore(raw, wrong); !errors.Is(err, ErrPassword) || !got.Private.IsZero() {
				t.Errorf("password %q: %v, want ErrPassword", wrong, err)
			}
		}
	}
}

// TestReadKeystoreWithout reads files that have no extended key.
func TestReadKeystoreWithout(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	for name, change := range map[string]func(map[string]any){
		"none":  func(m map[string]any) { delete(m, "extendedkey"); delete(m, "subaccountindex") },
		"null":  func(m map[string]any) { m["extendedkey"] = nil },
		"empty": func(m map[string]any) { m["extendedkey"] = map[string]any{"ciphertext": ""} },
		"zeroed": func(m map[string]any) {
			m["extendedkey"] = sealed(t, []byte("Zeroed extended key"), testPassword, tinyN, tinyP)
		},
		"no text": func(m map[string]any) {
			m["extendedkey"] = sealed(t, nil, testPassword, tinyN, tinyP)
		},
		"no address": func(m map[string]any) { delete(m, "extendedkey"); delete(m, "address") },
		"address with prefix": func(m map[string]any) {
			delete(m, "extendedkey")
			m["address"] = Address(k.Public())
		},
	} {
		file := statusFile(t, k, "", testPassword)
		change(file)
		got, err := ReadKeystore(marshal(t, file), testPassword)
		if err != nil || !got.Private.Equal(k) || got.Node.ExtendedKey() != "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestReadKeystorePublished opens the PBKDF2 example of the Web3 Secret
// Storage definition.
func TestReadKeystorePublished(t *testing.T) {
	t.Parallel()
	raw := []byte(`{"crypto": {"cipher": "aes-128-ctr",
		"cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
		"ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
		"kdf": "pbkdf2",
		"kdfparams": {"c": 262144, "dklen": 32, "prf": "hmac-sha256",
			"salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
		"mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
		"id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}`)
	got, err := ReadKeystore(raw, "testpassword")
	if err != nil || hex.EncodeToString(got.Private.Bytes()) != "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestReadKeystoreLight opens a file of the cost that status-go uses.
func TestReadKeystoreLight(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	file := statusFile(t, k, "", testPassword)
	delete(file, "extendedkey")
	file["crypto"] = sealed(t, k.Bytes(), testPassword, keystore.LightScryptN, keystore.LightScryptP)
	if got, err := ReadKeystore(marshal(t, file), testPassword); err != nil || !got.Private.Equal(k) {
		t.Error(err)
	}
}

// version1 makes a file of version 1 with PBKDF2, padding given.
func version1(t *testing.T, secret []byte, password string) map[string]any {
	t.Helper()
	salt, iv := make([]byte, 32), make([]byte, aes.BlockSize)
	rand.Read(salt)
	rand.Read(iv)
	derived, err := pbkdf2.Key(sha256.New, password, salt, 3, 32)
	if err != nil {
		t.Fatal(err)
	}
	cipherKey := key.Keccak256(derived[:16])
	block, err := aes.NewCipher(cipherKey[:16])
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Clone(secret)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	mac := key.Keccak256(derived[16:], text)
	return map[string]any{
		"id": uuid.NewString(), "version": "1",
		"crypto": map[string]any{
			"cipher": "aes-128-cbc", "ciphertext": hex.EncodeToString(text),
			"cipherparams": map[string]any{"iv": hex.EncodeToString(iv)},
			"kdf":          "pbkdf2",
			"kdfparams":    map[string]any{"c": 3, "dklen": 32, "prf": "hmac-sha256", "salt": hex.EncodeToString(salt)},
			"mac":          hex.EncodeToString(mac[:]),
		},
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadKeystoreVersion1(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	padding := bytes.Repeat([]byte{16}, 16)
	raw := marshal(t, version1(t, append(k.Bytes(), padding...), testPassword))
	if want, err := keystore.DecryptKey(raw, testPassword); err != nil || !bytes.Equal(crypto.FromECDSA(want.PrivateKey), k.Bytes()) {
		t.Fatalf("the file is not good: %v", err)
	}
	if got, err := ReadKeystore(raw, testPassword); err != nil || !got.Private.Equal(k) || got.Node.ExtendedKey() != "" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ReadKeystore(raw, "wrong"); !errors.Is(err, ErrPassword) {
		t.Errorf("wrong password: %v, want ErrPassword", err)
	}
	odd := version1(t, append(k.Bytes(), padding...), testPassword)
	box := odd["crypto"].(map[string]any)
	box["ciphertext"] = "00"
	derived, err := pbkdf2.Key(sha256.New, testPassword, unhex(t, box["kdfparams"].(map[string]any)["salt"].(string)), 3, 32)
	if err != nil {
		t.Fatal(err)
	}
	mac := key.Keccak256(derived[16:], []byte{0})
	box["mac"] = hex.EncodeToString(mac[:])
	if _, err := ReadKeystore(marshal(t, odd), testPassword); !errors.Is(err, ErrKeystore) {
		t.Errorf("part of a block: %v, want ErrKeystore", err)
	}
	for name, secret := range map[string][]byte{
		"nothing":      {},
		"no padding":   append(k.Bytes(), bytes.Repeat([]byte{0}, 16)...),
		"too much":     append(k.Bytes(), bytes.Repeat([]byte{17}, 16)...),
		"uneven":       append(append(k.Bytes(), 1), padding[1:]...),
		"short key":    append(k.Bytes()[:31], 1),
		"two paddings": append(append(k.Bytes(), padding...), padding...),
	} {
		if got, err := ReadKeystore(marshal(t, version1(t, secret, testPassword)), testPassword); !errors.Is(err, ErrKeystore) || !got.Private.IsZero() {
			t.Errorf("%s: %v, want ErrKeystore", name, err)
		}
	}
}

func TestReadKeystoreRejects(t *testing.T) {
	t.Parallel()
	keys := examples(t)
	public, err := keys.Chat.ext.Neuter()
	if err != nil {
		t.Fatal(err)
	}
	object := func(m map[string]any, name string) map[string]any { return m[name].(map[string]any) }
	for name, c := range map[string]struct {
		change func(file map[string]any)
		want   error
	}{
		"another's extended key": {func(f map[string]any) {
			f["extendedkey"] = sealed(t, []byte(keys.Encryption.ExtendedKey()), testPassword, tinyN, tinyP)
		}, ErrKeyMismatch},
		"another's address": {func(f map[string]any) { f["address"] = Address(keys.Encryption.Public()) }, ErrKeyMismatch},
		"another's key": {func(f map[string]any) {
			f["crypto"] = sealed(t, keys.Encryption.Private.Bytes(), testPassword, tinyN, tinyP)
		}, ErrKeyMismatch},
		"public extended key": {func(f map[string]any) {
			f["extendedkey"] = sealed(t, []byte(public.String()), testPassword, tinyN, tinyP)
		}, ErrExtendedKey},
		"other text": {func(f map[string]any) { f["extendedkey"] = sealed(t, []byte("xprv"), testPassword, tinyN, tinyP) }, ErrKeystore},
		"extended key's password": {func(f map[string]any) {
			f["extendedkey"] = sealed(t, []byte(keys.Chat.ExtendedKey()), "other", tinyN, tinyP)
		}, ErrPassword},
		"zero key":                  {func(f map[string]any) { f["crypto"] = sealed(t, make([]byte, 32), testPassword, tinyN, tinyP) }, ErrKeystore},
		"31 bytes of key":           {func(f map[string]any) { f["crypto"] = sealed(t, make([]byte, 31), testPassword, tinyN, tinyP) }, ErrKeystore},
		"version 2":                 {func(f map[string]any) { f["version"] = 2 }, ErrKeystore},
		"version as text":           {func(f map[string]any) { f["version"] = "3" }, ErrKeystore},
		"no version":                {func(f map[string]any) { delete(f, "version") }, ErrKeystore},
		"no crypto":                 {func(f map[string]any) { delete(f, "crypto") }, ErrKeystore},
		"crypto is text":            {func(f map[string]any) { f["crypto"] = "x" }, ErrKeystore},
		"cipher":                    {func(f map[string]any) { object(f, "crypto")["cipher"] = "aes-256-ctr" }, ErrKeystore},
		"short iv":                  {func(f map[string]any) { object(f, "crypto")["cipherparams"] = map[string]any{"iv": "00"} }, ErrKeystore},
		"ciphertext no hexadecimal": {func(f map[string]any) { object(f, "crypto")["ciphertext"] = "zz" }, ErrKeystore},
		"ciphertext changed":        {func(f map[string]any) { object(f, "crypto")["ciphertext"] = strings.Repeat("00", 32) }, ErrPassword},
		"short MAC":                 {func(f map[string]any) { object(f, "crypto")["mac"] = "00" }, ErrKeystore},
		"empty MAC":                 {func(f map[string]any) { object(f, "crypto")["mac"] = "" }, ErrKeystore},
		"MAC changed":               {func(f map[string]any) { object(f, "crypto")["mac"] = strings.Repeat("00", 32) }, ErrPassword},
		"kdf":                       {func(f map[string]any) { object(f, "crypto")["kdf"] = "argon2id" }, ErrKeystore},
		"no kdf parameters":         {func(f map[string]any) { delete(object(f, "crypto"), "kdfparams") }, ErrKDF},
		"salt is a number":          {func(f map[string]any) { object(object(f, "crypto"), "kdfparams")["salt"] = 1 }, ErrKeystore},
		"salt no hexadecimal":       {func(f map[string]any) { object(object(f, "crypto"), "kdfparams")["salt"] = "x" }, ErrKeystore},
		"n is text":                 {func(f map[string]any) { object(object(f, "crypto"), "kdfparams")["n"] = "2" }, ErrKeystore},
		"n is negative":             {func(f map[string]any) { object(object(f, "crypto"), "kdfparams")["n"] = -2 }, ErrKeystore},
		"PBKDF2 with SHA-512": {func(f map[string]any) {
			object(f, "crypto")["kdf"] = "pbkdf2"
			object(object(f, "crypto"), "kdfparams")["prf"] = "hmac-sha512"
		}, ErrKeystore},
	} {
		file := statusFile(t, keys.Chat.Private, keys.Chat.ExtendedKey(), testPassword)
		c.change(file)
		got, err := ReadKeystore(marshal(t, file), testPassword)
		if !errors.Is(err, c.want) || !got.Private.IsZero() || got.Node.ext != nil {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	whole := marshal(t, statusFile(t, keys.Chat.Private, keys.Chat.ExtendedKey(), testPassword))
	for n := range whole {
		if _, err := ReadKeystore(whole[:n], testPassword); !errors.Is(err, ErrKeystore) {
			t.Fatalf("truncated to %d bytes: %v, want ErrKeystore", n, err)
		}
	}
	padded := append(whole, bytes.Repeat([]byte{' '}, MaxKeystoreFileSize-len(whole))...)
	if _, err := ReadKeystore(padded, testPassword); err != nil {
		t.Errorf("file at the limit: %v", err)
	}
	if _, err := ReadKeystore(append(padded, ' '), testPassword); !errors.Is(err, ErrKeystore) {
		t.Errorf("file over the limit: %v, want ErrKeystore", err)
	}
}

// TestKeystoreLimits checks bounds on both sides, in the first and in the
// second crypto object.
func TestKeystoreLimits(t *testing.T) {
	t.Parallel()
	keys := examples(t)
	limits := kdfLimits{scryptBlocks: 64, scryptWork: 256, pbkdf2Rounds: 10}
	for _, c := range []struct {
		params string
		good   bool
	}{
		{`"n":8,"r":8,"p":4`, true},
		{`"n":64,"r":1,"p":4`, true},
		{`"n":2,"r":32,"p":1`, true},
		{`"n":8,"r":8,"p":5`, false},
		{`"n":16,"r":8,"p":1`, false},
		{`"n":8,"r":9,"p":1`, false},
		{`"n":128,"r":1,"p":1`, false},
		{`"n":6,"r":1,"p":1`, false},
		{`"n":1,"r":1,"p":1`, false},
		{`"n":0,"r":1,"p":1`, false},
		{`"n":2,"r":0,"p":1`, false},
		{`"n":2,"r":1,"p":0`, false},
		{`"n":9223372036854775808,"r":2,"p":1`, false},
		{`"n":2,"r":9223372036854775808,"p":1`, false},
		{`"n":2,"r":1,"p":18446744073709551615`, false},
		{`"n":4294967296,"r":4294967296,"p":4294967296`, false},
		{`"c":10,"prf":"hmac-sha256"`, true},
		{`"c":1,"prf":"hmac-sha256"`, true},
		{`"c":11,"prf":"hmac-sha256"`, false},
		{`"c":0,"prf":"hmac-sha256"`, false},
		{`"c":18446744073709551615,"prf":"hmac-sha256"`, false},
	} {
		kdf := "scrypt"
		if strings.Contains(c.params, "prf") {
			kdf = "pbkdf2"
		}
		want := ErrKDF
		if c.good {
			want = ErrPassword // computed, and its MAC does not fit
		}
		box := json.RawMessage(fmt.Sprintf(`{"cipher":"aes-128-ctr","ciphertext":"00","cipherparams":{"iv":"%032x"},"mac":"%064x","kdf":%q,"kdfparams":{"dklen":32,"salt":"00",%s}}`,
			0, 0, kdf, c.params))
		for _, name := range []string{"crypto", "extendedkey"} {
			file := statusFile(t, keys.Chat.Private, keys.Chat.ExtendedKey(), testPassword)
			if name == "extendedkey" {
				// A first object that the low limits let pass.
				file["crypto"] = resealed(t, keys.Chat.Private.Bytes())
			}
			file[name] = box
			if _, err := readKeystore(marshal(t, file), testPassword, limits); !errors.Is(err, want) {
				t.Errorf("%s with %s: %v, want %v", name, c.params, err, want)
			}
		}
	}
	for _, length := range []string{"0", "16", "31", "33", "18446744073709551615"} {
		file := statusFile(t, keys.Chat.Private, "", testPassword)
		file["crypto"].(map[string]any)["kdfparams"].(map[string]any)["dklen"] = json.RawMessage(length)
		if _, err := ReadKeystore(marshal(t, file), testPassword); !errors.Is(err, ErrKDF) {
			t.Errorf("derived key of %s bytes: %v, want ErrKDF", length, err)
		}
	}
	// What clients write passes; 100 GB do not.
	for _, c := range []struct {
		n, r, p uint64
		want    bool
	}{{1 << 12, 8, 6, true}, {1 << 18, 8, 1, true}, {1 << 18, 1, 8, true}, {1 << 19, 8, 2, true}, {1 << 19, 8, 3, false}, {1 << 20, 8, 1, false}, {1 << 30, 8, 1, false}, {1 << 14, 8, 1 << 20, false}} {
		if got := keystoreLimits.allowScrypt(c.n, c.r, c.p); got != c.want {
			t.Errorf("scrypt %+v: allowed %v", c, got)
		}
	}
}

// resealed makes a PBKDF2 crypto object of one round.
func resealed(t *testing.T, plain []byte) map[string]any {
	t.Helper()
	derived, err := pbkdf2.Key(sha256.New, testPassword, []byte{1}, 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(derived[:16])
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Clone(plain)
	cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(text, text)
	mac := key.Keccak256(derived[16:], text)
	return map[string]any{
		"cipher": "aes-128-ctr", "ciphertext": hex.EncodeToString(text), "mac": hex.EncodeToString(mac[:]),
		"cipherparams": map[string]any{"iv": strings.Repeat("00", aes.BlockSize)},
		"kdf":          "pbkdf2",
		"kdfparams":    map[string]any{"c": 1, "dklen": 32, "prf": "hmac-sha256", "salt": "01"},
	}
}

// FuzzReadKeystore reads foreign files at a small cost: it never panics, and
// what it reads is one key.
func FuzzReadKeystore(f *testing.F) {
	keys := examples(f)
	f.Add(marshal(f, statusFile(f, keys.Chat.Private, keys.Chat.ExtendedKey(), testPassword)))
	f.Add(marshal(f, statusFile(f, keys.Chat.Private, "", testPassword)))
	f.Add([]byte(`{"version":"1","crypto":{"kdf":"pbkdf2","kdfparams":{"c":1,"dklen":32,"prf":"hmac-sha256","salt":""}}}`))
	f.Add([]byte(`{"version":3}`))
	limits := kdfLimits{scryptBlocks: 64, scryptWork: 128, pbkdf2Rounds: 8}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := readKeystore(raw, testPassword, limits)
		if err != nil {
			if !got.Private.IsZero() || got.Node.ext != nil {
				t.Fatalf("%v with a key", err)
			}
			for _, known := range []error{ErrKeystore, ErrKDF, ErrPassword, ErrKeyMismatch} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatal(err)
		}
		if got.Private.IsZero() || got.Node.ext != nil && !got.Node.Private.Equal(got.Private) {
			t.Fatalf("read %v", got)
		}
	})
}

// BenchmarkReadKeystore opens a file at status-go's cost.
func BenchmarkReadKeystore(b *testing.B) {
	k := newKey(b)
	file := statusFile(b, k, "", testPassword)
	delete(file, "extendedkey")
	file["crypto"] = sealed(b, k.Bytes(), testPassword, keystore.LightScryptN, keystore.LightScryptP)
	raw := marshal(b, file)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadKeystore(raw, testPassword); err != nil {
			b.Fatal(err)
		}
	}
}
