package main

import "time"

// A bug is one that is planted: in file, old becomes new. Some test that run names,
// in the package, must then fail.
type bug struct {
	name, what string
	file       string
	old, new   string
	pkg, run   string
	wait       time.Duration // for the tests, if they then wait for ever; default: patience
}

const (
	seglog = "pkg/seglog"
	local  = "pkg/engine/local"
)

// bugs are those that every store of messages had once; their numbers stay.
var bugs = []bug{
	{
		name: "bug-01", what: "acknowledged before it is synced",
		file: seglog + "/append.go",
		old:  "	if err := l.active.file.Sync(); err != nil {\n		return fmt.Errorf(\"sync %s: %w\", l.fs.Path(l.active.name), err)\n	}\n	return nil\n",
		new:  "	return nil\n",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-02", what: "the folder is not synced after a new file got its name",
		file: seglog + "/append.go",
		old:  "	if err := l.fs.SyncDir(); err != nil {\n		return fmt.Errorf(\"sync %s: %w: %w\", l.fs.Path(\".\"), errNamed, err)\n	}\n	return nil\n",
		new:  "	return nil\n",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-03", what: "delivered before it is synced",
		file: local + "/sequencer.go",
		old:  "	err := e.store(c)\n	switch {\n	case err == nil:\n		e.show(c)\n",
		new:  "	e.show(c)\n	err := e.store(c)\n	switch {\n	case err == nil:\n",
		pkg:  local, run: "TestConformance|TestFailedSync",
	},
	{
		name: "bug-05", what: "the keys are not rebuilt at a start",
		file: local + "/local.go",
		old:  "	if m.Key != \"\" {\n		e.seq.keys.forget(0)",
		new:  "	if false {\n		e.seq.keys.forget(0)",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-06", what: "off by one at a resume",
		file: seglog + "/lookup.go",
		old:  "	from, err := p.search(after)\n",
		new:  "	from, err := p.search(after + 1)\n",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-07", what: "a new segment lacks the record that did not fit into the old one",
		file: seglog + "/append.go",
		old:  "	seg, err := l.create(&h, b.buf, u)\n",
		new:  "	seg, err := l.create(&h, nil, u)\n",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-08", what: "the log is cut where it is damaged in the middle",
		file: seglog + "/scan.go",
		old:  "greatestMark(&s.header, rest, end); mark > end {",
		new:  "greatestMark(&s.header, rest, end); mark > end+1<<30 {",
		pkg:  local, run: "TestDamageIsNeverSilent",
	},
	{
		name: "bug-09", what: "a failed sync is ignored",
		file: seglog + "/append.go",
		old:  "	if err := l.active.file.Sync(); err != nil {\n",
		new:  "	if err := l.active.file.Sync(); err != nil && l.failed != nil {\n",
		pkg:  local, run: "TestConformance|TestFailedSync",
	},
	{
		name: "bug-12", what: "trimmed one record too far",
		file: seglog + "/stream.go",
		old:  "lim.Count > 0 && s.count > lim.Count ||",
		new:  "lim.Count > 0 && s.count >= lim.Count ||",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-13", what: "the epoch stays the same over a restart, so also over a restored backup",
		file: local + "/local.go",
		old:  "Epoch: uint64(message.NewEpoch()), Logger",
		new:  "Epoch: 7, Logger",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-16", what: "what a killed process left in the page cache is taken for durable",
		file: seglog + "/scan.go",
		old:  "	s.end = t.synced\n",
		new:  "	t.synced = end\n	if err := l.settle(s, t); err != nil {\n		return err\n	}\n	s.end = t.synced\n",
		pkg:  seglog, run: "TestPageCache",
	},
	{
		name: "bug-17", what: "a segment that something is wanted of is removed",
		file: seglog + "/collect.go",
		old:  "		if s.live > 0 || s.through >= m.seq || s == l.active {\n",
		new:  "		if s.live > 1 || s.through >= m.seq || s == l.active {\n",
		pkg:  seglog, run: "TestUnlink|TestTrimAtRandom|TestPowerCut",
	},
	{
		name: "bug-18", what: "a cursor moves backwards",
		file: local + "/sessions.go",
		old:  "	case to.Position.Offset < c.Position.Offset:\n		return false\n",
		new:  "	case to.Position.Offset < c.Position.Offset:\n",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-19", what: "offsets of memory channels are given again after a crash",
		file: local + "/sequencer.go",
		old:  "		c.ceiling = min(e.seq.next-1+ceilingBlock, message.MaxOffset)\n		c.durable = true\n",
		new:  "",
		pkg:  local, run: "TestConformance",
	},
	{
		name: "bug-20", what: "nothing but work under load: what is due every second waits",
		file: local + "/sequencer.go",
		old:  "	ops, closed := e.queue.take(e.seq.spare)\n	for rest := ops; len(rest) > 0; {\n		rest = e.step(rest)\n	}\n",
		new:  "	ops, closed := e.queue.take(e.seq.spare)\n	for len(ops) > 0 {\n		for rest := ops; len(rest) > 0; {\n			rest = e.step(rest)\n		}\n		ops, closed = e.queue.take(ops)\n	}\n",
		pkg:  local, run: "TestUpkeepUnderLoad",
	},
	{
		name: "bug-21", what: "a jump of the clock is believed at once",
		file: local + "/clock.go",
		old:  "c.doubt, c.moved, c.until = true, c.moved+off, real.Add(c.grace)",
		new:  "c.doubt, c.moved, c.until = true, c.moved+off, real",
		pkg:  local, run: "TestClock",
	},
	{
		name: "bug-22", what: "a run for which there was no room is not known to the next",
		file: local + "/local.go",
		old:  "	for i := 1; i < len(runs); i++ {\n",
		new:  "	for i := 1; i < 0; i++ {\n",
		pkg:  local, run: "TestOpenOnAFullDisk",
	},
}
