package seglog

import (
	"bytes"
	"encoding/hex"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the vectors of FORMAT.md are made of.
const sampleEpoch = 0x0102030405060708

func sampleHeader() header {
	return header{
		seq: 1, through: 1, capacity: 4096, next: 1, oldest: 1, salt: 0x0a0b0c0d,
		runs: []Run{{Epoch: sampleEpoch, First: 1}},
	}
}

func sampleRecord() Record {
	return Record{Type: 1, Key: "/a/b", Offset: 2, Time: 1_700_000_000_000, Size: 70, Body: []byte("hello")}
}

func sampleBatch(h *header) []byte {
	var b Batch
	r := sampleRecord()
	b.Add(&Stream{key: r.Key}, &r, func(to []byte) []byte { return append(to, r.Body...) })
	b.seal(&frame{epoch: sampleEpoch, seq: h.seq, salt: h.salt, oldest: 1, pos: 512, synced: 512, ceiling: 2})
	return b.buf
}

func sampleIndex(h *header, batch []byte) (index []byte, s *segment) {
	head := h.encode()
	s = &segment{header: *h, headerCRC: le.Uint32(head[8:]), end: uint32(len(head) + len(batch))}
	r := sampleRecord()
	st := &Stream{key: r.Key}
	s.index(st, &r, uint32(len(head)+batchHeader))
	index, _ = encodeIndex(s, s.parts)
	return index, s
}

func sampleCheckpoint() *checkpoint {
	return &checkpoint{serial: 3, mark: mark{1, 624}, body: []byte("body")}
}

// vectors returns FORMAT.md's, by name.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("\n## Vectors\n"))
	all := map[string][]byte{}
	for _, found := range regexp.MustCompile("(?s)\n```(\\w+)\n(.*?)```\n").FindAllSubmatch(text, -1) {
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(found[2])), ""))
		if err != nil {
			t.Fatalf("%s: %v", found[1], err)
		}
		all[string(found[1])] = b
	}
	return all
}

// The program writes what the document shows, and reads it.
func TestVectors(t *testing.T) {
	v := vectors(t)
	h := sampleHeader()
	batch := sampleBatch(&h)
	index, s := sampleIndex(&h, batch)
	for name, written := range map[string][]byte{
		"interim":    le.AppendUint64(nil, Run{Epoch: sampleEpoch, First: 1, Last: 300}.Interim()),
		"header":     h.encode()[:headerFixed+runSize],
		"record":     batch[batchHeader : batchHeader+len(v["record"])],
		"batch":      batch,
		"index":      index,
		"checkpoint": sampleCheckpoint().encode(),
	} {
		if !bytes.Equal(written, v[name]) {
			t.Errorf("%s: written is\n%x\nthe document has\n%x", name, written, v[name])
		}
	}
	padded := append(bytes.Clone(v["header"]), make([]byte, headerPad-len(v["header"]))...)
	if got, err := decodeHeader(padded); err != nil || got.salt != h.salt || len(got.runs) != 1 || got.runs[0] != h.runs[0] || got.capacity != h.capacity {
		t.Errorf("header: %+v, %v", got, err)
	}
	f, err := decodeFrame(v["batch"], &h, 512)
	if err != nil || f.epoch != sampleEpoch || f.count != 1 || f.ceiling != 2 || f.whole != len(v["batch"]) {
		t.Errorf("batch: %+v, %v", f, err)
	}
	r, n, err := decodeRecord(v["record"])
	if want := sampleRecord(); err != nil || n != len(v["record"]) || r.Key != want.Key || r.Offset != want.Offset || r.Time != want.Time || string(r.Body) != "hello" {
		t.Errorf("record: %+v, %v", r, err)
	}
	if streams, err := decodeIndex(v["index"], s); err != nil || len(streams) != 1 || streams[0].key != "/a/b" || streams[0].last != 2 || streams[0].bytes != 70 {
		t.Errorf("index: %+v, %v", streams, err)
	}
	if c, err := decodeCheckpoint(v["checkpoint"]); err != nil || c.serial != 3 || c.mark != (mark{1, 624}) || string(c.body) != "body" {
		t.Errorf("checkpoint: %+v, %v", c, err)
	}
}
