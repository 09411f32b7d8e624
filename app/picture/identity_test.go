package picture

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// random returns randomness that is the same every time.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func newKey(t testing.TB, seed byte) key.Private {
	t.Helper()
	k, err := key.Generate(random(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Proves: AP-213.
func TestProfile(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"photo":  jpegWithMetadata(asJPEG(t, photo(400, 280), 90), 6),
		"png":    pngWithMetadata(asPNG(t, photo(250, 400)), 1),
		"gif":    asGIF(t, 250, 250, 3),
		"static": asPNG(t, static(300, 300)),
	} {
		set, err := Profile(data, image.Rectangle{})
		if err != nil || len(set) != 2 {
			t.Errorf("%s: %d pictures, %v", name, len(set), err)
			continue
		}
		for _, c := range []struct {
			name      string
			side, max int
		}{{Thumbnail, ThumbnailSide, ThumbnailMax}, {Large, LargeSide, LargeMax}} {
			p := set[c.name]
			if p.Format != JPEG || p.Width != p.Height || p.Width > c.side || len(p.Data) > c.max {
				t.Errorf("%s %s: %s of %d×%d, %d bytes", name, c.name, p.Format, p.Width, p.Height, len(p.Data))
			}
			if name != "static" && p.Width != c.side {
				t.Errorf("%s %s: %d pixels", name, c.name, p.Width)
			}
			onlyPixels(t, p.Data)
		}
		kept, bad := Fit(set.Wire())
		if len(bad) > 0 || len(kept) != 2 || !bytes.Equal(kept[Large].Data, set[Large].Data) {
			t.Errorf("%s: %d are kept, %v", name, len(kept), bad)
		}
	}
	small, err := Profile(asPNG(t, photo(50, 60)), image.Rectangle{})
	if err != nil || small[Large].Width != 50 || small[Thumbnail].Height != 50 {
		t.Errorf("%v, %v", small, err)
	}
}

func TestCrop(t *testing.T) {
	t.Parallel()
	data := asPNG(t, turned(64, 64, 1))
	for _, c := range []struct {
		crop image.Rectangle
		want [2]int
	}{{image.Rect(0, 0, 32, 32), [2]int{0, 0}}, {image.Rect(33, 2, 63, 31), [2]int{0, 1}}, {image.Rect(32, 32, 64, 64), [2]int{1, 1}}} {
		set, err := Profile(data, c.crop)
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := image.Decode(bytes.NewReader(set[Large].Data))
		if err != nil {
			t.Fatal(err)
		}
		want := quarters[c.want[0]][c.want[1]]
		for _, at := range []int{1, img.Bounds().Dx() - 2} {
			r, g, b, _ := img.At(at, at).RGBA()
			if distance(uint8(r>>8), want.R) > 12 || distance(uint8(g>>8), want.G) > 12 || distance(uint8(b>>8), want.B) > 12 {
				t.Errorf("%v: %d,%d,%d, not %v", c.crop, r>>8, g>>8, b>>8, want)
			}
		}
	}
	for _, crop := range []image.Rectangle{
		image.Rect(0, 0, 65, 64), image.Rect(-1, 0, 20, 20), {Min: image.Pt(5, 5), Max: image.Pt(5, 9)}, {Min: image.Pt(9, 9), Max: image.Pt(5, 5)},
	} {
		if _, err := Profile(data, crop); !errors.Is(err, ErrCrop) {
			t.Errorf("%v: %v", crop, err)
		}
		if _, err := BannerOf(data, crop); !errors.Is(err, ErrCrop) {
			t.Errorf("banner %v: %v", crop, err)
		}
	}
	if set, err := Profile(data, image.Rect(0, 0, 64, 64)); err != nil || set[Large].Width != 64 {
		t.Errorf("%v, %v", set, err)
	}
}

func TestBanner(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]int{{880, 840, 838, 800}, {400, 300, 400, 300}, {820, 1000, 800, 976}, {2500, 810, 2400, 778}, {801, 801, 800, 800}} {
		p, err := BannerOf(asJPEG(t, image.NewGray(image.Rect(0, 0, c[0], c[1])), 80), image.Rectangle{})
		if err != nil || p.Width != c[2] || p.Height != c[3] || len(p.Data) > BannerMax {
			t.Errorf("%v: %d×%d, %d bytes, %v", c, p.Width, p.Height, len(p.Data), err)
		}
		onlyPixels(t, p.Data)
		kept, bad := Fit(Set{Banner: p}.Wire())
		if len(bad) > 0 || len(kept) != 1 {
			t.Errorf("%v: %v", c, bad)
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	good := asJPEG(t, photo(80, 80), 80)
	wire := func(data []byte) *apppb.IdentityImage { return &apppb.IdentityImage{Payload: data} }
	for name, c := range map[string]struct {
		name  string
		image *apppb.IdentityImage
		want  error
	}{
		"good":            {Thumbnail, wire(good), nil},
		"a PNG":           {Large, &apppb.IdentityImage{Payload: asPNG(t, photo(9, 9)), ImageFormat: int32(apppb.ImageFormat_JPEG)}, nil},
		"of most bytes":   {Banner, wire(append(bytes.Clone(good), make([]byte, MaxIdentityBytes-len(good))...)), nil},
		"a byte too many": {Banner, wire(append(bytes.Clone(good), make([]byte, MaxIdentityBytes-len(good)+1)...)), ErrBytes},
		"of most pixels":  {Large, wire(asPNG(t, image.NewGray(image.Rect(0, 0, MaxIdentitySide, 4)))), nil},
		"a pixel more":    {Large, wire(asPNG(t, image.NewGray(image.Rect(0, 0, MaxIdentitySide+1, 4)))), ErrPixels},
		"animated":        {Large, wire(asGIF(t, 10, 10, 2)), ErrFrames},
		"unknown":         {"portrait", wire(good), ErrName},
		"encrypted":       {Large, &apppb.IdentityImage{Payload: good, Encrypted: true}, ErrSealed},
		"nothing":         {Large, nil, ErrFormat},
		"no picture":      {Large, wire([]byte("<svg/>")), ErrFormat},
		"cut off":         {Large, wire(good[:len(good)-2]), ErrTruncated},
	} {
		set, bad := Fit(map[string]*apppb.IdentityImage{c.name: c.image})
		if c.want == nil {
			if len(bad) > 0 || len(set) != 1 || set[c.name].Format != sniff(c.image.Payload) {
				t.Errorf("%s: %v", name, bad)
			}
		} else if len(bad) != 1 || !errors.Is(bad[0], c.want) || len(set) > 0 {
			t.Errorf("%s: %v, want %v", name, bad, c.want)
		}
	}
	set, bad := Fit(map[string]*apppb.IdentityImage{Thumbnail: wire(good), "b": wire(good), "a": wire(good)})
	if len(set) != 1 || len(bad) != 2 || !strings.Contains(bad[0].Error(), `"a"`) {
		t.Errorf("%d are kept, %v", len(set), bad)
	}
}

func TestShowing(t *testing.T) {
	t.Parallel()
	alice, bob, carol := newKey(t, 1), newKey(t, 2), newKey(t, 3)
	set, err := Profile(asJPEG(t, photo(300, 300), 90), image.Rectangle{})
	if err != nil {
		t.Fatal(err)
	}
	showing := Showing{Own: alice, Contacts: []key.Public{bob.Public()}}
	sees := func(who key.Private, images map[string]*apppb.IdentityImage) int {
		set, bad := Fit(Unseal(who, alice.Public(), images))
		if len(bad) > 0 {
			t.Error(bad)
		}
		return len(set)
	}
	for to, want := range map[ShowTo][2]int{Everyone: {2, 2}, ContactsOnly: {2, 0}, Nobody: {0, 0}} {
		if got, err := ParseShowTo(string(to)); err != nil || got != to {
			t.Errorf("%s is %s, %v", to, got, err)
		}
		showing.To = to
		images, err := showing.Images(random(4), set)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]int{sees(bob, images), sees(carol, images)}; got != want {
			t.Errorf("%s: contact and stranger see %v, not %v", to, got, want)
		}
	}
	showing.To = "friends"
	if _, err := showing.Images(random(4), set); !errors.Is(err, ErrShowTo) {
		t.Error(err)
	}
	if _, err := ParseShowTo(""); !errors.Is(err, ErrShowTo) {
		t.Error(err)
	}
}

func TestSealOpens(t *testing.T) {
	t.Parallel()
	alice := newKey(t, 1)
	var contacts []key.Private
	var keys []key.Public
	for i := range byte(5) {
		contacts = append(contacts, newKey(t, 10+i))
		keys = append(keys, contacts[i].Public())
	}
	images := map[string]*apppb.IdentityImage{
		Thumbnail: {Payload: []byte("small"), ImageFormat: 2, SourceType: apppb.IdentityImage_RAW_PAYLOAD},
		Large:     {Payload: []byte("large"), ImageFormat: 1},
	}
	before := proto.CloneOf(images[Large])
	sealed, err := Seal(random(5), alice, keys, images)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(before, images[Large]) {
		t.Error("the given images were changed")
	}
	for name, m := range sealed {
		if !m.Encrypted || len(m.EncryptionKeys) != 5 || bytes.Contains(m.Payload, images[name].Payload) ||
			len(m.Payload) != 12+len(images[name].Payload)+16 {
			t.Errorf("%s: %v", name, m)
		}
	}
	for i, contact := range contacts {
		opened := Unseal(contact, alice.Public(), sealed)
		for name, m := range images {
			if !proto.Equal(opened[name], m) {
				t.Errorf("contact %d: %s is %v", i, name, opened[name])
			}
		}
		if got := Unseal(contact, contacts[(i+1)%5].Public(), sealed); len(got) > 0 {
			t.Error("opened as of another sender")
		}
	}
	if got := Unseal(newKey(t, 9), alice.Public(), sealed); len(got) > 0 {
		t.Error("a stranger sees the pictures")
	}
	sealed[Banner] = &apppb.IdentityImage{Payload: []byte("open")}
	if got := Unseal(newKey(t, 9), alice.Public(), sealed); len(got) != 1 || string(got[Banner].Payload) != "open" {
		t.Errorf("what is open: %v", got)
	}
	nobody, err := Seal(random(5), alice, nil, images)
	if err != nil || len(nobody) != 2 || !nobody[Large].Encrypted {
		t.Errorf("for nobody: %v, %v", nobody, err)
	}
}

// What does not decrypt is dropped, whatever is wrong with it, and never
// disturbs what does.
func TestUnsealHostile(t *testing.T) {
	t.Parallel()
	alice, bob := newKey(t, 1), newKey(t, 2)
	images := map[string]*apppb.IdentityImage{Large: {Payload: []byte("large")}}
	seal := func() *apppb.IdentityImage {
		sealed, err := Seal(random(5), alice, []key.Public{bob.Public()}, images)
		if err != nil {
			t.Fatal(err)
		}
		return sealed[Large]
	}
	opens := func(m *apppb.IdentityImage) bool {
		return len(Unseal(bob, alice.Public(), map[string]*apppb.IdentityImage{Large: m})) == 1
	}
	if !opens(seal()) {
		t.Fatal("does not open at all")
	}
	m := seal()
	for i := range m.Payload {
		m.Payload[i] ^= 1
		if opens(m) {
			t.Errorf("opens with byte %d changed", i)
		}
		m.Payload[i] ^= 1
	}
	for i := range m.EncryptionKeys[0] {
		m.EncryptionKeys[0][i] ^= 1
		if opens(m) {
			t.Errorf("opens with byte %d of the key changed", i)
		}
		m.EncryptionKeys[0][i] ^= 1
	}
	for _, payload := range [][]byte{nil, {}, make([]byte, 11), make([]byte, 12), make([]byte, 27)} {
		m := seal()
		m.Payload = payload
		if opens(m) {
			t.Errorf("%d bytes open", len(payload))
		}
	}
	m = seal()
	m.EncryptionKeys = append([][]byte{nil, {}, make([]byte, 12), make([]byte, 60), make([]byte, 61)}, m.EncryptionKeys...)
	if !opens(m) {
		t.Error("keys that are none stop those that are")
	}
	// The key that opens is the last that is tried, or one too late.
	for n, want := range map[int]bool{MaxKeys: true, MaxKeys + 1: false} {
		m := seal()
		keys := make([][]byte, n)
		keys[n-1] = m.EncryptionKeys[0]
		m.EncryptionKeys = keys
		if opens(m) != want {
			t.Errorf("%d keys: opens is %t", n, !want)
		}
	}
	many := map[string]*apppb.IdentityImage{}
	for i := range MaxSealed + 1 {
		many[fmt.Sprint(i)] = seal()
	}
	if got := Unseal(bob, alice.Public(), many); len(got) != MaxSealed {
		t.Errorf("%d of %d images are opened", len(got), len(many))
	}
	m = seal()
	if got := Unseal(key.Private{}, alice.Public(), map[string]*apppb.IdentityImage{Large: m}); len(got) > 0 {
		t.Error("opened without a key")
	}
	for n, want := range map[int]bool{MaxIdentityBytes: true, MaxIdentityBytes + 1: false} {
		sealed, err := Seal(random(5), alice, []key.Public{bob.Public()}, map[string]*apppb.IdentityImage{Large: {Payload: make([]byte, n)}})
		if err != nil || opens(sealed[Large]) != want {
			t.Errorf("a picture of %d bytes: opens is %t, %v", n, !want, err)
		}
	}
}

func TestSealErrors(t *testing.T) {
	t.Parallel()
	alice, bob := newKey(t, 1), newKey(t, 2)
	images := map[string]*apppb.IdentityImage{Large: {Payload: []byte("large")}}
	contacts := make([]key.Public, MaxKeys+1)
	if _, err := Seal(random(5), alice, contacts, images); !errors.Is(err, ErrContacts) {
		t.Errorf("too many contacts: %v", err)
	}
	if _, err := Seal(random(5), alice, contacts[:1], images); !errors.Is(err, key.ErrPublic) {
		t.Errorf("no contact: %v", err)
	}
	if _, err := Seal(random(5), key.Private{}, []key.Public{bob.Public()}, images); !errors.Is(err, key.ErrPrivate) {
		t.Errorf("no key of our own: %v", err)
	}
	for n := range 32 + 12 + 12 {
		if _, err := Seal(io.LimitReader(random(5), int64(n)), alice, []key.Public{bob.Public()}, images); err == nil {
			t.Errorf("%d bytes of randomness are enough", n)
		}
	}
	if got, err := Seal(random(5), alice, []key.Public{bob.Public()}, map[string]*apppb.IdentityImage{Large: nil}); err != nil || !got[Large].Encrypted {
		t.Errorf("an image that is nil: %v, %v", got, err)
	}
}

// The keys of pictures are wrapped with the secrets that deployed clients
// agree on: what we seal opens with a recorded secret and nothing but AES-GCM,
// and what is sealed that way we open.
func TestVectorsImageKeys(t *testing.T) {
	t.Parallel()
	type agreement struct {
		PrivateKeyA, PrivateKeyB, PublicKeyA, PublicKeyB, Shared vectors.Hex
	}
	for i, c := range vectors.Cases[agreement](t, "ecdh") {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			a, err := key.PrivateFromBytes(c.PrivateKeyA)
			if err != nil {
				t.Fatal(err)
			}
			b, err := key.PrivateFromBytes(c.PrivateKeyB)
			if err != nil {
				t.Fatal(err)
			}
			aead := func(secret []byte) cipher.AEAD {
				block, err := aes.NewCipher(secret)
				if err != nil {
					t.Fatal(err)
				}
				g, err := cipher.NewGCM(block)
				if err != nil {
					t.Fatal(err)
				}
				return g
			}
			open := func(secret, sealed []byte) []byte {
				plain, err := aead(secret).Open(nil, sealed[:12], sealed[12:], nil)
				if err != nil {
					t.Fatal(err)
				}
				return plain
			}
			want := []byte("a picture")
			sealed, err := Seal(random(6), a, []key.Public{b.Public()}, map[string]*apppb.IdentityImage{Large: {Payload: want}})
			if err != nil {
				t.Fatal(err)
			}
			imageKey := open(c.Shared, sealed[Large].EncryptionKeys[0])
			if got := open(imageKey, sealed[Large].Payload); !bytes.Equal(got, want) {
				t.Errorf("the picture is %x", got)
			}

			nonce := bytes.Repeat([]byte{7}, 12)
			imageKey = bytes.Repeat([]byte{9}, 32)
			theirs := &apppb.IdentityImage{
				Payload:        aead(imageKey).Seal(bytes.Clone(nonce), nonce, want, nil),
				EncryptionKeys: [][]byte{aead(c.Shared).Seal(bytes.Clone(nonce), nonce, imageKey, nil)},
				Encrypted:      true,
			}
			got := Unseal(b, a.Public(), map[string]*apppb.IdentityImage{Large: theirs})
			if !bytes.Equal(got[Large].GetPayload(), want) {
				t.Errorf("their picture is %v", got)
			}
		})
	}
}

func BenchmarkUnseal(b *testing.B) {
	alice, bob := newKey(b, 1), newKey(b, 2)
	images := map[string]*apppb.IdentityImage{Thumbnail: {Payload: make([]byte, ThumbnailMax)}, Large: {Payload: make([]byte, LargeMax)}}
	sealed, err := Seal(random(5), alice, []key.Public{bob.Public()}, images)
	if err != nil {
		b.Fatal(err)
	}
	wrapped := sealed[Large].EncryptionKeys[0]
	keys := make([][]byte, 500)
	for i := range keys {
		keys[i] = make([]byte, len(wrapped))
	}
	keys[len(keys)-1] = wrapped
	for _, m := range sealed {
		m.EncryptionKeys = keys
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Unseal(bob, alice.Public(), sealed)) != 2 {
			b.Fatal("does not open")
		}
	}
}
