// Package topic names things on the Waku network: the content topics that
// Status derives from chat names, the symmetric keys of those names, and the
// pubsub topics of static shards.
//
// Sources: 23/WAKU2-TOPICS for the forms, 10/WAKU-USAGE, 54/WAKU2-X3DH-SESSIONS
// and 56/STATUS-COMMUNITIES for the names, WAKU2-RELAY-SHARDING for shards. The
// names that the specifications leave open are those of deployed clients.
package topic

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/parley-im/parley/account/key"
)

// MaxContent is the longest content topic that ParseContent reads, in bytes.
const MaxContent = 1024

// ErrContent is text that is no content topic.
var ErrContent = errors.New("not a content topic")

// Size is the number of bytes of a name's hash that its content topic shows.
const Size = 4

// Content returns the content topic of a name: /waku/1/0x<8 digits>/rfc26 with
// the first four bytes of the name's Keccak-256 (10/WAKU-USAGE).
func Content(name string) string {
	h := key.Keccak256([]byte(name))
	return "/waku/1/0x" + hex.EncodeToString(h[:Size]) + "/rfc26"
}

// Parsed is a content topic in its parts:
// /[generation/]application/version/name/encoding (23/WAKU2-TOPICS; the
// generation is that of WAKU2-RELAY-SHARDING, Automatic Sharding).
type Parsed struct {
	// Generation is the sharding generation; 0 when HasGeneration is false.
	Generation    uint32
	HasGeneration bool
	Application   string
	Version       string
	Name          string
	Encoding      string
}

// ParseContent reads a content topic of four parts, or of five when the first
// is a decimal generation. No part may be empty. What it reads, String writes
// back byte by byte.
func ParseContent(s string) (Parsed, error) {
	if len(s) > MaxContent {
		return Parsed{}, fmt.Errorf("%w: %d bytes, at most %d", ErrContent, len(s), MaxContent)
	}
	parts := strings.Split(s, "/")
	if parts[0] != "" || (len(parts) != 5 && len(parts) != 6) {
		return Parsed{}, fmt.Errorf("%w: want /application/version/name/encoding", ErrContent)
	}
	parts = parts[1:]
	var p Parsed
	if len(parts) == 5 {
		g, err := strconv.ParseUint(parts[0], 10, 32)
		if err != nil || strconv.FormatUint(g, 10) != parts[0] {
			return Parsed{}, fmt.Errorf("%w: the generation is no decimal number", ErrContent)
		}
		p.Generation, p.HasGeneration = uint32(g), true
		parts = parts[1:]
	}
	for _, part := range parts {
		if part == "" {
			return Parsed{}, fmt.Errorf("%w: empty part", ErrContent)
		}
	}
	p.Application, p.Version, p.Name, p.Encoding = parts[0], parts[1], parts[2], parts[3]
	return p, nil
}

// String returns the content topic.
func (p Parsed) String() string {
	s := "/" + p.Application + "/" + p.Version + "/" + p.Name + "/" + p.Encoding
	if p.HasGeneration {
		s = "/" + strconv.FormatUint(uint64(p.Generation), 10) + s
	}
	return s
}

// Hash returns the four bytes that Content shows; ok is false when the topic
// does not have the form that Content writes.
func (p Parsed) Hash() (h [Size]byte, ok bool) {
	if p.HasGeneration || p.Application != "waku" || p.Version != "1" || p.Encoding != "rfc26" {
		return h, false
	}
	digits, ok := strings.CutPrefix(p.Name, "0x")
	if !ok || len(digits) != 2*Size || strings.ToLower(digits) != digits {
		return h, false
	}
	_, err := hex.Decode(h[:], []byte(digits))
	return h, err == nil
}
