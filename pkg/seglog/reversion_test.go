package seglog

import "encoding/binary"

// reversion writes a format's version into b, and the checksum anew. The version
// stands at an offset, the checksum at 8.
func Reversion(b []byte, at int) []byte {
	binary.LittleEndian.PutUint32(b[at:], version+1)
	n := len(b)
	if string(b[:8]) == segMagic {
		n = int(binary.LittleEndian.Uint32(b[12:]))
	}
	binary.LittleEndian.PutUint32(b[8:], checksum(b[12:n]))
	return b
}
