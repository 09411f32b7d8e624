package pairing

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/base58"
)

// deployedCode is a code that a deployed client makes for 127.0.0.1, port 1337.
const deployedCode = "cs3:kDDauj5:Q4:uqnnMwVUfJc2Fkcaojet8F1ufKC3hZdGEt47joyBx9yd:BbnZ7Gc66t54a9kEFCf7FW8SGQuYypwHVeNkRYeNoqV6:XxovYsfDefUHFJy8U98wtV:3BM1jGMPFuHMhJqEB"

func TestDeployedCode(t *testing.T) {
	t.Parallel()
	c, err := ParseCode(deployedCode)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Addrs, []netip.Addr{netip.MustParseAddr("127.0.0.1")}) || c.Port != 1337 ||
		c.InstallationID != "fabcfc11-6ed9-46d1-b723-de5d4ad1657a" || c.KeyUID != "some-key-uid" {
		t.Errorf("%v %d %s %s", c.Addrs, c.Port, c.InstallationID, c.KeyUID)
	}
	if c.Text() != deployedCode {
		t.Errorf("written as %s", c.Text())
	}
}

// newCode makes a code that names nobody.
func newCode(t testing.TB, addrs ...string) Code {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := Code{Port: 443, Server: &k.PublicKey}
	for _, a := range addrs {
		c.Addrs = append(c.Addrs, netip.MustParseAddr(a))
	}
	rand.Read(c.Key[:])
	return c
}

func same(a, b Code) bool {
	return slices.Equal(a.Addrs, b.Addrs) && a.Port == b.Port && a.Server.Equal(b.Server) && a.Key == b.Key &&
		a.InstallationID == b.InstallationID && a.KeyUID == b.KeyUID
}

// TestCodeByHand builds a code part by part.
func TestCodeByHand(t *testing.T) {
	t.Parallel()
	c := newCode(t, "192.168.1.42", "10.0.0.1", "fd00::1")
	c.Port = 256
	c.InstallationID = "fabcfc11-6ed9-46d1-b723-de5d4ad1657a"
	c.KeyUID = "0x6b9a"
	point, err := c.Server.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(digits string) []byte {
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	parts := []string{
		"cs3",
		base58.Encode(unhex("02c0a8012a0a00000101fd000000000000000000000000000001")),
		base58.Encode(unhex("0100")),
		base58.Encode(append([]byte{2 + point[64]%2}, point[1:33]...)),
		base58.Encode(c.Key[:]),
		base58.Encode(unhex("fabcfc116ed946d1b723de5d4ad1657a")),
		base58.Encode([]byte("0x6b9a")),
	}
	want := strings.Join(parts, ":")
	if c.Text() != want {
		t.Errorf("%s\nwant %s", c.Text(), want)
	}
	if got, err := ParseCode(" " + want + "\n"); err != nil || !same(got, c) {
		t.Errorf("read %v", err)
	}
	if got, err := ParseCode(want + ":anything:more"); err != nil || !same(got, c) {
		t.Errorf("with parts of the future: %v", err)
	}
	if got, err := ParseCode("cs99:" + strings.Join(parts[1:], ":")); err != nil || !same(got, c) {
		t.Errorf("of another version: %v", err)
	}
	c.InstallationID, c.KeyUID = "", ""
	for _, text := range []string{strings.Join(parts[:5], ":"), strings.Join(parts[:5], ":") + "::", c.Text()} {
		if got, err := ParseCode(text); err != nil || !same(got, c) {
			t.Errorf("without an owner: %v", err)
		}
	}
}

func TestParseCodeRefuses(t *testing.T) {
	t.Parallel()
	good := strings.Split(newCode(t, "192.168.1.42").Text(), ":")
	with := func(i int, part []byte) string {
		parts := slices.Clone(good)
		parts[i] = base58.Encode(part)
		return strings.Join(parts, ":")
	}
	many := func(n int) []byte { return append(append([]byte{byte(n)}, bytes.Repeat([]byte{10}, 4*n)...), 0) }
	long := func(n int) string { return strings.Join(good, ":") + ":" + strings.Repeat("x", n) }
	whole := len(strings.Join(good, ":")) + 1
	for name, text := range map[string]string{
		"nothing": "", "another text": "https://status.app/u#zQ3sh", "prefix alone": "cs", "four parts": strings.Join(good[:4], ":"),
		"too long":              long(MaxCodeSize - whole + 1),
		"no address part":       with(1, nil),
		"no address":            with(1, []byte{0, 0}),
		"address cut":           with(1, []byte{1, 10, 0, 0}),
		"no IPv6 count":         with(1, []byte{1, 10, 0, 0, 1}),
		"IPv6 cut":              with(1, []byte{0, 1, 10, 0, 0, 1}),
		"too many":              with(1, many(MaxAddrs+1)),
		"no port":               with(2, nil),
		"port 0":                with(2, []byte{0}),
		"port 65536":            with(2, []byte{1, 0, 0}),
		"no public key":         with(3, nil),
		"not on the curve":      with(3, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)),
		"no base58":             strings.Replace(strings.Join(good, ":"), good[4], strings.Repeat("0", 44), 1),
		"key of 31 bytes":       with(4, make([]byte, 31)),
		"key of 33 bytes":       with(4, make([]byte, 33)),
		"installation cut":      with(5, make([]byte, 15)),
		"key uid too long":      with(6, bytes.Repeat([]byte{'a'}, MaxKeyUIDSize+1)),
		"key uid not printable": with(6, []byte("a\x1bb")),
	} {
		if c, err := ParseCode(text); !errors.Is(err, ErrCode) || c.Addrs != nil {
			t.Errorf("%s: %v, want ErrCode", name, err)
		}
	}
	for name, text := range map[string]string{
		"longest":         long(MaxCodeSize - whole),
		"most addresses":  with(1, many(MaxAddrs)),
		"port 65535":      with(2, []byte{0xff, 0xff}),
		"longest key uid": with(6, bytes.Repeat([]byte{'a'}, MaxKeyUIDSize)),
	} {
		if _, err := ParseCode(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecretsHidden prints what holds secrets.
func TestSecretsHidden(t *testing.T) {
	t.Parallel()
	c := newCode(t, "10.0.0.1")
	a := newAccount(t, phrase)
	o := Outgoing{Account: a, Password: "a password"}
	r := Received{Profile: Profile{Name: "Ada"}}
	r.Spec.Mnemonic = phrase
	secrets := []string{c.Text(), base58.Encode(c.Key[:]), hex.EncodeToString(c.Key[:]), fmt.Sprint(c.Key[:]), phrase, "abandon", "a password"}
	for _, v := range []any{c, &c, o, &o, r, &r} {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		raw, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		text := fmt.Sprintf("%v %+v %#v %s %q %x %d", v, v, v, v, v, v, v) + log.String() + string(raw)
		for i, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%T shows secret %d", v, i)
			}
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add(deployedCode)
	f.Add(newCode(f, "10.0.0.1", "fd00::1").Text())
	f.Add("cs3::::")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCode(text)
		if err != nil {
			if !errors.Is(err, ErrCode) {
				t.Errorf("%v is not ErrCode", err)
			}
			return
		}
		if again, err := ParseCode(c.Text()); err != nil || !same(again, c) {
			t.Errorf("%q does not come back from %q: %v", text, c.Text(), err)
		}
	})
}
