package account

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/common"

	"github.com/parley-im/parley/account/key"
)

// The tables behind names and pictures. Order and duplicates are part of the
// protocol: every deployed client draws from the same ones.
var (
	//go:embed data/adjectives.txt
	adjectivesText string
	//go:embed data/animals.txt
	animalsText string
	//go:embed data/emoji.txt
	emojiText string
	//go:embed data/ring_colors.txt
	ringColorsText string

	adjectives = sync.OnceValue(func() []string { return lines(adjectivesText) })
	animals    = sync.OnceValue(func() []string { return lines(animalsText) })
	emoji      = sync.OnceValue(func() []string { return lines(emojiText) })
	ringColors = sync.OnceValue(func() (themes [2][]string) {
		for _, line := range lines(ringColorsText) {
			light, dark, _ := strings.Cut(line, " ")
			themes[0] = append(themes[0], light)
			themes[1] = append(themes[1], dark)
		}
		return themes
	})
)

func lines(text string) []string { return strings.Split(strings.TrimSuffix(text, "\n"), "\n") }

const (
	// EmojiHashLength is the number of symbols of an emoji hash.
	EmojiHashLength = 14
	// RingColorCount is the number of colours of the identicon ring.
	RingColorCount = 32
	// ColorCount is the number of colours that ColorID names.
	ColorCount = 11

	// maxRingLength is the greatest length of a segment of the ring.
	maxRingLength = 5
)

// Alias returns the three-word name of a key, such as "Hard Tame
// Brownbutterfly" (2/ACCOUNT).
func Alias(pub key.Public) string {
	x := pub.X()
	return aliasOf(binary.BigEndian.Uint64(x[24:]))
}

// aliasOf draws three words with a linear feedback shift register started
// with seed.
func aliasOf(seed uint64) string {
	next := func(table []string) string {
		bit := seed>>3 ^ seed>>4 ^ seed>>5 ^ seed>>7
		seed = seed<<1 | bit&1
		return table[seed%uint64(len(table))]
	}
	return next(adjectives()) + " " + next(adjectives()) + " " + next(animals())
}

// EmojiHash returns the EmojiHashLength emoji of a key: digits 3 to 42 of its
// compressed hexadecimal form as a number in base 2757, one emoji per digit.
func EmojiHash(pub key.Public) []string {
	alphabet := emoji()
	digits := inBase(nibbles(pub, 3, 43), len(alphabet))
	hash := make([]string, EmojiHashLength)
	pad := EmojiHashLength - len(digits)
	for i := range hash {
		if i < pad {
			hash[i] = alphabet[0]
		} else {
			hash[i] = alphabet[digits[i-pad]]
		}
	}
	return hash
}

// ColorHash returns the segments of the ring around a key's picture, each its
// length (1 to 5) and its colour (an index of RingColors): digits 43 to 62 of
// the compressed hexadecimal form as a number in base 160, without padding, so
// at most 11 segments. Neighbours never share a colour.
func ColorHash(pub key.Public) [][2]int {
	digits := inBase(nibbles(pub, 43, 63), RingColorCount*maxRingLength)
	segments := make([][2]int, len(digits))
	for i, d := range digits {
		color := d % RingColorCount
		if i > 0 && segments[i-1][1] == color {
			color = (color + 1) % RingColorCount
		}
		segments[i] = [2]int{d/RingColorCount + 1, color}
	}
	return segments
}

// ColorID returns the key's colour in the palette of user colours, 0 to
// ColorCount-1: the uncompressed key as a number, modulo ColorCount.
func ColorID(pub key.Public) int {
	n := new(big.Int).SetBytes(pub.Bytes())
	return int(n.Mod(n, big.NewInt(ColorCount)).Int64())
}

// RingColors returns the RingColorCount colours of the ring, "#RRGGBB", for a
// light or a dark background.
func RingColors(dark bool) []string {
	themes := ringColors()
	if dark {
		return slices.Clone(themes[1])
	}
	return slices.Clone(themes[0])
}

// Address returns the Ethereum address of a key with its EIP-55 checksum.
func Address(pub key.Public) string { return ChecksumAddress(pub.Address()) }

// ChecksumAddress writes an address as 0x and 40 hexadecimal digits whose case
// is a checksum (EIP-55).
func ChecksumAddress(address [20]byte) string { return common.Address(address).Hex() }

// nibbles returns hexadecimal digits from to to-1 of the compressed key as a
// number.
func nibbles(pub key.Public, from, to int) *big.Int {
	c := pub.Compressed()
	n, ok := new(big.Int).SetString(hex.EncodeToString(c[:])[from:to], 16)
	if !ok {
		panic(fmt.Sprintf("account: no number at digits %d to %d", from, to)) // hexadecimal always is one
	}
	return n
}

// inBase returns the digits of n, most significant first; none for zero.
func inBase(n *big.Int, base int) []int {
	var digits []int
	b, digit := big.NewInt(int64(base)), new(big.Int)
	for n.Sign() > 0 {
		n.DivMod(n, b, digit)
		digits = append(digits, int(digit.Int64()))
	}
	slices.Reverse(digits)
	return digits
}
