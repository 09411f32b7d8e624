// Package hostile holds tests alone: what a node endures from peers that mean
// it ill. Attacks run over loopback against a whole node, one row of a table
// for each protocol, while an honest client uses every service and must be
// served. Memory and goroutines stay bounded, and come back to where they
// were when the attackers are gone.
package hostile
