package picture

import (
	"bytes"
	"errors"
	"image"
	"testing"

	apppb "github.com/parley-im/parley/pb/app"
)

// small keeps the fuzzers fast.
var small = Limits{Bytes: 1 << 16, Side: 256, Pixels: 1 << 14, Frames: 8, Total: 1 << 16}

func seed(f *testing.F) {
	f.Helper()
	for _, data := range samples(f) {
		f.Add(data)
	}
	f.Add(pngHeader(50_000, 50_000, 8, 6))
	f.Add(asPNG(f, image.NewGray16(image.Rect(0, 0, 5, 5))))
	f.Add(asPNG(f, image.NewNRGBA(image.Rect(0, 0, 5, 5))))
	f.Add(jpegWithMetadata(asJPEG(f, image.NewGray(image.Rect(0, 0, 17, 5)), 50), 7))
}

// named tells whether an error is one of this package.
func named(err error) bool {
	for _, known := range []error{
		ErrFormat, ErrTruncated, ErrMalformed, ErrBytes, ErrPixels, ErrFrames, ErrScans, ErrDecoder, ErrAnimation, ErrTarget,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func FuzzInspect(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := small.Inspect(data)
		if err != nil {
			if !named(err) || info != (Info{}) {
				t.Fatalf("%+v, %v", info, err)
			}
			return
		}
		if info.Width < 1 || info.Height < 1 || max(info.Width, info.Height) > small.Side || info.Width*info.Height > small.Pixels ||
			info.Frames < 1 || info.Frames > small.Frames || info.Orientation < 1 || info.Orientation > 8 {
			t.Fatalf("%+v", info)
		}
		// The decoder sees the same picture, or none.
		img, err := decode(data, info)
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		if img.Bounds().Dx() != info.Width || img.Bounds().Dy() != info.Height {
			t.Fatalf("%v is no %d×%d", img.Bounds(), info.Width, info.Height)
		}
	})
}

func FuzzPrepare(f *testing.F) {
	seed(f)
	target := Target{Side: 48, Ideal: 1500, Max: 3000, Animation: 4000}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := small.Inspect(data); err != nil {
			return
		}
		p, err := target.Prepare(data)
		if err != nil {
			if !named(err) {
				t.Fatal(err)
			}
			return
		}
		info, err := Inspect(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		if info.Format != p.Format || info.Width != p.Width || info.Height != p.Height || info.Animated != p.Animated || info.Orientation != 1 {
			t.Fatalf("%+v is %+v", p, info)
		}
		limit := target.Max
		if p.Animated {
			limit = target.Animation
		}
		if len(p.Data) > limit || max(p.Width, p.Height) > target.Side {
			t.Fatalf("%d bytes, %d×%d", len(p.Data), p.Width, p.Height)
		}
	})
}

// What is rewritten is read back the same, and rewriting it changes nothing.
func FuzzStrip(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		out, info, err := Strip(data)
		if err != nil {
			if !named(err) || out != nil {
				t.Fatal(err)
			}
			return
		}
		again, same, err := Strip(out)
		if err != nil || !bytes.Equal(again, out) || same != info {
			t.Fatalf("%+v, then %+v, %v", info, same, err)
		}
		for _, kind := range []string{"EXIF", "XMP ", "ICCP"} {
			if info.Format != WebP {
				break
			}
			if err := walkChunks(out[12:], func(c chunk) error {
				if c.kind == kind {
					t.Fatal(kind)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzUnseal(f *testing.F) {
	alice, bob := newKey(f, 1), newKey(f, 2)
	f.Add([]byte("payload"), []byte("key"), true)
	f.Add(make([]byte, 40), make([]byte, 60), true)
	f.Fuzz(func(t *testing.T, payload, wrapped []byte, encrypted bool) {
		images := map[string]*apppb.IdentityImage{
			Large: {Payload: payload, Encrypted: encrypted, EncryptionKeys: [][]byte{wrapped, payload}},
		}
		if opened := Unseal(bob, alice.Public(), images); (len(opened) == 1) == encrypted {
			t.Fatalf("%v", opened)
		}
	})
}
