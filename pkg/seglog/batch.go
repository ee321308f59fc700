package seglog

import (
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	batchMagic  = "OBAT"
	batchHeader = 56
	recordFixed = 40
	align       = 8
	flagFinal   = 1

	// MaxBatch bounds a batch's payload.
	MaxBatch = 64 << 20
	// MaxKey bounds a stream's name.
	MaxKey = 255
)

// A Record is what is stored. One with a Key belongs to the stream of that name
// and is found again by its Offset. From one such record to the next, of whatever
// stream, offsets increase and times do not decrease.
type Record struct {
	Type   byte // what it means is the caller's
	Key    string
	Offset uint64
	// Prev is the offset of the stream's record before this one, 0 if there is
	// none. If it is not the one that the log has, what it has counts as removed.
	Prev uint64
	Time int64  // Unix milliseconds
	Size uint32 // what it counts for in Limits
	Body []byte
}

// A Batch collects records for one Append. The zero value is empty; it may be used
// again after Reset.
type Batch struct {
	// Ceiling is above or equal to every offset given so far.
	Ceiling uint64

	buf    []byte // room for the header, then the records
	count  int
	metas  []meta // of the records of streams
	flags  uint32
	err    error // why it cannot be stored
	sealed int   // length of buf without padding, once it was sealed
}

// A meta is what the index needs of a record in a batch.
type meta struct {
	stream *Stream
	record Record // without its body
	at     uint32 // from the beginning of the batch
}

// Reset empties b.
func (b *Batch) Reset() {
	clear(b.metas)
	*b = Batch{buf: b.buf[:0], metas: b.metas[:0]}
	b.begin()
}

// begin makes room for the header.
func (b *Batch) begin() {
	if len(b.buf) == 0 {
		b.buf = append(b.buf, make([]byte, batchHeader)...)
	}
}

// Len returns how many bytes b takes so far.
func (b *Batch) Len() int { return len(b.buf) }

// Count returns how many records are in b.
func (b *Batch) Count() int { return b.count }

// Add adds a record whose body is what write appends. A record of a stream has
// it in s, whose name stands for r.Key. r.Body is not used.
func (b *Batch) Add(s *Stream, r *Record, write func([]byte) []byte) {
	b.begin()
	key := r.Key
	if s != nil {
		key = s.key
	}
	if len(key) > MaxKey {
		b.err = fmt.Errorf("%w: a key has %d bytes; the limit is %d", ErrTooLarge, len(key), MaxKey)
		return
	}
	start := len(b.buf)
	var fixed [recordFixed]byte
	fixed[8], fixed[9] = r.Type, byte(len(key))
	le.PutUint32(fixed[12:], r.Size)
	le.PutUint64(fixed[16:], r.Offset)
	le.PutUint64(fixed[24:], r.Prev)
	le.PutUint64(fixed[32:], uint64(r.Time))
	b.buf = append(b.buf, fixed[:]...)
	b.buf = append(b.buf, key...)
	b.buf = write(b.buf)
	rec := b.buf[start:]
	le.PutUint32(rec[4:], uint32(len(rec)))
	le.PutUint32(rec, checksum(rec[4:]))
	b.count++
	if s != nil {
		m := meta{s, *r, uint32(start)}
		m.record.Body = nil
		b.metas = append(b.metas, m)
	}
}

// A frame is what a batch's header says.
type frame struct {
	length, count int
	flags         uint32
	epoch         uint64
	seq, oldest   uint32
	salt          uint32
	pos, synced   uint32
	ceiling       uint64
	payloadCRC    uint32
	whole         int // bytes it takes in the segment: header, payload and padding
}

// seal fills in the header and the padding. It may be done again.
func (b *Batch) seal(f *frame) {
	if b.sealed > 0 {
		b.buf = b.buf[:b.sealed]
	}
	b.sealed = len(b.buf)
	b.buf = sealFrame(b.buf, f, b.count)
}

// sealFrame completes the batch whose payload stands in buf behind an empty
// header. The padding is appended.
func sealFrame(buf []byte, f *frame, count int) []byte {
	payload := buf[batchHeader:]
	copy(buf, batchMagic)
	le.PutUint32(buf[8:], checksum(payload))
	le.PutUint32(buf[12:], uint32(len(payload)))
	le.PutUint32(buf[16:], uint32(count))
	le.PutUint32(buf[20:], f.flags)
	le.PutUint64(buf[24:], f.epoch)
	le.PutUint32(buf[32:], f.seq)
	le.PutUint32(buf[36:], f.oldest)
	le.PutUint32(buf[40:], f.pos)
	le.PutUint32(buf[44:], f.synced)
	le.PutUint64(buf[48:], f.ceiling)
	le.PutUint32(buf[4:], salted(f.salt, buf[8:batchHeader]))
	return append(buf, make([]byte, padding(len(buf)))...)
}

func padding(n int) int { return (align - n%align) % align }

var (
	errNoBatch   = errors.New("no batch")
	errBadBatch  = errors.New("the batch's checksum is wrong")
	errBadRecord = errors.New("the record's checksum is wrong")
)

// salted is the checksum of a batch's header. The salt is the segment's, so that
// nobody can put into a message what passes for a header.
func salted(salt uint32, b []byte) uint32 {
	var s [4]byte
	le.PutUint32(s[:], salt)
	return crc32.Update(checksum(s[:]), castagnoli, b)
}

// decodeFrame reads a batch's header that stands at pos of a segment.
func decodeFrame(b []byte, seg *header, pos uint32) (frame, error) {
	if len(b) < batchHeader || string(b[:4]) != batchMagic || le.Uint32(b[4:]) != salted(seg.salt, b[8:batchHeader]) {
		return frame{}, errNoBatch
	}
	f := frame{
		payloadCRC: le.Uint32(b[8:]), length: int(le.Uint32(b[12:])), count: int(le.Uint32(b[16:])),
		flags: le.Uint32(b[20:]), epoch: le.Uint64(b[24:]), seq: le.Uint32(b[32:]), oldest: le.Uint32(b[36:]),
		pos: le.Uint32(b[40:]), synced: le.Uint32(b[44:]), ceiling: le.Uint64(b[48:]),
	}
	if f.seq != seg.seq || f.pos != pos || f.length > MaxBatch || f.synced > pos {
		return frame{}, errNoBatch
	}
	f.whole = batchHeader + f.length + padding(f.length)
	return f, nil
}

// decodeRecord reads the record with which b begins and returns its length. The
// body is a part of b.
func decodeRecord(b []byte) (Record, int, error) { return decodeRecordAs(b, "") }

// decodeRecordAs is decodeRecord for a key that is known: it is not copied.
func decodeRecordAs(b []byte, known string) (Record, int, error) {
	if len(b) < recordFixed {
		return Record{}, 0, errBadRecord
	}
	n := int(le.Uint32(b[4:]))
	keyLen := int(b[9])
	if n < recordFixed+keyLen || n > len(b) || le.Uint32(b) != checksum(b[4:n]) {
		return Record{}, 0, errBadRecord
	}
	key := b[recordFixed : recordFixed+keyLen]
	if string(key) != known {
		known = string(key)
	}
	return Record{
		Type: b[8], Size: le.Uint32(b[12:]), Offset: le.Uint64(b[16:]), Prev: le.Uint64(b[24:]),
		Time: int64(le.Uint64(b[32:])), Key: known, Body: b[recordFixed+keyLen : n : n],
	}, n, nil
}
