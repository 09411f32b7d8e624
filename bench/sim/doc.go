// Package sim is the laboratory: complete clients (package stack over package
// storage on disk) and service nodes (a real store archive) in one process, on
// a simulated network and a fake clock. Links lose, repeat, reorder and delay,
// have a bandwidth, and are cut; clocks are wrong; clients crash anywhere and
// come back with what is on disk; hostile peers publish rubbish.
//
// A [Scenario] is data: who there is, how they are connected, who says what to
// whom, what goes wrong when, and what must hold in the end. [Run] plays one
// with a seed in the laboratory; the same file runs against real processes
// ([Live]).
//
// # One seed, one history
//
// Everything random comes from streams of the seed: one for each directed link
// and purpose, consumed in that link's own order, and one for each life of a
// client, which is all the randomness its cryptography gets. A single loop owns
// the network. It does one thing at a time, and only when every client has come
// to rest; what several clients ask for at one instant it takes in the order of
// their numbers. So the history of a run, what everybody sent, received and was
// told in which order and when, follows from scenario and seed. Each
// participant's history is a chain of hashes; [Result] has their ends.
//
// # What is simulated
//
// Relay is a multicast to everybody who relays, with the faults of the link
// between publisher and receiver: how a gossip mesh spreads messages is
// measured elsewhere (package relaysim). Light clients use two service nodes,
// for filter, lightpush and store queries. Every message of every protocol can
// be lost, as datagrams are; nothing repeats it but the clients. Bytes are
// those of the Waku protocols, without what libp2p adds.
//
// Service nodes do not synchronise their stores, so that what one of them has
// not got while the network was apart comes from the members of a chat or
// channel alone.
package sim
