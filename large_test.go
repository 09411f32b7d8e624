package parley_test

import (
	"bytes"
	"crypto/rand"
	"image"
	"image/png"
	"testing"

	"github.com/parley-im/parley"
)

// noisyPicture stays large however it is encoded.
func noisyPicture(t testing.TB, side int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, side, side))
	if _, err := rand.Read(img.Pix); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if err := png.Encode(&raw, img); err != nil {
		t.Fatal(err)
	}
	return raw.Bytes()
}

// A picture that is a large message goes both ways between a full and a light
// client over real sockets: by lightpush to a service node, on a shard that
// neither subscribes to, and out of its store.
//
// Proves: SP-65, SP-71, SP-73, SP-84, SP-86.
func TestLargePictureOverSockets(t *testing.T) {
	t.Parallel()
	service := serve(t)
	alice := open(t, newAccount(t, t.TempDir(), "Alice"), t.TempDir(), parley.Full, service)
	bobby := open(t, newAccount(t, t.TempDir(), "Bobby"), t.TempDir(), parley.Light, service)
	if _, err := alice.AddContact(t.Context(), bobby.Self().String(), "hello"); err != nil {
		t.Fatal(err)
	}
	wait(t, bobby, "bobby gets the request", func(e parley.Event) bool { return e.Type == parley.EventContactRequest })
	if _, err := bobby.AcceptContact(t.Context(), "Alice"); err != nil {
		t.Fatal(err)
	}
	picture := noisyPicture(t, 700)
	complete := func(t *testing.T, c *parley.Client, id string) {
		t.Helper()
		wait(t, c, "the transfer is complete for "+c.Account().Name, func(e parley.Event) bool {
			data, err := e.Decode()
			if err != nil {
				t.Fatal(err)
			}
			v, ok := data.(*parley.Transfer)
			return ok && v.State == "complete" && len(v.Messages) > 0 && v.Messages[0].String() == id
		})
	}
	for name, way := range map[string][2]*parley.Client{"full to light": {alice, bobby}, "light to full": {bobby, alice}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := way[0], way[1]
			sent, err := from.Send(t.Context(), to.Self().String(), "look", parley.SendOptions{Images: [][]byte{picture}})
			if err != nil {
				t.Fatal(err)
			}
			if sent.Image.Bytes < 150_000 {
				t.Fatalf("a picture of %d bytes", sent.Image.Bytes)
			}
			complete(t, from, sent.ID.String())
			complete(t, to, sent.ID.String())
			got, err := to.Message(t.Context(), sent.ID.String())
			if err != nil || got.Image == nil || got.Image.Bytes != sent.Image.Bytes {
				t.Errorf("%+v, %v", got, err)
			}
			wait(t, from, "it is known to be stored", func(parley.Event) bool {
				m, err := from.Message(t.Context(), sent.ID.String())
				return err == nil && m.Stored > 0
			})
		})
	}
}
