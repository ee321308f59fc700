package gzipped

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/flate"
)

// What a gzip stream (RFC 1952) begins with: deflate, no name, no time, no system; and
// the last block of a deflate stream (RFC 1951), which is empty.
const (
	header = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
	last   = "\x01\x00\x00\xff\xff"
)

// A Packer makes answers in gzip. Its zero value is ready, and it may be used
// concurrently.
type Packer struct{ compressors sync.Pool }

// A compressor takes one part at a time.
type compressor struct {
	out bytes.Buffer
	w   *flate.Writer
}

func (p *Packer) compressor() *compressor {
	if c, ok := p.compressors.Get().(*compressor); ok {
		c.out.Reset()
		return c
	}
	c := &compressor{}
	c.w, _ = flate.NewWriter(&c.out, flate.BestSpeed) // fails for no such level
	return c
}

// Append appends the parts, one behind the other, as one gzip stream. Each is
// compressed by itself, and nothing refers from one back into another: so who can
// choose one of them and sees how long the whole is learns nothing about the others.
func (p *Packer) Append(dst []byte, parts ...[]byte) []byte {
	c := p.compressor()
	defer p.compressors.Put(c)
	dst = append(dst, header...)
	var sum, size uint32
	for _, part := range parts {
		c.w.Reset(&c.out)
		_, _ = c.w.Write(part) // a buffer takes all
		_ = c.w.Flush()        // to a byte's boundary
		sum = crc32.Update(sum, crc32.IEEETable, part)
		size += uint32(len(part))
	}
	dst = append(append(dst, c.out.Bytes()...), last...)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return binary.LittleEndian.AppendUint32(dst, size)
}
