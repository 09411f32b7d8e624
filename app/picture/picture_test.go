package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"runtime"
	"testing"

	apppb "github.com/parley-im/parley/pb/app"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	want := map[string]Info{
		"jpeg":          {Format: JPEG, Frames: 1},
		"png":           {Format: PNG, Frames: 1},
		"gif":           {Format: GIF, Frames: 1},
		"gif animated":  {Format: GIF, Frames: 5, Animated: true},
		"webp":          {Format: WebP, Frames: 1},
		"webp extended": {Format: WebP, Frames: 1},
		"webp animated": {Format: WebP, Frames: 5, Animated: true},
	}
	for name, data := range samples(t) {
		info, err := Inspect(data)
		w := want[name]
		w.Width, w.Height, w.Orientation = 40, 30, 1
		if err != nil || info != w {
			t.Errorf("%s: %+v, %v; want %+v", name, info, err, w)
		}
	}
}

func TestInspectVP8Header(t *testing.T) {
	t.Parallel()
	// A key frame of 0x176 by 0x120 pixels, with scaling bits set above.
	frame := []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x76, 0x41, 0x20, 0xc1, 0, 0}
	info, err := Inspect(riff(webpChunk("VP8 ", frame)))
	if err != nil || info.Width != 0x176 || info.Height != 0x120 {
		t.Errorf("%+v, %v", info, err)
	}
	frame[0] |= 1 // not a key frame
	if _, err := Inspect(riff(webpChunk("VP8 ", frame))); !errors.Is(err, ErrMalformed) {
		t.Errorf("an inter frame: %v", err)
	}
}

func TestWireFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[Format]apppb.ImageFormat{
		PNG: apppb.ImageFormat_PNG, JPEG: apppb.ImageFormat_JPEG, WebP: apppb.ImageFormat_WEBP,
		GIF: apppb.ImageFormat_GIF, "": apppb.ImageFormat_UNKNOWN_IMAGE_FORMAT,
	} {
		if format.Wire() != want {
			t.Errorf("%q is %v", format, format.Wire())
		}
	}
	if WebP.MIME() != "image/webp" {
		t.Error(WebP.MIME())
	}
	m := Picture{Format: GIF, Width: 3, Height: 4, Data: []byte{1}}.Message()
	if m.Format != apppb.ImageFormat_GIF || m.Width != 3 || m.Height != 4 || !bytes.Equal(m.Payload, []byte{1}) {
		t.Errorf("%v", m)
	}
}

// Every proper part of a picture is refused, wherever it is cut. What follows
// the end does not belong to it.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for name, data := range samples(t) {
		if at := bytes.LastIndex(data, []byte(secret)); at == len(data)-len(secret) {
			data = data[:at]
		}
		if _, err := Inspect(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for n := range data {
			info, err := Inspect(data[:n])
			if err == nil {
				t.Fatalf("%s: %d of %d bytes are %+v", name, n, len(data), info)
			}
			if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrMalformed) && (!errors.Is(err, ErrFormat) || n > 12) {
				t.Fatalf("%s: %d of %d bytes: %v", name, n, len(data), err)
			}
			if _, err := Safe(data[:n], 0); err == nil {
				t.Fatalf("%s: %d of %d bytes are safe", name, n, len(data))
			}
		}
	}
}

// A header that is in order and pixels that are not: the decoder's errors come
// out as ErrMalformed.
func TestBrokenPixels(t *testing.T) {
	t.Parallel()
	for name, data := range samples(t) {
		info, err := Inspect(data)
		if err != nil || info.Format == WebP {
			continue
		}
		refused := false
		for i := len(data) / 3; i < len(data); i += 5 {
			broken := bytes.Clone(data)
			broken[i] ^= 0x55
			p, err := Safe(broken, 0)
			refused = refused || err != nil
			if err == nil {
				if _, err := Inspect(p.Data); err != nil {
					t.Fatalf("%s: byte %d: %v", name, i, err)
				}
			}
		}
		if !refused {
			t.Errorf("%s: no change at all is noticed", name)
		}
	}
}

