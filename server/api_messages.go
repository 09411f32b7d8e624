package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/chat"
)

// Pictures come in the body of a call, five of them as a camera makes them.
const (
	maxSend     = 128 << 20
	sendTimeout = time.Minute
)

// sendRequest is what is to be said.
type sendRequest struct {
	Body struct {
		To      string        `json:"to" minLength:"1" doc:"A key in any form, a share URL, the name of a contact, the id or name of a group, or COMMUNITY/CHANNEL"`
		Text    string        `json:"text,omitempty" minLength:"1" doc:"Needed unless there is something else"`
		ReplyTo string        `json:"reply_to,omitempty" doc:"Id of the message this one answers"`
		Images  [][]byte      `json:"images,omitempty" doc:"PNG, JPEG, WebP or GIF in base64; several are an album, a message each"`
		Sticker *chat.Sticker `json:"sticker,omitempty"`
		Audio   *sendAudio    `json:"audio,omitempty" doc:"A recording, AAC in ADTS frames or AMR, payload in base64; what is not sound is left out"`
		Preview bool          `json:"preview,omitempty" doc:"Look up from this machine where the links lead, for everybody to see"`
		Mention bool          `json:"mention,omitempty" doc:"Mention whom the text calls by @ and a name"`
	}
}

// sendAudio is a recording that is to be sent.
type sendAudio struct {
	Format     string `json:"format,omitempty" doc:"aac or amr; what the sound itself is counts"`
	Payload    []byte `json:"payload" minLength:"1"`
	DurationMS uint64 `json:"duration_ms,omitempty" doc:"How long the sound itself is counts"`
}

func (a *sendAudio) recording() *chat.Audio {
	if a == nil {
		return nil
	}
	return &chat.Audio{Format: a.Format, Payload: a.Payload, DurationMS: a.DurationMS}
}

// Resolve implements huma.Resolver.
func (in *sendRequest) Resolve(huma.Context) []error {
	b := in.Body
	if b.Text == "" && len(b.Images) == 0 && b.Sticker == nil && b.Audio == nil {
		return []error{&huma.ErrorDetail{Location: "body.text", Message: "there is neither a text nor anything else"}}
	}
	return nil
}

// messageID names a message in a path.
type messageID struct {
	ID string `path:"id" doc:"The id of a message, 0x…"`
}

func (a *apiServer) registerMessages(api huma.API) {
	send := operation("send-message", http.MethodPost, "/messages", "Say something: a text, pictures, a sticker or a recording")
	send.MaxBodyBytes, send.BodyReadTimeout = maxSend, sendTimeout
	huma.Register(api, send, func(ctx context.Context, in *sendRequest) (*body[parley.Message], error) {
		b := in.Body
		return answer(a.client.Send(ctx, b.To, b.Text, parley.SendOptions{
			ReplyTo: b.ReplyTo, Images: b.Images, Sticker: b.Sticker, Audio: b.Audio.recording(), Preview: b.Preview, Mention: b.Mention,
		}))
	})
	type list struct {
		Chat  string `query:"chat" doc:"Whose chat; all chats when absent"`
		Since uint64 `query:"since" doc:"Only messages with a newer clock, in milliseconds"`
		Limit int    `query:"limit" minimum:"0" doc:"At most so many, the newest; 0 is all"`
	}
	huma.Register(api, operation("list-messages", http.MethodGet, "/messages", "Messages in order"),
		func(ctx context.Context, in *list) (*body[[]parley.Message], error) {
			return answer(a.client.Messages(ctx, in.Chat, in.Since, in.Limit))
		})
	type page struct {
		Chat   string `query:"chat" doc:"Whose chat; all chats when absent"`
		Before string `query:"before" doc:"Only messages before this place: next of a page of the newest"`
		After  string `query:"after" doc:"Only messages after this place: next of a page of the oldest"`
		Since  uint64 `query:"since" doc:"Only messages with a newer clock, in milliseconds"`
		Oldest bool   `query:"oldest" doc:"Those next to after or since instead of the newest"`
		Around string `query:"around" doc:"The id of a message: those before and after it in its chat, with no other bounds"`
		Limit  int    `query:"limit" minimum:"0" maximum:"500" doc:"At most so many; 0 is 50"`
	}
	huma.Register(api, operation("page-messages", http.MethodGet, "/messages/page", "A page of messages, in order"),
		func(ctx context.Context, in *page) (*body[parley.MessagePage], error) {
			return answer(a.client.Page(ctx, parley.PageQuery(*in)))
		})
	huma.Register(api, operation("get-message", http.MethodGet, "/messages/{id}", "One message"),
		func(ctx context.Context, in *messageID) (*body[parley.Message], error) {
			return answer(a.client.Message(ctx, in.ID))
		})
	huma.Register(api, operation("trace-message", http.MethodGet, "/messages/{id}/trace", "What happened to a message"),
		func(ctx context.Context, in *messageID) (*body[parley.Trace], error) {
			return answer(a.client.Trace(ctx, in.ID))
		})
	a.registerChanges(api)
	type search struct {
		Text  string `query:"text" required:"true" minLength:"1" doc:"Words, all of which must be there; in double quotes as they are"`
		Chat  string `query:"chat" doc:"Whose chat; all chats when absent"`
		From  string `query:"from" doc:"Only what somebody wrote"`
		Next  string `query:"next" doc:"What the page before gave as next"`
		Limit int    `query:"limit" minimum:"0" maximum:"500" doc:"At most so many; 0 is 50"`
	}
	huma.Register(api, operation("search", http.MethodGet, "/search", "Messages by their words, newest first"),
		func(ctx context.Context, in *search) (*body[parley.SearchPage], error) {
			return answer(a.client.Search(ctx, parley.SearchQuery{Text: in.Text, Chat: in.Chat, From: in.From, Next: in.Next, Limit: in.Limit}))
		})
}

