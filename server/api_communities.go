package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

// communityName names a community in a path.
type communityName struct {
	Community string `path:"community" doc:"The id of a community, its key in any form, a share URL, or its name"`
}

// memberOfCommunity names somebody of a community.
type memberOfCommunity struct {
	Community string `path:"community"`
	Body      struct {
		Who string `json:"who" minLength:"1" doc:"A key in any form, a share URL, or a name"`
	}
}

func (a *apiServer) registerCommunities(api huma.API) {
	huma.Register(api, operation("list-communities", http.MethodGet, "/communities", "The communities we follow or are a member of, by name"),
		func(ctx context.Context, _ *struct{}) (*body[[]parley.Community], error) {
			return answer(a.client.Communities(ctx))
		})
	huma.Register(api, operation("get-community", http.MethodGet, "/communities/{community}", "One community with its channels"),
		func(ctx context.Context, in *communityName) (*body[parley.Community], error) {
			return answer(a.client.Community(ctx, in.Community))
		})
	huma.Register(api, operation("list-community-members", http.MethodGet, "/communities/{community}/members", "The members of a community, by key"),
		func(ctx context.Context, in *communityName) (*body[[]parley.CommunityMember], error) {
			return answer(a.client.CommunityMembers(ctx, in.Community))
		})
	type picture struct {
		Community string `path:"community"`
		Name      string `query:"name" enum:"thumbnail,large,banner" default:"thumbnail"`
		Side      int    `query:"side" minimum:"0" doc:"No side longer than so many pixels; 0 is as it is"`
	}
	huma.Register(api, pictureOperation("community-picture", "/communities/{community}/picture", "A picture of a community, encoded anew"),
		func(ctx context.Context, in *picture) (*pictureBody, error) {
			return pictured(a.client.CommunityPicture(ctx, in.Community, in.Name, in.Side))
		})
	huma.Register(api, operation("list-community-tags", http.MethodGet, "/community-tags", "The words that communities can say they are about"),
		func(ctx context.Context, _ *struct{}) (*body[[]parley.CommunityTag], error) {
			return answer(a.client.CommunityTags(ctx))
		})
	type link struct {
		Community string `path:"community"`
		Channel   string `query:"channel" doc:"The name or UUID of a channel, for its URL"`
	}
	type shareURL struct {
		URL string `json:"url"`
	}
	huma.Register(api, operation("community-url", http.MethodGet, "/communities/{community}/url", "The share URL of a community or of one of its channels"),
		func(ctx context.Context, in *link) (*body[shareURL], error) {
			u, err := a.client.CommunityURL(ctx, in.Community, in.Channel)
			return answer(shareURL{u}, err)
		})
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, community string) (parley.Community, error)
	}{
		{"follow", "Read a community from now on, without being a member", a.client.FollowCommunity},
		{"unfollow", "Read a community that we are no member of no longer", a.client.UnfollowCommunity},
		{"join", "Ask to be a member of a community; waits half a minute for what it says of itself", a.client.JoinCommunity},
		{"cancel", "Withdraw our request to join a community", a.client.CancelJoin},
		{"leave", "End our membership and our reading of a community", a.client.LeaveCommunity},
		{"share-addresses", "Reveal the address made for a community to its owner once more", a.client.ShareAddresses},
		{"forget-key", "Control a community no more", a.client.ForgetCommunityKey},
	} {
		huma.Register(api, operation(verb.name+"-community", http.MethodPost, "/communities/{community}/"+verb.name, verb.summary),
			func(ctx context.Context, in *communityName) (*body[parley.Community], error) {
				return answer(verb.do(ctx, in.Community))
			})
	}
	a.registerCommunityControl(api)
	a.registerCommunityRequests(api)
	a.registerChannels(api)
	a.registerCategories(api)
}