func TestSizeLimits(t *testing.T) {
	t.Parallel()
	limits := Limits{Bytes: 1 << 20, Side: 200, Pixels: 20_000, Frames: 4, Total: 40_000}
	build := map[string]func(w, h int) []byte{
		"jpeg": func(w, h int) []byte { return asJPEG(t, image.NewGray(image.Rect(0, 0, w, h)), 50) },
		"png":  func(w, h int) []byte { return asPNG(t, image.NewGray(image.Rect(0, 0, w, h))) },
		"gif":  func(w, h int) []byte { return asGIF(t, w, h, 1) },
		"webp": func(w, h int) []byte { return riff(webpChunk("VP8L", losslessWebP(w, h, 255, black))) },
		"webp extended": func(w, h int) []byte {
			return riff(vp8x(0, w, h), webpChunk("VP8L", losslessWebP(w, h, 255, black)))
		},
	}
	for name, f := range build {
		for _, size := range [][2]int{{200, 100}, {100, 200}, {1, 200}, {1, 1}} {
			data := f(size[0], size[1])
			if _, err := limits.Inspect(data); err != nil {
				t.Errorf("%s %v: %v", name, size, err)
			}
			small := limits
			small.Bytes = len(data)
			if _, err := small.Inspect(data); err != nil {
				t.Errorf("%s %v of the most bytes: %v", name, size, err)
			}
			small.Bytes--
			if _, err := small.Inspect(data); !errors.Is(err, ErrBytes) {
				t.Errorf("%s %v of one byte too many: %v", name, size, err)
			}
		}
		for _, size := range [][2]int{{201, 10}, {10, 201}, {200, 101}, {142, 141}} {
			if _, err := limits.Inspect(f(size[0], size[1])); !errors.Is(err, ErrPixels) {
				t.Errorf("%s %v: %v", name, size, err)
			}
		}
	}
	if _, err := limits.Inspect(asPNG(t, image.NewGray16(image.Rect(0, 0, 100, 100)))); err != nil {
		t.Error(err)
	}
	if _, err := limits.Inspect(asPNG(t, image.NewGray16(image.Rect(0, 0, 101, 100)))); !errors.Is(err, ErrPixels) {
		t.Errorf("pixels of 16 bits: %v", err)
	}
}

func TestFrameLimits(t *testing.T) {
	t.Parallel()
	limits := Limits{Bytes: 1 << 20, Side: 200, Pixels: 20_000, Frames: 4, Total: 30_000}
	apng := func(w, h, n int) []byte {
		chunks := [][]byte{pngChunk("acTL", binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 1), 0))}
		for range n {
			chunks = append(chunks, pngChunk("fcTL", make([]byte, 26)))
		}
		return pngWith(asPNG(t, image.NewGray(image.Rect(0, 0, w, h))), chunks...)
	}
	for name, f := range map[string]func(w, h, n int) []byte{
		"gif":  func(w, h, n int) []byte { return asGIF(t, w, h, n) },
		"webp": animatedWebP,
		"png":  apng,
	} {
		info, err := limits.Inspect(f(100, 75, 4))
		if err != nil || info.Frames != 4 || !info.Animated {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		for _, c := range [][3]int{{10, 10, 5}, {100, 76, 4}} {
			if _, err := limits.Inspect(f(c[0], c[1], c[2])); !errors.Is(err, ErrFrames) {
				t.Errorf("%s %v: %v", name, c, err)
			}
		}
	}
}

func TestScanLimit(t *testing.T) {
	t.Parallel()
	data := asJPEG(t, photo(16, 16), 80)
	at := bytes.Index(data, []byte{0xff, 0xda})
	build := func(scans int) []byte {
		out := bytes.Clone(data[:at])
		for range scans {
			out = append(out, data[at:len(data)-2]...)
		}
		return append(out, 0xff, 0xd9)
	}
	if _, err := Inspect(build(MaxScans)); err != nil {
		t.Error(err)
	}
	if _, err := Inspect(build(MaxScans + 1)); !errors.Is(err, ErrScans) {
		t.Errorf("one scan too many: %v", err)
	}
}

