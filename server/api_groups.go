package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

// groupName names a group in a path.
type groupName struct {
	Group string `path:"group" doc:"The id or the name of a group"`
}

// memberOf names somebody of a group.
type memberOf struct {
	Group string `path:"group"`
	Body  struct {
		Who string `json:"who" minLength:"1" doc:"A key in any form, a share URL, or the name of a contact"`
	}
}

func (a *apiServer) registerGroups(api huma.API) {
	huma.Register(api, operation("list-groups", http.MethodGet, "/groups", "The private groups we are or were in, by name"),
		func(ctx context.Context, _ *struct{}) (*body[[]parley.Group], error) {
			return answer(a.client.Groups(ctx))
		})
	huma.Register(api, operation("get-group", http.MethodGet, "/groups/{group}", "One group"),
		func(ctx context.Context, in *groupName) (*body[parley.Group], error) {
			return answer(a.client.Group(ctx, in.Group))
		})
	type picture struct {
		Group string `path:"group"`
		Side  int    `query:"side" minimum:"0" doc:"No side longer than so many pixels; 0 is as it is"`
	}
	huma.Register(api, pictureOperation("group-image", "/groups/{group}/image", "The picture of a group, encoded anew"),
		func(ctx context.Context, in *picture) (*pictureBody, error) {
			return pictured(a.client.GroupImage(ctx, in.Group, in.Side))
		})
	type newGroup struct {
		Body struct {
			Name    string   `json:"name" minLength:"1"`
			Color   string   `json:"color,omitempty" doc:"As #rrggbb"`
			Members []string `json:"members,omitempty" doc:"Mutual contacts: keys in any form, share URLs, or names"`
		}
	}
	huma.Register(api, operation("create-group", http.MethodPost, "/groups", "Make a group"),
		func(ctx context.Context, in *newGroup) (*body[parley.Group], error) {
			return answer(a.client.CreateGroup(ctx, in.Body.Name, in.Body.Color, in.Body.Members))
		})
	type newMembers struct {
		Group string `path:"group"`
		Body  struct {
			Members []string `json:"members" minItems:"1" doc:"Mutual contacts: keys in any form, share URLs, or names"`
		}
	}
	huma.Register(api, operation("add-group-members", http.MethodPost, "/groups/{group}/add", "Add mutual contacts to a group; for its admins"),
		func(ctx context.Context, in *newMembers) (*body[parley.Group], error) {
			return answer(a.client.AddMembers(ctx, in.Group, in.Body.Members))
		})
	for _, verb := range []struct {
		id, name, summary string
		do                func(ctx context.Context, group, who string) (parley.Group, error)
	}{
		{"remove-group-member", "remove", "Remove somebody from a group; for its admins", a.client.RemoveMember},
		{"add-group-admin", "admin", "Make a member an admin; for admins", a.client.AddAdmin},
	} {
		huma.Register(api, operation(verb.id, http.MethodPost, "/groups/{group}/"+verb.name, verb.summary),
			func(ctx context.Context, in *memberOf) (*body[parley.Group], error) {
				return answer(verb.do(ctx, in.Group, in.Body.Who))
			})
	}
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, group string) (parley.Group, error)
	}{
		{"join", "Say that we, who were added, want to be in the group", a.client.JoinGroup},
		{"leave", "End our membership", a.client.LeaveGroup},
		{"step-down", "Be an ordinary member, no admin any more", a.client.StepDown},
	} {
		huma.Register(api, operation(verb.name+"-group", http.MethodPost, "/groups/{group}/"+verb.name, verb.summary),
			func(ctx context.Context, in *groupName) (*body[parley.Group], error) {
				return answer(verb.do(ctx, in.Group))
			})
	}
	type groupRename struct {
		Group string `path:"group"`
		Body  struct {
			Name string `json:"name" minLength:"1"`
		}
	}
	huma.Register(api, operation("rename-group", http.MethodPost, "/groups/{group}/rename", "Give a group another name; for its admins"),
		func(ctx context.Context, in *groupRename) (*body[parley.Group], error) {
			return answer(a.client.RenameGroup(ctx, in.Group, in.Body.Name))
		})
	type groupColor struct {
		Group string `path:"group"`
		Body  struct {
			Color string `json:"color" minLength:"1" doc:"As #rrggbb"`
		}
	}
	huma.Register(api, operation("color-group", http.MethodPost, "/groups/{group}/color", "Give a group another colour; for its admins"),
		func(ctx context.Context, in *groupColor) (*body[parley.Group], error) {
			return answer(a.client.SetGroupColor(ctx, in.Group, in.Body.Color))
		})
	type groupImage struct {
		Group string `path:"group"`
		Body  struct {
			Image []byte `json:"image" minLength:"1" doc:"PNG, JPEG, WebP or GIF in base64"`
		}
	}
	set := operation("set-group-image", http.MethodPost, "/groups/{group}/image", "Give a group a picture; for its admins")
	set.MaxBodyBytes, set.BodyReadTimeout = maxSend, sendTimeout
	huma.Register(api, set, func(ctx context.Context, in *groupImage) (*body[parley.Group], error) {
		return answer(a.client.SetGroupImage(ctx, in.Group, in.Body.Image))
	})
	a.registerGroupRequests(api)
}

func (a *apiServer) registerGroupRequests(api huma.API) {
	huma.Register(api, operation("list-group-requests", http.MethodGet, "/group-requests", "Requests to be added to groups, ours and those to us, the newest first"),
		func(ctx context.Context, _ *struct{}) (*body[[]parley.GroupRequest], error) {
			return answer(a.client.GroupRequests(ctx))
		})
	type groupRequest struct {
		Body struct {
			Group        string `json:"group" minLength:"1" doc:"The id of a group"`
			Admin        string `json:"admin" minLength:"1" doc:"An admin of it: a key in any form, a share URL, or a name"`
			Introduction string `json:"introduction,omitempty"`
		}
	}
	huma.Register(api, operation("request-group", http.MethodPost, "/group-requests", "Ask an admin to be added to a group"),
		func(ctx context.Context, in *groupRequest) (*body[parley.GroupRequest], error) {
			return answer(a.client.RequestGroup(ctx, in.Body.Group, in.Body.Admin, in.Body.Introduction))
		})
	huma.Register(api, operation("reject-group-request", http.MethodPost, "/groups/{group}/reject", "Turn somebody's request down; to accept it, add them"),
		func(ctx context.Context, in *memberOf) (*body[parley.GroupRequest], error) {
			return answer(a.client.RejectGroupRequest(ctx, in.Group, in.Body.Who))
		})
}
