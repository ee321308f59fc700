package daemon

import (
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/config"
)

// Report logs why something failed as an operator looks for it: each mistake in
// an entry of its own, with its place and its hint as fields, and then what that
// means.
func Report(log logrus.FieldLogger, meaning string, err error) {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			log.WithFields(logrus.Fields{"at": place(p), "hint": p.Hint}).Error(p.Text)
		}
		log.Error(meaning)
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && !errors.Is(err, ErrNotRechecked) {
		for _, err := range joined.Unwrap() {
			log.Error(err.Error())
		}
		log.Error(meaning)
		return
	}
	log.WithError(err).Error(meaning)
}

func place(p config.Problem) string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}
