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

// Blocking is what has to happen beside the contact's change when somebody is
// blocked. What is hidden shows again when they are unblocked, what is deleted
// is gone. Deployed clients hide on desktops and delete on phones.
type Blocking struct {
	// HideChat: the one-to-one chat leaves the list of chats. HideMessages:
	// what they wrote in other chats is not shown and not counted as unread.
	HideChat, HideMessages bool
	// DeleteChat and DeleteMessages are the same for ever, with reactions and
	// pins of theirs.
	DeleteChat, DeleteMessages bool
	// DismissActivity: their entries in the activity centre go.
	DismissActivity bool
	// Forget: what waits for a target and was signed by them, and their claim
	// of an ENS name, are dropped.
	Forget bool
	// Abandon: what is on its way to them is not sent again and shown as
	// failed.
	Abandon bool
	// EndVerification: requests of app/verify between us end.
	EndVerification bool
	// Unsubscribe: their contact code is not listened to any more.
	Unsubscribe bool
}

// OnBlock returns the consequences of blocking; erase deletes what is hidden
// otherwise.
func OnBlock(erase bool) Blocking {
	return Blocking{
		HideChat:        !erase,
		HideMessages:    !erase,
		DeleteChat:      erase,
		DeleteMessages:  erase,
		DismissActivity: true,
		Forget:          true,
		Abandon:         true,
		EndVerification: true,
		Unsubscribe:     true,
	}
}
