package parley

import (
	"context"
	"math"

	"github.com/parley-im/parley/app/activity"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/view"
	"github.com/parley-im/parley/storage"
)

// Activity is an entry of the activity centre: something that concerns the
// account's owner in person.
type Activity = view.Activity

// ActivityQuery asks for a page of the activity centre.
type ActivityQuery struct {
	// Kinds narrows it to some kinds, Unread to what is unread.
	Kinds  []string
	Unread bool
	// Next is that of the page before.
	Next string
	// Limit is how many at most; 0 for 50, never more than 500.
	Limit int
}

// ActivityPage is a page of the activity centre, newest first.
type ActivityPage struct {
	Activities []Activity `json:"activities"`
	// Next asks for the page that follows, empty when there is none. A page
	// may be shorter than its limit, and even empty, and have a next one.
	Next string `json:"next,omitempty"`
}

// Activities returns a page of the activity centre.
func (c *Client) Activities(_ context.Context, q ActivityQuery) (ActivityPage, error) {
	if q.Limit < 0 {
		return ActivityPage{}, fault.New(fault.Usage, "the limit is below zero")
	}
	query := storage.ActivityQuery{Unread: q.Unread, Next: q.Next, Limit: q.Limit}
	for _, name := range q.Kinds {
		kind, err := activityKind(name)
		if err != nil {
			return ActivityPage{}, err
		}
		query.Kinds = append(query.Kinds, kind)
	}
	known, err := c.stack.Activities(query)
	if err != nil {
		return ActivityPage{}, positionError("reading the activity centre", err)
	}
	page := ActivityPage{make([]Activity, 0, len(known.Entries)), known.Next}
	for _, e := range known.Entries {
		page.Activities = append(page.Activities, view.NewActivity(e))
	}
	return page, nil
}

func activityKind(name string) (activity.Kind, error) {
	for _, k := range activity.Kinds {
		if string(k) == name {
			return k, nil
		}
	}
	return "", fault.New(fault.Usage, "%q is no kind of activity", name).WithHint("the kinds are %v", activity.Kinds)
}

// ActivityCounts is how much in the activity centre is unread.
type ActivityCounts = view.ActivityCounts

// ActivityCounts returns how much in the activity centre is unread.
func (c *Client) ActivityCounts(context.Context) (ActivityCounts, error) {
	kinds, err := c.stack.ActivityCounts()
	return view.NewActivityCounts(kinds), err
}

// ChangeActivity brings an entry into a state: read, unread, accepted or
// dismissed. It says how the entry looks; what it asks is answered by other
// calls.
func (c *Client) ChangeActivity(_ context.Context, id, state string) (Activity, error) {
	to := activity.State(state)
	switch to {
	case activity.Unread, activity.Read, activity.Accepted, activity.Dismissed:
	default:
		return Activity{}, fault.New(fault.Usage, "%q is not unread, read, accepted or dismissed", state)
	}
	e, err := c.stack.ChangeActivity(id, to)
	if err != nil {
		return Activity{}, err
	}
	return view.NewActivity(e), nil
}

// ReadActivities marks everything in the activity centre as read up to a clock,
// 0 for all of it, and returns what is unread then.
func (c *Client) ReadActivities(ctx context.Context, upTo uint64) (ActivityCounts, error) {
	if upTo == 0 {
		upTo = math.MaxUint64
	}
	if err := c.stack.ReadActivities(upTo); err != nil {
		return ActivityCounts{}, err
	}
	return c.ActivityCounts(ctx)
}
