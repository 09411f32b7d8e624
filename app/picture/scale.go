package picture

import (
	"image"
	"image/draw"
)

// band is how many rows are converted at a time, which keeps a large picture
// from being in memory twice.
const band = 64

// scale returns the part r of a picture with w by h pixels, which must not be
// more than r has. Every pixel is the mean of those it covers, by the area
// covered.
func scale(src image.Image, r image.Rectangle, w, h int) *image.RGBA {
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	sw, sh := r.Dx(), r.Dy()
	if sw == w && sh == h {
		paint(dst, src, r.Min)
		return dst
	}
	// In a grid sw·w wide a source pixel is w wide, a target pixel sw; the
	// same holds for heights. All overlaps are whole numbers.
	rows := image.NewRGBA(image.Rect(0, 0, sw, min(band, sh)))
	line := make([]uint32, 4*w)
	sum := make([]uint64, 4*w)
	area := uint64(sw) * uint64(sh)
	out, left := 0, sh // the target row, and what it lacks in height
	for y := range sh {
		if y%band == 0 {
			rows.Rect.Max.Y = min(band, sh-y)
			clear(rows.Pix)
			paint(rows, src, r.Min.Add(image.Pt(0, y)))
		}
		at := y % band * rows.Stride
		squeeze(line, rows.Pix[at:at+4*sw], sw, w)
		for height := h; height > 0; {
			part := min(height, left)
			for i, v := range line {
				sum[i] += uint64(v) * uint64(part)
			}
			height -= part
			if left -= part; left > 0 {
				continue
			}
			pix := dst.Pix[out*dst.Stride : out*dst.Stride+4*w]
			for i, v := range sum {
				pix[i] = uint8((v + area/2) / area)
			}
			clear(sum)
			out, left = out+1, sh
		}
	}
	return dst
}

// squeeze sums a row of sw pixels up into one of w, each weighted by the width
// it covers: the sums are sw times the mean.
func squeeze(dst []uint32, row []uint8, sw, w int) {
	clear(dst)
	if sw == w {
		for i, v := range row {
			dst[i] = uint32(v) * uint32(sw)
		}
		return
	}
	x, left := 0, sw
	for ; len(row) >= 4; row = row[4:] {
		part := min(w, left)
		add(dst[4*x:4*x+4], row[:4], uint32(part))
		if left -= part; left > 0 {
			continue
		}
		x, left = x+1, sw
		if rest := w - part; rest > 0 {
			add(dst[4*x:4*x+4], row[:4], uint32(rest))
			left -= rest
		}
	}
}

func add(dst []uint32, pixel []uint8, weight uint32) {
	dst[0] += uint32(pixel[0]) * weight
	dst[1] += uint32(pixel[1]) * weight
	dst[2] += uint32(pixel[2]) * weight
	dst[3] += uint32(pixel[3]) * weight
}

// paint fills dst with the part of src at p; where src has no pixels dst is
// left as it is.
func paint(dst *image.RGBA, src image.Image, p image.Point) {
	if f, ok := src.(framed); ok {
		inner := f.Image.Bounds()
		placed := inner.Sub(inner.Min).Add(f.at)
		shown := dst.Rect.Add(p).Intersect(placed)
		draw.Draw(dst, shown.Sub(p), f.Image, shown.Min.Sub(f.at).Add(inner.Min), draw.Src)
		return
	}
	draw.Draw(dst, dst.Rect, src, src.Bounds().Min.Add(p), draw.Src)
}

// flatten puts a picture with transparent parts on white, in place.
func flatten(img *image.RGBA) {
	for i := 0; i < len(img.Pix); i += 4 {
		p := img.Pix[i : i+4 : i+4]
		white := 255 - p[3] // colours are premultiplied
		p[0], p[1], p[2], p[3] = p[0]+white, p[1]+white, p[2]+white, 255
	}
}

// within returns the size of a picture of w by h pixels when no side may be
// longer than side.
func within(w, h, side int) (int, int) {
	long := max(w, h)
	if long <= side {
		return w, h
	}
	return max((w*side+long/2)/long, 1), max((h*side+long/2)/long, 1)
}
