package account

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTampering changes every public field and every sealed byte of a file.
func TestTampering(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	a, other := create(t, s), create(t, s)
	path, otherPath := filepath.Join(dir, a.ID+".json"), filepath.Join(dir, other.ID+".json")
	foreign := readJSON(t, otherPath)
	attempt := func(name string, change func(file, kdf map[string]any)) {
		t.Helper()
		changed := readJSON(t, path)
		change(changed, changed["kdf"].(map[string]any))
		raw, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFile(raw)
		if err == nil {
			var dataKey [dataKeySize]byte
			if dataKey, err = f.unwrap(testPassword); err == nil {
				_, err = f.open(dataKey)
			}
		}
		if !errors.Is(err, ErrPassword) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for field, value := range map[string]any{
		"version": 0, "id": other.ID, "name": "Eve", "key_uid": other.KeyUID, "created": "2031-02-03T03:05:07Z",
		"data_key": foreign["data_key"], "secrets": foreign["secrets"],
	} {
		attempt(field, func(file, _ map[string]any) { file[field] = value })
		attempt("no "+field, func(file, _ map[string]any) { delete(file, field) })
		attempt("null "+field, func(file, _ map[string]any) { file[field] = nil })
	}
	for field, value := range map[string]any{
		"algorithm": "scrypt", "time": 2, "memory_kib": 9, "threads": 2, "salt": base64.StdEncoding.EncodeToString(make([]byte, saltSize)),
	} {
		attempt(field, func(_, kdf map[string]any) { kdf[field] = value })
		attempt("no "+field, func(_, kdf map[string]any) { delete(kdf, field) })
	}
	attempt("unknown field", func(file, _ map[string]any) { file["more"] = 1 })
	attempt("whole data key and secrets of another", func(file, kdf map[string]any) {
		file["kdf"], file["data_key"], file["secrets"] = foreign["kdf"], foreign["data_key"], foreign["secrets"]
	})
	for _, field := range []string{"data_key", "secrets"} {
		sealed, err := base64.StdEncoding.DecodeString(readJSON(t, path)[field].(string))
		if err != nil {
			t.Fatal(err)
		}
		for i := range sealed {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1
			attempt(fmt.Sprintf("%s, byte %d", field, i), func(file, _ map[string]any) { file[field] = changed })
		}
		for _, n := range []int{0, 23, 24, 39, 40, len(sealed) - 1} {
			attempt(fmt.Sprintf("%s, %d bytes", field, n), func(file, _ map[string]any) { file[field] = sealed[:n] })
		}
	}
	// A file under another's name.
	writeJSON(t, path, foreign)
	if _, err := s.Open(a.ID, testPassword); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the file of another: %v, want ErrCorrupt", err)
	}
}

