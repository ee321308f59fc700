package local

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A Report is what Check found.
type Report struct {
	*seglog.Report
	Messages, Channels int
}

// Sound reports whether an engine would open the folder and find all of it intact.
func (r *Report) Sound() bool { return r.Refused == nil && len(r.Damage) == 0 }

// Check reads all that an engine stored in a folder and changes nothing. each is
// called for every message that is intact, in order, also for those behind damage
// and those that the rules let go of and that are still on the disk. The error is
// fs.ErrNotExist where there is no folder, vfs.ErrLocked if an engine is open in
// it, or that of each.
func Check(folder string, log logrus.FieldLogger, each func(*message.Message) error) (*Report, error) {
	dir, err := vfs.ViewDir(folder)
	if err != nil {
		return nil, fmt.Errorf("look at the engine's folder: %w", err)
	}
	return check(dir, log, each)
}

func check(dir vfs.FS, log logrus.FieldLogger, each func(*message.Message) error) (*Report, error) {
	r := &Report{}
	channels := map[string]bool{}
	last := uint64(0)
	found, err := seglog.Check(dir, log, func(rec *seglog.Record) error {
		if rec.Type != typeMessage && rec.Type != typeAfter || rec.Offset <= last {
			return nil // the same may stand in two files, if it could not be written at first
		}
		last = rec.Offset
		m := message.Message{Channel: channel.Name(rec.Key)}
		if err := decodeMessage(rec, &m); err != nil {
			return err
		}
		r.Messages++
		channels[rec.Key] = true
		return each(&m)
	})
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("check the engine's folder: a daemon works in it: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("check the engine's folder: %w", err)
	}
	r.Report, r.Channels = found, len(channels)
	return r, nil
}
