package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine/local"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// checkEngine reads all that is stored in the engine's folder, says what is
// damaged, and writes what is not to the file export, if it is named.
func checkEngine(c *cobra.Command, file, export string, asJSON bool) error {
	conf, err := config.Load(file)
	if err != nil {
		return failed(fmt.Errorf("read the configuration, which names the engine's folder: %w", err))
	}
	if conf.Engine.Type != config.LocalEngine {
		return failed(fmt.Errorf("%s: an engine of type %q stores nothing", file, conf.Engine.Type))
	}
	var to exporter
	if export != "" {
		if err := to.open(export); err != nil {
			return failed(err)
		}
	}
	log := logrus.New()
	log.SetOutput(c.ErrOrStderr())
	log.SetLevel(logrus.ErrorLevel) // what it warns of is in the report
	r, err := local.Check(conf.Engine.Path, log, to.write)
	if err := errors.Join(err, to.close()); err != nil {
		to.remove()
		return failed(withHint(err))
	}
	if asJSON {
		return jsonOutcome(c, verdictOf(conf.Engine.Path, r), r.Sound())
	}
	return report(c, conf.Engine.Path, export, r)
}

// A verdict is a report for programs.
type verdict struct {
	Folder   string   `json:"folder"`
	Sound    bool     `json:"sound"`
	Segments int      `json:"segments"`
	Bytes    int64    `json:"bytes"`
	Batches  int      `json:"batches"`
	Messages int      `json:"messages"`
	Channels int      `json:"channels"`
	Torn     bool     `json:"torn"`
	Refused  string   `json:"refused,omitempty"` // why no daemon would serve it
	Damage   []damage `json:"damage"`
	Mended   []damage `json:"mended"` // by the next start
}

type damage struct {
	File   string `json:"file"`
	At     int64  `json:"at"` // in bytes
	Reason string `json:"reason"`
}

func verdictOf(folder string, r *local.Report) verdict {
	places := func(all []*seglog.CorruptError) []damage {
		list := make([]damage, len(all))
		for i, d := range all {
			list[i] = damage{d.File, d.At, d.Reason.Error()}
		}
		return list
	}
	v := verdict{
		Folder: folder, Sound: r.Sound(), Segments: r.Segments, Bytes: r.Bytes, Batches: r.Batches,
		Messages: r.Messages, Channels: r.Channels, Torn: r.Torn, Damage: places(r.Damage), Mended: places(r.Mended),
	}
	if r.Refused != nil {
		v.Refused = r.Refused.Error()
	}
	return v
}

func withHint(err error) error {
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%w\n    hint: stop the daemon first, or check a copy of the folder", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w\n    hint: the daemon makes it at its first start", err)
	}
	return err
}

func report(c *cobra.Command, folder, export string, r *local.Report) error {
	out, bad := c.OutOrStdout(), c.ErrOrStderr()
	for _, d := range r.Mended {
		fmt.Fprintf(bad, "warning: %v; the next start makes it again\n", d)
	}
	if r.Torn {
		fmt.Fprintln(bad, "warning: the newest segment ends in what was being written when the daemon ended, or the machine; the next start leaves it out")
	}
	for _, d := range r.Damage {
		fmt.Fprintln(bad, d)
	}
	if r.Refused != nil && len(r.Damage) == 0 {
		fmt.Fprintln(bad, r.Refused)
	}
	fmt.Fprintf(out, "%s: %d segments, %d bytes in %d batches, %d messages on %d channels\n", folder, r.Segments, r.Bytes, r.Batches, r.Messages, r.Channels)
	if export != "" {
		fmt.Fprintf(out, "%s: %d messages written\n", export, r.Messages)
	}
	if r.Sound() {
		fmt.Fprintf(out, "%s: no damage found\n", folder)
		return nil
	}
	fmt.Fprintln(bad, "    hint: no daemon serves this folder or changes it. Restore a backup; or save what is intact with --export FILE,\n"+
		"    set the folder aside, start the daemon, and post FILE to /v1/publish, in parts: see orbitd(8), BACKUP")
	return &exitError{code: exitFailure}
}

// An exporter writes messages as lines that POST /v1/publish takes. The zero value
// takes them and writes nothing.
type exporter struct {
	file *os.File
	buf  *bufio.Writer
	json *json.Encoder
}

func (x *exporter) open(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // other people's messages
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	x.file, x.buf = f, bufio.NewWriter(f)
	x.json = json.NewEncoder(x.buf)
	x.json.SetEscapeHTML(false)
	return nil
}

// An exported message is one line. Its key makes that posting it again stores it
// once.
type exported struct {
	Channel string            `json:"channel"`
	Data    json.RawMessage   `json:"data,omitempty"`
	Binary  *[]byte           `json:"b,omitempty"`
	Type    string            `json:"ct,omitempty"`
	Headers map[string]string `json:"h,omitempty"`
	Key     string            `json:"key"`
}

func (x *exporter) write(m *message.Message) error {
	if x.file == nil {
		return nil
	}
	line := exported{Channel: string(m.Channel), Key: m.Key}
	if m.Key == "" {
		line.Key = fmt.Sprintf("exported-%d", m.Offset)
	}
	if m.JSON() {
		line.Data = m.Data
	} else {
		line.Binary, line.Type = &m.Data, m.ContentType
	}
	for _, h := range m.Headers {
		if line.Headers == nil {
			line.Headers = map[string]string{}
		}
		line.Headers[h.Name] = h.Value
	}
	if err := x.json.Encode(&line); err != nil {
		return fmt.Errorf("export offset %d of %s: %w", m.Offset, m.Channel, err)
	}
	return nil
}

func (x *exporter) close() error {
	if x.file == nil {
		return nil
	}
	if err := errors.Join(x.buf.Flush(), x.file.Sync(), x.file.Close()); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// remove takes back a file that is not whole, so that the same command can be tried again.
func (x *exporter) remove() {
	if x.file != nil {
		_ = os.Remove(x.file.Name())
	}
}
