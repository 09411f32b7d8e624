package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
)

// adts returns a frame of a stream at 22,050 samples a second with so many
// bytes of sound; rights are the header's bits that are not about sound.
func adts(sound int, rights bool) []byte {
	head := uint32(0xfff15c40)
	length := adtsHeader + sound
	if rights {
		head |= 0x0000023c
	}
	frame := binary.BigEndian.AppendUint32(nil, head|uint32(length>>11))
	frame = append(frame, byte(length>>3), byte(length<<5), 0)
	for i := range sound {
		frame = append(frame, byte(i))
	}
	return frame
}

// amr returns a frame of a type.
func amr(kind byte) []byte {
	return append([]byte{kind<<3 | 4}, bytes.Repeat([]byte{0xa5}, amrSizes[kind])...)
}

// id3 returns a tag with a content.
func id3(content string, footer bool) []byte {
	n, flags := len(content), byte(0)
	tag := []byte{'I', 'D', '3', 4, 0, flags, byte(n >> 21 & 0x7f), byte(n >> 14 & 0x7f), byte(n >> 7 & 0x7f), byte(n & 0x7f)}
	tag = append(tag, content...)
	if footer {
		tag[5] = id3Footer
		tag = append(tag, "3DI       "...)
	}
	return tag
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// Sound passes as it is, to the byte.
//
// Proves: AP-144.
func TestCleanSound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		data   []byte
		format Format
		frames int
		sounds time.Duration
	}{
		"AAC":                {join(adts(100, false), adts(1, false), adts(8191-adtsHeader, false)), AAC, 3, 3 * 1024 * time.Second / 22050},
		"AAC, MPEG-2":        {[]byte{0xff, 0xf9, 0x4c, 0x80, 0x01, 0x1f, 0xfc, 0x21}, AAC, 1, 1024 * time.Second / 48000},
		"AAC, four blocks":   {[]byte{0xff, 0xf1, 0x4c, 0x80, 0x01, 0x1f, 0xff, 0x21}, AAC, 1, 4 * (1024 * time.Second / 48000)},
		"AMR, of every type": {join([]byte("#!AMR\n"), amr(0), amr(1), amr(2), amr(3), amr(4), amr(5), amr(6), amr(7), amr(8), amr(15)), AMR, 10, 200 * time.Millisecond},
	} {
		r, err := Clean(test.data)
		if err != nil || r.Format != test.format || r.Frames != test.frames || !bytes.Equal(r.Data, test.data) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if d := r.Duration - test.sounds; d < -time.Microsecond || d > time.Microsecond {
			t.Errorf("%s: sounds for %v, want %v", name, r.Duration, test.sounds)
		}
		if want := "audio/" + string(test.format); r.Format.MIME() != want {
			t.Errorf("%s: %s", name, r.Format.MIME())
		}
	}
}

// What is not sound goes without being read: tags that no reader of tags could
// make sense of, whatever stands behind the sound, and the marks of rights in
// the frames themselves.
//
// Proves: AP-146.
func TestCleanStripsMetadata(t *testing.T) {
	t.Parallel()
	sound := join(adts(40, false), adts(50, false))
	spoken := join([]byte(amrMagic), amr(7), amr(0))
	for name, test := range map[string]struct{ data, want []byte }{
		"tag before":          {join(id3("\xff\xf1 nonsense \x00\xff", false), sound), sound},
		"tag with a footer":   {join(id3("TXXX", true), sound), sound},
		"empty tag":           {join(id3("", false), sound), sound},
		"several tags":        {join(id3("a", false), id3("b", true), sound), sound},
		"tag behind":          {join(sound, []byte("TAGtitle and artist")), sound},
		"APE tag behind":      {join(sound, []byte("APETAGEX")), sound},
		"tag in between":      {join(sound, id3("x", false), sound), sound},
		"marks of rights":     {join(adts(40, true), adts(50, true)), sound},
		"half a frame behind": {join(sound, adts(60, false)[:66]), sound},
		"another stream":      {join(sound, []byte{0xff, 0xf1, 0x4c, 0x80, 0x01, 0x1f, 0xfc, 0x21}), sound},
		"AMR, tag behind":     {join(spoken, []byte("TAG\xff")), spoken},
		"AMR, half a frame":   {join(spoken, amr(7)[:31]), spoken},
	} {
		r, err := Clean(test.data)
		if err != nil || !bytes.Equal(r.Data, test.want) {
			t.Errorf("%s:\n%x, %v, want\n%x", name, r.Data, err, test.want)
		}
	}
}

