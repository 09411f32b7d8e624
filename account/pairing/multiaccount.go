package pairing

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	apppb "github.com/parley-im/parley/pb/app"
)

// Profile is what travels of an account besides its keys: MultiAccount
// (65/STATUS-ACCOUNT-ADDRESS, Wire Format), and the settings that belong to it.
type Profile struct {
	// Name is what the account is called.
	Name string
	// Updated is when the account was last used, in whole seconds.
	Updated time.Time
	// ColorHash and ColorID are those of package account; they follow from the
	// chat key, and are only told.
	ColorHash [][2]int
	ColorID   int
	// KeyUID is 0x and the SHA-256 of the master key, empty when unknown.
	KeyUID string
	// Images are the pictures of the profile.
	Images []Image
	// Color is the word for the colour that the user has chosen, empty for none;
	// ColorClock is when, in Unix milliseconds.
	Color      string
	ColorClock uint64

	// Bio and ShowTo travel in the settings: a text about the user, and who may
	// see the pictures.
	Bio    string
	ShowTo ShowTo
}

// ShowTo says who may see the pictures of a profile, in the numbers of deployed
// clients; 0 says nothing.
type ShowTo int

// The audiences.
const (
	ShowToContacts ShowTo = 1
	ShowToEveryone ShowTo = 2
	ShowToNobody   ShowTo = 3
)

// Image is one picture of a profile.
type Image struct {
	// Name is its use: thumbnail or large.
	Name string
	// Data is the picture, encoded.
	Data []byte
	// Width and Height are its size in pixels, ResizeTarget the side it was made
	// for.
	Width, Height, ResizeTarget int
	// Clock is when it was set, in Unix milliseconds.
	Clock uint64
}

// NewMultiAccount returns what the account and its profile are told as. What
// follows from the keys is taken from them. Identicon and keycard pairing stay
// empty, as deployed clients leave them.
func NewMultiAccount(chat key.Public, keyUID string, p Profile) *apppb.MultiAccount {
	m := &apppb.MultiAccount{
		Name:                    p.Name,
		Timestamp:               p.Updated.Unix(),
		ColorId:                 int64(account.ColorID(chat)),
		KeyUid:                  keyUID,
		CustomizationColor:      p.Color,
		CustomizationColorClock: p.ColorClock,
	}
	for _, segment := range account.ColorHash(chat) {
		m.ColorHash = append(m.ColorHash, &apppb.MultiAccount_ColorHash{Index: []int64{int64(segment[0]), int64(segment[1])}})
	}
	for _, i := range p.Images {
		m.Images = append(m.Images, &apppb.MultiAccount_IdentityImage{
			KeyUid: keyUID, Name: i.Name, Payload: i.Data, Width: int64(i.Width), Height: int64(i.Height),
			Filesize: int64(len(i.Data)), ResizeTarget: int64(i.ResizeTarget), Clock: i.Clock,
		})
	}
	return m
}

// Limits of numbers in a MultiAccount.
const (
	maxColorSegments = 64
	maxImageSide     = 1 << 14
	maxTimestamp     = 253402300799 // the last second of the year 9999
)

// ReadMultiAccount reads what another device tells about an account. Identicon
// and keycard pairing are passed over. The error is ErrPayload.
func ReadMultiAccount(m *apppb.MultiAccount) (p Profile, err error) {
	switch {
	case m == nil:
		return Profile{}, fmt.Errorf("%w: no MultiAccount", ErrPayload)
	case !short(m.GetName()) || !short(m.GetCustomizationColor()):
		return Profile{}, fmt.Errorf("%w: name or colour", ErrPayload)
	case m.GetKeyUid() != "" && !isKeyUID(m.GetKeyUid()):
		return Profile{}, fmt.Errorf("%w: key uid", ErrPayload)
	case m.GetTimestamp() < 0 || m.GetTimestamp() > maxTimestamp:
		return Profile{}, fmt.Errorf("%w: timestamp", ErrPayload)
	case len(m.GetColorHash()) > maxColorSegments:
		return Profile{}, fmt.Errorf("%w: colour hash of %d segments", ErrPayload, len(m.GetColorHash()))
	case m.GetColorId() < 0 || m.GetColorId() >= account.ColorCount:
		return Profile{}, fmt.Errorf("%w: colour id %d", ErrPayload, m.GetColorId())
	case len(m.GetImages()) > MaxImages:
		return Profile{}, fmt.Errorf("%w: %d pictures, at most %d", ErrPayload, len(m.GetImages()), MaxImages)
	}
	p = Profile{
		Name: m.GetName(), Updated: time.Unix(m.GetTimestamp(), 0).UTC(), ColorID: int(m.GetColorId()),
		KeyUID: m.GetKeyUid(), Color: m.GetCustomizationColor(), ColorClock: m.GetCustomizationColorClock(),
	}
	for _, segment := range m.GetColorHash() {
		index := segment.GetIndex()
		if len(index) != 2 || index[0] < 0 || index[0] > 255 || index[1] < 0 || index[1] >= account.RingColorCount {
			return Profile{}, fmt.Errorf("%w: colour hash", ErrPayload)
		}
		p.ColorHash = append(p.ColorHash, [2]int{int(index[0]), int(index[1])})
	}
	for _, i := range m.GetImages() {
		if err := checkImage(i); err != nil {
			return Profile{}, err
		}
		p.Images = append(p.Images, Image{
			Name: i.GetName(), Data: i.GetPayload(), Width: int(i.GetWidth()), Height: int(i.GetHeight()),
			ResizeTarget: int(i.GetResizeTarget()), Clock: i.GetClock(),
		})
	}
	return p, nil
}

func checkImage(i *apppb.MultiAccount_IdentityImage) error {
	switch {
	case len(i.GetPayload()) > MaxImageSize:
		return fmt.Errorf("%w: picture of %d bytes, at most %d", ErrPayload, len(i.GetPayload()), MaxImageSize)
	case !short(i.GetName()):
		return fmt.Errorf("%w: name of a picture", ErrPayload)
	}
	for _, side := range []int64{i.GetWidth(), i.GetHeight(), i.GetResizeTarget()} {
		if side < 0 || side > maxImageSide {
			return fmt.Errorf("%w: size of a picture", ErrPayload)
		}
	}
	return nil
}

// isKeyUID says whether a text is 0x and 64 hexadecimal digits.
func isKeyUID(s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	return ok && len(digits) == 64 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// short says whether a text of the other device can be kept and shown.
func short(s string) bool { return len(s) <= MaxText && shown(s) }

func shown(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
