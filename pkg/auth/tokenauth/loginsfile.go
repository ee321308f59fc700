package tokenauth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

func readAll(folder vfs.FS, name string) ([]byte, error) {
	f, err := folder.Open(name, false)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	text := make([]byte, size)
	if _, err = f.ReadAt(text, 0); errors.Is(err, io.EOF) { // with all of it
		err = nil
	}
	return text, errors.Join(err, f.Close())
}

// read takes the lines in. What is no line at the end of the file was being written
// when the host failed, and nobody was answered; anywhere else it is damage, behind
// which somebody may be let in again who must not.
func (l *Logins) read(text []byte) error {
	bad := 0
	for n := 1; len(text) > 0; n++ {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		text = rest
		var one login
		if err := json.Unmarshal(line, &one); err != nil || !whole || one.ID == "" {
			bad = n
			continue
		}
		if bad > 0 {
			return fmt.Errorf("line %d: %w", bad, ErrDamaged)
		}
		l.set(one)
		l.clock.seen(one.Sure)
	}
	return nil
}

// rewrite puts a file in place that says what is to be remembered and nothing else. The
// caller holds writing.
func (l *Logins) rewrite() error {
	l.release()
	l.forget()
	f, err := l.folder.Create(loginsNext)
	if err != nil {
		return err
	}
	if l.size, err = l.replace(f); err != nil {
		return errors.Join(err, f.Close()) // what is left of it the next one empties
	}
	l.file, l.lines = f, len(l.known)
	return nil
}

// replace writes what is known into a file, puts it in the place of the one before, and
// returns its size.
func (l *Logins) replace(f vfs.File) (int64, error) {
	out := io.NewOffsetWriter(f, 0)
	w := bufio.NewWriter(out)
	encoder := json.NewEncoder(w)
	for _, one := range l.known {
		if err := encoder.Encode(one); err != nil {
			return 0, err
		}
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := l.folder.Rename(loginsNext, loginsName); err != nil {
		return 0, err
	}
	if err := l.folder.SyncDir(); err != nil {
		return 0, err
	}
	return out.Seek(0, io.SeekCurrent)
}

func (l *Logins) release() {
	if l.file != nil {
		_ = l.file.Close() // all that counts has been synced
		l.file = nil
	}
}
