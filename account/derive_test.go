package account

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/crypto"

	"github.com/parley-im/parley/internal/vectors"
)

type mnemonicCase struct {
	Mnemonic   string `json:"mnemonic"`
	Passphrase string `json:"bip39Passphrase"`

	Seed            vectors.Hex `json:"seed"`
	KeyUID          string      `json:"keyUid"`
	MasterAddress   string      `json:"masterAddress"`
	MasterChainCode vectors.Hex `json:"masterChainCode"`
	MasterPrivate   vectors.Hex `json:"masterPrivateKey"`
	MasterPublic    vectors.Hex `json:"masterPublicKey"`

	ChatPath          string `json:"chatKeyPath"`
	EncryptionPath    string `json:"encryptionKeyPath"`
	EIP1581Path       string `json:"eip1581Path"`
	WalletRootPath    string `json:"walletRootPath"`
	DefaultWalletPath string `json:"defaultWalletPath"`

	Derived map[string]struct {
		Address string      `json:"address"`
		Private vectors.Hex `json:"privateKey"`
		Public  vectors.Hex `json:"publicKey"`
	} `json:"derived"`
}

// TestVectorsKeysMnemonic derives every recorded key from its phrase.
//
// Proves: AP-208, AP-209, AP-210.
func TestVectorsKeysMnemonic(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[mnemonicCase](t, "keys_mnemonic") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			if parsed, err := ParseMnemonic(c.Mnemonic); err != nil || parsed != c.Mnemonic {
				t.Errorf("ParseMnemonic = %q, %v", parsed, err)
			}
			seed, err := Seed(c.Mnemonic, c.Passphrase)
			if err != nil || !bytes.Equal(seed, c.Seed) {
				t.Errorf("seed = %x, %v, want %x", seed, err, c.Seed)
			}
			keys, err := Derive(c.Mnemonic, c.Passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if got := keys.KeyUID(); got != c.KeyUID {
				t.Errorf("key uid = %s, want %s", got, c.KeyUID)
			}
			if !bytes.Equal(keys.Master.ChainCode(), c.MasterChainCode) {
				t.Error("the master's chain code differs")
			}
			// status-go's reader of paths loses a last step that is hardened: what
			// it records for the EIP-1581 root is the key of the step above. A
			// client without that fault records the key itself; both are read.
			recorded := func(n Node) Node {
				above, isHardened := strings.CutSuffix(n.Path, "'")
				if isHardened && n.Address() != c.Derived[n.Path].Address {
					above = above[:strings.LastIndex(above, "/")]
					parent, err := keys.Path(above)
					if err != nil {
						t.Fatal(err)
					}
					parent.Path = n.Path
					return parent
				}
				return n
			}
			check := func(n Node, path, address string, private, public []byte) {
				t.Helper()
				if n.Path != path || n.Address() != address || !bytes.Equal(n.Public().Bytes(), public) {
					t.Errorf("%s is %s with %x, want %s at %s", n.Path, n.Address(), n.Public().Bytes(), address, path)
				}
				if !bytes.Equal(n.Private.Bytes(), private) {
					t.Errorf("%s: the private key differs", path)
				}
			}
			check(keys.Master, PathMaster, c.MasterAddress, c.MasterPrivate, c.MasterPublic)
			for path, want := range c.Derived {
				n, err := keys.Path(path)
				if err != nil {
					t.Fatal(err)
				}
				check(recorded(n), path, want.Address, want.Private, want.Public)
			}
			for path, n := range map[string]Node{
				c.ChatPath: keys.Chat, c.EncryptionPath: keys.Encryption, c.EIP1581Path: keys.EIP1581,
				c.WalletRootPath: keys.WalletRoot, c.DefaultWalletPath: keys.DefaultWallet,
			} {
				want := c.Derived[path]
				check(recorded(n), path, want.Address, want.Private, want.Public)
			}
			// The EIP-1581 root itself is proved by the chat key under it.
			chat, err := keys.EIP1581.descend([]uint32{Hardened, 0})
			if want := c.Derived[c.ChatPath]; err != nil || !bytes.Equal(chat.Private.Bytes(), want.Private) {
				t.Errorf("the chat key is not under the EIP-1581 root: %v", err)
			}
			// Wallet accounts by number, as far as they were recorded.
			for i := uint32(0); ; i++ {
				path := fmt.Sprintf("%s/%d", c.WalletRootPath, i)
				want, ok := c.Derived[path]
				if !ok {
					break
				}
				n, err := keys.Wallet(i)
				if err != nil {
					t.Fatal(err)
				}
				check(n, path, want.Address, want.Private, want.Public)
			}
		})
	}
}