// What would be expensive to decode is refused before it is decoded.
// Proves: AP-138.
func TestBombs(t *testing.T) {
	t.Parallel()
	end := pngChunk("IEND", nil)
	huge := append(append(pngHeader(50_000, 50_000, 8, 6), pngChunk("IDAT", make([]byte, 100))...), end...)
	if _, err := Inspect(huge); !errors.Is(err, ErrPixels) {
		t.Errorf("PNG of 50,000×50,000: %v", err)
	}
	if _, err := Prepare(huge); !errors.Is(err, ErrPixels) {
		t.Errorf("preparing a PNG of 50,000×50,000: %v", err)
	}
	frames := asGIF(t, 2, 2, 10_000)
	if _, err := Inspect(frames); !errors.Is(err, ErrFrames) {
		t.Errorf("GIF of 10,000 frames: %v", err)
	}
	if _, err := Prepare(frames); !errors.Is(err, ErrFrames) {
		t.Errorf("preparing a GIF of 10,000 frames: %v", err)
	}
	if _, err := Inspect(animatedWebP(2, 2, MaxReceivedFrames+1)); !errors.Is(err, ErrFrames) {
		t.Errorf("WebP of too many frames: %v", err)
	}
	// 16383×16383 pixels of one colour take a few bytes.
	tiny := []byte{0x2f, 0xfe, 0xbf, 0xff, 0x0f, 0, 0, 0, 0, 0}
	if info, err := Inspect(riff(webpChunk("VP8L", tiny))); !errors.Is(err, ErrPixels) {
		t.Errorf("%+v, %v", info, err)
	}
	// A bitstream larger than the file says.
	lie := riff(vp8x(0, 10, 10), webpChunk("VP8L", losslessWebP(100, 100, 255, black)))
	if _, err := Inspect(lie); !errors.Is(err, ErrMalformed) {
		t.Errorf("WebP that is larger than it says: %v", err)
	}
	lie = riff(vp8x(2, 10, 10), anmf(10, 10, webpChunk("VP8L", losslessWebP(100, 100, 255, black))))
	if _, err := Inspect(lie); !errors.Is(err, ErrMalformed) {
		t.Errorf("WebP frame that is larger than it says: %v", err)
	}
}

