package client

import (
	"context"
	"strings"

	"github.com/parley-im/parley"
)

// Activities returns a page of the activity centre.
func (c *Client) Activities(ctx context.Context, q parley.ActivityQuery) (parley.ActivityPage, error) {
	return get[parley.ActivityPage](ctx, c, "/activities", queryOf{}.text("kind", strings.Join(q.Kinds, ",")).flag("unread", q.Unread).
		text("next", q.Next).limit(q.Limit).values())
}

// ActivityCounts returns how much in the activity centre is unread.
func (c *Client) ActivityCounts(ctx context.Context) (parley.ActivityCounts, error) {
	return get[parley.ActivityCounts](ctx, c, "/activities/counts", nil)
}

// ChangeActivity brings an entry into a state: read, unread, accepted or
// dismissed.
func (c *Client) ChangeActivity(ctx context.Context, id, state string) (parley.Activity, error) {
	return post[parley.Activity](ctx, c, place("activities", id, "state"), map[string]string{"state": state})
}

// ReadActivities marks everything in the activity centre as read up to a clock,
// 0 for all of it.
func (c *Client) ReadActivities(ctx context.Context, upTo uint64) (parley.ActivityCounts, error) {
	return post[parley.ActivityCounts](ctx, c, "/activities/read", map[string]uint64{"clock": upTo})
}
