package stack

import (
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/encryption/x3dh"
	encryptionpb "github.com/parley-im/parley/pb/encryption"
)

// besideKeys returns what a control node says to everybody in a message that
// hands out new keys of a gated community: a description, which stands there in
// the clear (deployed clients). It is nil for what is encrypted with such a key.
func besideKeys(data []byte) []byte {
	m := new(encryptionpb.ProtocolMessage)
	if proto.Unmarshal(data, m) != nil {
		return nil
	}
	entry := m.EncryptedMessage[x3dh.ReservedID]
	if entry.GetHrHeader().GetKeys().GetRekeyGroup() == nil {
		return nil
	}
	return entry.GetPayload()
}
