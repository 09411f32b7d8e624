package group

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/parley-im/parley/account/key"
)

// Ids are made in the order that deployed clients read.
//
// Proves: AP-005.
func TestNewID(t *testing.T) {
	t.Parallel()
	me := people(1)[0].Public()
	id, err := NewID(me, bytes.NewReader(bytes.Repeat([]byte{0xff}, 16)))
	if err != nil || id != "ffffffff-ffff-4fff-bfff-ffffffffffff-"+me.Hex() {
		t.Fatalf("%s, %v", id, err)
	}
	if _, err := uuid.Parse(id[:uuidSize]); err != nil {
		t.Error(err)
	}
	if k, err := Creator(id); err != nil || k != me {
		t.Errorf("creator %v, %v", k, err)
	}
	if _, err := NewID(me, bytes.NewReader(make([]byte, 15))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short randomness: %v", err)
	}
	if _, err := NewID(key.Public{}, zeros{}); !errors.Is(err, key.ErrPublic) {
		t.Errorf("no creator: %v", err)
	}
}

// Both orders of a chat id are read.
//
// Proves: AP-005.
func TestCreator(t *testing.T) {
	t.Parallel()
	me := people(1)[0].Public()
	const u = "a6d8d10f-f235-4efd-91d9-8b9418d005fb"
	for name, id := range map[string]string{
		"deployed":                u + "-" + me.Hex(),
		"deployed, another start": "x-" + me.Hex(),
		"longest":                 strings.Repeat("x", MaxIDSize-hexSize-1) + "-" + me.Hex(),
		"specification":           me.Hex()[2:] + "-" + u,
		"specification with 0x":   me.Hex() + "-" + u,
	} {
		if k, err := Creator(id); err != nil || k != me {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
	for name, id := range map[string]string{
		"empty":               "",
		"key alone":           me.Hex(),
		"nothing before it":   "-" + me.Hex(),
		"no hyphen":           u + me.Hex(),
		"upper case":          u + "-0x" + strings.ToUpper(me.Hex()[2:]),
		"compressed":          u + "-" + me.CompressedHex(),
		"no point":            u + "-0x04" + strings.Repeat("1", 128),
		"one byte too long":   strings.Repeat("x", MaxIDSize-hexSize) + "-" + me.Hex(),
		"key and no uuid":     me.Hex() + "-x",
		"key and urn":         me.Hex() + "-urn:uuid:" + u,
		"key and uuid braced": me.Hex() + "-{" + u + "}",
		"uuid alone":          u,
		"1:1 chat":            me.Hex(),
	} {
		if k, err := Creator(id); !errors.Is(err, ErrID) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}