// Nothing of a recording is believed but that it is bytes.
//
// Proves: AP-144, AP-145.
func TestCleanHostile(t *testing.T) {
	t.Parallel()
	short := adts(1, false)
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                     {nil, ErrFormat},
		"one byte":                    {[]byte{0xff}, ErrFormat},
		"text":                        {[]byte("#!/bin/sh\n"), ErrFormat},
		"HTML":                        {[]byte("<script>"), ErrFormat},
		"MP4":                         {[]byte("\x00\x00\x00\x18ftypM4A "), ErrFormat},
		"MP3":                         {[]byte{0xff, 0xfb, 0x90, 0x64, 0, 0, 0, 0}, ErrFormat},
		"wideband AMR":                {[]byte("#!AMR-WB\n\x04"), ErrFormat},
		"AMR of many channels":        {[]byte("#!AMR_MC1.0\n"), ErrFormat},
		"AAC with checksums":          {[]byte{0xff, 0xf0, 0x5c, 0x40, 0x01, 0x3f, 0xfc, 1, 2, 3}, ErrFormat},
		"AAC of a reserved rate":      {[]byte{0xff, 0xf1, 0x74, 0x40, 0x01, 0x1f, 0xfc, 1}, ErrEmpty},
		"AAC, header alone":           {short[:adtsHeader], ErrEmpty},
		"AAC, sync alone":             {short[:2], ErrEmpty},
		"AAC, frame of no length":     {[]byte{0xff, 0xf1, 0x5c, 0x40, 0, 0x1f, 0xfc, 1}, ErrEmpty},
		"AAC, shorter than its head":  {[]byte{0xff, 0xf1, 0x5c, 0x40, 0, 0xff, 0xfc, 1}, ErrEmpty},
		"AAC, frame beyond the end":   {[]byte{0xff, 0xf1, 0x5c, 0x43, 0xff, 0xff, 0xfc, 1}, ErrEmpty},
		"AMR without a frame":         {[]byte(amrMagic), ErrEmpty},
		"AMR of an unused type":       {[]byte(amrMagic + "\x4c\x00\x00"), ErrEmpty},
		"AMR with padding that is 1":  {[]byte(amrMagic + "\x05" + "aaaaaaaaaaaa"), ErrEmpty},
		"AMR, frame beyond the end":   {[]byte(amrMagic + "\x3c" + "aaaa"), ErrEmpty},
		"a tag and nothing":           {id3("x", false), ErrFormat},
		"a tag beyond the end":        {id3("x", false)[:id3Header], ErrFormat},
		"a tag that has no length":    {join([]byte("ID3\x04\x00\x00\xff\xff\xff\xff"), short), ErrFormat},
		"a tag as long as can be":     {join([]byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7f"), short), ErrFormat},
		"AMR behind a tag":            {join(id3("x", false), []byte(amrMagic), amr(0)), ErrFormat},
		"one byte over the limit":     {make([]byte, MaxReceivedBytes+1), ErrBytes},
		"no sound, but at the limit":  {make([]byte, MaxReceivedBytes), ErrFormat},
		"silence up to the limit":     {join([]byte(amrMagic), bytes.Repeat(amr(15), MaxReceivedBytes-len(amrMagic))), nil},
		"silence beyond the limit":    {join([]byte(amrMagic), bytes.Repeat(amr(15), MaxReceivedBytes-len(amrMagic)+1)), ErrBytes},
		"AAC at its shortest, enough": {short, nil},
	} {
		r, err := Clean(test.data)
		if !errors.Is(err, test.want) || err != nil && r.Data != nil {
			t.Errorf("%s: %d frames, %v, want %v", name, r.Frames, err, test.want)
		}
	}
}

// Whatever comes, it ends; what is clean is no longer than what came, stays as
// it is, and consists of frames alone.
func FuzzClean(f *testing.F) {
	f.Add(join(id3("x", true), adts(40, true), adts(50, false), []byte("TAG")))
	f.Add(join([]byte(amrMagic), amr(7), amr(8), amr(15)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Clean(data)
		if err != nil {
			return
		}
		if r.Frames < 1 || r.Duration <= 0 || len(r.Data) > len(data) {
			t.Fatalf("%d frames, %v, %d of %d bytes", r.Frames, r.Duration, len(r.Data), len(data))
		}
		again, err := Clean(r.Data)
		if err != nil || again.Frames != r.Frames || again.Duration != r.Duration || !bytes.Equal(again.Data, r.Data) {
			t.Fatalf("cleaned again: %d frames, %v", again.Frames, err)
		}
	})
}

// BenchmarkClean cleans two minutes of speech.
func BenchmarkClean(b *testing.B) {
	data := bytes.Repeat(adts(180, false), 120*22050/1024)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Clean(data); err != nil {
			b.Fatal(err)
		}
	}
}
