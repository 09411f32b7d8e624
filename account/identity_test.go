package account

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
)

type identityCase struct {
	Address    string      `json:"address"`
	Alias      string      `json:"alias"`
	ColorHash  [][2]int    `json:"colorHash"`
	ColorID    int         `json:"colorId"`
	EmojiHash  []string    `json:"emojiHash"`
	ContactID  string      `json:"contactId"`
	PrivateKey vectors.Hex `json:"privateKey"`
}

// TestVectorsKeysIdentity names and pictures recorded keys.
func TestVectorsKeysIdentity(t *testing.T) {
	t.Parallel()
	for i, c := range vectors.Cases[identityCase](t, "keys_identity") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			k, err := key.PrivateFromBytes(c.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := key.ParsePublic(c.ContactID)
			if err != nil || k.Public() != pub {
				t.Fatalf("%v, %v, want %v", k.Public(), err, pub)
			}
			if got := Alias(pub); got != c.Alias {
				t.Errorf("alias = %q, want %q", got, c.Alias)
			}
			if got := EmojiHash(pub); !slices.Equal(got, c.EmojiHash) {
				t.Errorf("emoji hash = %v, want %v", got, c.EmojiHash)
			}
			if got := ColorHash(pub); !slices.Equal(got, c.ColorHash) {
				t.Errorf("colour hash = %v, want %v", got, c.ColorHash)
			}
			if got := ColorID(pub); got != c.ColorID {
				t.Errorf("colour id = %d, want %d", got, c.ColorID)
			}
			if got := Address(pub); got != c.Address {
				t.Errorf("address = %s, want %s", got, c.Address)
			}
		})
	}
}

// TestIdentityPublished checks values published with the deployed clients.
func TestIdentityPublished(t *testing.T) {
	t.Parallel()
	if got := aliasOf(42); got != "Hard Tame Brownbutterfly" {
		t.Errorf("alias of seed 42 is %q", got)
	}
	pub, err := key.ParsePublic("0x04eedbaafd6adf4a9233a13e7b1c3c14461fffeba2e9054b8d456ce5f6ebeafadcbf3dce3716253fbc391277fa5a086b60b283daf61fb5b1f26895f456c2f31ae3")
	if err != nil {
		t.Fatal(err)
	}
	if got := Alias(pub); got != "Darkorange Blue Bubblefish" {
		t.Errorf("alias is %q", got)
	}
	pub, err = key.ParsePublic("0x04e25da6994ea2dc4ac70727e07eca153ae92bf7609db7befb7ebdceaad348f4fc55bbe90abf9501176301db5aa103fc0eb3bc3750272a26c424a10887db2a7ea8")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(EmojiHash(pub), ""); got != "👦🏽🦹🏻👶🏿🛁🌁🙌🏻🙇🏽‍♂️🙌🏾🤥🐛👩🏽‍🔧🔧⚙️🧒🏽" {
		t.Errorf("emoji hash is %s", got)
	}
	want := [][2]int{{3, 30}, {2, 10}, {5, 5}, {3, 14}, {5, 4}, {4, 19}, {3, 16}, {4, 0}, {5, 28}, {4, 13}, {4, 15}}
	if got := ColorHash(pub); !slices.Equal(got, want) {
		t.Errorf("colour hash is %v", got)
	}
}

