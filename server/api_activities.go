package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
)

func (a *apiServer) registerActivities(api huma.API) {
	type list struct {
		Kinds  []string `query:"kind" doc:"Only these: contact_request, mention, reply, group_invitation, group_addition, group_request, verification"`
		Unread bool     `query:"unread" doc:"Only what is unread"`
		Next   string   `query:"next" doc:"What the page before gave as next"`
		Limit  int      `query:"limit" minimum:"0" maximum:"500" doc:"At most so many; 0 is 50"`
	}
	huma.Register(api, operation("list-activities", http.MethodGet, "/activities", "The activity centre, newest first"),
		func(ctx context.Context, in *list) (*body[parley.ActivityPage], error) {
			return answer(a.client.Activities(ctx, parley.ActivityQuery{Kinds: in.Kinds, Unread: in.Unread, Next: in.Next, Limit: in.Limit}))
		})
	huma.Register(api, operation("count-activities", http.MethodGet, "/activities/counts", "How much in the activity centre is unread"),
		func(ctx context.Context, _ *struct{}) (*body[parley.ActivityCounts], error) {
			return answer(a.client.ActivityCounts(ctx))
		})
	type activitiesRead struct {
		Body *struct {
			Clock uint64 `json:"clock,omitempty" doc:"Up to the entry of this clock; everything when absent"`
		}
	}
	huma.Register(api, operation("read-activities", http.MethodPost, "/activities/read", "Mark the activity centre as read"),
		func(ctx context.Context, in *activitiesRead) (*body[parley.ActivityCounts], error) {
			clock := uint64(0)
			if in.Body != nil {
				clock = in.Body.Clock
			}
			return answer(a.client.ReadActivities(ctx, clock))
		})
	type activityChange struct {
		ID   string `path:"id" doc:"The id of an entry"`
		Body struct {
			State string `json:"state" enum:"unread,read,accepted,dismissed"`
		}
	}
	huma.Register(api, operation("change-activity", http.MethodPost, "/activities/{id}/state", "Say how an entry looks; what it asks is answered by other calls"),
		func(ctx context.Context, in *activityChange) (*body[parley.Activity], error) {
			return answer(a.client.ChangeActivity(ctx, in.ID, in.Body.State))
		})
}
