package parley

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/gif"
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
)

// TestSendPictures: an album, its messages, and their bytes.
func TestSendPictures(t *testing.T) {
	t.Parallel()
	c, ctx, bob := memoryClient(t), t.Context(), strangerKey(t)
	m, err := c.Send(ctx, bob.String(), "covers", SendOptions{Images: [][]byte{pixels(t, 300, 200), pixels(t, 10, 10)}})
	if err != nil || len(m.Album) != 2 || m.Album[0] != m.ID || m.Text != "covers" || m.Image == nil || m.Image.Width != 300 || m.Image.AlbumImages != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	other, err := c.Message(ctx, m.Album[1].String())
	if err != nil || other.Image == nil || other.Image.AlbumID != m.Image.AlbumID || other.Text != "" || other.Album != nil {
		t.Errorf("%+v, %v", other, err)
	}
	p, err := c.MessageImage(ctx, m.ID.String(), 30)
	if err != nil || p.Width != 30 || p.Height != 20 || p.Type != "image/png" && p.Type != "image/jpeg" {
		t.Errorf("%s %d×%d, %v", p.Type, p.Width, p.Height, err)
	}
	if config, _, err := image.DecodeConfig(bytes.NewReader(p.Data)); err != nil || config.Width != 30 {
		t.Errorf("%+v, %v", config, err)
	}
	raw, err := json.Marshal(m)
	if err != nil || bytes.Contains(raw, []byte("payload")) {
		t.Errorf("%s, %v", raw, err)
	}
	for name, step := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"no picture":     {second(c.MessageAudio(ctx, m.ID.String())), fault.NotFound},
		"side":           {second(c.MessageImage(ctx, m.ID.String(), -1)), fault.Usage},
		"no id":          {second(c.MessageImage(ctx, "x", 0)), fault.Usage},
		"not a picture":  {second(c.Send(ctx, bob.String(), "", SendOptions{Images: [][]byte{[]byte("picture")}})), fault.Usage},
		"too many":       {second(c.Send(ctx, bob.String(), "", SendOptions{Images: slices.Repeat([][]byte{pixels(t, 4, 4)}, chat.MaxAlbum+1)})), fault.Usage},
		"both":           {second(c.Send(ctx, bob.String(), "", SendOptions{Images: [][]byte{pixels(t, 4, 4)}, Sticker: &chat.Sticker{Hash: "x"}})), fault.Usage},
		"nothing at all": {second(c.Send(ctx, bob.String(), " ", SendOptions{})), fault.Usage},
		"to oneself":     {second(c.Send(ctx, c.Self().String(), "x", SendOptions{})), fault.Usage},
	} {
		if fault.KindOf(step.err) != step.kind {
			t.Errorf("%s: %v", name, step.err)
		}
	}
}

