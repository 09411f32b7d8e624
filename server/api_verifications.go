package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

func (a *apiServer) registerVerifications(api huma.API) {
	huma.Register(api, operation("list-verifications", http.MethodGet, "/contacts/{who}/verifications", "The questions between us and somebody, oldest first"),
		func(ctx context.Context, in *who) (*body[[]parley.Verification], error) {
			return answer(a.client.Verifications(ctx, in.Who))
		})
	type verificationText struct {
		Who  string `path:"who"`
		Body struct {
			Text string `json:"text" minLength:"1"`
		}
	}
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, who, text string) (parley.Verification, error)
	}{
		{"ask", "Ask a contact something that only they can answer", a.client.AskVerification},
		{"answer", "Answer what a contact asked last", a.client.AnswerVerification},
	} {
		huma.Register(api, operation(verb.name+"-verification", http.MethodPost, "/contacts/{who}/verifications/"+verb.name, verb.summary),
			func(ctx context.Context, in *verificationText) (*body[parley.Verification], error) {
				return answer(verb.do(ctx, in.Who, in.Body.Text))
			})
	}
	for _, verb := range []struct {
		name, summary string
		do            func(ctx context.Context, who string) (parley.Verification, error)
	}{
		{"decline", "Decline what a contact asked last", a.client.DeclineVerification},
		{"cancel", "Take our question back", a.client.CancelVerification},
	} {
		huma.Register(api, operation(verb.name+"-verification", http.MethodPost, "/contacts/{who}/verifications/"+verb.name, verb.summary),
			func(ctx context.Context, in *who) (*body[parley.Verification], error) {
				return answer(verb.do(ctx, in.Who))
			})
	}
}
