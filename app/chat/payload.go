package chat

import "fmt"

// The names of the payloads of a message: what is large in it and what nobody
// looks into, pictures, recordings, a community's description. Others have
// names, too, but nobody asks for them.
const (
	PayloadImage     = "image"
	PayloadAudio     = "audio"
	PayloadCommunity = "community"
)

// PayloadLink names the picture of the n-th preview of a message, from 0.
func PayloadLink(n int) string { return fmt.Sprintf("link/%d", n) }

// Detach returns the message as it is without its payloads, and these by name.
// Where one was, the message says how many bytes it has. The message itself
// stays as it is; without payloads it is what is returned.
func (m *Message) Detach() (*Message, map[string][]byte) {
	payloads := make(map[string][]byte)
	m.places(func(name string, data *[]byte, _ *int) {
		if len(*data) > 0 {
			payloads[name] = *data
		}
	})
	if len(payloads) == 0 {
		return m, nil
	}
	out := m.separate()
	out.places(func(_ string, data *[]byte, size *int) {
		if len(*data) > 0 {
			*size, *data = len(*data), nil
		}
	})
	return out, payloads
}

// Payloads returns the names of the payloads that the message has, detached or
// not.
func (m *Message) Payloads() (names []string) {
	m.places(func(name string, data *[]byte, size *int) {
		if len(*data) > 0 || *size > 0 {
			names = append(names, name)
		}
	})
	return names
}

// places visits every place for a payload: its name, the bytes, and how many
// there are of what is detached.
func (m *Message) places(visit func(name string, data *[]byte, size *int)) {
	if m.Image != nil {
		visit(PayloadImage, &m.Image.Payload, &m.Image.Bytes)
	}
	if m.Audio != nil {
		visit(PayloadAudio, &m.Audio.Payload, &m.Audio.Bytes)
	}
	visit(PayloadCommunity, &m.Community, &m.CommunityBytes)
	if d := m.Discord; d != nil {
		visit("discord/avatar", &d.Avatar, &d.AvatarBytes)
		for i := range d.Attachments {
			visit(fmt.Sprintf("discord/%d", i), &d.Attachments[i].Payload, &d.Attachments[i].Bytes)
		}
	}
	for i := range m.Links {
		l := &m.Links[i]
		visit(PayloadLink(i), &l.Thumbnail.Payload, &l.Thumbnail.Bytes)
		visit(fmt.Sprintf("link/%d/favicon", i), &l.Favicon, &l.FaviconBytes)
	}
	for i := range m.StatusLinks {
		l := &m.StatusLinks[i]
		name := func(of string) string { return fmt.Sprintf("status/%d/%s", i, of) }
		if l.Contact != nil {
			visit(name("contact"), &l.Contact.Icon.Payload, &l.Contact.Icon.Bytes)
		}
		l.Community.places(name("community"), visit)
		if l.Channel != nil {
			l.Channel.Community.places(name("channel"), visit)
		}
	}
}

func (c *CommunityLink) places(name string, visit func(name string, data *[]byte, size *int)) {
	if c != nil {
		visit(name+"/icon", &c.Icon.Payload, &c.Icon.Bytes)
		visit(name+"/banner", &c.Banner.Payload, &c.Banner.Bytes)
	}
}

// separate returns a copy whose places for payloads are its own.
func (m *Message) separate() *Message {
	out := *m
	out.Image, out.Audio, out.Discord = copied(m.Image), copied(m.Audio), copied(m.Discord)
	if out.Discord != nil {
		out.Discord.Attachments = append([]DiscordAttachment(nil), m.Discord.Attachments...)
	}
	out.Links = append([]Link(nil), m.Links...)
	out.StatusLinks = append([]StatusLink(nil), m.StatusLinks...)
	for i := range out.StatusLinks {
		l := &out.StatusLinks[i]
		l.Contact, l.Community, l.Channel = copied(l.Contact), copied(l.Community), copied(l.Channel)
		if l.Channel != nil {
			l.Channel.Community = copied(l.Channel.Community)
		}
	}
	return &out
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
