package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sirupsen/logrus"
)

// steps are what undoes a start: each part is registered, under a name, where
// it is started. They run in reverse, under one deadline.
type steps struct {
	log  logrus.FieldLogger
	list []step
}

type step struct {
	name string
	stop func(context.Context) error
}

func (s *steps) add(name string, stop func(context.Context) error) {
	s.list = append(s.list, step{name, stop})
}

// run runs all steps, each whatever became of those before it.
func (s *steps) run(ctx context.Context) error {
	var errs []error
	for _, step := range slices.Backward(s.list) {
		if err := step.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", step.name, err))
		}
		s.log.WithField("part", step.name).Debug("stopped")
	}
	s.list = nil
	return errors.Join(errs...)
}
