package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

// deviceName names a device of the account in a path.
type deviceName struct {
	Device string `path:"device" doc:"The id of a device, the beginning of it, or its name"`
}

func (a *apiServer) registerDevices(api huma.API) {
	huma.Register(api, operation("list-devices", http.MethodGet, "/devices", "The devices of this account, this one first"),
		func(ctx context.Context, _ *struct{}) (*body[[]parley.Device], error) {
			return answer(a.client.Devices(ctx))
		})
	type naming struct {
		Body struct {
			Name string `json:"name" minLength:"1"`
		}
	}
	huma.Register(api, operation("name-device", http.MethodPost, "/devices/name", "Give this device a name, which the other ones are told"),
		func(ctx context.Context, in *naming) (*body[parley.Device], error) {
			return answer(a.client.NameDevice(ctx, in.Body.Name))
		})
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, which string) (parley.Device, error)
	}{
		{"pair", "Write to another device of this account from now on; to be done there, too", a.client.PairDevice},
		{"unpair", "Write to another device of this account no more; to be done there, too", a.client.UnpairDevice},
	} {
		huma.Register(api, operation(verb.name+"-device", http.MethodPost, "/devices/{device}/"+verb.name, verb.summary),
			func(ctx context.Context, in *deviceName) (*body[parley.Device], error) {
				return answer(verb.do(ctx, in.Device))
			})
	}
}
