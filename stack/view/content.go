package view

import "github.com/parley-im/parley/app/chat"

// Image describes the picture of a message, as its author says.
type Image struct {
	// Format is png, jpeg, webp, gif, or unknown_N.
	Format string `json:"format"`
	// Bytes is the length of the encoded picture.
	Bytes int `json:"bytes"`
	// Width and Height in pixels, if the author says so.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
	// AlbumID is shared by pictures that were sent together.
	AlbumID string `json:"album_id,omitempty"`
	// AlbumImages is how many those are.
	AlbumImages uint32 `json:"album_images,omitempty"`
}

// Audio describes the recording of a message.
type Audio struct {
	// Format is aac, amr, or unknown_N.
	Format string `json:"format"`
	// Bytes is the length of the encoded recording.
	Bytes int `json:"bytes"`
	// DurationMS is how long it takes in milliseconds, if the author says so.
	DurationMS uint64 `json:"duration_ms,omitempty"`
}

// Link is a preview of something on the web, as the author of the message saw
// it. Nobody fetches anything to check it.
type Link struct {
	// URL is what the text links to.
	URL string `json:"url"`
	// Title and Description are those of what is there.
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	// Image tells that the link is to a picture and not to a page.
	Image bool `json:"image,omitempty"`
	// Width and Height are those of the preview's picture in pixels; it has one
	// when they are there.
	Width  uint32 `json:"width,omitempty"`
	Height uint32 `json:"height,omitempty"`
}

// StatusLink is a preview of a share URL: of one of the three, or of none if
// this version does not know what it shows. Only the key in the URL is sure.
type StatusLink struct {
	// URL is what the text links to.
	URL string `json:"url"`
	// Contact, Community and Channel are what is behind it, by the words of the
	// message's author.
	Contact   *ContactLink   `json:"contact,omitempty"`
	Community *CommunityLink `json:"community,omitempty"`
	Channel   *ChannelLink   `json:"channel,omitempty"`
}

// ContactLink is the preview of a person.
type ContactLink struct {
	Person
	// DisplayName and Description are what the person is said to say.
	DisplayName string `json:"display_name,omitempty"`
	Description string `json:"description,omitempty"`
}

// CommunityLink is the preview of a community.
type CommunityLink struct {
	// ID is the community's compressed key as 0x….
	ID string `json:"id"`
	// DisplayName and Description are those of the community.
	DisplayName string `json:"display_name,omitempty"`
	Description string `json:"description,omitempty"`
	// Members is how many it has.
	Members uint32 `json:"members,omitempty"`
	// Color is #rrggbb.
	Color string `json:"color,omitempty"`
}

// ChannelLink is the preview of a community's channel.
type ChannelLink struct {
	// UUID is the channel's id in its community.
	UUID string `json:"uuid"`
	// Emoji stands before its name.
	Emoji string `json:"emoji,omitempty"`
	// DisplayName and Description are those of the channel.
	DisplayName string `json:"display_name,omitempty"`
	Description string `json:"description,omitempty"`
	// Color is #rrggbb.
	Color string `json:"color,omitempty"`
	// Community is the one it belongs to.
	Community *CommunityLink `json:"community,omitempty"`
}

// Discord is what was imported from Discord, without pictures and files.
type Discord struct {
	// ID is the message's there, Type its kind.
	ID   string `json:"id,omitempty"`
	Type string `json:"type,omitempty"`
	// Timestamp and Edited are times as Discord writes them.
	Timestamp string `json:"timestamp,omitempty"`
	Edited    string `json:"edited,omitempty"`
	// Content is the text.
	Content string `json:"content"`
	// AuthorID is the author's id there, Author their name, Nickname that on the
	// server.
	AuthorID string `json:"author_id,omitempty"`
	Author   string `json:"author,omitempty"`
	Nickname string `json:"nickname,omitempty"`
	// ReplyTo is the id there of the message it answers.
	ReplyTo string `json:"reply_to,omitempty"`
	// Attachments are the files it came with.
	Attachments []DiscordAttachment `json:"attachments,omitempty"`
}

// DiscordAttachment describes a file of an imported message.
type DiscordAttachment struct {
	// ID is the file's there, Name what it is called.
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Type is the media type, as image/png.
	Type string `json:"type,omitempty"`
	// Size in bytes, as Discord says.
	Size uint64 `json:"size,omitempty"`
	// URL is where it was, not to be fetched unasked.
	URL string `json:"url,omitempty"`
}

func newImage(i *chat.Image) *Image {
	if i == nil {
		return nil
	}
	return &Image{i.Format, max(i.Bytes, len(i.Payload)), i.Width, i.Height, i.AlbumID, i.AlbumImages}
}

func newAudio(a *chat.Audio) *Audio {
	if a == nil {
		return nil
	}
	return &Audio{a.Format, max(a.Bytes, len(a.Payload)), a.DurationMS}
}

func newDiscord(d *chat.Discord) *Discord {
	if d == nil {
		return nil
	}
	shown := &Discord{
		ID: d.ID, Type: d.Type, Timestamp: d.Timestamp, Edited: d.Edited, Content: d.Content,
		AuthorID: d.AuthorID, Author: d.Author, Nickname: d.Nickname, ReplyTo: d.ReplyTo,
	}
	for _, a := range d.Attachments {
		shown.Attachments = append(shown.Attachments, DiscordAttachment{a.ID, a.Name, a.Type, a.Size, a.URL})
	}
	return shown
}

func newLinks(links []chat.Link) (all []Link) {
	for _, l := range links {
		all = append(all, Link{l.URL, l.Title, l.Description, l.Image, l.Thumbnail.Width, l.Thumbnail.Height})
	}
	return all
}

func newStatusLinks(links []chat.StatusLink) (all []StatusLink) {
	for _, l := range links {
		shown := StatusLink{URL: l.URL, Community: newCommunityLink(l.Community)}
		if c := l.Contact; c != nil {
			shown.Contact = &ContactLink{NewPerson(c.Key), c.DisplayName, c.Description}
		}
		if c := l.Channel; c != nil {
			shown.Channel = &ChannelLink{c.UUID, c.Emoji, c.DisplayName, c.Description, c.Color, newCommunityLink(c.Community)}
		}
		all = append(all, shown)
	}
	return all
}

func newCommunityLink(c *chat.CommunityLink) *CommunityLink {
	if c == nil {
		return nil
	}
	return &CommunityLink{c.ID, c.DisplayName, c.Description, c.Members, c.Color}
}
