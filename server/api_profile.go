package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

// registerProfile adds what others are told about us, and the settings.
func (a *apiServer) registerProfile(api huma.API) {
	huma.Register(api, operation("get-profile", http.MethodGet, "/profile", "What others are told about us"),
		func(ctx context.Context, _ *struct{}) (*body[parley.Profile], error) {
			return answer(a.client.Profile(ctx))
		})
	huma.Register(api, fileOperation("profile-qr", "/profile/qr", "The link by which others add us, as a QR code", "image/png"),
		func(ctx context.Context, _ *struct{}) (*pictureBody, error) {
			return fresh(a.client.ProfileQR(ctx))
		})
	type change struct {
		Body parley.ProfileChange
	}
	huma.Register(api, operation("set-profile", http.MethodPost, "/profile", "Change what others are told about us; what is absent stays"),
		func(ctx context.Context, in *change) (*body[parley.Profile], error) {
			return answer(a.client.SetProfile(ctx, in.Body))
		})
	type profilePicture struct {
		Body struct {
			Image  []byte `json:"image" minLength:"1" doc:"PNG, JPEG, WebP or GIF in base64; its middle is shown"`
			ShowTo string `json:"show_to,omitempty" enum:"everyone,contacts,nobody" default:"everyone"`
		}
	}
	set := operation("set-picture", http.MethodPost, "/profile/picture", "Give our profile a picture")
	set.MaxBodyBytes, set.BodyReadTimeout = maxSend, sendTimeout
	huma.Register(api, set, func(ctx context.Context, in *profilePicture) (*body[parley.Profile], error) {
		return answer(a.client.SetPicture(ctx, in.Body.Image, in.Body.ShowTo))
	})
	huma.Register(api, operation("clear-picture", http.MethodPost, "/profile/picture/clear", "Take the picture of our profile away"),
		func(ctx context.Context, _ *struct{}) (*body[parley.Profile], error) {
			return answer(a.client.ClearPicture(ctx))
		})
	type presence struct {
		Body struct {
			Presence string `json:"presence" enum:"automatic,do_not_disturb,always_online,inactive"`
			Text     string `json:"text,omitempty"`
		}
	}
	huma.Register(api, operation("set-presence", http.MethodPost, "/profile/presence", "Tell all who listen whether we are there"),
		func(ctx context.Context, in *presence) (*body[parley.Profile], error) {
			return answer(a.client.SetPresence(ctx, in.Body.Presence, in.Body.Text))
		})
	huma.Register(api, operation("get-settings", http.MethodGet, "/settings", "What the account's owner has decided"),
		func(ctx context.Context, _ *struct{}) (*body[parley.Settings], error) {
			return answer(a.client.Settings(ctx))
		})
	type newSettings struct {
		Body struct {
			ContactsOnly    *bool `json:"contacts_only,omitempty" doc:"Refuse messages of those who are no contacts"`
			PresenceUpdates *bool `json:"presence_updates,omitempty" doc:"Tell all who listen every five minutes that we are there"`
		}
	}
	huma.Register(api, operation("set-settings", http.MethodPost, "/settings", "Change settings; what is absent stays"),
		func(ctx context.Context, in *newSettings) (*body[parley.Settings], error) {
			if on := in.Body.ContactsOnly; on != nil {
				if _, err := a.client.SetContactsOnly(ctx, *on); err != nil {
					return nil, failure(err)
				}
			}
			if on := in.Body.PresenceUpdates; on != nil {
				if _, err := a.client.SetPresenceUpdates(ctx, *on); err != nil {
					return nil, failure(err)
				}
			}
			return answer(a.client.Settings(ctx))
		})
}
