package sim

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// plot is a picture of numbers: lines over a common axis, or bars, stacked when
// a bar has several parts.
type plot struct {
	title, x, y string
	series      []series
	// bars, when there are any, take the place of lines; parts names theirs.
	bars  []bar
	parts []string
}

type series struct {
	name   string
	points [][2]float64
}

type bar struct {
	name  string
	parts []float64
}

const (
	svgWidth, svgHeight               = 860, 460
	svgLeft, svgRight, svgTop, svgLow = 80, 200, 40, 60
)

// colours are told apart by most people, also those who see fewer.
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#555555"}

func colour(i int) string { return colours[i%len(colours)] }

// write writes the picture as SVG.
func (p *plot) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, svgHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	text(&b, svgLeft, 18, "start", p.title, `font-size="15" font-weight="bold"`)
	text(&b, (svgLeft+svgWidth-svgRight)/2, svgHeight-12, "middle", p.x, "")
	text(&b, svgLeft, svgTop-8, "end", p.y, "")
	maxX, maxY := p.extent()
	stepY := nice(maxY / 5)
	for v := 0.0; v <= maxY+stepY/2; v += stepY {
		y := p.at(v, maxY)
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", svgLeft, svgWidth-svgRight, y, y)
		text(&b, svgLeft-6, y+4, "end", number(v), "")
	}
	if len(p.bars) > 0 {
		p.drawBars(&b, maxY)
	} else {
		p.drawLines(&b, maxX, maxY)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *plot) extent() (x, y float64) {
	for _, s := range p.series {
		for _, pt := range s.points {
			x, y = max(x, pt[0]), max(y, pt[1])
		}
	}
	for _, b := range p.bars {
		sum := 0.0
		for _, v := range b.parts {
			sum += v
		}
		y = max(y, sum)
	}
	return max(x, 1e-9), max(y, 1e-9)
}

// at is where a value of the y axis is.
func (p *plot) at(v, most float64) float64 {
	return float64(svgHeight-svgLow) - v/most*float64(svgHeight-svgLow-svgTop)
}

func (p *plot) drawLines(b *strings.Builder, maxX, maxY float64) {
	width := float64(svgWidth - svgLeft - svgRight)
	stepX := nice(maxX / 8)
	for v := 0.0; v <= maxX+stepX/1000; v += stepX {
		text(b, svgLeft+v/maxX*width, svgHeight-svgLow+16, "middle", number(v), "")
	}
	for i, s := range p.series {
		var points []string
		for _, pt := range s.points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", svgLeft+pt[0]/maxX*width, p.at(pt[1], maxY)))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", colour(i), strings.Join(points, " "))
		p.legend(b, i, s.name)
	}
}

func (p *plot) drawBars(b *strings.Builder, maxY float64) {
	slot := float64(svgWidth-svgLeft-svgRight) / float64(len(p.bars))
	for i, bar := range p.bars {
		x, base := svgLeft+(float64(i)+0.15)*slot, 0.0
		for k, v := range bar.parts {
			top, bottom := p.at(base+v, maxY), p.at(base, maxY)
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, top, 0.7*slot, bottom-top, colour(k))
			base += v
		}
		y := float64(svgHeight - svgLow + 14)
		if i%2 == 1 && slot < 90 {
			y += 14
		}
		text(b, x+0.35*slot, y, "middle", bar.name, `font-size="10"`)
	}
	for i, name := range p.parts {
		p.legend(b, i, name)
	}
}

func (p *plot) legend(b *strings.Builder, i int, name string) {
	y := float64(svgTop + 18*i)
	fmt.Fprintf(b, `<rect x="%d" y="%.1f" width="12" height="12" fill="%s"/>`+"\n", svgWidth-svgRight+20, y, colour(i))
	text(b, svgWidth-svgRight+38, y+11, "start", name, "")
}

func text(b *strings.Builder, x, y float64, anchor, s, more string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, more, html.EscapeString(s))
}

// nice rounds a step up to 1, 2 or 5 times a power of ten.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= v {
			return f * power
		}
	}
	return 10 * power
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }
