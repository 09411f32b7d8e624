package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{0xfb, 0xff}, 10)
	for text, want := range map[string][]byte{
		"0a0B":                                  {0x0a, 0x0b},
		"0x0a0b":                                {0x0a, 0x0b},
		"0X0A":                                  {0x0a},
		" 0x0a\n0b\t0c \r\n":                    {0x0a, 0x0b, 0x0c},
		"abcd":                                  {0xab, 0xcd}, // hexadecimal, though base64 too
		"aGVsbG8=":                              []byte("hello"),
		"aGVsbG8":                               []byte("hello"),
		"aGVs\nbG8=\n":                          []byte("hello"),
		base64.StdEncoding.EncodeToString(long): long,
		base64.RawStdEncoding.EncodeToString(long): long,
		base64.URLEncoding.EncodeToString(long):    long,
		base64.RawURLEncoding.EncodeToString(long): long,
	} {
		got, err := Bytes(text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q is %x, %v; want %x", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"":          ErrEmpty,
		" \n":       ErrEmpty,
		"0x":        ErrEmpty,
		"0x0":       ErrEncoding,
		"abc":       ErrEncoding, // not base64 for somebody who lost a digit
		"0xzz":      ErrEncoding,
		"not this!": ErrEncoding,
		"aGVsbG8==": ErrEncoding,
		"aGVsbG===": ErrEncoding,
		"a+b-":      ErrEncoding, // of both alphabets
		"aGVsbG9":   ErrEncoding, // bits left over
		"ä":         ErrEncoding,
		"====":      ErrEncoding,
	} {
		_, err := Bytes(text)
		if !errors.Is(err, want) || fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%q: %v, kind %s, hint %q; want %v", text, err, fault.KindOf(err), fault.HintOf(err), want)
		}
	}
}

