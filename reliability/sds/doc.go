// Package sds is Scalable Data Sync (109/SDS) with its extension for repair
// (SDS-R), the reliability layer of communities: all participants of a channel
// end with the same messages in the same order, whatever the transport loses,
// repeats or reorders, at a cost for each message that does not grow with the
// number of participants.
//
// [Decode] and [Message.Encode] are the wire format. [Channel] holds
// parameters only; all state is in the [kv.Store] that every call is given, so
// whoever holds the transaction decides what happened, and a participant
// restarts from its store at any step. Nothing here sends, waits or looks at a
// clock: call [Channel.Send] to say something, [Channel.Receive] for what
// came, [Channel.Due] for what is to be done now and [Channel.Next] for when to
// ask again. What is to be done comes back as values (see [Result]). A call
// that returns an error of the store may have written half of its changes;
// drop the transaction then. Every other error leaves the state as it was.
//
// # Order
//
// The order of a channel is that of the Lamport timestamps and, where they are
// equal, of the message ids. [Channel.Log] has it. Messages are delivered to the
// application once each, and after all that they depend on; a message that was
// said at the same time as others may therefore be delivered after some that
// follow it in the order. Timestamps are pegged to the time of day. One that is
// ahead of our clock by more than Config.MaxAhead is refused with [ErrAhead],
// which the specification leaves open: the message can come again when its time
// has come, and a single participant cannot drag the channel's clock further
// than that.
//
// # Causal history
//
// A message names the two newest messages of its sender's log, with the hint
// and the author of each. Two are not enough to find every loss: of messages
// said at the same time, all but two may never be named. So it also names the
// heads of the log, those that no known message depends on, as far as there is
// room; and who hears a sync message whose history and filter show that its
// sender lacks a head, soon sends one that names it. Everything that anybody
// has is found by everybody in this way.
//
// # Filter
//
// The bloom filter of a message has the ids of the newest 500 received. It is
// not kept but computed for each message from their hashes, which are kept in
// chunks of 64 and rolled over a chunk at a time, so that it never has fewer
// than its window, and never the twice as many that two generations of a filter
// would have to be sized for. It is salted with the id of the message that
// carries it: an id that is in one filter by accident is not in the next one,
// and filters of one sender are evidence as good as those of several.
//
// A header has at most 1024 bytes, which decides the size: in a channel of up
// to 200 messages 12 bits for each id, which makes 0.6 % accidents; above that
// 320 bytes, 5.1 bits for each of 500 ids, with 8.8 % accidents for 4 hash
// functions. A message is possibly acknowledged by the first filter with it and
// acknowledged when the filters with and without it make it a thousand times
// likelier that it arrived than that it did not, taking from each how full it is:
// after two filters of a small channel, and four of the largest. A full window
// then costs 842 bytes of header for each message with participant ids of 49
// characters, and 1005 with ids of 132; TestHeaderSize counts them. Repair
// requests beyond the first, heads and the length of the filter give way to
// one another to keep the bound.
//
// # Retrieval
//
// A missing dependency is first to be fetched from store nodes by the hints
// that others gave ([Result].Fetch); then SDS-R asks for it, again and again,
// since an answer can be lost like any message; after Config.Fetch.Lost it is
// called lost, and what waited is delivered. It is still asked for, ever less
// often, for a day, and delivered late if it comes. Answers to repair requests
// are bounded by the minute, the incoming buffer by bytes, of which the one who
// fills it most gives up the newest, and the log by entries: what is older than
// the log is not taken any more, since nothing tells whether it was delivered.
// That it came is remembered, so that nothing waits for it a second time.
//
// # Scale
//
// All participants together send as much as a few would, so that what each
// receives depends on what is said and not on how many listen: one sync message
// acknowledges for all, as long as others who would have sent one hear it
// first. Back-offs are drawn such that few come first (see Idle), repair
// requests give way to one another, and answers come from a response group of
// some 128, whose number is to follow that of the participants
// ([ResponseGroups]). docs/scaling.md has the figures.
//
// # Identity
//
// With [SaltedID] a message id is a hash that receivers check, so that nobody
// can put another message in the place of one that has not arrived yet. Nothing
// else in a message is proven: who sent it is for the layers around this one.
//
// # Differences from deployed clients
//
// [Interop] exchanges with @waku/sds: the same filter, ids and repair times.
// Unlike it, we deliver a message only after those it depends on are delivered
// (there, a dependency in the incoming buffer counts as met), deliver it once,
// deliver what waited for a lost dependency (there, it is dropped), ask again
// for what was asked for in vain, answer repair requests that do not name the
// author, and bound timestamps. nim-sds has its own field numbers, which are
// always read and written if the configuration says so ([InteropNim]), counts
// seconds, and hashes its filter as it was compiled, so filters are left out
// with it.
package sds
