package stack

// Scalable Data Sync (109/SDS) in the stack: messages of a community are made
// reliable in one channel, whose participants are its members (Status Protocol
// Stack, End-to-end reliability layer). The road out wraps what the table says
// (sds_out.go), the road in unwraps what comes (sds_in.go), what is due by time
// goes out by itself (sds_due.go), and what is missing is fetched from store
// nodes by its hash (sds_fetch.go), after which SDS asks the members for it.

const (
	// EventCommunityLost means that messages of a community are known to be
	// missing that no store node and no member has given for a while. Should one
	// come all the same, it is shown late, in its place.
	EventCommunityLost = "community.lost"
)
