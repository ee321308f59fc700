package tokenauth

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
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
	// maxLogins bounds what is remembered, in logins, but for those that somebody ends:
	// that is never refused. maxShare bounds what one user has of it.
	maxLogins = 1 << 20
	maxShare  = 1 << 16
	// forgetEvery is how often those are forgotten that are over, and forgetPause how
	// often where there is no room.
	forgetEvery = time.Hour
	forgetPause = time.Minute
	// slackLines is how many lines that say nothing any more a file may have, beside
	// as many as there are that do.
	slackLines = 100
)

// ErrReused says that a token that renews was used again after another had taken its
// place: one of those who have had it has stolen it. The login has been ended.
var ErrReused = fmt.Errorf("%w: the token was used before, and the login is ended now", auth.ErrDenied)

// ErrTooMany says that of one user so many logins were renewed or ended, and are not over,
// that there is no room for more.
var ErrTooMany = fmt.Errorf("%d logins of this user are remembered already", maxShare)

// ErrDamaged says that a file of logins cannot be relied on.
var ErrDamaged = errors.New("the line is damaged, and with it may be who was logged out")

// Logins are what is to be known of logins beside what their tokens say: that one was
// ended, and how often one was renewed. Most of them nobody ends or renews: of those
// nothing is stored. What is, is on the disk before anybody acts on it, and is
// forgotten when for sure no token of the login is good any more; see loginsClock.
//
// The file, "logins", has a JSON object a line; the last one of a login counts. It may be
// used concurrently, by one process.
type Logins struct {
	folder vfs.FS

	writing sync.Mutex
	clock   loginsClock
	file    vfs.File // nil after a failure: the next one to write makes it anew
	size    int64    // of file
	lines   int
	closed  bool
	most    int // maxLogins
	forgot  time.Time

	mu    sync.RWMutex // for a change, writing is held as well
	known map[string]login
	tally tally // of known
}

// login is what a line says.
type login struct {
	ID      string `json:"login"`
	Until   int64  `json:"until"` // Unix seconds; then it is forgotten
	Renewed uint32 `json:"renewed,omitempty"`
	At      int64  `json:"at,omitempty"` // of the last renewal, Unix seconds
	Ended   bool   `json:"ended,omitempty"`
	Of      uint64 `json:"of,omitempty"`   // whose it is, as in auth.Login
	Sure    int64  `json:"sure,omitempty"` // when the line was written; see loginsClock
}

// The names of the file, and of one that is to take its place.
const (
	loginsName = "logins"
	loginsNext = "logins.new"
)

// OpenLogins reads the file of a folder, or makes an empty one.
func OpenLogins(folder vfs.FS, now func() time.Time) (*Logins, error) {
	return openLogins(folder, loginsClock{now: now})
}

func openLogins(folder vfs.FS, clock loginsClock) (*Logins, error) {
	l := &Logins{folder: folder, clock: clock, most: maxLogins, tally: newTally(maxShare), known: make(map[string]login)}
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

// Ended reports whether a login was ended. It does not block.
func (l *Logins) Ended(id string) bool { return l.get(id).Ended }

func (l *Logins) get(id string) login {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.known[id]
}

// set remembers what is to be known of a login. The caller holds writing.
func (l *Logins) set(one login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old, is := l.known[one.ID]; is {
		l.tally.remove(old.Of)
	}
	l.known[one.ID] = one
	l.tally.add(one.Of)
}

// Full reports whether a user has no more logins; see ErrTooMany.
func (l *Logins) Full(of uint64) bool {
	l.mu.RLock()
	full := l.tally.full(of)
	l.mu.RUnlock()
	if !full {
		return false
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.forgetAfter(forgetPause)
	return l.tally.full(of)
}

// room returns an error where there is none for another login of a user. The caller
// holds writing.
func (l *Logins) room(of uint64) error {
	full := func() bool { return l.tally.full(of) || len(l.known)-l.tally.over >= l.most }
	if full() {
		l.forgetAfter(forgetPause)
	}
	switch {
	case !full():
		return nil
	case l.tally.full(of):
		return ErrTooMany
	}
	return fmt.Errorf("%d logins are remembered already", l.most)
}

// End ends a login. It returns once that is on the disk.
func (l *Logins) End(of auth.Login) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	one := l.get(of.ID)
	if one.Ended {
		return nil
	}
	one.is(of)
	one.Ended = true
	return l.store(one)
}

// is says which login it is about.
func (one *login) is(l auth.Login) {
	one.ID, one.Until, one.Of = l.ID, max(one.Until, l.Ends.Unix()), cmp.Or(one.Of, l.Of)
}

// Renew counts a renewal of a login by the token of its nth one, and returns the number
// of the token that follows. It is on the disk by then. See ErrReused and ErrTooMany.
func (l *Logins) Renew(of auth.Login, n uint32) (next uint32, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	one, now := l.get(of.ID), l.clock.wall()
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
	}
	if one.ID == "" {
		if err := l.room(of.Of); err != nil {
			return 0, err
		}
	}
	one.is(of)
	one.At = now.Unix()
	one.Renewed++
	return one.Renewed, l.store(one)
}

// store appends a line. The caller holds writing. After a failure nobody knows what is
// in the file; it is written anew before the next line.
func (l *Logins) store(one login) error {
	if l.closed {
		return fs.ErrClosed
	}
	l.forgetAfter(forgetEvery)
	if l.file == nil || l.lines > 2*len(l.known)+slackLines {
		if err := l.rewrite(); err != nil {
			return fmt.Errorf("store the end of a login: %w", err)
		}
	}
	l.clock.look()
	one.Sure = l.clock.sure
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
	l.set(one)
	return nil
}

// forgetAfter is forget, if the last time is so long ago, and reports that. The caller
// holds writing.
func (l *Logins) forgetAfter(pause time.Duration) bool {
	due := l.clock.now().Sub(l.forgot) >= pause
	if due {
		l.forget()
	}
	return due
}

// forget removes the logins of which for sure no token is good any more. Meanwhile others may ask:
// they wait for the removal alone, and not for the search. The caller holds writing.
func (l *Logins) forget() {
	l.forgot = l.clock.now()
	l.clock.look()
	over := l.clock.over()
	var gone []login
	for _, one := range l.known {
		if one.Until < over {
			gone = append(gone, one)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range gone {
		delete(l.known, one.ID)
		l.tally.remove(one.Of)
	}
}

// Close closes the file. What was ended stays so.
func (l *Logins) Close() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.closed = true
	l.release()
}
