package picture

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"
)

// secret stands in every piece of metadata of the tests.
const secret = "SECRET-GPS-48.8583N"

// photo returns a picture with soft and with busy parts, as a camera makes.
func photo(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			noise := 0
			if (x/16+y/16)%3 == 0 {
				noise = rng.IntN(48)
			}
			img.SetRGBA(x, y, color.RGBA{uint8(x*200/w + noise), uint8(y*200/h + noise), uint8((x + y) * 100 / (w + h)), 255})
		}
	}
	return img
}

// static returns nothing but noise.
func static(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range img.Pix {
		img.Pix[i] = uint8(rng.Uint32())
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

func asJPEG(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func asPNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// asGIF returns a GIF of n frames that is repeated for ever, with a comment.
func asGIF(t testing.TB, w, h, n int) []byte {
	t.Helper()
	g := &gif.GIF{}
	for i := range n {
		frame := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.Black, color.White, color.RGBA{255, 0, 0, 255}, color.Transparent})
		for p := range frame.Pix {
			frame.Pix[p] = uint8((p + i) % 3)
		}
		g.Image, g.Delay = append(g.Image, frame), append(g.Delay, 7)
	}
	var out bytes.Buffer
	if err := gif.EncodeAll(&out, g); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// frameOf returns where the first frame of a GIF begins.
func frameOf(t testing.TB, data []byte) int {
	t.Helper()
	offset, at := 0, -1
	if _, err := Received().walkGIF(data, func(block []byte) {
		if block[0] == gifImage && at < 0 {
			at = offset
		}
		offset += len(block)
	}); err != nil || at < 0 {
		t.Fatal(at, err)
	}
	return at
}

// gifWithMetadata puts a comment, a plain text and a foreign application
// extension before the end of a GIF, and more behind its end.
func gifWithMetadata(data []byte) []byte {
	text := append([]byte{byte(len(secret))}, secret...)
	out := bytes.Clone(data[:len(data)-1])
	out = append(append(append(out, 0x21, 0xfe), text...), 0)
	out = append(append(append(out, 0x21, 0x01), text...), 0)
	out = append(append(append(out, 0x21, 0xff, 11), "XMP DataXMP"...), text...)
	out = append(out, 0)
	// A loop extension that goes on with something else.
	out = append(append(out, 0x21, 0xff, 11), "NETSCAPE2.0\x03\x01\x00\x00"...)
	out = append(append(out, text...), 0)
	return append(append(out, 0x3b), secret...)
}

// exif returns EXIF data with an orientation and a place.
func exif(order binary.AppendByteOrder, orientation int) []byte {
	head := "II*\x00"
	if order == binary.AppendByteOrder(binary.BigEndian) {
		head = "MM\x00*"
	}
	out := order.AppendUint32([]byte(head), 8)
	out = order.AppendUint16(out, 2)
	entry := func(tag, kind uint16, count, value uint32) {
		out = order.AppendUint16(order.AppendUint16(out, tag), kind)
		out = order.AppendUint32(order.AppendUint32(out, count), value)
	}
	entry(0x010f, 2, uint32(len(secret)), 38)
	out = order.AppendUint16(order.AppendUint16(out, tagOrientation), 3)
	out = order.AppendUint32(out, 1)
	out = order.AppendUint16(order.AppendUint16(out, uint16(orientation)), 0)
	out = order.AppendUint32(out, 0)
	return append(out, secret...)
}

func jpegSegment(marker byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// jpegWithMetadata adds EXIF, XMP, a colour profile, Photoshop's data and a
// comment to a JPEG, and a second picture behind its end.
func jpegWithMetadata(data []byte, orientation int) []byte {
	out := []byte{0xff, 0xd8}
	out = append(out, jpegSegment(0xe1, append([]byte("Exif\x00\x00"), exif(binary.BigEndian, orientation)...))...)
	out = append(out, jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+secret))...)
	out = append(out, jpegSegment(0xe2, []byte("ICC_PROFILE\x00\x01\x01"+secret))...)
	out = append(out, jpegSegment(0xed, []byte("Photoshop 3.0\x00"+secret))...)
	out = append(out, jpegSegment(0xfe, []byte(secret))...)
	return append(append(out, data[2:]...), secret...)
}

func pngChunk(kind string, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	out = append(append(out, kind...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// pngHeader returns the signature and the header of a PNG.
func pngHeader(w, h uint32, depth, colours byte) []byte {
	body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	return append([]byte(pngSignature), pngChunk("IHDR", append(body, depth, colours, 0, 0, 0))...)
}

// pngWith puts chunks behind the header of a PNG.
func pngWith(data []byte, chunks ...[]byte) []byte {
	const header = 8 + 25
	out := bytes.Clone(data[:header])
	for _, c := range chunks {
		out = append(out, c...)
	}
	return append(out, data[header:]...)
}

func pngWithMetadata(data []byte, orientation int) []byte {
	return append(pngWith(data,
		pngChunk("eXIf", exif(binary.LittleEndian, orientation)),
		pngChunk("tEXt", []byte("Comment\x00"+secret)),
		pngChunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+secret)),
	), secret...)
}

// losslessWebP encodes a VP8L bitstream (WebP Lossless Bitstream) of pixels
// that are at most eight colours, all with the same alpha.
func losslessWebP(w, h int, alpha uint8, at func(x, y int) (r, g, b bool)) []byte {
	var out []byte
	var bits uint64
	n := 0
	put := func(v uint64, width int) {
		bits |= v << n
		for n += width; n >= 8; n -= 8 {
			out = append(out, byte(bits))
			bits >>= 8
		}
	}
	put(0x2f, 8)
	put(uint64(w-1), 14)
	put(uint64(h-1), 14)
	put(1, 1) // alpha is used
	put(0, 3) // version
	put(0, 3) // no transform, no cache, one group of codes
	two := func() { put(0b111, 3); put(0, 8); put(255, 8) }
	one := func(v uint8) { put(0b101, 3); put(uint64(v), 8) }
	two() // green
	two() // red
	two() // blue
	one(alpha)
	one(0) // distance
	bit := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	for y := range h {
		for x := range w {
			r, g, b := at(x, y)
			put(bit(g)|bit(r)<<1|bit(b)<<2, 3)
		}
	}
	put(0, 7) // flush
	return out
}

func riff(chunks ...[]byte) []byte {
	body := []byte("WEBP")
	for _, c := range chunks {
		body = append(body, c...)
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func webpChunk(kind string, body []byte) []byte { return appendChunk(nil, kind, body) }

func vp8x(flags byte, w, h int) []byte {
	return webpChunk("VP8X", []byte{flags, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), byte((w - 1) >> 16), byte(h - 1), byte((h - 1) >> 8), byte((h - 1) >> 16)})
}

func black(int, int) (r, g, b bool) { return false, false, false }

// webpWithMetadata returns a still WebP with everything that can be in one.
func webpWithMetadata(orientation int, w, h int, at func(x, y int) (r, g, b bool)) []byte {
	return append(riff(
		vp8x(0x3c, w, h),
		webpChunk("ICCP", []byte(secret)),
		webpChunk("VP8L", losslessWebP(w, h, 255, at)),
		webpChunk("EXIF", exif(binary.LittleEndian, orientation)),
		webpChunk("XMP ", []byte(secret)),
		webpChunk("note", []byte(secret)),
	), secret...)
}

func anmf(w, h int, chunks ...[]byte) []byte {
	body := []byte{0, 0, 0, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), 0, byte(h - 1), byte((h - 1) >> 8), 0, 70, 0, 0, 0xfd}
	for _, c := range chunks {
		body = append(body, c...)
	}
	return webpChunk("ANMF", body)
}

// animatedWebP returns an animation of n frames with metadata everywhere.
func animatedWebP(w, h, n int) []byte {
	chunks := [][]byte{
		vp8x(0x3e, w, h), webpChunk("ICCP", []byte(secret)),
		webpChunk("ANIM", append([]byte{1, 2, 3, 4, 0, 0}, secret...)),
	}
	frame := anmf(w, h, webpChunk("VP8L", losslessWebP(w, h, 255, black)), webpChunk("note", []byte(secret)))
	for range n {
		chunks = append(chunks, frame)
	}
	return riff(append(chunks, webpChunk("EXIF", exif(binary.LittleEndian, 1)), webpChunk("XMP ", []byte(secret)))...)
}

// samples returns a valid picture of each kind, by name.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	return map[string][]byte{
		"jpeg":          jpegWithMetadata(asJPEG(t, photo(40, 30), 80), 1),
		"png":           pngWithMetadata(asPNG(t, photo(40, 30)), 1),
		"gif":           gifWithMetadata(asGIF(t, 40, 30, 1)),
		"gif animated":  gifWithMetadata(asGIF(t, 40, 30, 5)),
		"webp":          riff(webpChunk("VP8L", losslessWebP(40, 30, 255, black))),
		"webp extended": webpWithMetadata(1, 40, 30, black),
		"webp animated": animatedWebP(40, 30, 5),
	}
}
