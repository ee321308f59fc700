package session

import (
	"testing"
	"unsafe"
)

// What every idle client takes stays within the allocator's next class of sizes:
// one more field, and the heap of all clients grows by a tenth.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		what      string
		size, max uintptr
	}{
		{"a session", unsafe.Sizeof(Session{}), 160},
		{"a subscription", unsafe.Sizeof(subscription{}), 144},
	} {
		if c.size > c.max {
			t.Errorf("%s has %d bytes, want at most %d", c.what, c.size, c.max)
		}
	}
}
