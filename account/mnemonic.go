package account

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tyler-smith/go-bip39"
	"golang.org/x/text/unicode/norm"
)

// DefaultWords is the length of a new recovery phrase: 12 words, 128 bits of
// entropy, as deployed clients make them.
const DefaultWords = 12

// SeedSize is the length in bytes of a BIP-39 seed.
const SeedSize = 64

// Errors of recovery phrases. Each wraps ErrMnemonic, and none repeats a word.
var (
	ErrMnemonic  = errors.New("not a valid recovery phrase")
	ErrWordCount = fmt.Errorf("%w: wrong number of words", ErrMnemonic)
	ErrChecksum  = fmt.Errorf("%w: checksum does not match, a word is wrong or out of place", ErrMnemonic)
)

// WordError says which word of a recovery phrase is not in the English word
// list of BIP-39. It names the place, not the word: the phrase is secret.
type WordError struct {
	// Position counts words from 1.
	Position int
}

// Error names the place of the word.
func (e *WordError) Error() string {
	return fmt.Sprintf("%v: word %d is not in the word list", ErrMnemonic, e.Position)
}

// Unwrap returns ErrMnemonic.
func (e *WordError) Unwrap() error { return ErrMnemonic }

// NewMnemonic makes a recovery phrase of 12, 15, 18, 21 or 24 English words
// (BIP-39) from the first bytes of rand: 4 bytes for every 3 words.
func NewMnemonic(words int, rand io.Reader) (string, error) {
	if !validWordCount(words) {
		return "", wordCountError(words)
	}
	entropy := make([]byte, words/3*4)
	if _, err := io.ReadFull(rand, entropy); err != nil {
		return "", fmt.Errorf("making a recovery phrase: %w", err)
	}
	phrase, err := bip39.NewMnemonic(entropy)
	if err != nil {
		return "", fmt.Errorf("making a recovery phrase: %w", err)
	}
	return phrase, nil
}

// ParseMnemonic checks a recovery phrase as a person wrote it and returns it
// in its one spelling: NFKD, lower case, single spaces. Any white space
// separates words. Errors are ErrWordCount, *WordError and ErrChecksum.
func ParseMnemonic(phrase string) (string, error) {
	words := strings.Fields(strings.ToLower(norm.NFKD.String(phrase)))
	if !validWordCount(len(words)) {
		return "", wordCountError(len(words))
	}
	for i, word := range words {
		if _, ok := bip39.GetWordIndex(word); !ok {
			return "", &WordError{Position: i + 1}
		}
	}
	canonical := strings.Join(words, " ")
	// With number and words checked, only the checksum can be wrong.
	if _, err := bip39.EntropyFromMnemonic(canonical); err != nil {
		return "", ErrChecksum
	}
	return canonical, nil
}

// Seed returns the 64-byte BIP-39 seed of a recovery phrase, which is checked
// as ParseMnemonic does, and an optional passphrase: PBKDF2-HMAC-SHA512 with
// 2048 rounds over the NFKD forms of both.
func Seed(phrase, passphrase string) ([]byte, error) {
	canonical, err := ParseMnemonic(phrase)
	if err != nil {
		return nil, err
	}
	return bip39.NewSeed(canonical, norm.NFKD.String(passphrase)), nil
}

func validWordCount(n int) bool { return n >= 12 && n <= 24 && n%3 == 0 }

func wordCountError(n int) error {
	return fmt.Errorf("%w: %d, want 12, 15, 18, 21 or 24", ErrWordCount, n)
}
