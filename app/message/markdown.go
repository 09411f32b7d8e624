package message

import (
	"fmt"
	"io"
	"strings"
)

const tableHead = `# Application messages

This table is written out of the program's own (package app/message), which is what every message is sent by.
Sources: 62/STATUS-PAYLOADS; Status application protocols, Functional scope, Content topics and Ephemerality; Status MVDS usage; deployed clients.

- **Topic**: what the content topic is derived from. *pairwise* is the recipient's partitioned topic, then the negotiated one; *community requests* is the topic of the control node's key; *(channel)* is a copy on the channel's own topic, on networks with older clients (*channel_topics* in the network file).
- **Encryption**: *pairwise* is a double-ratchet message per device, *group key* the hash ratchet in gated communities and a public message in open ones, *raw* no encryption layer below the transport's.
- **State**: *handled* is read by this version, and sent but for the names of threads (93), *later* is skipped when received, *retired* is sent by no current client.

| # | Type | Chat | Scope | Topic | Ephemeral | Reliability | Encryption | Shard | State |
|--:|--|--|--|--|--|--|--|--|--|
`

// WriteTable writes the table as a Markdown page.
func WriteTable(w io.Writer) error {
	var b strings.Builder
	b.WriteString(tableHead)
	for _, r := range table {
		topic := r.Topic.String()
		if r.Also != TopicNone {
			topic += ", " + r.Also.String()
		}
		state := "later"
		switch {
		case r.Handled:
			state = "handled"
		case r.Retired:
			state = "retired"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.Type, Name(r.Type), r.Chat, r.Scope, topic, r.Ephemeral, r.Reliability, r.Encryption, r.Shard, state)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// named looks a value up in its names; a value outside them shows as its number.
func named(names []string, i uint8) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%d?", i)
}

var chatKindNames = []string{"–", "1:1", "private group", "community", "public"}

// String returns the kind in words, a dash for NoChat.
func (k ChatKind) String() string { return named(chatKindNames, uint8(k)) }

var scopeNames = []string{"–", "global control", "global content", "community control", "community content", "local"}

// String returns the scope in words.
func (s Scope) String() string { return named(scopeNames, uint8(s)) }

var topicNames = []string{
	"–", "pairwise", "personal", "contact code", "public chat", "community", "universal",
	"community requests", "shard info", "push query", "(channel)",
}

// String returns the rule in words.
func (t TopicRule) String() string { return named(topicNames, uint8(t)) }

var ephemeralNames = []string{"no", "yes", "if automatic"}

// String returns no, yes, or the condition.
func (e Ephemerality) String() string { return named(ephemeralNames, uint8(e)) }

var reliabilityNames = []string{"–", "MVDS", "SDS"}

// String returns the mechanism's name.
func (r Reliability) String() string { return named(reliabilityNames, uint8(r)) }

var encryptionNames = []string{"raw", "pairwise", "DH", "public", "group key"}

// String returns the form in words.
func (e Encryption) String() string { return named(encryptionNames, uint8(e)) }

var shardNames = []string{"global", "community control", "community content", "community request", "local"}

// String returns the class in words.
func (s Shard) String() string { return named(shardNames, uint8(s)) }
