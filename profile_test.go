package parley

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"rsc.io/qr"

	"github.com/parley-im/parley/app/share"
)

// TestProfileLink: the profile has the link by which others add us, and it can
// be scanned.
func TestProfileLink(t *testing.T) {
	t.Parallel()
	c, ctx := memoryClient(t), t.Context()
	name := "Ada Lovelace"
	p, err := c.SetProfile(ctx, ProfileChange{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	u, err := share.Parse(p.Link)
	if err != nil || u.Key != c.Self() || u.User.GetDisplayName() != name || p.Link != share.Link(c.Self(), name) {
		t.Fatalf("%s: %+v, %v", p.Link, u, err)
	}
	code, err := c.ProfileQR(ctx)
	if err != nil || code.Type != "image/png" {
		t.Fatalf("%+v, %v", code, err)
	}
	img, err := png.Decode(bytes.NewReader(code.Data))
	if err != nil || img.Bounds() != image.Rect(0, 0, code.Width, code.Height) {
		t.Fatalf("%v, %v", img, err)
	}
	want, err := qr.Encode(p.Link, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	const border = 4 // modules around the code, as the standard says
	for y := range want.Size + 2*border {
		for x := range want.Size + 2*border {
			black := color.GrayModel.Convert(img.At(x*want.Scale, y*want.Scale)).(color.Gray).Y == 0
			if black != want.Black(x-border, y-border) {
				t.Fatalf("the module at %d, %d is not of the code", x, y)
			}
		}
	}
	empty := ""
	if p, err = c.SetProfile(ctx, ProfileChange{Name: &empty}); err != nil || !strings.HasSuffix(p.Link, "/u#"+c.Self().String()) {
		t.Errorf("without a name: %s, %v", p.Link, err)
	}
	if again, err := c.ProfileQR(ctx); err != nil || bytes.Equal(again.Data, code.Data) {
		t.Errorf("the code of another link is the same, %v", err)
	}
}