// registerCommunityControl adds what who has the key of a community can do.
func (a *apiServer) registerCommunityControl(api huma.API) {
	type newCommunity struct {
		Body parley.CommunitySettings
	}
	create := operation("create-community", http.MethodPost, "/communities", "Make a community; it needs a name")
	create.MaxBodyBytes, create.BodyReadTimeout = maxSend, sendTimeout
	huma.Register(api, create, func(ctx context.Context, in *newCommunity) (*body[parley.Community], error) {
		return answer(a.client.CreateCommunity(ctx, in.Body))
	})
	type communityEdit struct {
		Community string `path:"community"`
		Body      parley.CommunitySettings
	}
	edit := operation("edit-community", http.MethodPost, "/communities/{community}/edit", "Change what a community says of itself")
	edit.MaxBodyBytes, edit.BodyReadTimeout = maxSend, sendTimeout
	huma.Register(api, edit, func(ctx context.Context, in *communityEdit) (*body[parley.Community], error) {
		return answer(a.client.EditCommunity(ctx, in.Community, in.Body))
	})
	for _, verb := range []struct {
		id, name, summary string
		do                func(ctx context.Context, community, who string) (parley.Community, error)
	}{
		{"kick-community-member", "kick", "Remove somebody from a community; they may ask to join again", a.client.KickMember},
		{"unban-community-member", "unban", "Let somebody ask to join a community again", a.client.UnbanMember},
	} {
		huma.Register(api, operation(verb.id, http.MethodPost, "/communities/{community}/"+verb.name, verb.summary),
			func(ctx context.Context, in *memberOfCommunity) (*body[parley.Community], error) {
				return answer(verb.do(ctx, in.Community, in.Body.Who))
			})
	}
	type communityBan struct {
		Community string `path:"community"`
		Body      struct {
			Who       string `json:"who" minLength:"1" doc:"A key in any form, a share URL, or a name"`
			DeleteAll bool   `json:"delete_all,omitempty" doc:"Delete all they wrote there, for everybody"`
		}
	}
	huma.Register(api, operation("ban-community-member", http.MethodPost, "/communities/{community}/ban", "Keep somebody out of a community, member or not"),
		func(ctx context.Context, in *communityBan) (*body[parley.Community], error) {
			return answer(a.client.BanMember(ctx, in.Community, in.Body.Who, in.Body.DeleteAll))
		})
	type secretBody struct {
		CacheControl string `header:"Cache-Control"`
		Body         parley.CommunityKey
	}
	huma.Register(api, operation("export-community-key", http.MethodPost, "/communities/{community}/export-key", "The private key of a community that we control"),
		func(ctx context.Context, in *communityName) (*secretBody, error) {
			k, err := a.client.ExportCommunityKey(ctx, in.Community)
			if err != nil {
				return nil, failure(err)
			}
			return &secretBody{"no-store", k}, nil
		})
	type communitySecret struct {
		Body struct {
			PrivateKey string `json:"private_key" minLength:"1" doc:"32 bytes in hexadecimal"`
		}
	}
	huma.Register(api, operation("import-community-key", http.MethodPost, "/community-keys", "Control a community, by its private key"),
		func(ctx context.Context, in *communitySecret) (*body[parley.Community], error) {
			return answer(a.client.ImportCommunityKey(ctx, in.Body.PrivateKey))
		})
}

func (a *apiServer) registerCommunityRequests(api huma.API) {
	type requests struct {
		Community string `query:"community" doc:"Those to one community"`
	}
	huma.Register(api, operation("list-community-requests", http.MethodGet, "/community-requests", "Requests to join the communities that we control, those that wait first"),
		func(ctx context.Context, in *requests) (*body[[]parley.CommunityRequest], error) {
			return answer(a.client.CommunityRequests(ctx, in.Community))
		})
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, community, who string) (parley.CommunityRequest, error)
	}{
		{"accept", "Let somebody into a community, who has asked", a.client.AcceptJoin},
		{"reject", "Turn somebody's request to join a community down; they are not told", a.client.RejectJoin},
	} {
		huma.Register(api, operation(verb.name+"-community-request", http.MethodPost, "/communities/{community}/"+verb.name, verb.summary),
			func(ctx context.Context, in *memberOfCommunity) (*body[parley.CommunityRequest], error) {
				return answer(verb.do(ctx, in.Community, in.Body.Who))
			})
	}
}

// channelName names a channel in a path.
type channelName struct {
	Community string `path:"community"`
	Channel   string `path:"channel" doc:"The name of a channel, or its UUID"`
}

