package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"testing"
)

// onlyPixels fails unless data is a picture with no part beside those that
// make up its pixels.
func onlyPixels(t testing.TB, data []byte) {
	t.Helper()
	for _, trace := range []string{secret, "GPS", "Exif", "adobe", "ICC", "XMP", "Photoshop", "SECRET"} {
		if bytes.Contains(data, []byte(trace)) {
			t.Errorf("%q is left", trace)
		}
	}
	end := 0
	switch sniff(data) {
	case JPEG:
		for i := 2; ; {
			marker, next := nextMarker(data, i)
			if next < 0 {
				t.Fatal("no end")
			}
			i, end = next, next
			if marker == jpegEOI {
				break
			}
			// Tables, frame and scan; no APPn, no COM.
			if bytes.IndexByte([]byte{0xdb, 0xc0, 0xc2, 0xc4, 0xda, 0xdd}, marker) < 0 {
				if marker < jpegRST0 || marker > 0xd7 {
					t.Errorf("JPEG segment %#x is left", marker)
				}
				continue
			}
			i += int(binary.BigEndian.Uint16(data[i:]))
		}
	case PNG:
		for end = 8; end < len(data); {
			kind := string(data[end+4 : end+8])
			if kind != "IHDR" && kind != "PLTE" && kind != "tRNS" && kind != "IDAT" && kind != "IEND" {
				t.Errorf("PNG chunk %s is left", kind)
			}
			end += 12 + int(binary.BigEndian.Uint32(data[end:]))
		}
	case GIF:
		_, err := Input().walkGIF(data, func(block []byte) {
			end += len(block)
			if block[0] == gifExtension && block[1] != gifControl && !bytes.HasPrefix(block[2:], []byte("\x0bNETSCAPE2.0\x03\x01")) {
				t.Errorf("GIF extension %q is left", block)
			}
		})
		if err != nil {
			t.Error(err)
		}
	case WebP:
		end = 12
		if err := walkChunks(data[12:], func(c chunk) error {
			end += 8 + len(c.body) + len(c.body)&1
			if c.kind != "VP8X" && c.kind != "ANIM" && c.kind != "ANMF" && c.kind != "VP8L" {
				t.Errorf("WebP chunk %s is left", c.kind)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	default:
		t.Fatalf("no picture: %.20q", data)
	}
	if end != len(data) {
		t.Errorf("%d bytes behind the end", len(data)-end)
	}
}

// Proves: AP-140, AP-141.
func TestPrepareLeavesNoMetadata(t *testing.T) {
	t.Parallel()
	for name, data := range samples(t) {
		if !bytes.Contains(data, []byte(secret)) && name != "webp" {
			t.Fatalf("%s: no metadata to begin with", name)
		}
		p, err := Prepare(data)
		if sniff(data) == WebP && errors.Is(err, ErrDecoder) {
			continue // tested where a decoder is linked in
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		onlyPixels(t, p.Data)
		info, err := Inspect(p.Data)
		if err != nil || info.Format != p.Format || info.Width != p.Width || info.Height != p.Height || info.Animated != p.Animated {
			t.Errorf("%s: %+v is %+v, %v", name, p, info, err)
		}
		if p.Width != 40 || p.Height != 30 {
			t.Errorf("%s: %d×%d", name, p.Width, p.Height)
		}
	}
}

// The corners of a picture by orientation: where the first row and the first
// column of what is stored are seen (EXIF 2.3, tag Orientation).
var orientations = [9][2]string{
	1: {"top", "left"}, 2: {"top", "right"}, 3: {"bottom", "right"}, 4: {"bottom", "left"},
	5: {"left", "top"}, 6: {"right", "top"}, 7: {"right", "bottom"}, 8: {"left", "bottom"},
}

// quarters are the colours of the upright picture of the orientation tests.
var quarters = [2][2]color.RGBA{{{255, 0, 0, 255}, {0, 255, 0, 255}}, {{0, 0, 255, 255}, {255, 255, 0, 255}}}

// turned returns how a picture that is w by h pixels upright, in four colours,
// is stored with an orientation.
func turned(w, h, orientation int) *image.RGBA {
	sw, sh := w, h
	if orientation >= 5 {
		sw, sh = h, w
	}
	img := image.NewRGBA(image.Rect(0, 0, sw, sh))
	for y := range sh {
		for x := range sw {
			var X, Y int
			place := func(side string, n int) {
				switch side {
				case "top":
					Y = n
				case "bottom":
					Y = h - 1 - n
				case "left":
					X = n
				case "right":
					X = w - 1 - n
				}
			}
			place(orientations[orientation][0], y)
			place(orientations[orientation][1], x)
			img.SetRGBA(x, y, quarters[2*Y/h][2*X/w])
		}
	}
	return img
}

// isUpright fails unless the four colours are where they belong.
func isUpright(t testing.TB, data []byte, w, h int) {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if img.Bounds() != image.Rect(0, 0, w, h) {
		t.Fatalf("%v, not %d×%d", img.Bounds(), w, h)
	}
	for row := range 2 {
		for column := range 2 {
			got := color.RGBAModel.Convert(img.At(w*(1+2*column)/4, h*(1+2*row)/4)).(color.RGBA)
			want := quarters[row][column]
			if distance(got.R, want.R) > 12 || distance(got.G, want.G) > 12 || distance(got.B, want.B) > 12 {
				t.Errorf("row %d, column %d is %v, not %v", row, column, got, want)
			}
		}
	}
}

func distance(a, b uint8) int { return max(int(a)-int(b), int(b)-int(a)) }

func TestOrientation(t *testing.T) {
	t.Parallel()
	for o := 1; o <= 8; o++ {
		img := turned(64, 32, o)
		for name, data := range map[string][]byte{
			"jpeg": jpegWithMetadata(asJPEG(t, img, 95), o),
			"png":  pngWithMetadata(asPNG(t, img), o),
		} {
			info, err := Inspect(data)
			if err != nil || info.Orientation != o {
				t.Errorf("%s %d: %+v, %v", name, o, info, err)
			}
			if w, h := info.Displayed(); w != 64 || h != 32 {
				t.Errorf("%s %d is shown as %d×%d", name, o, w, h)
			}
			p, err := Prepare(data)
			if err != nil || p.Width != 64 || p.Height != 32 {
				t.Errorf("%s %d: %+v, %v", name, o, p, err)
				continue
			}
			isUpright(t, p.Data, 64, 32)
			onlyPixels(t, p.Data)
			small, err := Safe(data, 32)
			if err != nil {
				t.Error(err)
				continue
			}
			isUpright(t, small.Data, 32, 16)
		}
		// A crop is given as one sees it.
		banner, err := BannerOf(jpegWithMetadata(asJPEG(t, img, 95), o), image.Rect(32, 16, 64, 32))
		if err != nil || banner.Width != 32 || banner.Height != 16 {
			t.Fatalf("%d: %+v, %v", o, banner, err)
		}
		shown, _, err := image.Decode(bytes.NewReader(banner.Data))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []image.Point{{2, 2}, {29, 2}, {2, 13}, {29, 13}} {
			got := color.RGBAModel.Convert(shown.At(at.X, at.Y)).(color.RGBA)
			if want := quarters[1][1]; distance(got.R, want.R) > 12 || distance(got.G, want.G) > 12 || distance(got.B, want.B) > 12 {
				t.Errorf("%d: %v of the crop is %v", o, at, got)
			}
		}
	}
}

func TestOrientationReader(t *testing.T) {
	t.Parallel()
	for o := 1; o <= 8; o++ {
		if got := orientation(exif(binary.LittleEndian, o)); got != o {
			t.Errorf("little-endian %d is %d", o, got)
		}
		if got := orientation(append([]byte("Exif\x00\x00"), exif(binary.BigEndian, o)...)); got != o {
			t.Errorf("big-endian %d is %d", o, got)
		}
	}
	for _, o := range []int{0, 9, 65535} {
		if got := orientation(exif(binary.LittleEndian, o)); got != 1 {
			t.Errorf("%d is %d", o, got)
		}
	}
	data := exif(binary.LittleEndian, 6)
	for n := range 8 + 2 + 24 {
		if got := orientation(data[:n]); got != 1 {
			t.Errorf("%d bytes give %d", n, got)
		}
	}
	far := bytes.Clone(data)
	binary.LittleEndian.PutUint32(far[4:], 0xffffffff)
	if orientation(far) != 1 {
		t.Error("a directory beyond the end")
	}
}

func TestPrepareFits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data   []byte
		w, h   int
		format Format
	}{
		"photo":        {asJPEG(t, photo(2200, 110), 95), 2000, 100, JPEG},
		"upright":      {asJPEG(t, photo(48, 2400), 95), 40, 2000, JPEG},
		"at the limit": {asJPEG(t, photo(2000, 40), 95), 2000, 40, JPEG},
		"past it":      {asJPEG(t, photo(2001, 40), 95), 2000, 40, JPEG},
		"a line":       {asPNG(t, photo(3000, 1)), 2000, 1, JPEG},
		"opaque PNG":   {asPNG(t, photo(90, 60)), 90, 60, JPEG},
	} {
		p, err := Prepare(c.data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(p.Data) > MessageMax || max(p.Width, p.Height) > MessageSide || p.Format != c.format {
			t.Errorf("%s: %s of %d bytes, %d×%d", name, p.Format, len(p.Data), p.Width, p.Height)
		}
		if p.Width != c.w || p.Height != c.h {
			t.Errorf("%s: %d×%d, not %d×%d", name, p.Width, p.Height, c.w, c.h)
		}
		if name != "photo" {
			continue
		}
		again, err := Prepare(c.data)
		if err != nil || !bytes.Equal(again.Data, p.Data) {
			t.Errorf("%s: not the same twice: %v", name, err)
		}
	}
	// What does not fit at any quality becomes smaller, but not much too small.
	target := Target{Side: 250, Ideal: 5000, Max: 10_000}
	p, err := target.Prepare(asPNG(t, static(250, 250)))
	if err != nil || len(p.Data) > target.Max || len(p.Data) < target.Max/2 || p.Width >= 250 || p.Width != p.Height {
		t.Errorf("static: %d bytes, %d×%d, %v", len(p.Data), p.Width, p.Height, err)
	}
}

// The best quality that is small enough, and no better one.
func TestQualitySearch(t *testing.T) {
	t.Parallel()
	img := photo(160, 120)
	size := func(quality int) int {
		p, err := encodeJPEG(img, quality)
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Data)
	}
	for quality := MinQuality; quality <= MaxQuality; quality += qualityStep {
		target := Target{Side: 160, Ideal: size(quality), Max: size(MinQuality)}
		target.Max = max(target.Max, target.Ideal)
		p, err := target.encode(img)
		if err != nil || len(p.Data) != target.Ideal {
			t.Errorf("quality %d: %d bytes, not %d; %v", quality, len(p.Data), target.Ideal, err)
		}
		// One byte less takes the next quality, or a smaller picture.
		target.Ideal--
		if quality == MinQuality {
			target.Max--
		}
		p, err = target.encode(img)
		if err != nil || len(p.Data) > target.Ideal {
			t.Errorf("quality %d and a byte: %d bytes, not within %d; %v", quality, len(p.Data), target.Ideal, err)
		}
		if smaller := p.Width < 160; smaller != (quality == MinQuality) {
			t.Errorf("quality %d and a byte: %d pixels wide", quality, p.Width)
		}
	}
	if _, err := (Target{Side: 160, Ideal: 10, Max: 20}).encode(img); !errors.Is(err, ErrTarget) {
		t.Errorf("a picture of 20 bytes: %v", err)
	}
}

func TestTransparency(t *testing.T) {
	t.Parallel()
	glass := func(src *image.RGBA) *image.NRGBA {
		img := image.NewNRGBA(src.Rect)
		for i := 0; i < len(src.Pix); i += 4 {
			copy(img.Pix[i:], src.Pix[i:i+3])
			img.Pix[i+3] = uint8(i / 4)
		}
		return img
	}
	p, err := Prepare(asPNG(t, glass(photo(100, 80))))
	if err != nil || p.Format != PNG || p.Width != 100 {
		t.Errorf("%s, %v", p.Format, err)
	}
	onlyPixels(t, p.Data)
	img, _, err := image.Decode(bytes.NewReader(p.Data))
	if err != nil {
		t.Fatal(err)
	}
	for x := range 100 {
		if _, _, _, a := img.At(x, 0).RGBA(); distance(uint8(a>>8), uint8(x)) > 1 {
			t.Errorf("alpha at %d is %d", x, a>>8)
		}
	}
	// Too large for a PNG: on white.
	p, err = Prepare(asPNG(t, glass(static(360, 360))))
	if err != nil || p.Format != JPEG || len(p.Data) > MessageMax {
		t.Errorf("%s of %d bytes, %v", p.Format, len(p.Data), err)
	}
	clear := image.NewNRGBA(image.Rect(0, 0, 20, 20))
	p, err = Target{Side: 20, Ideal: 1000, Max: 30}.Prepare(asPNG(t, clear))
	if !errors.Is(err, ErrTarget) {
		t.Errorf("%+v, %v", p, err)
	}
	set, err := Profile(asPNG(t, clear), image.Rectangle{})
	if err != nil {
		t.Fatal(err)
	}
	white, _, err := image.Decode(bytes.NewReader(set[Large].Data))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, b, _ := white.At(10, 10).RGBA(); r>>8 < 250 || g>>8 < 250 || b>>8 < 250 {
		t.Errorf("nothing is %d,%d,%d", r>>8, g>>8, b>>8)
	}
}

func TestAnimations(t *testing.T) {
	t.Parallel()
	data := asGIF(t, 40, 30, 5)
	p, err := Prepare(gifWithMetadata(data))
	if err != nil || p.Format != GIF || !p.Animated {
		t.Fatalf("%+v, %v", p, err)
	}
	got, err := gif.DecodeAll(bytes.NewReader(p.Data))
	if err != nil {
		t.Fatal(err)
	}
	want, err := gif.DecodeAll(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if got.LoopCount != want.LoopCount || len(got.Image) != 5 || fmt.Sprint(got.Delay) != "[7 7 7 7 7]" {
		t.Errorf("loop %d, %d frames, delays %v", got.LoopCount, len(got.Image), got.Delay)
	}
	for i := range got.Image {
		if !bytes.Equal(got.Image[i].Pix, want.Image[i].Pix) {
			t.Errorf("frame %d is another", i)
		}
	}
	plain := animatedWebP(40, 30, 5)
	p, err = Prepare(plain)
	if err != nil || p.Format != WebP || !p.Animated {
		t.Fatalf("%+v, %v", p, err)
	}
	onlyPixels(t, p.Data)
	if flags := p.Data[20]; flags != webpAnimation|webpAlpha {
		t.Errorf("flags are %#x", flags)
	}
	again, info, err := Strip(p.Data)
	if err != nil || !bytes.Equal(again, p.Data) || info.Frames != 5 {
		t.Errorf("rewriting twice: %+v, %v", info, err)
	}

	target := MessageTarget()
	target.Animation = len(p.Data)
	if _, err := target.Prepare(plain); err != nil {
		t.Error(err)
	}
	target.Animation--
	if _, err := target.Prepare(plain); !errors.Is(err, ErrAnimation) {
		t.Errorf("an animation with a byte too many: %v", err)
	}
	target = MessageTarget()
	target.Side = 40
	if _, err := target.Prepare(data); err != nil {
		t.Error(err)
	}
	target.Side = 39
	if _, err := target.Prepare(data); !errors.Is(err, ErrAnimation) {
		t.Errorf("an animation with a pixel too many: %v", err)
	}
	target.Animation = 0
	if p, err := target.Prepare(data); err != nil || p.Animated || p.Width != 39 {
		t.Errorf("a still: %+v, %v", p, err)
	}
	if _, _, err := Strip(asPNG(t, photo(5, 5))); !errors.Is(err, ErrFormat) {
		t.Errorf("rewriting a PNG: %v", err)
	}
}

// Every pixel of a smaller picture is the mean of those it covers.
func TestScale(t *testing.T) {
	t.Parallel()
	src := photo(211, 187)
	part := image.Rect(7, 3, 200, 180)
	for _, size := range [][2]int{{193, 177}, {193, 60}, {100, 177}, {97, 89}, {13, 11}, {1, 1}, {192, 176}} {
		w, h := size[0], size[1]
		got := scale(src, part, w, h)
		for y := range h {
			for x := range w {
				for c := range 4 {
					want := mean(src, part, x, y, w, h, c)
					if d := float64(got.Pix[y*got.Stride+4*x+c]) - want; d > 0.501 || d < -0.501 {
						t.Fatalf("%v: pixel %d,%d channel %d is off by %f", size, x, y, c, d)
					}
				}
			}
		}
	}
}

func mean(src *image.RGBA, part image.Rectangle, x, y, w, h, channel int) float64 {
	fx, fy := float64(part.Dx())/float64(w), float64(part.Dy())/float64(h)
	x0, x1, y0, y1 := float64(x)*fx, float64(x+1)*fx, float64(y)*fy, float64(y+1)*fy
	var sum float64
	for sy := int(y0); sy < part.Dy() && float64(sy) < y1; sy++ {
		dy := min(y1, float64(sy+1)) - max(y0, float64(sy))
		for sx := int(x0); sx < part.Dx() && float64(sx) < x1; sx++ {
			dx := min(x1, float64(sx+1)) - max(x0, float64(sx))
			sum += dx * dy * float64(src.Pix[src.PixOffset(part.Min.X+sx, part.Min.Y+sy)+channel])
		}
	}
	return sum / (fx * fy)
}

func TestInputLimits(t *testing.T) {
	t.Parallel()
	if _, err := Prepare(make([]byte, MaxInputBytes+1)); !errors.Is(err, ErrBytes) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, _, err := Strip(make([]byte, MaxInputBytes+1)); !errors.Is(err, ErrBytes) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Prepare(make([]byte, MaxInputBytes)); !errors.Is(err, ErrFormat) {
		t.Errorf("the most bytes: %v", err)
	}
	if _, err := Inspect(make([]byte, MaxReceivedBytes+1)); !errors.Is(err, ErrBytes) {
		t.Errorf("too many bytes: %v", err)
	}
	if _, err := Inspect(make([]byte, MaxReceivedBytes)); !errors.Is(err, ErrFormat) {
		t.Errorf("the most bytes: %v", err)
	}
}

func BenchmarkPrepare(b *testing.B) {
	for name, data := range map[string][]byte{
		"jpeg-12MP":   asJPEG(b, photo(4000, 3000), 90),
		"jpeg-2MP":    asJPEG(b, photo(1600, 1200), 90),
		"png-1MP":     asPNG(b, photo(1000, 1000)),
		"gif-5frames": asGIF(b, 40, 30, 5),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Prepare(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