// TestForeignContent: what others send is described, and its bytes are made
// harmless or refused.
//
// Proves: AP-144, AP-145.
func TestForeignContent(t *testing.T) {
	t.Parallel()
	c, ctx, bob := memoryClient(t), t.Context(), strangerKey(t)
	var film bytes.Buffer
	frame := image.NewPaletted(image.Rect(0, 0, 8, 4), color.Palette{color.Black, color.White})
	if err := gif.EncodeAll(&film, &gif.GIF{Image: []*image.Paletted{frame, frame}, Delay: []int{1, 1}}); err != nil {
		t.Fatal(err)
	}
	sound := []byte("#!AMR\n\x7c\x7c") // two frames of silence
	tagged := append(slices.Clip(sound), "TAGwho and where"...)
	all := receive(t, c, bob, "0", "1", "2", "3", "4")
	all[0].ContentType, all[0].Image = "image", &chat.Image{Format: "jpeg", Payload: film.Bytes(), Width: 9999}
	all[1].ContentType, all[1].Image = "image", &chat.Image{Format: "png", Payload: []byte("<svg onload=alert(1)>")}
	all[2].ContentType, all[2].Audio = "audio", &chat.Audio{Format: "aac", Payload: tagged, DurationMS: 1500}
	all[4].ContentType, all[4].Audio = "audio", &chat.Audio{Format: "aac", Payload: []byte("<script>")}
	all[3].Discord = &chat.Discord{Content: "x", Avatar: []byte("avatar"), Attachments: []chat.DiscordAttachment{{Name: "a", Payload: []byte("file")}}}
	all[3].StatusLinks = []chat.StatusLink{{URL: "https://status.app/c", Channel: &chat.ChannelLink{
		UUID: "1", Community: &chat.CommunityLink{ID: "0x02", Icon: chat.Thumbnail{Payload: []byte("icon")}, Banner: chat.Thumbnail{Payload: []byte("banner")}},
	}}}
	if err := c.db.Update(func(tx *storage.Tx) error {
		for _, m := range all {
			if err := tx.PutMessage(m); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p, err := c.MessageImage(ctx, all[0].ID.String(), 0)
	if err != nil || p.Type != "image/png" && p.Type != "image/jpeg" || p.Width != 8 || p.Height != 4 {
		t.Errorf("an animation: %s %d×%d, %v", p.Type, p.Width, p.Height, err)
	}
	if _, err := c.MessageImage(ctx, all[1].ID.String(), 0); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no picture: %v", err)
	}
	r, err := c.MessageAudio(ctx, all[2].ID.String())
	if err != nil || r.Type != "audio/amr" || !bytes.Equal(r.Data, sound) {
		t.Errorf("a recording: %+v, %v", r, err)
	}
	if _, err := c.MessageAudio(ctx, all[4].ID.String()); fault.KindOf(err) != fault.Invalid {
		t.Errorf("no recording: %v", err)
	}
	shown, err := c.Messages(ctx, bob.String(), 0, 0)
	if err != nil || len(shown) != 5 {
		t.Fatal(shown, err)
	}
	if *shown[0].Image != (Image{Format: "jpeg", Bytes: film.Len(), Width: 9999}) || *shown[2].Audio != (Audio{Format: "aac", Bytes: len(tagged), DurationMS: 1500}) {
		t.Errorf("%+v, %+v", shown[0].Image, shown[2].Audio)
	}
	raw, err := json.Marshal(shown)
	if err != nil || strings.Contains(string(raw), "payload") || strings.Contains(string(raw), "avatar") {
		t.Errorf("%s, %v", raw, err)
	}
	if kept, err := c.stack.Payload(all[3].ID, "discord/0"); err != nil || string(kept) != "file" {
		t.Errorf("showing a message has changed it: %q, %v", kept, err)
	}
}

// TestTrace: what was done to a message, in order, and what waits.
func TestTrace(t *testing.T) {
	t.Parallel()
	c, ctx, bob := memoryClient(t), t.Context(), strangerKey(t)
	m, err := c.Send(ctx, bob.String(), "one", SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	id := m.ID.String()
	for _, do := range []func() (Message, error){
		func() (Message, error) { return c.Send(ctx, bob.String(), "another", SendOptions{ReplyTo: id}) },
		func() (Message, error) { return c.React(ctx, id, "👍") },
		func() (Message, error) { return c.Pin(ctx, id) },
		func() (Message, error) { return c.Edit(ctx, id, "two", EditOptions{}) },
		func() (Message, error) { return c.Unreact(ctx, id, "👍") },
		func() (Message, error) { return c.Unpin(ctx, id) },
	} {
		if _, err := do(); err != nil {
			t.Fatal(err)
		}
	}
	trace, err := c.Trace(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if len(trace.Waiting) == 0 || trace.Waiting[0].Hash.IsZero() || trace.Waiting[0].ContentTopic == "" || trace.Waiting[0].Bytes == 0 {
		t.Errorf("waiting %+v", trace.Waiting)
	}
	if _, err := c.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if trace, err = c.Trace(ctx, id); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range trace.Steps {
		got = append(got, s.What+s.Emoji)
		if s.By != c.Self() || s.ByKey != c.Self().Hex() || s.Clock == 0 {
			t.Errorf("%+v", s)
		}
	}
	if want := []string{"sent", "reacted👍", "pinned", "edited", "retracted👍", "unpinned", "deleted"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !trace.Message.Deleted || trace.Message.Text != "" {
		t.Errorf("%+v", trace.Message)
	}
	gone, err := c.DeleteForMe(ctx, id)
	if err != nil || !gone.DeletedForMe {
		t.Errorf("%+v, %v", gone, err)
	}
	if all, err := c.Messages(ctx, "", 0, 0); err != nil || len(all) != 1 {
		t.Errorf("%q, %v", textsOf(all), err)
	}
	for kind, id := range map[fault.Kind]string{fault.Usage: "x", fault.NotFound: "0x" + strings.Repeat("00", 32)} {
		for name, err := range map[string]error{
			"trace": second(c.Trace(ctx, id)), "edit": second(c.Edit(ctx, id, "x", EditOptions{})), "delete": second(c.Delete(ctx, id)),
			"for me": second(c.DeleteForMe(ctx, id)), "react": second(c.React(ctx, id, "👍")), "pin": second(c.Pin(ctx, id)),
		} {
			if fault.KindOf(err) != kind {
				t.Errorf("%s %s: %v", name, id, err)
			}
		}
	}
}