func TestNamedPaths(t *testing.T) {
	t.Parallel()
	keys, err := DeriveSeed(bytes.Repeat([]byte{1}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	for path, n := range map[string]Node{
		PathMaster: keys.Master, PathEIP1581: keys.EIP1581, PathChat: keys.Chat,
		PathEncryption: keys.Encryption, PathWalletRoot: keys.WalletRoot, PathDefaultWallet: keys.DefaultWallet,
	} {
		same, err := keys.Path(path)
		if err != nil || n.Path != path || !same.Private.Equal(n.Private) || same.ExtendedKey() != n.ExtendedKey() {
			t.Errorf("%s: %v, %v", path, n, err)
		}
	}
}

// TestBIP32Published checks the published vectors 3 and 4 of BIP-32, which
// exist for keys with leading zeros.
func TestBIP32Published(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seed  string
		nodes map[string]string
	}{
		{"4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be", map[string]string{
			"m":    "xprv9s21ZrQH143K25QhxbucbDDuQ4naNntJRi4KUfWT7xo4EKsHt2QJDu7KXp1A3u7Bi1j8ph3EGsZ9Xvz9dGuVrtHHs7pXeTzjuxBrCmmhgC6",
			"m/0'": "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L",
		}},
		{"3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678", map[string]string{
			"m":       "xprv9s21ZrQH143K48vGoLGRPxgo2JNkJ3J3fqkirQC2zVdk5Dgd5w14S7fRDyHH4dWNHUgkvsvNDCkvAwcSHNAQwhwgNMgZhLtQC63zxwhQmRv",
			"m/0'":    "xprv9vB7xEWwNp9kh1wQRfCCQMnZUEG21LpbR9NPCNN1dwhiZkjjeGRnaALmPXCX7SgjFTiCTT6bXes17boXtjq3xLpcDjzEuGLQBM5ohqkao9G",
			"m/0'/1'": "xprv9xJocDuwtYCMNAo3Zw76WENQeAS6WGXQ55RCy7tDJ8oALr4FWkuVoHJeHVAcAqiZLE7Je3vZJHxspZdFHfnBEjHqU5hG1Jaj32dVoS6XLT1",
		}},
	} {
		seed, err := hex.DecodeString(c.seed)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := DeriveSeed(seed)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range c.nodes {
			n, err := keys.Path(path)
			if err != nil || n.ExtendedKey() != want {
				t.Errorf("%s of %s… is %s, %v", path, c.seed[:8], n.ExtendedKey(), err)
			}
			read, err := NodeFromExtendedKey(want)
			if err != nil || !read.Private.Equal(n.Private) || read.ExtendedKey() != want {
				t.Errorf("%s of %s… does not read back: %v", path, c.seed[:8], err)
			}
		}
	}
}

// bip32Child is private derivation written straight from BIP-32.
func bip32Child(private, chain []byte, public []byte, index uint32) (childPrivate, childChain []byte) {
	data := append([]byte{0}, private...)
	if index < Hardened {
		data = public
	}
	mac := hmac.New(sha512.New, chain)
	mac.Write(binary.BigEndian.AppendUint32(bytes.Clone(data), index))
	sum := mac.Sum(nil)
	n := new(big.Int).SetBytes(sum[:32])
	n.Add(n, new(big.Int).SetBytes(private)).Mod(n, crypto.S256().Params().N)
	return n.FillBytes(make([]byte, 32)), sum[32:]
}

// TestLeadingZeros derives hardened and plain children of keys that begin
// with a zero byte: they must be padded, never shortened.
func TestLeadingZeros(t *testing.T) {
	t.Parallel()
	keys, err := DeriveSeed(bytes.Repeat([]byte{7}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i := uint32(0); found < 2; i++ {
		parent, err := keys.Master.Child(i)
		if err != nil {
			t.Fatal(err)
		}
		if parent.Private.Bytes()[0] != 0 {
			continue
		}
		found++
		public := parent.Public().Compressed()
		for _, index := range []uint32{0, 1, Hardened, Hardened + 1} {
			child, err := parent.Child(index)
			if err != nil {
				t.Fatal(err)
			}
			private, chain := bip32Child(parent.Private.Bytes(), parent.ChainCode(), public[:], index)
			if !bytes.Equal(child.Private.Bytes(), private) || !bytes.Equal(child.ChainCode(), chain) {
				t.Errorf("child %d of %s differs from BIP-32", index, parent.Path)
			}
		}
	}
}

func TestDeriveRejects(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 15, 65} {
		if _, err := DeriveSeed(make([]byte, size)); !errors.Is(err, ErrDerive) {
			t.Errorf("seed of %d bytes: %v, want ErrDerive", size, err)
		}
	}
	for _, size := range []int{16, 64} {
		if _, err := DeriveSeed(make([]byte, size)); err != nil {
			t.Errorf("seed of %d bytes: %v", size, err)
		}
	}
	keys, err := DeriveSeed(make([]byte, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DeriveMaster(keys.Chat); !errors.Is(err, ErrDerive) {
		t.Errorf("chat key as master: %v", err)
	}
	if _, err := DeriveMaster(Node{}); !errors.Is(err, ErrDerive) {
		t.Errorf("no node as master: %v", err)
	}
	if _, err := (Node{}).Child(0); !errors.Is(err, ErrDerive) {
		t.Errorf("child of no node: %v", err)
	}
	if _, err := keys.Wallet(Hardened); !errors.Is(err, ErrPath) {
		t.Errorf("hardened wallet: %v", err)
	}
	if _, err := keys.Wallet(Hardened - 1); err != nil {
		t.Errorf("last wallet: %v", err)
	}
	public, err := keys.Chat.ext.Neuter()
	if err != nil {
		t.Fatal(err)
	}
	good := keys.Chat.ExtendedKey()
	for name, text := range map[string]string{
		"empty":    "",
		"public":   public.String(),
		"checksum": good[:len(good)-1] + string(rune(good[len(good)-1])^1),
		"short":    good[:100],
		"long":     strings.Repeat("x", 1<<20),
		"testnet":  "tprv8ZgxMBicQKsPeDgjzdC36fs6bMjGApWDNLR9erAXMs5skhMv36j9MV5ecvfavji5khqjWaWSFhN3YcCUUdiKH6isR4Pwy3U5y5egddBr16m",
	} {
		if _, err := NodeFromExtendedKey(text); !errors.Is(err, ErrExtendedKey) {
			t.Errorf("%s: %v, want ErrExtendedKey", name, err)
		}
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	deepest := "m" + strings.Repeat("/0", MaxPathDepth)
	for path, want := range map[string][]uint32{
		"m":                        nil,
		"m/0":                      {0},
		"m/0'/1h/2H/3":             {Hardened, Hardened + 1, Hardened + 2, 3},
		"m/2147483647/2147483647'": {Hardened - 1, 1<<32 - 1},
		deepest:                    make([]uint32, MaxPathDepth),
	} {
		got, err := ParsePath(path)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s = %v, %v, want %v", path, got, err, want)
		}
	}
	for _, path := range []string{
		"", "/", "0", "M", "m/", "mm", "m0", "m//0", "m/0/", "m/ 0", "m/-1", "m/+1", "m/0''", "m/'", "m/0x1", "m/1_0",
		"m/2147483648", "m/2147483648'", "m/99999999999999999999", "44'/60'", deepest + "/0",
	} {
		if got, err := ParsePath(path); !errors.Is(err, ErrPath) || got != nil {
			t.Errorf("%q = %v, %v, want ErrPath", path, got, err)
		}
	}
	keys, err := DeriveSeed(make([]byte, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	last, err := keys.Path(deepest)
	if err != nil {
		t.Fatalf("%d steps: %v", MaxPathDepth, err)
	}
	if _, err := last.Child(0); !errors.Is(err, ErrDerive) {
		t.Errorf("%d steps: %v, want ErrDerive", MaxPathDepth+1, err)
	}
	if _, err := keys.Path("m/x"); !errors.Is(err, ErrPath) {
		t.Errorf("bad path: %v, want ErrPath", err)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, path := range []string{PathMaster, PathChat, PathDefaultWallet, "m/0h", "m//", ""} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		steps, err := ParsePath(path)
		if err != nil {
			if !errors.Is(err, ErrPath) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParsePath(FormatPath(steps))
		if err != nil || !slices.Equal(steps, again) || len(steps) > MaxPathDepth {
			t.Fatalf("%q: %v, then %v, %v", path, steps, again, err)
		}
	})
}

func TestNewMnemonic(t *testing.T) {
	t.Parallel()
	for _, words := range []int{12, 15, 18, 21, 24} {
		phrase, err := NewMnemonic(words, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(strings.Fields(phrase)); n != words {
			t.Errorf("%d words, want %d", n, words)
		}
		if parsed, err := ParseMnemonic(phrase); err != nil || parsed != phrase {
			t.Errorf("%d words do not read back: %v", words, err)
		}
		another, err := NewMnemonic(words, rand.Reader)
		if err != nil || another == phrase {
			t.Errorf("%d words: twice the same, %v", words, err)
		}
		size := words / 3 * 4
		if _, err := NewMnemonic(words, bytes.NewReader(make([]byte, size))); err != nil {
			t.Errorf("%d words from %d bytes: %v", words, size, err)
		}
		if _, err := NewMnemonic(words, bytes.NewReader(make([]byte, size-1))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d words from %d bytes: %v", words, size-1, err)
		}
	}
	for _, words := range []int{-12, 0, 9, 11, 13, 14, 27} {
		if _, err := NewMnemonic(words, rand.Reader); !errors.Is(err, ErrWordCount) {
			t.Errorf("%d words: %v, want ErrWordCount", words, err)
		}
	}
}

const examplePhrase = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"

func TestParseMnemonic(t *testing.T) {
	t.Parallel()
	for name, phrase := range map[string]string{
		"spaces":             "  " + strings.ReplaceAll(examplePhrase, " ", "   ") + " ",
		"tabs and lines":     strings.ReplaceAll(examplePhrase, " ", "\t\r\n"),
		"ideographic spaces": strings.ReplaceAll(examplePhrase, " ", "\u3000"),
		"capitals":           strings.ToUpper(examplePhrase),
		"full-width letters": strings.Replace(examplePhrase, "about", "ａｂｏｕｔ", 1),
	} {
		if got, err := ParseMnemonic(phrase); err != nil || got != examplePhrase {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, c := range map[string]struct {
		phrase string
		want   error
	}{
		"empty":          {"", ErrWordCount},
		"11 words":       {examplePhrase[8:], ErrWordCount},
		"13 words":       {examplePhrase + " about", ErrWordCount},
		"27 words":       {strings.Repeat("abandon ", 27), ErrWordCount},
		"wrong checksum": {strings.Repeat("abandon ", 12), ErrChecksum},
		"swapped":        {"about " + examplePhrase[:len(examplePhrase)-6], ErrChecksum},
		"unknown word":   {strings.Replace(examplePhrase, "about", "abouts", 1), ErrMnemonic},
	} {
		got, err := ParseMnemonic(c.phrase)
		if !errors.Is(err, c.want) || !errors.Is(err, ErrMnemonic) || got != "" {
			t.Errorf("%s: %q, %v, want %v", name, got, err, c.want)
		}
		if _, err := Derive(c.phrase, ""); !errors.Is(err, c.want) {
			t.Errorf("%s: derive: %v, want %v", name, err, c.want)
		}
	}
	words := strings.Fields(examplePhrase)
	words[6] = "secretword"
	_, err := ParseMnemonic(strings.Join(words, " "))
	if wrong, ok := errors.AsType[*WordError](err); !ok || wrong.Position != 7 {
		t.Errorf("word 7 is wrong: %v", err)
	}
	if strings.Contains(err.Error(), "secretword") || !strings.Contains(err.Error(), "word 7") {
		t.Errorf("the error says %q", err)
	}
}

// TestPassphraseNormalisation gives one seed however accents are composed.
func TestPassphraseNormalisation(t *testing.T) {
	t.Parallel()
	composed, err := Seed(examplePhrase, "caf\u00e9 \u212b")
	if err != nil {
		t.Fatal(err)
	}
	decomposed, err := Seed(examplePhrase, "cafe\u0301 A\u030a")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Seed(examplePhrase, "cafe A")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(composed, decomposed) || bytes.Equal(composed, plain) {
		t.Error("the passphrase is not normalised as BIP-39 says")
	}
}

func FuzzParseMnemonic(f *testing.F) {
	for _, c := range vectors.Cases[mnemonicCase](f, "keys_mnemonic") {
		f.Add(c.Mnemonic)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, phrase string) {
		parsed, err := ParseMnemonic(phrase)
		if err != nil {
			if !errors.Is(err, ErrMnemonic) || parsed != "" {
				t.Fatalf("%q, %v", parsed, err)
			}
			return
		}
		if again, err := ParseMnemonic(parsed); err != nil || again != parsed {
			t.Fatalf("%q, then %q, %v", parsed, again, err)
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Derive(examplePhrase, ""); err != nil {
			b.Fatal(err)
		}
	}
}
