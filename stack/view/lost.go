package view

// CommunityLost is that messages of a community are missing, and nobody has
// them.
type CommunityLost struct {
	// Community is the id of the community, 0x02… or 0x03….
	Community string `json:"community"`
	// Messages is how many are missing that were not known to be before.
	Messages int `json:"messages"`
	// Authors are who is said to have written them, as far as it is known; at
	// most 20.
	Authors []Person `json:"authors,omitempty"`
}