// zlibBomb returns n bytes of zeros, compressed about a thousandfold.
func zlibBomb(t testing.TB, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for ; n > 0; n -= len(block) {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Texts and profiles of a PNG are never unpacked, and of the pixels only as
// many as there are.
func TestCompressedBombs(t *testing.T) { // not parallel: it measures memory
	bomb := zlibBomb(t, 16<<20)
	texts := pngWith(asPNG(t, photo(8, 8)),
		pngChunk("zTXt", append([]byte("Comment\x00\x00"), bomb...)),
		pngChunk("iCCP", append([]byte("profile\x00\x00"), bomb...)))
	pixels := append(append(pngHeader(8, 8, 8, 6), pngChunk("IDAT", bomb)...), pngChunk("IEND", nil)...)
	for name, data := range map[string][]byte{"texts": texts, "pixels": pixels} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Safe(data, 0)
		runtime.ReadMemStats(&after)
		if err == nil && (p.Width != 8 || p.Height != 8) {
			t.Errorf("%s: %+v", name, p)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
	if _, err := Prepare(texts); err != nil {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good := asJPEG(t, photo(8, 8), 80)
	sof := bytes.Index(good, []byte{0xff, 0xc0})
	change := func(data []byte, at int, to ...byte) []byte {
		out := bytes.Clone(data)
		copy(out[at:], to)
		return out
	}
	png := asPNG(t, photo(8, 8))
	gif := asGIF(t, 8, 8, 1)
	frame := frameOf(t, gif)
	still := webpChunk("VP8L", losslessWebP(8, 8, 255, black))
	cases := map[string]struct {
		data []byte
		want error
	}{
		"nothing":                 {nil, ErrFormat},
		"a text":                  {[]byte("hello, this is no picture"), ErrFormat},
		"SVG":                     {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"></svg>`), ErrFormat},
		"BMP":                     {append([]byte("BM"), make([]byte, 100)...), ErrFormat},
		"RIFF of something else":  {[]byte("RIFF\x04\x00\x00\x00WAVE"), ErrFormat},
		"JPEG of no height":       {change(good, sof+5, 0, 0), ErrMalformed},
		"JPEG of 12 bits":         {change(good, sof+4, 12), ErrMalformed},
		"lossless JPEG":           {change(good, sof+1, 0xc3), ErrMalformed},
		"JPEG with two frames":    {append(append(bytes.Clone(good[:2]), good[sof:sof+19]...), good[2:]...), ErrMalformed},
		"JPEG with a short frame": {change(good, sof+2, 0, 4), ErrMalformed},
		"JPEG without frame":      {change(good, sof+1, 0xee), ErrMalformed},
		"JPEG segment of no size": {change(good, sof+2, 0, 1), ErrMalformed},
		"PNG with a wrong sum":    {change(png, 16, 0, 0, 0, 9), ErrMalformed},
		"PNG of no width":         {append(pngHeader(0, 8, 8, 6), pngChunk("IEND", nil)...), ErrMalformed},
		"PNG of negative width":   {append(pngHeader(1<<31, 8, 8, 6), pngChunk("IEND", nil)...), ErrMalformed},
		"PNG without pixels":      {append(pngHeader(8, 8, 8, 6), pngChunk("IEND", nil)...), ErrMalformed},
		"PNG without header":      {append([]byte(pngSignature), pngChunk("IDAT", nil)...), ErrMalformed},
		"PNG with two headers":    {pngWith(png, png[8:33]), ErrMalformed},
		"PNG header too short":    {append([]byte(pngSignature), pngChunk("IHDR", make([]byte, 12))...), ErrMalformed},
		"GIF of no size":          {change(gif, 6, 0, 0), ErrMalformed},
		"GIF frame outside":       {change(gif, frame+1, 1), ErrMalformed},
		"GIF with a strange part": {change(gif, frame, 0x42), ErrMalformed},
		"GIF without image":       {append(change(gif[:gifHeader], 10, 0), gifTrailer), ErrMalformed},
		"WebP of nothing":         {riff(), ErrMalformed},
		"WebP with a small size":  {[]byte("RIFF\x00\x00\x00\x00WEBP"), ErrMalformed},
		"WebP without image":      {riff(vp8x(0, 8, 8)), ErrMalformed},
		"WebP without frames":     {riff(vp8x(2, 8, 8)), ErrMalformed},
		"WebP with two images":    {riff(vp8x(0, 8, 8), still, still), ErrMalformed},
		"WebP with two headers":   {riff(vp8x(0, 8, 8), vp8x(0, 8, 8), still), ErrMalformed},
		"WebP of metadata first":  {riff(webpChunk("EXIF", exif(binary.BigEndian, 1)), still), ErrMalformed},
		"WebP header too short":   {riff(webpChunk("VP8X", make([]byte, 9))), ErrMalformed},
		"WebP frame too short":    {riff(vp8x(2, 8, 8), webpChunk("ANMF", make([]byte, 15))), ErrMalformed},
		"WebP frame outside":      {riff(vp8x(2, 8, 8), anmf(9, 8, webpChunk("VP8L", losslessWebP(9, 8, 255, black)))), ErrMalformed},
		"WebP frame of nothing":   {riff(vp8x(2, 8, 8), anmf(8, 8)), ErrMalformed},
		"WebP still with frames":  {riff(vp8x(0, 8, 8), still, anmf(8, 8, still)), ErrMalformed},
		"WebP frames with still":  {riff(vp8x(2, 8, 8), anmf(8, 8, still), still), ErrMalformed},
		"lossless of version 1":   {riff(webpChunk("VP8L", []byte{0x2f, 0, 0, 0, 0x20})), ErrMalformed},
	}
	for name, c := range cases {
		if info, err := Inspect(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v; want %v", name, info, err, c.want)
		}
	}
}

// What a message claims does not count.
func TestTruthOverClaim(t *testing.T) {
	t.Parallel()
	m := &apppb.ImageMessage{Format: apppb.ImageFormat_PNG, Width: 1, Height: 1, Payload: asJPEG(t, photo(40, 30), 80)}
	info, err := Inspect(m.Payload)
	if err != nil || info.Format != JPEG || info.Width != 40 || info.Height != 30 {
		t.Errorf("%+v, %v", info, err)
	}
	if info.Format.Wire() == m.Format {
		t.Error("the claim was believed")
	}
	for _, claim := range []apppb.ImageFormat{apppb.ImageFormat_PNG, apppb.ImageFormat_GIF} {
		m := &apppb.ImageMessage{Format: claim, Payload: []byte("<html><script>alert(1)</script></html>")}
		if _, err := Safe(m.Payload, 100); !errors.Is(err, ErrFormat) {
			t.Errorf("a page for a picture: %v", err)
		}
	}
}

// Safe makes a still picture without anything of the original but its pixels.
// Proves: AP-139.
func TestSafe(t *testing.T) {
	t.Parallel()
	for name, data := range samples(t) {
		info, err := Inspect(data)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Safe(data, 20)
		if info.Format == WebP && errors.Is(err, ErrDecoder) {
			continue // tested where a decoder is linked in
		}
		if err != nil || p.Width != 20 || p.Height != 15 || p.Animated || p.Format != JPEG {
			t.Errorf("%s: %+v, %v", name, p, err)
			continue
		}
		if bytes.Contains(p.Data, []byte(secret)) {
			t.Errorf("%s: metadata is left", name)
		}
		again, err := Inspect(p.Data)
		if err != nil || again.Width != 20 || again.Height != 15 || again.Format != p.Format {
			t.Errorf("%s: %+v, %v", name, again, err)
		}
	}
	glass := image.NewNRGBA(image.Rect(0, 0, 9, 9))
	glass.SetNRGBA(3, 3, color.NRGBA{255, 0, 0, 100})
	if p, err := Safe(asPNG(t, glass), 0); err != nil || p.Format != PNG || p.Width != 9 {
		t.Errorf("%+v, %v", p, err)
	}
}

// The first frame of a GIF need not fill the picture.
func TestSafeGIFFrame(t *testing.T) {
	t.Parallel()
	data := asGIF(t, 4, 4, 1)
	at := frameOf(t, data)
	big := bytes.Clone(data)
	binary.LittleEndian.PutUint16(big[6:], 10)
	binary.LittleEndian.PutUint16(big[8:], 12)
	big[at+1], big[at+3] = 5, 6
	p, err := Safe(big, 0)
	if err != nil || p.Format != PNG || p.Width != 10 || p.Height != 12 {
		t.Fatalf("%+v, %v", p, err)
	}
	img, _, err := image.Decode(bytes.NewReader(p.Data))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 12 {
		for x := range 10 {
			_, _, _, alpha := img.At(x, y).RGBA()
			inside := x >= 5 && x < 9 && y >= 6 && y < 10
			if inside != (alpha == 0xffff) {
				t.Fatalf("pixel %d,%d has alpha %#x", x, y, alpha)
			}
		}
	}
}

func BenchmarkInspect(b *testing.B) {
	for name, data := range map[string][]byte{
		"jpeg": asJPEG(b, photo(2000, 1500), 80),
		"png":  asPNG(b, photo(500, 500)),
		"gif":  asGIF(b, 200, 200, 100),
		"webp": animatedWebP(200, 200, 100),
	} {
		b.Run(fmt.Sprintf("%s-%dK", name, len(data)>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := Inspect(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