// TestSealedNonsense opens files that were sealed with the right keys but do
// not hold an account.
func TestSealedNonsense(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	a := create(t, s)
	path := filepath.Join(dir, a.ID+".json")
	good := secrets{Chat: a.Chat.Bytes(), InstallationID: a.InstallationID}
	write := func(plain []byte) {
		t.Helper()
		f, err := s.find(a.ID)
		if err != nil {
			t.Fatal(err)
		}
		k := subkey(a.dataKey, secretsKeyLabel)
		if f.Secrets, err = seal(k[:], plain, f.secretsContext(), rand.Reader); err != nil {
			t.Fatal(err)
		}
		raw, err := f.encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(*secrets){
		"another's chat key":  func(s *secrets) { s.Chat = a.Encryption.Bytes() },
		"no chat key":         func(s *secrets) { s.Chat = nil },
		"bad encryption key":  func(s *secrets) { s.Encryption = make([]byte, 32) },
		"bad installation id": func(s *secrets) { s.InstallationID = "" },
	} {
		changed := good
		change(&changed)
		raw, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		write(raw)
		if _, err := s.Open(a.ID, testPassword); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
	write([]byte(`{"mnemonic": topsecret`))
	if _, err := s.Open(a.ID, testPassword); !errors.Is(err, ErrCorrupt) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("no JSON: %v, want ErrCorrupt", err)
	}
	raw, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	write(raw)
	if opened, err := s.Open(a.ID, testPassword); err != nil || !opened.Chat.Equal(a.Chat) {
		t.Errorf("as it should be: %v, %v", opened, err)
	}
}

// TestHostileKDF refuses parameters out of bounds before hashing anything.
func TestHostileKDF(t *testing.T) {
	t.Parallel()
	good := []KDF{
		DefaultKDF(), cheap, {MaxKDFTime, MaxKDFMemoryKiB, MaxKDFThreads}, {1, MinKDFMemoryPerThread * MaxKDFThreads, MaxKDFThreads},
	}
	for _, k := range good {
		if err := k.Check(); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
	s, dir := newStore(t)
	a := create(t, s)
	path := filepath.Join(dir, a.ID+".json")
	for _, k := range []KDF{
		{}, {0, 8, 1}, {MaxKDFTime + 1, 8, 1}, {1, 8, 0}, {1, 1024, MaxKDFThreads + 1}, {1, MinKDFMemoryPerThread - 1, 1},
		{1, MinKDFMemoryPerThread*2 - 1, 2}, {1, MaxKDFMemoryKiB + 1, 1}, {1, 100 << 20, 1}, {1<<32 - 1, 1<<32 - 1, 255},
	} {
		if err := k.Check(); !errors.Is(err, ErrKDF) {
			t.Errorf("%+v: %v, want ErrKDF", k, err)
		}
		changed := readJSON(t, path)
		kdf := changed["kdf"].(map[string]any)
		kdf["time"], kdf["memory_kib"], kdf["threads"] = k.Time, k.MemoryKiB, k.Threads
		writeJSON(t, path, changed)
		if _, err := s.Open(a.ID, testPassword); !errors.Is(err, ErrKDF) || !errors.Is(err, ErrCorrupt) {
			t.Errorf("%+v in a file: %v, want ErrKDF", k, err)
		}
		if k == (KDF{}) {
			continue // means the default
		}
		if _, err := OpenStore(t.TempDir(), StoreConfig{KDF: k}); !errors.Is(err, ErrKDF) {
			t.Errorf("%+v for a store: %v, want ErrKDF", k, err)
		}
	}
	if s, err := OpenStore(t.TempDir(), StoreConfig{}); err != nil || s.kdf != DefaultKDF() || s.rand != rand.Reader {
		t.Errorf("the default store: %+v, %v", s, err)
	}
}

// TestPassphraseNotKept checks that no file lets the BIP-39 passphrase be read.
func TestPassphraseNotKept(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	a := create(t, s)
	f, err := s.find(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	k := subkey(a.dataKey, secretsKeyLabel)
	plain, ok := unseal(k[:], f.Secrets, f.secretsContext())
	if !ok || !bytes.Contains(plain, []byte(a.Mnemonic)) || bytes.Contains(plain, []byte("extra")) {
		t.Error("the sealed secrets are not the phrase without its passphrase")
	}
	if a.DatabaseKey() == k || a.DatabaseKey() == a.dataKey || k == a.dataKey {
		t.Error("one key serves two purposes")
	}
}

// FuzzParseFile reads foreign account files: what parses is within bounds and
// is written back as it was read.
func FuzzParseFile(f *testing.F) {
	s, _ := newStore(f)
	var exported bytes.Buffer
	if err := s.Export(create(f, s).ID, &exported); err != nil {
		f.Fatal(err)
	}
	f.Add(exported.Bytes())
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		parsed, err := parseFile(raw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		if err := parsed.KDF.Check(); err != nil {
			t.Fatal(err)
		}
		first, err := parsed.encode()
		if errors.Is(err, ErrCorrupt) {
			return // grew beyond the limit with its indentation
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseFile(first)
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		second, err := again.encode()
		if err != nil || !bytes.Equal(first, second) || !bytes.Equal(parsed.wrapContext(), again.wrapContext()) {
			t.Fatalf("%v: %s, then %s", err, first, second)
		}
	})
}
