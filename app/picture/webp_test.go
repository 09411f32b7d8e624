package picture

import (
	"bytes"
	"errors"
	"image"
	"testing"
)

// Still WebP pictures are decoded where a decoder is linked in, and refused
// with ErrDecoder where none is; nothing else of the package needs one.
func TestStillWebP(t *testing.T) {
	t.Parallel()
	img := func(o int) []byte {
		stored := turned(64, 32, o)
		return webpWithMetadata(o, stored.Rect.Dx(), stored.Rect.Dy(), func(x, y int) (r, g, b bool) {
			c := stored.RGBAAt(x, y)
			return c.R > 0, c.G > 0, c.B > 0
		})
	}
	_, linked, err := image.DecodeConfig(bytes.NewReader(img(1)))
	if err != nil {
		for name, f := range map[string]func([]byte) error{
			"Prepare": func(data []byte) error { _, err := Prepare(data); return err },
			"Safe":    func(data []byte) error { _, err := Safe(data, 0); return err },
			"Profile": func(data []byte) error { _, err := Profile(data, image.Rectangle{}); return err },
		} {
			if err := f(img(1)); !errors.Is(err, ErrDecoder) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return
	}
	if linked != "webp" {
		t.Fatal(linked)
	}
	for o := 1; o <= 8; o++ {
		p, err := Prepare(img(o))
		if err != nil || p.Format != JPEG {
			t.Fatalf("%d: %+v, %v", o, p, err)
		}
		isUpright(t, p.Data, 64, 32)
		onlyPixels(t, p.Data)
		if p, err = Safe(img(o), 32); err != nil {
			t.Fatal(err)
		}
		isUpright(t, p.Data, 32, 16)
	}
	glass := riff(webpChunk("VP8L", losslessWebP(20, 10, 128, black)))
	p, err := Prepare(glass)
	if err != nil || p.Format != PNG || p.Width != 20 {
		t.Errorf("%+v, %v", p, err)
	}
	onlyPixels(t, p.Data)
	// Of an animation the first frame is shown, where it belongs.
	frame := anmf(8, 6, webpChunk("VP8L", losslessWebP(8, 6, 255, black)))
	frame[8], frame[11] = 3, 2 // in units of two pixels
	still, err := Safe(riff(vp8x(0x12, 20, 12), frame, frame), 0)
	if err != nil || still.Format != PNG || still.Width != 20 || still.Height != 12 {
		t.Fatalf("a still of an animation: %+v, %v", still, err)
	}
	shown, _, err := image.Decode(bytes.NewReader(still.Data))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 12 {
		for x := range 20 {
			_, _, _, alpha := shown.At(x, y).RGBA()
			inside := x >= 6 && x < 14 && y >= 4 && y < 10
			if inside != (alpha == 0xffff) {
				t.Fatalf("pixel %d,%d has alpha %#x", x, y, alpha)
			}
		}
	}
}