func (a *apiServer) registerChannels(api huma.API) {
	type newChannel struct {
		Community string `path:"community"`
		Body      parley.ChannelSettings
	}
	huma.Register(api, operation("create-channel", http.MethodPost, "/communities/{community}/channels", "Make a channel; it needs a name"),
		func(ctx context.Context, in *newChannel) (*body[parley.Channel], error) {
			return answer(a.client.CreateChannel(ctx, in.Community, in.Body))
		})
	type channelEdit struct {
		Community string `path:"community"`
		Channel   string `path:"channel"`
		Body      parley.ChannelSettings
	}
	huma.Register(api, operation("edit-channel", http.MethodPost, "/communities/{community}/channels/{channel}/edit", "Change what a channel says of itself"),
		func(ctx context.Context, in *channelEdit) (*body[parley.Channel], error) {
			return answer(a.client.EditChannel(ctx, in.Community, in.Channel, in.Body))
		})
	type channelMove struct {
		Community string `path:"community"`
		Channel   string `path:"channel"`
		Body      struct {
			Category string `json:"category,omitempty" doc:"The name or id of a category; none when absent"`
			Position int    `json:"position,omitempty" minimum:"0" doc:"From 0"`
		}
	}
	huma.Register(api, operation("move-channel", http.MethodPost, "/communities/{community}/channels/{channel}/move", "Put a channel at a place of a category"),
		func(ctx context.Context, in *channelMove) (*body[parley.Channel], error) {
			return answer(a.client.MoveChannel(ctx, in.Community, in.Channel, in.Body.Category, in.Body.Position))
		})
	huma.Register(api, operation("delete-channel", http.MethodPost, "/communities/{community}/channels/{channel}/delete", "Delete a channel; what was written stays where it is"),
		func(ctx context.Context, in *channelName) (*body[parley.Community], error) {
			return answer(a.client.DeleteChannel(ctx, in.Community, in.Channel))
		})
}

// categoryName names a category in a path.
type categoryName struct {
	Community string `path:"community"`
	Category  string `path:"category" doc:"The name of a category, or its id"`
}

func (a *apiServer) registerCategories(api huma.API) {
	type newCategory struct {
		Community string `path:"community"`
		Body      struct {
			Name     string   `json:"name" minLength:"1"`
			Channels []string `json:"channels,omitempty" doc:"Names or UUIDs, in their order"`
		}
	}
	huma.Register(api, operation("create-category", http.MethodPost, "/communities/{community}/categories", "Make a category of channels"),
		func(ctx context.Context, in *newCategory) (*body[parley.Category], error) {
			return answer(a.client.CreateCategory(ctx, in.Community, in.Body.Name, in.Body.Channels))
		})
	type categoryRename struct {
		Community string `path:"community"`
		Category  string `path:"category"`
		Body      struct {
			Name string `json:"name" minLength:"1"`
		}
	}
	huma.Register(api, operation("rename-category", http.MethodPost, "/communities/{community}/categories/{category}/rename", "Give a category another name"),
		func(ctx context.Context, in *categoryRename) (*body[parley.Category], error) {
			return answer(a.client.RenameCategory(ctx, in.Community, in.Category, in.Body.Name))
		})
	type categoryFill struct {
		Community string `path:"community"`
		Category  string `path:"category"`
		Body      struct {
			Channels []string `json:"channels" doc:"Names or UUIDs, in their order"`
		}
	}
	huma.Register(api, operation("fill-category", http.MethodPost, "/communities/{community}/categories/{category}/channels", "Say which channels are in a category"),
		func(ctx context.Context, in *categoryFill) (*body[parley.Category], error) {
			return answer(a.client.FillCategory(ctx, in.Community, in.Category, in.Body.Channels))
		})
	type categoryMove struct {
		Community string `path:"community"`
		Category  string `path:"category"`
		Body      struct {
			Position int `json:"position,omitempty" minimum:"0" doc:"From 0"`
		}
	}
	huma.Register(api, operation("move-category", http.MethodPost, "/communities/{community}/categories/{category}/move", "Put a category at a place"),
		func(ctx context.Context, in *categoryMove) (*body[parley.Category], error) {
			return answer(a.client.MoveCategory(ctx, in.Community, in.Category, in.Body.Position))
		})
	huma.Register(api, operation("delete-category", http.MethodPost, "/communities/{community}/categories/{category}/delete", "Delete a category; its channels stay"),
		func(ctx context.Context, in *categoryName) (*body[parley.Community], error) {
			return answer(a.client.DeleteCategory(ctx, in.Community, in.Category))
		})
}
