package transport

import (
	"testing"
	"unsafe"
)

// What every idle client takes stays within the allocator's class of sizes.
func TestSizes(t *testing.T) {
	if size := unsafe.Sizeof(websocket{}); size > 128 {
		t.Errorf("a websocket has %d bytes, want at most 128", size)
	}
}