func (a *apiServer) registerChanges(api huma.API) {
	type messageEdit struct {
		ID   string `path:"id"`
		Body struct {
			Text    string `json:"text" minLength:"1"`
			Preview bool   `json:"preview,omitempty" doc:"As for a new message; without it the message has no previews then"`
			Mention bool   `json:"mention,omitempty" doc:"Mention whom the text calls by @ and a name"`
		}
	}
	huma.Register(api, operation("edit-message", http.MethodPost, "/messages/{id}/edit", "Give a message of ours another text"),
		func(ctx context.Context, in *messageEdit) (*body[parley.Message], error) {
			return answer(a.client.Edit(ctx, in.ID, in.Body.Text, parley.EditOptions{Preview: in.Body.Preview, Mention: in.Body.Mention}))
		})
	type messageDelete struct {
		ID   string `path:"id"`
		Body *struct {
			ForMe bool `json:"for_me,omitempty" doc:"On this account alone"`
		}
	}
	huma.Register(api, operation("delete-message", http.MethodPost, "/messages/{id}/delete", "Delete a message for everyone, or for us alone"),
		func(ctx context.Context, in *messageDelete) (*body[parley.Message], error) {
			if in.Body != nil && in.Body.ForMe {
				return answer(a.client.DeleteForMe(ctx, in.ID))
			}
			return answer(a.client.Delete(ctx, in.ID))
		})
	type messageReaction struct {
		ID   string `path:"id"`
		Body struct {
			Emoji string `json:"emoji" minLength:"1" doc:"An emoji, or its code points as 1f44d"`
		}
	}
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, id, emoji string) (parley.Message, error)
	}{
		{"react", "Add an emoji to a message", a.client.React},
		{"unreact", "Take our emoji from a message", a.client.Unreact},
	} {
		huma.Register(api, operation(verb.name+"-message", http.MethodPost, "/messages/{id}/"+verb.name, verb.summary),
			func(ctx context.Context, in *messageReaction) (*body[parley.Message], error) {
				return answer(verb.do(ctx, in.ID, in.Body.Emoji))
			})
	}
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, id string) (parley.Message, error)
	}{
		{"pin", "Pin a message to the top of its chat, for everybody there", a.client.Pin},
		{"unpin", "Take a pin back", a.client.Unpin},
		{"retry", "Send a message of ours that failed once more, as the same message", a.client.Resend},
	} {
		huma.Register(api, operation(verb.name+"-message", http.MethodPost, "/messages/{id}/"+verb.name, verb.summary),
			func(ctx context.Context, in *messageID) (*body[parley.Message], error) {
				return answer(verb.do(ctx, in.ID))
			})
	}
}

// registerContent adds what messages carry besides their text. Pictures are
// encoded anew, so that they are what they say.
func (a *apiServer) registerContent(api huma.API) {
	type picture struct {
		ID   string `path:"id"`
		Side int    `query:"side" minimum:"0" doc:"No side longer than so many pixels; 0 is as it is"`
	}
	huma.Register(api, pictureOperation("message-image", "/messages/{id}/image", "The picture of a message, still and encoded anew"),
		func(ctx context.Context, in *picture) (*pictureBody, error) {
			return pictured(a.client.MessageImage(ctx, in.ID, in.Side))
		})
	type link struct {
		ID string `path:"id"`
		N  int    `path:"n" minimum:"0" doc:"Which of the message's links, from 0"`
	}
	huma.Register(api, pictureOperation("link-image", "/messages/{id}/links/{n}/image", "The picture of a link's preview, encoded anew"),
		func(ctx context.Context, in *link) (*pictureBody, error) {
			return pictured(a.client.LinkImage(ctx, in.ID, in.N))
		})
	huma.Register(api, fileOperation("message-audio", "/messages/{id}/audio", "The sound of a message's recording", "audio/aac", "audio/amr"),
		func(ctx context.Context, in *messageID) (*pictureBody, error) {
			r, err := a.client.MessageAudio(ctx, in.ID)
			return file(r.Type, r.Data, err)
		})
}
