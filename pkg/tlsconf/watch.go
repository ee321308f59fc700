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
}

// Watch looks until ctx ends whether the files of the identity in force were
// replaced, and puts what is there now in force. What cannot be loaded, is half
// written or is not valid now leaves the old one, and is told once. It also warns
// ahead of the end of the one in force.
func (s *Server) Watch(ctx context.Context, o WatchOptions) {
	if o.Now == nil {
		o.Now = time.Now
	}
	w := &watch{server: s, o: o}
	every := time.NewTicker(WatchEvery)
	defer every.Stop()
	for {
		w.warn()
		select {
		case <-every.C:
			w.look()
		case <-ctx.Done():
			return
		}
	}
}

// A watch is what Watch remembers, in its goroutine alone.
type watch struct {
	server  *Server
	o       WatchOptions
	refused []file    // which were looked at last and are no good
	warned  *Identity // whom it has warned about,
	stage   int       // and how urgently
}

// look loads the files if they are others than those in force and than those that
// were no good the last time.
func (w *watch) look() {
	old := w.server.identity.Load()
	now := []file{look(old.files[0].path), look(old.files[1].path)}
	if same := func(files []file) bool { return slices.EqualFunc(files, now, file.same) }; same(old.files) || same(w.refused) {
		return
	}
	log := w.o.Logger.WithField("certificate", now[0].path)
	renewed, err := Load(now[0].path, now[1].path)
	if err == nil {
		_, err = renewed.Until(w.o.Now())
	}
	if err != nil {
		w.refused = now
		log.WithError(err).Error("the files of the certificate have changed and are no good; the old one stays in use")
		return
	}
	// A reload that came in between has the last word.
	if w.server.identity.CompareAndSwap(old, renewed) {
		w.refused = nil
		log.WithFields(logrus.Fields{"names": renewed.Names(), "until": renewed.certificate.Leaf.NotAfter}).Info("the certificate was renewed and is in use")
	}
}

// firstStage is the part of a certificate's life that is left when it should long
// have been renewed, as certbot does when a third is left. Each further stage is
// half as long.
const (
	firstStage = 4
	lastStage  = 4
)

// warn tells that the end of the certificate in force is near, once in each stage.
func (w *watch) warn() {
	i := w.server.identity.Load()
	if i != w.warned {
		w.warned, w.stage = i, 0
	}
	stage := i.stage(w.o.Now())
	if stage <= w.stage {
		return
	}
	w.stage = stage
	w.o.Logger.WithFields(logrus.Fields{"certificate": i.files[0].path, "until": i.certificate.Leaf.NotAfter}).
		Warn("the certificate ends soon: renew it; what is new in its files is used by itself")
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
