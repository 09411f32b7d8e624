// Package sqlite keeps a store archive (13/WAKU2-STORE, version 3) in SQLite
// databases on the node's own disk: what a service node uses where nothing
// else is set up, and what fits one machine. It needs no server and no cgo.
// Where several nodes share an archive, or one disk is too small, there is the
// package postgres; both pass the tests of storetest.
//
// # Files
//
// An archive is a directory, with a lock file beside it that keeps a second
// process out ([ErrLocked]). In it is a database for each slice of time, named
// by the hour (UTC) it starts with:
//
//	archive.lock
//	archive/1970-01-01T00.db   all that is older than 2020
//	archive/2026-03-01T00.db   a day
//	archive/2026-03-01T17.db   the rest of it, the first having 256 MiB by then
//
// SQLite has a -wal and a -shm file beside each database in use. Removing the
// oldest entries is removing files, so that retention gives the disk its room
// back at once; a slice that loses a part of its entries is written anew when
// much of it is empty. Archives of earlier versions were one file: it is called
// .old while [Open] takes its entries over, and then removed. A database of a
// later version is refused with [store.ErrSchema].
//
// # Index
//
// A slice keeps its rows as they come, which costs no more than a table
// without any key. The index of the newest rows is in memory (tail); that of
// the others is in chunks of some 16,000 rows, sorted by time, by topic, and
// by hash, which are written once and stay as they are (chunk). A filter in
// front of each chunk tells which hashes and topics it has nothing of. In
// memory an archive takes about 2 bytes an entry, and a few megabytes.
//
// # Guarantees
//
// What [Archive.Insert] acknowledged is there for every query that begins
// later, and stays when the process is killed; the newest may be lost when the
// machine loses power. One writer commits concurrent inserts together, and
// readers do not wait for it. Damage to a database is an error of
// [Open] or of the queries that come upon it, and of no others. A disk without
// room is [ErrNoRoom].
package sqlite
