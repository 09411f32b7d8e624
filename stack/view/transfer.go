package view

import (
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
)

// TransferState says what has become of a large message's transfer. The texts
// are stable.
type TransferState string

// The states.
const (
	TransferActive   TransferState = "active"   // some segments are done
	TransferComplete TransferState = "complete" // published, or put together
	TransferGivenUp  TransferState = "given_up" // the rest is not to be had any more
)

// Transfer is how far a large message has come that travels in segments.
type Transfer struct {
	// ID is the hash of what is transferred, 0x…, the same at both ends. A
	// message that is sent again is another transfer.
	ID string `json:"id"`
	// Direction is out for ours and in for what others send.
	Direction string `json:"direction"`
	// Peer is whom it goes to or comes from, zQ3sh…; absent when it goes to
	// everybody.
	Peer key.Public `json:"peer,omitzero"`
	// PeerKey is the same key as 0x04….
	PeerKey string `json:"peer_key,omitempty"`
	// Messages are the ids of what is in it, absent until that is known.
	Messages []message.ID `json:"messages,omitempty"`
	// Chat is the id of the chat of the first of them that is in one.
	Chat string `json:"chat,omitempty"`
	// Done is how many segments are published, or here.
	Done int `json:"done"`
	// Of is how many there are to publish, or how many it takes.
	Of int `json:"of"`
	// Bytes is the length of the whole, absent if not known yet.
	Bytes int `json:"bytes,omitempty"`
	// State is active, complete or given_up.
	State TransferState `json:"state"`
}

// The directions of a transfer.
const (
	TransferOut = "out"
	TransferIn  = "in"
)

// WithPeer completes a transfer with the other end.
func (t Transfer) WithPeer(peer key.Public) Transfer {
	t.Peer, t.PeerKey = peer, hexOf(peer)
	return t
}

// Stored is that store nodes are known to have a message of ours.
type Stored struct {
	// ID is the message's.
	ID message.ID `json:"id"`
	// Chat is the id of its chat.
	Chat string `json:"chat"`
	// Stored is when a store node said so first.
	Stored int64 `json:"stored"`
}
