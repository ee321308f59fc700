package tlsconf

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// WatchEvery is how often files are looked at. A renewal is there days before the
// certificate in force ends.
const WatchEvery = 10 * time.Second

// A file is one of those that an identity was read from, as it was just before.
type file struct {
	path string
	info os.FileInfo // nil: there was none
}

func look(path string) file {
	info, err := os.Stat(path)
	if err != nil {
		return file{path, nil}
	}
	return file{path, info}
}

// same reports whether a file is what it was. A renewal replaces it, or what its
// symbolic link leads to.
func (f file) same(other file) bool {
	if f.path != other.path || f.info == nil || other.info == nil {
		return f.path == other.path && f.info == other.info
	}
	return os.SameFile(f.info, other.info) && f.info.Size() == other.info.Size() && f.info.ModTime().Equal(other.info.ModTime())
}

// WatchOptions are what Watch needs. Logger is required.
type WatchOptions struct {
	Logger logrus.FieldLogger
	Now    func() time.Time // default: time.Now
	// Clients is told when others are believed: clients that are connected may be no
	// more. nil: nobody.
	Clients func(ctx context.Context)
}

// Watch looks until ctx ends whether the files of the set in force were replaced, and
// puts what is there now in force. What cannot be loaded, is half written or is not
// valid now leaves the old one, and is told once. It also warns ahead of the end of
// what is in force.
func (s *Server) Watch(ctx context.Context, o WatchOptions) {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &watch{server: s, o: o, refused: map[string][]file{}, stages: map[*Identity]int{}}
	every := time.NewTicker(WatchEvery)
	defer every.Stop()
	for {
		w.warn()
		select {
		case <-every.C:
			w.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// A watch is what Watch remembers, in its goroutine alone.
type watch struct {
	server  *Server
	o       WatchOptions
	refused map[string][]file // which were looked at last and are no good, by the first's path
	stages  map[*Identity]int // how urgently it has warned about whom
	warned  *Clients          // about whose list it has
}

// look loads what has changed. A reload that comes in between has the last word.
func (w *watch) look(ctx context.Context) {
	old := w.server.set.Load()
	set := Set{Identities: slices.Clone(old.Identities), Clients: old.Clients}
	changed := false
	for n, i := range set.Identities {
		if renewed := w.identity(i); renewed != nil {
			set.Identities[n], changed = renewed, true
		}
	}
	clients := w.clients(set.Clients)
	if clients != nil {
		set.Clients, changed = clients, true
	}
	if !changed || !w.server.set.CompareAndSwap(old, &set) {
		return
	}
	for n, i := range set.Identities {
		if i != old.Identities[n] {
			w.o.Logger.WithFields(logrus.Fields{"certificate": i.files[0].path, "names": i.Names(), "until": i.certificate.Leaf.NotAfter}).
				Info("the certificate was renewed and is in use")
		}
	}
	if clients != nil {
		w.o.Logger.WithField("client_ca", clients.files[0].path).Info("whose clients' certificates are believed was renewed and is in use")
		if w.o.Clients != nil {
			w.o.Clients(ctx)
		}
	}
}

// stale returns the files as they are now, if they are others than before and than
// those that were no good the last time; else nil.
func (w *watch) stale(before []file) []file {
	now := make([]file, len(before))
	for n, f := range before {
		now[n] = look(f.path)
	}
	if same := func(files []file) bool { return slices.EqualFunc(files, now, file.same) }; same(before) || same(w.refused[now[0].path]) {
		return nil
	}
	return now
}

// identity returns what is in the files of one now, if that is another and good.
func (w *watch) identity(old *Identity) *Identity {
	now := w.stale(old.files)
	if now == nil {
		return nil
	}
	renewed, err := Load(now[0].path, now[1].path)
	if err == nil {
		_, err = renewed.Until(w.o.Now())
	}
	return used(w, now, renewed, err, "certificate")
}

// clients is identity for whom the server believes.
func (w *watch) clients(old *Clients) *Clients {
	if old == nil {
		return nil
	}
	now := w.stale(old.files)
	if now == nil {
		return nil
	}
	lists := ""
	if len(now) > 1 {
		lists = now[1].path
	}
	renewed, err := LoadClients(now[0].path, lists, old.required)
	return used(w, now, renewed, err, "client_ca")
}

// used returns what was loaded; nil if it is no good, which is told and remembered.
func used[T any](w *watch, now []file, renewed *T, err error, what string) *T {
	if err != nil {
		w.refused[now[0].path] = now
		w.o.Logger.WithField(what, now[0].path).WithError(err).Error("the files of the certificate have changed and are no good; the old one stays in use")
		return nil
	}
	delete(w.refused, now[0].path)
	return renewed
}

// firstStage is the part of a certificate's life that is left when it should long
// have been renewed, as certbot does when a third is left. Each further stage is
// half as long.
const (
	firstStage = 4
	lastStage  = 4
)

// warn tells that the end of a certificate in force is near, once in each stage, and
// that nobody knows any more which clients' certificates were revoked.
func (w *watch) warn() {
	set, stages := w.server.set.Load(), map[*Identity]int{}
	for _, i := range set.Identities {
		stages[i] = i.stage(w.o.Now())
		if stages[i] > w.stages[i] {
			w.o.Logger.WithFields(logrus.Fields{"certificate": i.files[0].path, "until": i.certificate.Leaf.NotAfter}).
				Warn("the certificate ends soon: renew it; what is new in its files is used by itself")
		}
		stages[i] = max(stages[i], w.stages[i])
	}
	w.stages = stages
	if c := set.Clients; c != nil && c != w.warned {
		if err := c.Outdated(w.o.Now()); err != nil {
			w.warned = c
			w.o.Logger.WithField("client_ca", c.files[0].path).WithError(err).Error("clients of this authority are refused until there is a new list")
		}
	}
}

// stage returns how urgent the renewal is: 0, not at all; lastStage+1, the
// certificate has ended.
func (i *Identity) stage(now time.Time) int {
	leaf := i.certificate.Leaf
	left, life := leaf.NotAfter.Sub(now), leaf.NotAfter.Sub(leaf.NotBefore)
	if left < 0 {
		return lastStage + 1
	}
	stage := 0
	for limit := life / firstStage; stage < lastStage && left < limit; limit /= 2 {
		stage++
	}
	return stage
}
