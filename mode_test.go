package parley

import "testing"

// Who says nothing of the mode is a full client: the programs made of this
// library run on desktops and servers.
//
// Proves: SP-48.
func TestFullByDefault(t *testing.T) {
	t.Parallel()
	c := memoryClient(t) // which gives no mode
	status, err := c.Status(t.Context())
	if err != nil || status.Mode != Full {
		t.Errorf("%q, %v", status.Mode, err)
	}
}