// TestEIP55Published checks the examples of EIP-55.
func TestEIP55Published(t *testing.T) {
	t.Parallel()
	for _, want := range []string{
		"0x52908400098527886E0F7030069857D2E4169EE7",
		"0xde709f2102306220921060314715629080e2fb77",
		"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
		"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
		"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
		"0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
	} {
		var address [20]byte
		if _, err := fmt.Sscanf(strings.ToLower(want), "0x%x", (*hexAddress)(&address)); err != nil {
			t.Fatal(err)
		}
		if got := ChecksumAddress(address); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// hexAddress lets Sscanf read an address.
type hexAddress [20]byte

func (a *hexAddress) Scan(state fmt.ScanState, _ rune) error {
	token, err := state.Token(false, nil)
	if err != nil {
		return err
	}
	var b vectors.Hex
	if err := b.UnmarshalText(token); err != nil {
		return err
	}
	*a = hexAddress(b)
	return nil
}

// compressed reads a key whose X coordinate begins with the given digits, the
// rest found by search.
func keyWithX(t *testing.T, prefix string) key.Public {
	t.Helper()
	for i := range 1 << 16 {
		text := "0x02" + prefix + fmt.Sprintf("%0*x", 64-len(prefix), i)
		if pub, err := key.ParsePublic(text); err == nil {
			return pub
		}
	}
	t.Fatal("no such key")
	return key.Public{}
}

// TestIdentityPadding pads emoji hashes with digit zero and colour hashes not.
func TestIdentityPadding(t *testing.T) {
	t.Parallel()
	low := keyWithX(t, strings.Repeat("0", 59))
	emojis := EmojiHash(low)
	if want := slices.Repeat([]string{"😀"}, EmojiHashLength); !slices.Equal(emojis, want) {
		t.Errorf("emoji hash of zero is %v", emojis)
	}
	if got := ColorHash(low); len(got) != 0 {
		t.Errorf("colour hash of zero is %v", got)
	}
	// 160·33 + 1: lengths 2 and 1, both colour 1, the second moved on.
	twin := keyWithX(t, strings.Repeat("0", 61-4)+fmt.Sprintf("%04x", 160*33+1))
	if got, want := ColorHash(twin), [][2]int{{2, 1}, {1, 2}}; !slices.Equal(got, want) {
		t.Errorf("neighbours of one colour: %v, want %v", got, want)
	}
	// 160·31 + 31: the last colour is followed by the first.
	wrapped := keyWithX(t, strings.Repeat("0", 61-4)+fmt.Sprintf("%04x", 160*31+31))
	if got, want := ColorHash(wrapped), [][2]int{{1, 31}, {1, 0}}; !slices.Equal(got, want) {
		t.Errorf("neighbours of the last colour: %v, want %v", got, want)
	}
	// The greatest key still has 14 emoji.
	high := keyWithX(t, strings.Repeat("f", 7)+"e"+strings.Repeat("f", 50))
	if got := EmojiHash(high); len(got) != EmojiHashLength || slices.Contains(got, "") {
		t.Errorf("emoji hash of a high key is %v", got)
	}
	if Alias(key.Public{}) == "" || len(EmojiHash(key.Public{})) != EmojiHashLength {
		t.Error("the zero key has no name")
	}
}

// TestTables checks what all other uses of the tables rest on: their sizes,
// and that no line was lost or joined.
func TestTables(t *testing.T) {
	t.Parallel()
	light, dark := RingColors(false), RingColors(true)
	for _, table := range []struct {
		name        string
		rows        []string
		size, alone int
	}{
		{"adjectives", adjectives(), 1389, 1372},
		{"animals", animals(), 1704, 1673},
		{"emoji", emoji(), 2757, 2757},
		{"light", light, RingColorCount, RingColorCount},
		{"dark", dark, RingColorCount, RingColorCount},
	} {
		distinct := map[string]bool{}
		for i, row := range table.rows {
			if row == "" || strings.ContainsAny(row, " \r\n\t") {
				t.Errorf("%s: row %d is %q", table.name, i, row)
			}
			distinct[row] = true
		}
		if len(table.rows) != table.size || len(distinct) != table.alone {
			t.Errorf("%s has %d rows, %d distinct, want %d, %d", table.name, len(table.rows), len(distinct), table.size, table.alone)
		}
	}
	// Every row in its place: the tables never change.
	for text, want := range map[string]string{
		adjectivesText: "073e0881b0c90485c437ca00ac1d77afb14c1b575a6d1901c259c1546cceda4b",
		animalsText:    "d53074a2d18d91ce44aab57a2e99e43fff44430ebf2c51ab78889c3538997949",
		emojiText:      "6ca35492b358ddd626ad666cdb7911c80a5237761a932546630592648f159adc",
		ringColorsText: "372e1c413c30f9cd395b3203859828c1b4976ff0d1f0608195e9a09f17e43fac",
	} {
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); got != want {
			t.Errorf("table beginning with %.10q has SHA-256 %s, want %s", text, got, want)
		}
	}
	for _, c := range append(light, dark...) {
		if len(c) != 7 || c[0] != '#' || strings.Trim(c[1:], "0123456789ABCDEF") != "" {
			t.Errorf("%q is no colour", c)
		}
	}
	light[0] = "changed"
	if RingColors(false)[0] == "changed" {
		t.Error("a caller can change the table")
	}
}

func BenchmarkAlias(b *testing.B) {
	pub := benchKey(b)
	b.ReportAllocs()
	for b.Loop() {
		Alias(pub)
	}
}

func BenchmarkEmojiHash(b *testing.B) {
	pub := benchKey(b)
	b.ReportAllocs()
	for b.Loop() {
		EmojiHash(pub)
	}
}

func benchKey(b *testing.B) key.Public {
	b.Helper()
	keys, err := Derive(examplePhrase, "")
	if err != nil {
		b.Fatal(err)
	}
	return keys.Chat.Public()
}
