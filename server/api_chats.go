package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

// chatName names a chat in a path.
type chatName struct {
	Chat string `path:"chat" doc:"A key in any form, a share URL, the name of a contact, the id or name of a group, or COMMUNITY/CHANNEL"`
}

func (a *apiServer) registerChats(api huma.API) {
	type list struct {
		All bool `query:"all" doc:"Also chats that do not belong into a list: of strangers, and deleted ones"`
	}
	huma.Register(api, operation("list-chats", http.MethodGet, "/chats", "Chats with unread counts and last message: pinned ones first, then the newest"),
		func(ctx context.Context, in *list) (*body[[]parley.Chat], error) {
			return answer(a.client.Chats(ctx, in.All))
		})
	type page struct {
		All   bool   `query:"all" doc:"Also chats that do not belong into a list: of strangers, and deleted ones"`
		Next  string `query:"next" doc:"What the page before gave as next"`
		Limit int    `query:"limit" minimum:"0" maximum:"500" doc:"At most so many; 0 is 50"`
	}
	huma.Register(api, operation("page-chats", http.MethodGet, "/pages/chats", "A page of the list of chats"),
		func(ctx context.Context, in *page) (*body[parley.ChatPage], error) {
			return answer(a.client.ChatPage(ctx, parley.ChatQuery(*in)))
		})
	huma.Register(api, operation("get-chat", http.MethodGet, "/chats/{chat}", "One chat"),
		func(ctx context.Context, in *chatName) (*body[parley.Chat], error) {
			return answer(a.client.Chat(ctx, in.Chat))
		})
	type chatRead struct {
		Chat string `path:"chat"`
		Body *struct {
			Clock uint64 `json:"clock,omitempty" doc:"Up to the message of this clock; all of it when absent"`
		}
	}
	huma.Register(api, operation("read-chat", http.MethodPost, "/chats/{chat}/read", "Note that a chat was read"),
		func(ctx context.Context, in *chatRead) (*body[parley.Chat], error) {
			clock := uint64(0)
			if in.Body != nil {
				clock = in.Body.Clock
			}
			return answer(a.client.MarkRead(ctx, in.Chat, clock))
		})
	type chatMute struct {
		Chat string `path:"chat"`
		Body *struct {
			Seconds int64 `json:"seconds,omitempty" minimum:"0" doc:"For how long; until it is unmuted when absent"`
		}
	}
	huma.Register(api, operation("mute-chat", http.MethodPost, "/chats/{chat}/mute", "Silence a chat"),
		func(ctx context.Context, in *chatMute) (*body[parley.Chat], error) {
			duration := time.Duration(0)
			if in.Body != nil {
				if in.Body.Seconds > maxMute {
					return nil, failure(fault.New(fault.Usage, "that is longer than %d seconds", maxMute))
				}
				duration = time.Duration(in.Body.Seconds) * time.Second
			}
			return answer(a.client.Mute(ctx, in.Chat, duration))
		})
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, chat string) (parley.Chat, error)
	}{
		{"unmute", "End the silence of a chat", a.client.Unmute},
		{"clear", "Delete all messages of a chat from this account", a.client.ClearHistory},
		{"delete", "Clear a chat and take it out of the list until somebody says something there", a.client.DeleteChat},
		{"pin", "Keep a chat at the top of the list", func(ctx context.Context, chat string) (parley.Chat, error) { return a.client.PinChat(ctx, chat, true) }},
		{"unpin", "Do not keep a chat at the top of the list", func(ctx context.Context, chat string) (parley.Chat, error) { return a.client.PinChat(ctx, chat, false) }},
	} {
		huma.Register(api, operation(verb.name+"-chat", http.MethodPost, "/chats/{chat}/"+verb.name, verb.summary),
			func(ctx context.Context, in *chatName) (*body[parley.Chat], error) {
				return answer(verb.do(ctx, in.Chat))
			})
	}
	huma.Register(api, operation("list-pins", http.MethodGet, "/chats/{chat}/pins", "The messages pinned in a chat, the oldest pin first"),
		func(ctx context.Context, in *chatName) (*body[[]parley.Pin], error) {
			return answer(a.client.Pins(ctx, in.Chat))
		})
	type mentionable struct {
		Chat string `path:"chat"`
		Text string `query:"text" required:"true" doc:"What was typed, up to the end of an unfinished mention"`
	}
	huma.Register(api, operation("list-mentionable", http.MethodGet, "/chats/{chat}/mentionable", "Whom a text that is being typed can mention"),
		func(ctx context.Context, in *mentionable) (*body[[]parley.Mentionable], error) {
			return answer(a.client.Mentionable(ctx, in.Chat, in.Text))
		})
	huma.Register(api, operation("get-draft", http.MethodGet, "/chats/{chat}/draft", "What was begun in a chat and not sent"),
		func(ctx context.Context, in *chatName) (*body[parley.Draft], error) {
			return answer(a.client.Draft(ctx, in.Chat))
		})
	type chatDraft struct {
		Chat string `path:"chat"`
		Body struct {
			Text    string `json:"text"`
			ReplyTo string `json:"reply_to,omitempty"`
		}
	}
	huma.Register(api, operation("set-draft", http.MethodPost, "/chats/{chat}/draft", "Keep what was begun in a chat; an empty draft is none"),
		func(ctx context.Context, in *chatDraft) (*body[parley.Draft], error) {
			return answer(a.client.SetDraft(ctx, in.Chat, in.Body.Text, in.Body.ReplyTo))
		})
}

// maxMute is how long a chat can be muted by a number, in seconds: a hundred
// years.
const maxMute = 100 * 366 * 24 * 60 * 60
