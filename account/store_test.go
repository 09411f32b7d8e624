package account

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/multiformats/go-multibase"

	"github.com/parley-im/parley/account/key"
)

// cheap is a password hash for tests.
var cheap = KDF{Time: 1, MemoryKiB: 8, Threads: 1}

const testPassword = "correct horse"

var testCreated = time.Date(2031, 2, 3, 4, 5, 6, 789, time.FixedZone("", 3600))

// newStore opens a store in a new folder and returns the folder of the files.
func newStore(t testing.TB) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenStore(dir, StoreConfig{KDF: cheap})
	if err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(dir, StoreDir)
}

func newSpec(t testing.TB) Spec {
	t.Helper()
	phrase, err := NewMnemonic(DefaultWords, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Name: "Ada", Created: testCreated, Mnemonic: phrase, Passphrase: "extra"}
}

func create(t testing.TB, s *Store) *Account {
	t.Helper()
	a, err := s.Create(newSpec(t), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t testing.TB) key.Private {
	t.Helper()
	k, err := key.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// same compares accounts, secrets included.
func same(a, b *Account) bool {
	return a.ID == b.ID && a.Name == b.Name && a.KeyUID == b.KeyUID && a.Created.Equal(b.Created) &&
		a.InstallationID == b.InstallationID && a.Chat.Equal(b.Chat) && a.Encryption.Equal(b.Encryption) &&
		a.Mnemonic == b.Mnemonic && a.WalletRoot == b.WalletRoot && a.DatabaseKey() == b.DatabaseKey()
}

func TestCreateOpen(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	spec := newSpec(t)
	keys, err := Derive(spec.Mnemonic, spec.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	created, err := s.Create(spec, testPassword)
	if err != nil {
		t.Fatal(err)
	}
	id, err := uuid.Parse(created.InstallationID)
	if err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 || id.String() != created.InstallationID {
		t.Errorf("installation id %q is no UUIDv4: %v", created.InstallationID, err)
	}
	if created.ID != keys.Chat.Public().String() || created.KeyUID != keys.KeyUID() ||
		!created.Chat.Equal(keys.Chat.Private) || !created.Encryption.Equal(keys.Encryption.Private) ||
		created.Mnemonic != spec.Mnemonic || created.WalletRoot != keys.WalletRoot.ExtendedKey() ||
		!created.Created.Equal(testCreated.Truncate(time.Second)) || created.DatabaseKey() == [32]byte{} {
		t.Errorf("created %+v", created)
	}
	for i := range uint32(3) {
		want, _ := keys.Wallet(i)
		if got, err := created.Wallet(i); err != nil || got.String() != want.String() || !got.Private.Equal(want.Private) {
			t.Errorf("wallet %d = %v, %v, want %v", i, got, err, want)
		}
	}
	if _, err := created.Wallet(Hardened); !errors.Is(err, ErrPath) {
		t.Errorf("hardened wallet: %v", err)
	}
	// Every way to write the id, in a store opened again.
	s, err = OpenStore(filepath.Dir(dir), StoreConfig{KDF: cheap})
	if err != nil {
		t.Fatal(err)
	}
	pub := created.Chat.Public()
	for _, id := range []string{created.ID, pub.Hex(), pub.CompressedHex(), pub.Multibase(multibase.Base16)} {
		opened, err := s.Open(id, testPassword)
		if err != nil || !same(opened, created) {
			t.Errorf("open %s: %v, %v", id, opened, err)
		}
	}
	for _, password := range []string{"", "wrong", testPassword + " ", strings.ToUpper(testPassword)} {
		if a, err := s.Open(created.ID, password); !errors.Is(err, ErrPassword) || a != nil {
			t.Errorf("password %q: %v, %v, want ErrPassword", password, a, err)
		}
	}
	for _, id := range []string{"", "..", "../" + created.ID, created.ID + "x", newKey(t).Public().String()} {
		if a, err := s.Open(id, testPassword); !errors.Is(err, ErrNotFound) || a != nil {
			t.Errorf("id %q: %v, %v, want ErrNotFound", id, a, err)
		}
		if err := s.Export(id, io.Discard); !errors.Is(err, ErrNotFound) {
			t.Errorf("export %q: %v, want ErrNotFound", id, err)
		}
		if err := s.ChangePassword(id, testPassword, "x"); !errors.Is(err, ErrNotFound) {
			t.Errorf("change password of %q: %v, want ErrNotFound", id, err)
		}
	}
	if _, err := s.Create(spec, testPassword); !errors.Is(err, ErrExists) {
		t.Errorf("created twice: %v, want ErrExists", err)
	}
}

// TestCreateFrom makes accounts of keys without their recovery phrase.
func TestCreateFrom(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	keys, err := Derive(examplePhrase, "")
	if err != nil {
		t.Fatal(err)
	}
	chat, encryption, wallets := newKey(t), newKey(t), newKey(t)
	const installation = "0b5c1a52-6c2f-4b52-9c31-0a4e4ac9d3a7"
	for name, c := range map[string]struct {
		spec Spec
		want Account
	}{
		"keys": {Spec{Keys: keys}, Account{
			KeyUID: keys.KeyUID(), Chat: keys.Chat.Private, Encryption: keys.Encryption.Private, WalletRoot: keys.WalletRoot.ExtendedKey(),
		}},
		"chat key": {Spec{Chat: chat, Encryption: encryption, KeyUID: "0x12", InstallationID: installation}, Account{
			KeyUID: "0x12", Chat: chat, Encryption: encryption, InstallationID: installation,
		}},
		"chat key and wallet": {Spec{Chat: wallets, WalletRoot: keys.WalletRoot.ExtendedKey()}, Account{
			Chat: wallets, WalletRoot: keys.WalletRoot.ExtendedKey(),
		}},
		"chat key alone": {Spec{Chat: encryption}, Account{Chat: encryption}},
	} {
		c.spec.Created = testCreated
		if _, err := s.Create(c.spec, testPassword); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.want.ID = c.want.Chat.Public().String()
		got, err := s.Open(c.want.ID, testPassword)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.want.Created, c.want.dataKey = testCreated.Truncate(time.Second), got.dataKey
		if c.want.InstallationID == "" {
			c.want.InstallationID = got.InstallationID
		}
		if !same(got, &c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if got.WalletRoot == "" {
			if _, err := got.Wallet(0); !errors.Is(err, ErrNoWallet) {
				t.Errorf("%s: wallet: %v, want ErrNoWallet", name, err)
			}
		}
	}
}

func TestCreateRejects(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	keys, err := Derive(examplePhrase, "")
	if err != nil {
		t.Fatal(err)
	}
	chat := newKey(t)
	for name, c := range map[string]struct {
		change func(*Spec)
		want   error
	}{
		"nothing":                  {func(s *Spec) { s.Mnemonic, s.Passphrase = "", "" }, ErrSpec},
		"phrase and keys":          {func(s *Spec) { s.Keys = keys }, ErrSpec},
		"phrase and chat key":      {func(s *Spec) { s.Chat = chat }, ErrSpec},
		"keys and chat key":        {func(s *Spec) { *s = Spec{Created: testCreated, Keys: keys, Chat: chat} }, ErrSpec},
		"empty keys":               {func(s *Spec) { *s = Spec{Created: testCreated, Keys: &Keys{}} }, ErrSpec},
		"phrase, encryption key":   {func(s *Spec) { s.Encryption = chat }, ErrSpec},
		"phrase, key uid":          {func(s *Spec) { s.KeyUID = "0x12" }, ErrSpec},
		"passphrase, chat key":     {func(s *Spec) { s.Mnemonic, s.Chat = "", chat }, ErrSpec},
		"phrase, wallet root":      {func(s *Spec) { s.WalletRoot = keys.WalletRoot.ExtendedKey() }, ErrSpec},
		"no wallet root":           {func(s *Spec) { *s = Spec{Created: testCreated, Chat: chat, WalletRoot: "xprv"} }, ErrSpec},
		"bad phrase":               {func(s *Spec) { s.Mnemonic = "abandon" }, ErrWordCount},
		"no time":                  {func(s *Spec) { s.Created = time.Time{} }, ErrSpec},
		"year 10000":               {func(s *Spec) { s.Created = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, ErrSpec},
		"installation id":          {func(s *Spec) { s.InstallationID = "1" }, ErrSpec},
		"name not UTF-8":           {func(s *Spec) { s.Name = "\xff" }, ErrName},
		"name with escape":         {func(s *Spec) { s.Name = "a\x1b[2J" }, ErrName},
		"name one byte over limit": {func(s *Spec) { s.Name = strings.Repeat("n", MaxNameSize+1) }, ErrName},
	} {
		spec := newSpec(t)
		c.change(&spec)
		if a, err := s.Create(spec, testPassword); !errors.Is(err, c.want) || a != nil {
			t.Errorf("%s: %v, %v, want %v", name, a, err, c.want)
		}
	}
	if _, err := s.Create(newSpec(t), ""); !errors.Is(err, ErrNoPassword) {
		t.Errorf("no password: %v, want ErrNoPassword", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	spec := newSpec(t)
	spec.Name = strings.Repeat("n", MaxNameSize)
	if _, err := s.Create(spec, testPassword); err != nil {
		t.Errorf("name at the limit: %v", err)
	}
}

// TestPasswordNormalisation opens an account whichever way a keyboard
// composes accents.
func TestPasswordNormalisation(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	a, err := s.Create(newSpec(t), "caf\u00e9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(a.ID, "cafe\u0301"); err != nil {
		t.Error(err)
	}
	if _, err := s.Open(a.ID, "cafe"); !errors.Is(err, ErrPassword) {
		t.Errorf("without the accent: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits")
	}
	dir := filepath.Join(t.TempDir(), "new", "data")
	if err := os.MkdirAll(filepath.Join(dir, StoreDir), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(dir, StoreConfig{KDF: cheap})
	if err != nil {
		t.Fatal(err)
	}
	a := create(t, s)
	check := func() {
		t.Helper()
		for path, want := range map[string]fs.FileMode{StoreDir: 0o700, filepath.Join(StoreDir, a.ID+".json"): 0o600} {
			info, err := os.Stat(filepath.Join(dir, path))
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has mode %v, %v, want %v", path, info.Mode(), err, want)
			}
		}
		entries, err := os.ReadDir(filepath.Join(dir, StoreDir))
		if err != nil || len(entries) != 1 {
			t.Errorf("temporary files were left: %v, %v", entries, err)
		}
	}
	check()
	if err := s.ChangePassword(a.ID, testPassword, "new"); err != nil {
		t.Fatal(err)
	}
	check()
	fresh := filepath.Join(t.TempDir(), "a", "b")
	if _, err := OpenStore(fresh, StoreConfig{KDF: cheap}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder has mode %v, %v", info.Mode(), err)
	}
}

// readJSON reads an account file without this package's types.
func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func writeJSON(t *testing.T, path string, m any) {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	a := create(t, s)
	path := filepath.Join(dir, a.ID+".json")
	before := readJSON(t, path)
	for _, c := range []struct {
		password, newPassword string
		want                  error
	}{{"wrong", "new", ErrPassword}, {testPassword, "", ErrNoPassword}} {
		if err := s.ChangePassword(a.ID, c.password, c.newPassword); !errors.Is(err, c.want) {
			t.Errorf("%q to %q: %v, want %v", c.password, c.newPassword, err, c.want)
		}
		if after := readJSON(t, path); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Error("a failed change changed the file")
		}
	}
	// The store of today asks for a costlier hash than that of old.
	dearer := KDF{Time: 2, MemoryKiB: 16, Threads: 2}
	s, err := OpenStore(filepath.Dir(dir), StoreConfig{KDF: dearer})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(a.ID, testPassword, "new"); err != nil {
		t.Fatal(err)
	}
	after := readJSON(t, path)
	if after["secrets"] != before["secrets"] {
		t.Error("the sealed secrets changed")
	}
	oldKDF, newKDF := before["kdf"].(map[string]any), after["kdf"].(map[string]any)
	if after["data_key"] == before["data_key"] || newKDF["salt"] == oldKDF["salt"] ||
		newKDF["time"] != 2.0 || newKDF["memory_kib"] != 16.0 || newKDF["threads"] != 2.0 {
		t.Errorf("the data key was not sealed anew: %v", newKDF)
	}
	if _, err := s.Open(a.ID, testPassword); !errors.Is(err, ErrPassword) {
		t.Errorf("old password: %v, want ErrPassword", err)
	}
	if opened, err := s.Open(a.ID, "new"); err != nil || !same(opened, a) {
		t.Errorf("new password: %v, %v", opened, err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s, dir := newStore(t)
	if infos, err := s.List(); err != nil || len(infos) != 0 {
		t.Errorf("an empty store lists %v, %v", infos, err)
	}
	a, b := create(t, s), create(t, s)
	for name, content := range map[string]string{
		"broken.json": "{", "empty.json": "", "later.json": `{"version": 2, "shape": "other"}`,
		"big.json": strings.Repeat(" ", MaxFileSize+1), ".new-123": "{", "notes.txt": "hello", ".hidden.json": "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	infos, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]Info{}
	for _, info := range infos {
		listed[info.File] = info
	}
	if len(infos) != 7 || len(listed) != 7 {
		t.Errorf("listed %v", infos)
	}
	for _, want := range []*Account{a, b} {
		got := listed[want.ID+".json"]
		got.File = ""
		if got != want.Info() {
			t.Errorf("listed %+v, want %+v", got, want.Info())
		}
	}
	for name, want := range map[string]error{
		"broken.json": ErrCorrupt, "empty.json": ErrCorrupt, "later.json": ErrVersion, "big.json": ErrCorrupt, "folder.json": nil,
	} {
		got := listed[name]
		if got.Err == nil || want != nil && !errors.Is(got.Err, want) || got.ID != "" {
			t.Errorf("%s is listed as %+v, want %v", name, got, want)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its folder: %v", err)
	}
	if _, err := s.Create(newSpec(t), testPassword); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("create without the folder: %v", err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStore(filepath.Dir(dir), StoreConfig{KDF: cheap}); err == nil {
		t.Error("a file was opened as the store's folder")
	}
}

func TestExportImport(t *testing.T) {
	t.Parallel()
	from, _ := newStore(t)
	a := create(t, from)
	var exported bytes.Buffer
	if err := from.Export(a.ID, &exported); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{a.Mnemonic, strings.Fields(a.Mnemonic)[0] + " ", hex.EncodeToString(a.Chat.Bytes()), a.WalletRoot, a.InstallationID} {
		if bytes.Contains(exported.Bytes(), []byte(secret)) {
			t.Error("the exported file shows a secret")
		}
	}
	if err := from.Export(a.ID, failingWriter{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("failing writer: %v", err)
	}
	for _, password := range []string{"", testPassword} {
		to, dir := newStore(t)
		if _, err := to.Import(bytes.NewReader(exported.Bytes()), "wrong"); !errors.Is(err, ErrPassword) {
			t.Errorf("wrong password: %v, want ErrPassword", err)
		}
		for name, bad := range map[string]io.Reader{
			"empty":     strings.NewReader(""),
			"truncated": bytes.NewReader(exported.Bytes()[:exported.Len()/2]),
			"trailing":  io.MultiReader(bytes.NewReader(exported.Bytes()), strings.NewReader("x")),
			"too big":   io.MultiReader(bytes.NewReader(exported.Bytes()), strings.NewReader(strings.Repeat(" ", MaxFileSize+1-exported.Len()))),
		} {
			if _, err := to.Import(bad, password); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %v, want ErrCorrupt", name, err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("failed imports left %v, %v", entries, err)
		}
		// As big as may be, with white space.
		largest := io.MultiReader(bytes.NewReader(exported.Bytes()), strings.NewReader(strings.Repeat(" ", MaxFileSize-exported.Len())))
		info, err := to.Import(largest, password)
		if err != nil || info != a.Info() {
			t.Fatalf("%+v, %v, want %+v", info, err, a.Info())
		}
		opened, err := to.Open(a.ID, testPassword)
		if err != nil {
			t.Fatal(err)
		}
		if opened.InstallationID == a.InstallationID {
			t.Error("two installations have one id")
		}
		if again, err := to.Open(a.ID, testPassword); err != nil || !same(again, opened) {
			t.Errorf("opened again: %v, %v", again, err)
		}
		opened.InstallationID = a.InstallationID
		if !same(opened, a) {
			t.Errorf("%v", opened)
		}
		if _, err := to.Import(bytes.NewReader(exported.Bytes()), password); !errors.Is(err, ErrExists) {
			t.Errorf("imported twice: %v, want ErrExists", err)
		}
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestShortRandomness fails at every byte of randomness and leaves the store
// as it was.
func TestShortRandomness(t *testing.T) {
	t.Parallel()
	_, dir := newStore(t)
	parent := filepath.Dir(dir)
	spec := newSpec(t)
	open := func(n int64) *Store {
		s, err := OpenStore(parent, StoreConfig{KDF: cheap, Rand: io.LimitReader(rand.Reader, n)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	var a *Account
	n := int64(0)
	for ; a == nil; n++ {
		var err error
		if a, err = open(n).Create(spec, testPassword); err == nil {
			break
		}
		if entries, dirErr := os.ReadDir(dir); dirErr != nil || len(entries) != 0 {
			t.Fatalf("with %d bytes: left %v, %v", n, entries, dirErr)
		}
	}
	// Installation id, data key, salt, two nonces.
	if want := int64(16 + 32 + 16 + 24 + 24); n != want {
		t.Errorf("made from %d bytes of randomness, want %d", n, want)
	}
	for n := int64(0); n < 16+24; n++ {
		if err := open(n).ChangePassword(a.ID, testPassword, "new"); err == nil {
			t.Fatalf("password changed with %d bytes of randomness", n)
		}
		if _, err := open(n).Open(a.ID, testPassword); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConcurrentCreate lets one of many makers of an account win, in one
// store and in several of the same folder.
func TestConcurrentCreate(t *testing.T) {
	t.Parallel()
	_, dir := newStore(t)
	spec := newSpec(t)
	const makers = 8
	errs := make([]error, makers)
	made := make([]*Account, makers)
	var wg sync.WaitGroup
	for i := range makers {
		s, err := OpenStore(filepath.Dir(dir), StoreConfig{KDF: cheap})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { made[i], errs[i] = s.Create(spec, testPassword) })
	}
	wg.Wait()
	var winner *Account
	for i, err := range errs {
		if err == nil && winner == nil {
			winner = made[i]
		} else if !errors.Is(err, ErrExists) {
			t.Errorf("maker %d: %v, want ErrExists", i, err)
		}
	}
	s, err := OpenStore(filepath.Dir(dir), StoreConfig{KDF: cheap})
	if err != nil || winner == nil {
		t.Fatal(err, winner)
	}
	if opened, err := s.Open(winner.ID, testPassword); err != nil || !same(opened, winner) {
		t.Errorf("%v, %v", opened, err)
	}
}

// BenchmarkOpen opens an account at the cost of people's passwords.
func BenchmarkOpen(b *testing.B) {
	for name, kdf := range map[string]KDF{"default": DefaultKDF(), "cheap": cheap} {
		b.Run(name, func(b *testing.B) {
			s, err := OpenStore(b.TempDir(), StoreConfig{KDF: kdf})
			if err != nil {
				b.Fatal(err)
			}
			a := create(b, s)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Open(a.ID, testPassword); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
