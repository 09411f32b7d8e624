// Package mvds is Minimum Viable Data Synchronisation (2/MVDS), the reliability
// layer of one-to-one and private group chats: a message is sent again until
// its recipient acknowledges it or it is given up, and everything received is
// acknowledged.
//
// [Decode] and [Payload.Encode] are the wire format. [Sync] holds parameters
// only; all state is in the [kv.Store] that every call is given, so whoever
// holds the transaction decides what happened. Nothing here sends, waits or
// looks at a clock: call [Sync.Append] to send, [Sync.Receive] for what came,
// [Sync.Due] for the payloads that go out now and [Sync.Next] for when to ask
// again. A call that returns an error may have written half of its changes
// only if the store itself failed; drop the transaction then.
//
// # Time
//
// Protocol time is counted in epochs of [Sync.Epoch] since 1970, so it goes on
// over restarts. It never runs backwards: when the clock is set back, the
// difference is kept in the store and added from then on, since otherwise all
// that was scheduled would sleep until the old time comes again.
//
// # Retransmission
//
// The gap after the first send is FirstGap, it doubles with every further
// send up to MaxGap, and from there falls back by three doublings and climbs
// again, as 2/MVDS asks. MaxGap therefore bounds it whatever the count. A
// message is given up when it is older than [Expiry] and was sent at least
// [MinSends] times; [Sync.TakeExpired] says so.
//
// A peer who shows no sign of life gets few copies where the network stores them
// ([Sync.AwayGap]); one who comes back gets what is left at once
// ([Sync.PeerOnline]).
//
// # Groups
//
// A group is a context of its own. All groups of deployed clients have two
// parties. In one of more, given by [Sync.Member] and [Sync.Peers], a message is
// stored once for all peers, each of whom acknowledges it for itself, and whoever
// receives it offers it to the others.
//
// # Differences from deployed clients
//
// Deployed clients (status-go) have no upper bound of the gap, drop a record
// after 15 sends without saying so, and do not check that a message belongs to
// the group of its sender. Field numbers are those of 2/MVDS; the older
// numbering 1 to 4 of the reference implementation is not read. The metadata
// field of 4/MVDS-META is tolerated and has no effect, which its text allows.
package mvds
