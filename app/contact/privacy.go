package contact

// Origin is where a message comes from, as far as "messages from contacts
// only" asks.
type Origin struct {
	// Own: we signed it ourselves, on whatever device.
	Own bool
	// Public: it belongs to a public chat.
	Public bool
	// Active: its chat is one that we opened or take part in.
	Active bool
	// Sender is its author.
	Sender Contact
}

// AllowedFrom tells whether a message may be read under the setting "messages
// from contacts only": it must be our own, belong to a public chat or to one
// that is active already, or come from somebody we added. Whether they added us
// does not matter. Contact requests of strangers are refused too, as deployed
// clients do: whoever turns the setting on adds people, and is not added.
//
// It is asked for chat messages and what refers to them, membership updates,
// contact updates and status updates (deployed clients); blocking is another
// matter and comes first.
func AllowedFrom(o Origin) bool {
	return o.Own || o.Public || o.Active || o.Sender.Local == Sent
}
