package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

// body is a response.
type body[T any] struct {
	Body T
}

// answer turns a result of the client into a response.
func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, failure(err)
	}
	return &body[T]{v}, nil
}

func (a *apiServer) register(api huma.API) {
	huma.Register(api, operation("status", http.MethodGet, "/status", "State of the client and its node"),
		func(ctx context.Context, _ *struct{}) (*body[parley.Status], error) {
			return answer(a.client.Status(ctx))
		})
	a.registerContacts(api)
	a.registerMessages(api)
}

func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: prefix + path, Summary: summary}
}

// who names a contact in a path: a key in any form, a share URL or a name.
type who struct {
	Who string `path:"who" doc:"A key in any form, a share URL, or the name of a contact"`
}

func (a *apiServer) registerContacts(api huma.API) {
	huma.Register(api, operation("list-contacts", http.MethodGet, "/contacts", "Everybody the account knows"),
		func(ctx context.Context, _ *struct{}) (*body[[]parley.Contact], error) {
			return answer(a.client.Contacts(ctx))
		})
	huma.Register(api, operation("get-contact", http.MethodGet, "/contacts/{who}", "One contact"),
		func(ctx context.Context, in *who) (*body[parley.Contact], error) {
			return answer(a.client.Contact(ctx, in.Who))
		})
	type add struct {
		Body struct {
			Who     string `json:"who" minLength:"1" doc:"A key in any form or a share URL"`
			Message string `json:"message,omitempty" doc:"The text of the request"`
		}
	}
	huma.Register(api, operation("add-contact", http.MethodPost, "/contacts", "Send a contact request"),
		func(ctx context.Context, in *add) (*body[parley.Contact], error) {
			return answer(a.client.AddContact(ctx, in.Body.Who, in.Body.Message))
		})
	for _, verb := range []struct {
		name, summary string
		do            func(context.Context, string) (parley.Contact, error)
	}{
		{"accept", "Accept a received request", a.client.AcceptContact},
		{"reject", "Decline a received request, silently", a.client.RejectContact},
		{"remove", "End the contact or take a request back", a.client.RemoveContact},
		{"block", "Drop everything that comes from somebody", a.client.BlockContact},
		{"unblock", "Take a block back", a.client.UnblockContact},
	} {
		huma.Register(api, operation(verb.name+"-contact", http.MethodPost, "/contacts/{who}/"+verb.name, verb.summary),
			func(ctx context.Context, in *who) (*body[parley.Contact], error) {
				return answer(verb.do(ctx, in.Who))
			})
	}
	type rename struct {
		Who  string `path:"who"`
		Body struct {
			Nickname string `json:"nickname" doc:"Empty takes the nickname back"`
		}
	}
	huma.Register(api, operation("rename-contact", http.MethodPost, "/contacts/{who}/rename", "Give somebody a name of our own"),
		func(ctx context.Context, in *rename) (*body[parley.Contact], error) {
			return answer(a.client.RenameContact(ctx, in.Who, in.Body.Nickname))
		})
}

func (a *apiServer) registerMessages(api huma.API) {
	type send struct {
		Body struct {
			To      string `json:"to" minLength:"1" doc:"A key in any form, a share URL, or the name of a contact"`
			Text    string `json:"text" minLength:"1"`
			ReplyTo string `json:"reply_to,omitempty" doc:"Id of the message this one answers"`
		}
	}
	huma.Register(api, operation("send-message", http.MethodPost, "/messages", "Send a text"),
		func(ctx context.Context, in *send) (*body[parley.Message], error) {
			return answer(a.client.Send(ctx, in.Body.To, in.Body.Text, parley.SendOptions{ReplyTo: in.Body.ReplyTo}))
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
	type one struct {
		ID string `path:"id"`
	}
	huma.Register(api, operation("get-message", http.MethodGet, "/messages/{id}", "One message"),
		func(ctx context.Context, in *one) (*body[parley.Message], error) {
			return answer(a.client.Message(ctx, in.ID))
		})
}
