package tokenauth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

const (
	// reuse is for how long a token that renews is good once more after it was
	// used: for a client that did not get the answer, and for two pages that renew
	// at the same time.
	reuse = time.Minute
	// maxLogins bounds what is remembered, in logins.
	maxLogins = 1 << 20
	// slackLines is how many lines that say nothing any more a file may have, beside
	// as many as there are that do.
	slackLines = 100
)

// ErrReused says that a token that renews was used again after another had taken its
// place: one of those who have had it has stolen it. The login has been ended.
var ErrReused = fmt.Errorf("%w: the token was used before, and the login is ended now", auth.ErrDenied)

// ErrDamaged says that a file of logins cannot be relied on.
var ErrDamaged = errors.New("the line is damaged, and with it may be who was logged out")

// Logins are what is to be known of logins beside what their tokens say: that one was
// ended, and how often one was renewed. Most of them nobody ends or renews: of those
// nothing is stored. What is, is on the disk before anybody acts on it, and is
// forgotten when no token of the login is good any more.
//
// The file, "logins", has a JSON object a line; the last one of a login counts. It may be
// used concurrently, by one process.
type Logins struct {
	folder vfs.FS
	now    func() time.Time

	writing sync.Mutex
	file    vfs.File // nil after a failure: the next one to write makes it anew
	size    int64    // of file
	lines   int
	closed  bool

	mu    sync.RWMutex
	known map[string]login
}

// login is what a line says.
type login struct {
	ID      string `json:"login"`
	Until   int64  `json:"until"` // Unix seconds; then it is forgotten
	Renewed uint32 `json:"renewed,omitempty"`
	At      int64  `json:"at,omitempty"` // of the last renewal, Unix seconds
	Ended   bool   `json:"ended,omitempty"`
}

// The names of the file, and of one that is to take its place.
const (
	loginsName = "logins"
	loginsNext = "logins.new"
)

// OpenLogins reads the file of a folder, or makes an empty one.
func OpenLogins(folder vfs.FS, now func() time.Time) (*Logins, error) {
	l := &Logins{folder: folder, now: now, known: make(map[string]login)}
	text, err := readAll(folder, loginsName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read what logins were ended: %w", err)
	}
	if err := l.read(text); err != nil {
		return nil, fmt.Errorf("%s: %w", folder.Path(loginsName), err)
	}
	if err := l.rewrite(); err != nil {
		return nil, fmt.Errorf("write what logins were ended: %w", err)
	}
	return l, nil
}

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
		l.known[one.ID] = one
	}
	return nil
}

// Ended reports whether a login was ended. It does not block.
func (l *Logins) Ended(id string) bool { return l.get(id).Ended }

func (l *Logins) get(id string) login {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.known[id]
}

// End ends a login whose tokens are good until then at most. It returns once that is
// on the disk.
func (l *Logins) End(id string, until time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	one := l.get(id)
	if one.Ended {
		return nil
	}
	one.ID, one.Until, one.Ended = id, max(one.Until, until.Unix()), true
	return l.store(one)
}

// Renew counts a renewal of a login by the token of its nth one, and returns the number
// of the token that follows. It is on the disk by then. See ErrReused.
func (l *Logins) Renew(id string, n uint32, until time.Time) (next uint32, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	one, now := l.get(id), l.now()
	switch {
	case one.Ended:
		return 0, fmt.Errorf("%w: the login was ended", auth.ErrDenied)
	case n > one.Renewed:
		return 0, fmt.Errorf("%w: what is known of the login was lost", auth.ErrDenied)
	case n+1 == one.Renewed && now.Sub(time.Unix(one.At, 0)) < reuse:
		return one.Renewed, nil
	case n < one.Renewed:
		one.Ended = true
		if err := l.store(one); err != nil {
			return 0, err // it goes on: whoever comes next ends it
		}
		return 0, ErrReused
	case len(l.known) >= maxLogins && one.ID == "":
		return 0, fmt.Errorf("%d logins are remembered already", maxLogins)
	}
	one.ID, one.Until, one.At = id, max(one.Until, until.Unix()), now.Unix()
	one.Renewed++
	return one.Renewed, l.store(one)
}

// store appends a line. The caller holds writing. After a failure nobody knows what is
// in the file; it is written anew before the next line.
func (l *Logins) store(one login) error {
	if l.closed {
		return fs.ErrClosed
	}
	if l.file == nil || l.lines > 2*len(l.known)+slackLines {
		if err := l.rewrite(); err != nil {
			return fmt.Errorf("store the end of a login: %w", err)
		}
	}
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err = l.file.WriteAt(line, l.size); err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.release()
		return fmt.Errorf("store the end of a login: %w", err)
	}
	l.size += int64(len(line))
	l.lines++
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known[one.ID] = one
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

// forget removes the logins of which no token is good any more.
func (l *Logins) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now().Unix()
	for id, one := range l.known {
		if one.Until+int64(MaxLeeway/time.Second) < now {
			delete(l.known, id)
		}
	}
}

func (l *Logins) release() {
	if l.file != nil {
		_ = l.file.Close() // all that counts has been synced
		l.file = nil
	}
}

// Close closes the file. What was ended stays so.
func (l *Logins) Close() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.closed = true
	l.release()
}
