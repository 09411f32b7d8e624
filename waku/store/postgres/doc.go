// Package postgres keeps a store archive (13/WAKU2-STORE, version 3) in a
// PostgreSQL database, for service nodes whose archive is larger than the disk
// of the machine they run on, and for several nodes that share one archive.
//
// # Setting up
//
// PostgreSQL 14 or later is needed, and a database that the node's user may
// create a schema in:
//
//	CREATE USER parley PASSWORD '...';
//	CREATE DATABASE waku OWNER parley;
//
// The archive lives in a schema of its own (Config.Schema) and is made by the
// first [Open]. The schema is the archive's alone: everything in it counts as
// its room on disk. Later versions of this package bring the schema up to date
// when they open it; an earlier version refuses a later schema with
// [store.ErrSchema]. Several processes, of the same or of different nodes, may
// use one archive at a time. They take turns in writing.
//
// The URL is that of libpq: postgres://user:password@host:5432/database, with
// parameters such as sslmode=verify-full. What it does not say comes from the
// PG… environment variables and from ~/.pgpass, which keeps the password out
// of configuration files. No error of this package has the password in it.
// Statements are prepared and settings belong to the session, so there should
// be no connection pooler in between.
//
// # Tables
//
// Messages are partitioned by their timestamp. A partition spans Config.Slice,
// or 64 times as much for messages that are more than 64 slices old when the
// first of their time comes in, and so on, so that a few old messages do not
// make many partitions. It is made when the first message of its time is
// written, the next one somewhat ahead.
//
// The one index of the messages is that by hash, for each costs the server for
// every message. By time and by topic they are found through a table of chunks,
// partitioned as the messages are: a row has the timestamps and hashes of about a
// hundred messages of a topic that follow each other, or of all topics. Entries
// wait for their chunks in a table of recent ones, until there are 16,000 of
// them, and each process has those in memory. Messages that come late are added
// to the chunks of their time. A message takes some 230 bytes beside its own
// size.
//
// Retention drops partitions, which gives their room back to the disk at once.
// What is left to remove of the oldest is deleted, or, when the partition is
// small or mostly empty, the rest is written anew. Choose Config.Slice so that
// a partition is a small part of what is kept: two days (the default) for 30
// days, an hour for a day. Looking up a hash asks the newest partitions, and if
// it is not there the others one after the other, so some dozens of them are the
// most one should have. A change of Config.Slice holds for new partitions.
// Pruning about as often as a slice is long lets dropping do nearly all of it;
// pruning more often deletes more rows one by one.
//
// # Tuning
//
// The server's defaults are made for small machines. What matters here:
// shared_buffers (a quarter of the memory), max_wal_size (8 GB or more: fewer
// checkpoints, and so fewer full pages in the log), and checkpoint_timeout.
// With synchronous_commit = off inserts of single messages are faster and the
// newest second may be lost when the server's machine loses power, as with the
// SQLite archive. Autovacuum must be on.
package postgres
