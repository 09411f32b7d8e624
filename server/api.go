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
	a.registerVerifications(api)
	a.registerMessages(api)
	a.registerContent(api)
	a.registerChats(api)
	a.registerGroups(api)
	a.registerCommunities(api)
	a.registerActivities(api)
	a.registerProfile(api)
	a.registerDevices(api)
}

func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: prefix + path, Summary: summary}
}

// pictureBody is a picture in a response.
type pictureBody struct {
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	Policy       string `header:"Content-Security-Policy"`
	Body         []byte
}

// pictured turns a picture into a response that a browser shows as nothing else.
func pictured(p parley.Picture, err error) (*pictureBody, error) {
	return file(p.Type, p.Data, err)
}

// fresh is pictured for what follows from something that can change at any
// time.
func fresh(p parley.Picture, err error) (*pictureBody, error) {
	body, err := pictured(p, err)
	if err == nil {
		body.CacheControl = "no-store"
	}
	return body, err
}

func file(media string, data []byte, err error) (*pictureBody, error) {
	if err != nil {
		return nil, failure(err)
	}
	return &pictureBody{media, "private, max-age=3600", "default-src 'none'; sandbox", data}, nil
}

// fileOperation is an operation that answers with bytes of some media types.
func fileOperation(id, path, summary string, media ...string) huma.Operation {
	op := operation(id, http.MethodGet, path, summary)
	content := make(map[string]*huma.MediaType)
	for _, m := range media {
		content[m] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	op.Responses = map[string]*huma.Response{"200": {Description: "The bytes", Content: content}}
	return op
}

func pictureOperation(id, path, summary string) huma.Operation {
	return fileOperation(id, path, summary, "image/png", "image/jpeg")
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
	type page struct {
		Next  string `query:"next" doc:"What the page before gave as next"`
		Limit int    `query:"limit" minimum:"0" maximum:"500" doc:"At most so many; 0 is 50"`
	}
	huma.Register(api, operation("page-contacts", http.MethodGet, "/pages/contacts", "A page of those whom the account knows, by name"),
		func(ctx context.Context, in *page) (*body[parley.ContactPage], error) {
			return answer(a.client.ContactPage(ctx, parley.ContactQuery(*in)))
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
	type size struct {
		Who  string `path:"who"`
		Size string `query:"size" enum:"thumbnail,large" default:"thumbnail"`
	}
	huma.Register(api, pictureOperation("contact-picture", "/contacts/{who}/picture", "Somebody's profile picture, encoded anew"),
		func(ctx context.Context, in *size) (*pictureBody, error) {
			return pictured(a.client.ProfilePicture(ctx, in.Who, in.Size))
		})
	type contactTrust struct {
		Who  string `path:"who"`
		Body struct {
			Trust string `json:"trust" enum:"trusted,untrustworthy,unknown"`
		}
	}
	huma.Register(api, operation("trust-contact", http.MethodPost, "/contacts/{who}/trust", "Mark somebody as trusted or not, for us alone"),
		func(ctx context.Context, in *contactTrust) (*body[parley.Contact], error) {
			return answer(a.client.Trust(ctx, in.Who, in.Body.Trust))
		})
}
