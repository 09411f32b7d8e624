package message

// Missing is the error of a message that is about something which is not here
// yet: it may come later, so the message is kept until then, not dropped.
type Missing struct {
	// Target names what is missing; see MessageTarget and ChatTarget.
	Target string
}

func (m *Missing) Error() string { return "about something that is not here yet" }

// MessageTarget names a message as the target of others.
func MessageTarget(id ID) string { return "message/" + id.String() }

// ChatTarget names a chat as the target of messages for it.
func ChatTarget(chat string) string { return "chat/" + chat }
