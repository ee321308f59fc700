package stomp

import (
	"testing"
	"unsafe"
)

// What every idle client takes stays within the allocator's next class of sizes, as in
// pkg/session.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"a connection", unsafe.Sizeof(conn{}), 448},
		{"a subscription", unsafe.Sizeof(subscription{}), 320},
	} {
		if c.size > c.max {
			t.Errorf("%s has %d bytes, want at most %d", c.what, c.size, c.max)
		}
	}
}
