package chat

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// noise returns random numbers that depend on nothing but the seed.
func noise(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// draftTo returns a draft for a chat of some kind.
func draftTo(t testing.TB, kind message.ChatKind) Draft {
	peer := newKey(t, 1).Public()
	d := Draft{
		Chat: "chat", Kind: kind, Text: "hello", Clock: 1_700_000_000_200, Now: time.UnixMilli(1_700_000_000_123),
		Contact: contact.Contact{Key: peer, Local: contact.Sent, LocalClock: 5},
	}
	if kind == message.OneToOne {
		d.Chat = peer.Hex()
	}
	return d
}

// accepted checks that a receiver takes a message for what it is, in its chat.
func accepted(t *testing.T, m *apppb.ChatMessage, kind message.ChatKind) *Message {
	t.Helper()
	if err := Validate(m, in, kind); err != nil {
		t.Fatalf("sent, but refused: %v", err)
	}
	author, self := newKey(t, 2).Public(), newKey(t, 1).Public()
	place, err := Match(m, author, self)
	if err != nil || place.Kind != kind {
		t.Fatalf("sent to %+v, %v", place, err)
	}
	return New(message.ID{1}, author, place.ID, m, Received)
}

// Everything that people send, to every kind of chat, is taken by receivers;
// our view of the relation goes to 1:1 chats only.
//
// Proves: AP-136, AP-137, AP-143, AP-151, AP-160, AP-161.
func TestDrafts(t *testing.T) {
	t.Parallel()
	image, audio := Image{Format: "webp", Payload: []byte{1}, Width: 2, Height: 3}, Audio{Format: "amr", Payload: []byte{4}, DurationMS: 5}
	for _, kind := range []message.ChatKind{message.OneToOne, message.PrivateGroup, message.PublicChat, message.Community} {
		d := draftTo(t, kind)
		for want, build := range map[string]func(Draft) (*apppb.ChatMessage, error){
			"text":  TextMessage,
			"emoji": func(d Draft) (*apppb.ChatMessage, error) { d.Text = "👍🏽 ❤️"; return TextMessage(d) },
			"sticker": func(d Draft) (*apppb.ChatMessage, error) {
				return StickerMessage(d, Sticker{Hash: "e301", Pack: 2})
			},
			"image": func(d Draft) (*apppb.ChatMessage, error) {
				all, err := ImageMessages(d, []Image{image}, nil)
				if err != nil {
					return nil, err
				}
				return all[0], nil
			},
			"audio":           func(d Draft) (*apppb.ChatMessage, error) { return AudioMessage(d, audio) },
			"contact_request": ContactRequest,
		} {
			m, err := build(d)
			switch {
			case kind == message.PublicChat && (want == "image" || want == "audio"):
				if !errors.Is(err, ErrPublicMedia) {
					t.Errorf("%s in %s: %v", want, kind, err)
				}
				continue
			case kind != message.OneToOne && want == "contact_request":
				if !errors.Is(err, ErrDraftKind) {
					t.Errorf("%s in %s: %v", want, kind, err)
				}
				continue
			case err != nil:
				t.Errorf("%s in %s: %v", want, kind, err)
				continue
			}
			if m.ChatId != d.Chat || (m.ContactRequestPropagatedState != nil) != (kind == message.OneToOne) {
				t.Errorf("%s in %s: %v", want, kind, m)
			}
			got := accepted(t, m, kind)
			if got.ContentType != want {
				t.Errorf("%s in %s came as %s", want, kind, got.ContentType)
			}
			switch want {
			case "image":
				if !bytes.Equal(got.Image.Payload, image.Payload) || got.Image.Format != "webp" || got.Image.AlbumID != "" || got.Image.AlbumImages != 0 {
					t.Errorf("%+v", got.Image)
				}
			case "audio":
				if !bytes.Equal(got.Audio.Payload, audio.Payload) || got.Audio.Format != "amr" || got.Audio.DurationMS != 5 {
					t.Errorf("%+v", got.Audio)
				}
			case "sticker":
				if *got.Sticker != (Sticker{Hash: "e301", Pack: 2}) {
					t.Errorf("%+v", got.Sticker)
				}
			}
		}
	}
}

func TestDraftExtras(t *testing.T) {
	t.Parallel()
	thread := message.ID{9}
	d := draftTo(t, message.PrivateGroup)
	d.Thread, d.Links, d.StatusLinks = &thread, links, statusLinks(t)[:3]
	m, err := TextMessage(d)
	if err != nil {
		t.Fatal(err)
	}
	got := accepted(t, m, message.PrivateGroup)
	if got.Thread != thread.String() || len(got.Links) != 2 || len(got.StatusLinks) != 3 {
		t.Errorf("%+v", got)
	}
	d.Links = append(d.Links, links[0])
	if _, err := TextMessage(d); !errors.Is(err, ErrLinks) {
		t.Errorf("one link too many: %v", err)
	}
	// Emoji are text too if one asks for it.
	d = draftTo(t, message.OneToOne)
	d.Text = "😀"
	if m, err := PlainTextMessage(d); err != nil || m.ContentType != apppb.ChatMessage_TEXT_PLAIN {
		t.Errorf("%v, %v", m, err)
	}
	if m, err := EmojiMessage(d); err != nil || m.ContentType != apppb.ChatMessage_EMOJI {
		t.Errorf("%v, %v", m, err)
	}
	d.Text = "hello 😀"
	if m, err := EmojiMessage(d); !errors.Is(err, ErrNotEmoji) || m != nil {
		t.Errorf("%v, %v", m, err)
	}
	// Who cannot show a sticker or play audio has a text to show.
	d.Text = " "
	sticker, err := StickerMessage(d, Sticker{Hash: "x"})
	if err != nil || strings.TrimSpace(sticker.Text) == "" {
		t.Errorf("%v, %v", sticker, err)
	}
	audio, err := AudioMessage(d, Audio{Format: "aac", Payload: []byte{1}})
	if err != nil || strings.TrimSpace(audio.Text) == "" {
		t.Errorf("%v, %v", audio, err)
	}
}

// Several images are one album, whose text and reply go with the first.
func TestAlbum(t *testing.T) {
	t.Parallel()
	id := message.ID{7}
	d := draftTo(t, message.OneToOne)
	d.ReplyTo, d.Links = &id, links
	images := make([]Image, MaxAlbum)
	for i := range images {
		images[i] = Image{Format: "jpeg", Payload: []byte{byte(i + 1)}, AlbumID: "somebody's", AlbumImages: 99}
	}
	all, err := ImageMessages(d, images, noise(1))
	if err != nil || len(all) != MaxAlbum {
		t.Fatalf("%d messages, %v", len(all), err)
	}
	album := all[0].GetImage().AlbumId
	if len(album) != 36 || album == "somebody's" {
		t.Errorf("album %q", album)
	}
	for i, m := range all {
		got := accepted(t, m, message.OneToOne)
		if got.Image.AlbumID != album || got.Image.AlbumImages != MaxAlbum || got.Clock != d.Clock+uint64(i) || got.Image.Payload[0] != byte(i+1) {
			t.Errorf("image %d: %+v", i, got)
		}
		if first := i == 0; (got.Text == "hello") != first || (got.ReplyTo != "") != first || (len(got.Links) > 0) != first {
			t.Errorf("image %d: %+v", i, got)
		}
	}
	again, err := ImageMessages(d, images, noise(1))
	other, otherErr := ImageMessages(d, images, noise(2))
	if err != nil || otherErr != nil || !proto.Equal(again[1], all[1]) || other[0].GetImage().AlbumId == album {
		t.Error("the album's id does not depend on the random numbers alone")
	}
}

// Each limit, at it and past it; nothing comes out with an error.
func TestDraftLimits(t *testing.T) {
	t.Parallel()
	image := func(n int) []Image { return []Image{{Format: "png", Payload: make([]byte, n)}} }
	album := func(n int) []Image { return bytesOf(n) }
	audio := func(n int, d time.Duration) Audio {
		return Audio{Format: "aac", Payload: make([]byte, n), DurationMS: uint64(d.Milliseconds())}
	}
	pictures := func(images []Image) func(Draft) (any, error) {
		return func(d Draft) (any, error) {
			all, err := ImageMessages(d, images, noise(1))
			if all == nil {
				return nil, err
			}
			return all, err
		}
	}
	sound := func(a Audio) func(Draft) (any, error) {
		return func(d Draft) (any, error) {
			m, err := AudioMessage(d, a)
			if m == nil {
				return nil, err
			}
			return m, err
		}
	}
	late := func(do func(Draft) (any, error)) func(Draft) (any, error) {
		return func(d Draft) (any, error) { d.Clock = math.MaxUint64; return do(d) }
	}
	for name, test := range map[string]struct {
		do   func(Draft) (any, error)
		want error
	}{
		"image at limit":        {pictures(image(MaxImage)), nil},
		"image over limit":      {pictures(image(MaxImage + 1)), ErrImageSize},
		"image, empty":          {pictures(image(0)), ErrImage},
		"image, no format":      {pictures([]Image{{Payload: []byte{1}}}), ErrImage},
		"image, other format":   {pictures([]Image{{Payload: []byte{1}, Format: "bmp"}}), ErrImage},
		"no image":              {pictures(nil), ErrNoImages},
		"album at limit":        {pictures(album(MaxAlbum)), nil},
		"album over limit":      {pictures(album(MaxAlbum + 1)), ErrAlbumSize},
		"album, bad image":      {pictures(append(album(1), image(MaxImage+1)...)), ErrImageSize},
		"album, no more clocks": {late(pictures(album(2))), message.ErrClockAhead},
		"audio at limits":       {sound(audio(MaxAudio, MaxAudioDuration)), nil},
		"audio over limit":      {sound(audio(MaxAudio+1, 0)), ErrAudioSize},
		"audio too long":        {sound(audio(1, MaxAudioDuration+time.Millisecond)), ErrAudioTooLong},
		"audio, empty":          {sound(audio(0, 0)), ErrAudio},
		"audio, no format":      {sound(Audio{Payload: []byte{1}}), ErrAudio},
		"audio, other format":   {sound(Audio{Payload: []byte{1}, Format: "mp3"}), ErrAudio},
	} {
		out, err := test.do(draftTo(t, message.OneToOne))
		if !errors.Is(err, test.want) || (out == nil) != (err != nil) {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
	failing := errors.New("no random numbers")
	if _, err := ImageMessages(draftTo(t, message.OneToOne), album(2), iotest.ErrReader(failing)); !errors.Is(err, failing) {
		t.Errorf("got %v", err)
	}
	if _, err := StickerMessage(draftTo(t, message.OneToOne), Sticker{}); !errors.Is(err, ErrSticker) {
		t.Errorf("got %v", err)
	}
	// What is received is judged more leniently than what is sent.
	m := with(apppb.ChatMessage_IMAGE)
	m.GetImage().Payload = make([]byte, MaxImage+1)
	m.GetImage().AlbumImagesCount = MaxAlbum + 1
	sound1 := with(apppb.ChatMessage_AUDIO)
	sound1.GetAudio().DurationMs = uint64(MaxAudioDuration.Milliseconds()) + 3000
	for _, m := range []*apppb.ChatMessage{m, sound1} {
		if err := Validate(m, in, message.OneToOne); err != nil {
			t.Errorf("received: %v", err)
		}
	}
}

// bytesOf returns n small images.
func bytesOf(n int) []Image {
	all := make([]Image, n)
	for i := range all {
		all[i] = Image{Format: "gif", Payload: []byte{1}}
	}
	return all
}

// Muting: for each time a person may pick, for any other, and without end.
func TestMute(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_700_000_000_123)
	c := NewOneToOne(newKey(t, 1).Public())
	if c.IsMuted(now) {
		t.Error("muted from the start")
	}
	for _, d := range []time.Duration{MuteShort, MuteHour, MuteWorkday, MuteDay, MuteWeek, time.Millisecond, 3 * time.Second} {
		muted := c.Mute(now.Add(d))
		if !muted.IsMuted(now) || !muted.IsMuted(now.Add(d-time.Millisecond)) || muted.IsMuted(now.Add(d)) || muted.IsMuted(now.Add(d+time.Hour)) {
			t.Errorf("muted for %s: %+v", d, muted)
		}
		if muted.Unmute() != c {
			t.Errorf("unmuted: %+v", muted.Unmute())
		}
	}
	forever := c.Mute(now.Add(time.Hour)).Mute(time.Time{})
	if !forever.IsMuted(now) || !forever.IsMuted(now.AddDate(200, 0, 0)) || forever.Unmute().IsMuted(now) {
		t.Errorf("%+v", forever)
	}
	if c.Mute(now).IsMuted(now) || c.Mute(time.UnixMilli(0)).IsMuted(now) {
		t.Error("muted until a time that has passed")
	}
}

func TestUnread(t *testing.T) {
	t.Parallel()
	c := Chat{LastClock: 10, ClearedClock: 3, ReadClock: 5, UnreadCount: 4, MentionCount: 2}
	for clock, want := range map[uint64]bool{1: false, 3: false, 5: false, 6: true, 10: true} {
		if c.Unread(clock) != want {
			t.Errorf("clock %d: %v", clock, !want)
		}
	}
	if some := c.MarkRead(9); some.ReadClock != 9 || some.UnreadCount != 4 || some.MentionCount != 2 {
		t.Errorf("%+v", some)
	}
	for _, all := range []Chat{c.MarkRead(10), c.MarkRead(99), c.Clear()} {
		if all.ReadClock != 10 || all.UnreadCount != 0 || all.MentionCount != 0 {
			t.Errorf("%+v", all)
		}
	}
}
