package reactor

import (
	"testing"
	"unsafe"
)

// What every idle connection takes stays within the allocator's class of sizes.
func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 64 {
		t.Errorf("a connection has %d bytes, want at most 64", size)
	}
}
