package local

import (
	"encoding/binary"
	"fmt"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

const (
	checkpointVersion = 1
	// checkpointEvery is how much log a start may have to replay; where the
	// checkpoint itself is large, checkpointShare times its size.
	checkpointEvery = 64 << 20
	checkpointShare = 4
)

// checkpointBody returns everything that is derived from the log but for what its
// indexes hold.
func (e *Engine) checkpointBody() []byte {
	b := make([]byte, 0, e.seq.savedSize+e.seq.savedSize/8)
	b = append(b, checkpointVersion)
	b = appendInt(b, e.latest.Load())
	e.mu.RLock()
	b = binary.AppendUvarint(b, uint64(e.forgotten))
	b = binary.AppendUvarint(b, uint64(len(e.channels)))
	for _, c := range e.channels {
		b = appendString(b, c.name)
		b = binary.AppendUvarint(b, uint64(c.stored))
		b = binary.AppendUvarint(b, uint64(c.gone))
	}
	e.mu.RUnlock()
	b = e.seq.keys.appendTo(b)
	b = binary.AppendUvarint(b, uint64(len(e.seq.sessions.list)))
	for _, s := range e.seq.sessions.list {
		b = appendSession(b, &s.Session)
	}
	e.seq.savedSize = int64(len(b))
	return b
}

func (e *Engine) restoreCheckpoint(b []byte) error {
	if len(b) == 0 || b[0] != checkpointVersion {
		return fmt.Errorf("checkpoint: %w", errRecord)
	}
	r := &reader{b: b[1:]}
	e.notBefore(int64(r.uvarint()))
	e.forgotten = message.Offset(r.uvarint())
	for range r.count() {
		c := e.channel(channel.Name(r.string()))
		c.stored = message.Offset(r.uvarint())
		c.gone = message.Offset(r.uvarint())
	}
	e.seq.keys.restore(r)
	for range r.count() {
		e.seq.sessions.put(newSession(r.session()))
	}
	e.seq.savedSize = int64(len(b))
	return r.end()
}

// checkpointIfDue starts to write a checkpoint in the background.
func (e *Engine) checkpointIfDue() {
	if e.seq.saving || e.seg.Failed() != nil || !e.checkpointDue() {
		return
	}
	write := e.seg.Checkpoint(e.checkpointBody())
	e.seq.saving = true
	e.wg.Go(func() { e.seq.saved <- write() })
}

// checkpointDue reports whether a start would have much to replay, or the disk is
// full and what could be removed waits for a checkpoint.
func (e *Engine) checkpointDue() bool {
	if e.refusing.Load() != nil && e.seg.Stuck() {
		return true
	}
	return e.seg.SinceCheckpoint() >= max(e.opts.checkpointEvery, checkpointShare*e.seq.savedSize)
}

func (e *Engine) checkpointDone(err error) {
	e.seq.saving = false
	again := e.seq.unsaved
	e.seq.unsaved = err != nil
	if err != nil && !again { // on a full disk it is tried every second
		e.log.WithError(err).Warn("a checkpoint could not be written; the next start takes longer")
	}
}