func TestBytesLimits(t *testing.T) {
	t.Parallel()
	if b, err := Bytes(strings.Repeat("00", MaxBytes)); err != nil || len(b) != MaxBytes {
		t.Errorf("the most: %d bytes, %v", len(b), err)
	}
	if _, err := Bytes(strings.Repeat("00", MaxBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
	padding := strings.Repeat(" ", MaxInput-2)
	if _, err := Bytes("00" + padding); err != nil {
		t.Errorf("the longest text: %v", err)
	}
	if _, err := Bytes("00" + padding + " "); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a text that is longer: %v", err)
	}
	if _, err := DescribeTopic(strings.Repeat("n", MaxText)); err != nil {
		t.Errorf("the longest name: %v", err)
	}
	if _, err := DescribeTopic(strings.Repeat("n", MaxText+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a name that is longer: %v", err)
	}
	for _, parse := range []func(string) error{
		func(s string) error { _, err := ParseSubject(s); return err },
		func(s string) error { _, err := ParseURL(s); return err },
		func(s string) error { _, err := ParseENR(s); return err },
		func(s string) error { _, err := ParseMultiaddr(s); return err },
	} {
		if err := parse(strings.Repeat("n", MaxText)); err == nil || errors.Is(err, ErrTooLarge) {
			t.Errorf("the longest text: %v", err)
		}
		if err := parse(strings.Repeat("n", MaxText+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a text that is longer: %v", err)
		}
		if err := parse(" "); !errors.Is(err, ErrEmpty) || fault.KindOf(err) != fault.Usage {
			t.Errorf("no text: %v", err)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	const digits = "780dfb739b14191706f0dc9e000ad83b2c4653de9db4523e7f34c81f90a8a2fc"
	for _, content := range []string{digits, "0x" + digits, "\n " + strings.ToUpper(digits) + "\r\n"} {
		got, err := Secret(content)
		if err != nil || hex.EncodeToString(got[:]) != digits {
			t.Errorf("%q is %x, %v", content, got, err)
		}
	}
	for _, content := range []string{"", digits[:62], digits + "00", "g" + digits[1:], digits + " " + digits} {
		_, err := Secret(content)
		if !errors.Is(err, ErrSecret) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", content, err)
		}
		if err != nil && len(content) > 10 && strings.Contains(err.Error()+fault.HintOf(err), content[2:10]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
	if _, err := OpenAsymmetric([]byte{1}, [32]byte{}); !errors.Is(err, ErrSecret) || fault.KindOf(err) != fault.Usage {
		t.Errorf("a private key of zeros: %v", err)
	}
	if _, err := OpenSymmetric([]byte{1}, [32]byte{}); fault.KindOf(err) != fault.Invalid || fault.HintOf(err) == "" {
		t.Errorf("bytes that are not sealed: %v", err)
	}
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	pub := testKey(t).Public()
	const uuid = "9ee020e0-6ff0-4b72-b79c-d41f2eac2e9c"
	for text, want := range map[string]Subject{
		pub.Hex():                         {Key: pub},
		pub.Hex()[2:]:                     {Key: pub},
		pub.CompressedHex():               {Key: pub},
		pub.String():                      {Key: pub},
		share.Base + "/u#" + pub.String(): {Key: pub, Kind: share.User},
		share.Base + "/c#" + pub.String(): {Key: pub, Kind: share.Community},
		share.Base + "/cc/" + uuid + "#" + pub.String(): {Key: pub, Kind: share.Channel, Channel: uuid},
		share.Internal + "/u#" + pub.String():           {Key: pub, Kind: share.User},
	} {
		if got, err := ParseSubject(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]error{
		"alice":                             key.ErrPublic,
		"0x04" + strings.Repeat("11", 64):   key.ErrPublic,
		share.Base + "/u#alice.eth":         ErrNoKey,
		share.Base + "/u#zQ3sh":             share.ErrKey,
		share.Base + "/u/@#" + pub.String(): share.ErrData,
	} {
		_, err := ParseSubject(text)
		if !errors.Is(err, want) || fault.KindOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTopics(t *testing.T) {
	t.Parallel()
	pub := testKey(t).Public()
	purposes := func(s Subject, community bool) string {
		topics, err := Topics(s, community)
		if err != nil {
			return err.Error()
		}
		var names []string
		for _, topic := range topics {
			names = append(names, topic.Purpose)
		}
		return strings.Join(names, " ")
	}
	const person = "personal partitioned contact_code"
	const community = "community universal shard_info ping magnetlinks control"
	for _, c := range []struct {
		subject   Subject
		community bool
		want      string
	}{
		{Subject{Key: pub}, false, person},
		{Subject{Key: pub, Kind: share.User}, false, person},
		{Subject{Key: pub, Kind: share.User}, true, ErrUser.Error()},
		{Subject{Key: pub}, true, community},
		{Subject{Key: pub, Kind: share.Community}, false, community},
		{Subject{Key: pub, Kind: share.Channel, Channel: "x"}, false, community + " channel"},
	} {
		same(t, "topics", purposes(c.subject, c.community), c.want)
	}
}

// What is written in any of the accepted forms is read back, and nothing else
// is made up of it.
func FuzzBytes(f *testing.F) {
	for _, s := range []string{"", "0x0a", "0x 0a\n0b", "abc", "aGVsbG8=", "-_-_", "+/+/", "====", "ä", "0x", "zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Bytes(text)
		if err == nil && (len(b) == 0 || len(b) > len(text)) {
			t.Errorf("%q is %d bytes", text, len(b))
		}
		if err != nil && fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: kind %s", text, fault.KindOf(err))
		}
		raw := []byte(text)
		if len(raw) == 0 || len(raw) > 1000 {
			return
		}
		digits := hex.EncodeToString(raw)
		forms := []string{digits, "0x" + digits, strings.ToUpper(digits), " " + digits[:1] + "\n" + digits[1:]}
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
			if s := encoding.EncodeToString(raw); !isHex(s) && !strings.HasPrefix(strings.ToLower(s), "0x") {
				forms = append(forms, s)
			}
		}
		for _, form := range forms {
			if got, err := Bytes(form); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%q is %x, %v; want %x", form, got, err, raw)
			}
		}
	})
}
